// Package protect has the verbs over policies: enable and disable machines, and end what is open and not allowed any more. Package
// guard has each behind its permission.
//
// Each stores what changes, then has the targets concerned brought in line (package round). A window that a changed policy
// does not allow ends with the change, and so does one that was requested meanwhile: the policies are stored first, and what
// opens later looks at them again (package access).
//
// It does not decide who may change a policy, and opens nothing.
package protect
