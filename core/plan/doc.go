// Package plan is the arithmetic of reconciliation: from what is stored, what
// stands and the time it computes what should stand on one target (one network
// security group) and the changes that lead there.
//
// [Compute] is a pure function. For every rule name:
//
//	owner    wanted  stands  same  action
//	foreign  -       yes     -     none, ever: not changed, moved or deleted
//	ours     yes     no      -     create
//	ours     yes     yes     no    update, at the priority where it stands if it may stay there
//	ours     yes     yes     yes   none
//	ours     no      yes     -     delete
//
// A rule is ours when its name begins with [label.Prefix]. Two kinds are wanted:
//
//   - deny rules, one for all machines of the target that protect the same ports
//     with the same protocol, in each address family: source any, destination the
//     machines' private addresses. They outrank every foreign allow of a protected
//     port (existing rules: override) or stand below them (respect).
//   - allow rules, one for each grant, end, protocol, family and set of sources:
//     sources x private addresses x ports. A rule is a cross product, so machines
//     share one only where they open the same ports, and grants never share one.
//
// Allows take the first free priority from 100 upward, and always stand above
// the denies that would block them; denies take the last free priority below their ceiling.
//
// A deny that finds no place above a foreign allow stands below it and is named; one
// that has to respect and finds no place below is left out and named. Denies laid
// too high for a new allow are laid anew.
//
// What a rule matches is asked of [portcullis/core/reach], with what each policy's [Protected.Site] says of its addresses.
// Where it is not known whether a name holds somebody, a deny is placed higher, an exposure told, and an allow placed above
// the deny that may block it, or refused. Security admin rules are no input: no rule of ours can stand above them.
//
// # What it promises
//
// The order of the input does not matter, the output is sorted, computing again
// after the changes yields none, and an opening that finds no room is left out as
// a whole and named in [Plan.Refused]: limits refuse openings, never closings.
//
// # What it does not do
//
// It knows nothing of ARM, ETags or retries, and does not look up where a
// machine stands: addresses are an input.
package plan
