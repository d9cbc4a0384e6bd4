// Package guard has the verbs of package access behind the permissions: whoever calls, it decides first whether he may, and
// only then anything is looked up that he might learn from. Doors for people and scripts have the verbs in this form alone.
//
// Bounds come before permissions, so that a broken body is told to everybody. What a caller may not read is left out
// of what a verb answers. Every refusal is logged, but for those of dry runs.
//
// It does not find out who calls, and it does not know what grants a permission: that is package permit.
package guard
