// Package jit holds the nouns of just-in-time access and the one decision that
// is made with them.
//
// A [Policy] names the ports of one virtual machine that stay closed, and what
// may be asked for each: from which sources and for how long. A [Request] asks
// for ports. [Decide] answers with a [Grant], or with an [*Error] that says why
// there is none. A grant is a set of half-open windows [start, end), one for
// each port of each machine. A [Rule] is a firewall rule, ours or foreign, in
// the terms that Azure evaluates it.
//
// # What it promises
//
// The package is pure: no context, no I/O, no clock, no randomness; now is a
// value. Zero values refuse: a zero [Protocol] is invalid, a zero [Sources] is
// empty, a zero [Access] denies, a zero [Status] is not open. Values are
// canonical once parsed, so equal things compare equal: sources are masked,
// sorted and free of duplicates, and ARM ids compare by [ID.Key].
//
// # What it does not do
//
// It does not know who may ask (that is Azure RBAC's, outside), where a machine
// stands in the network, or how a rule gets its priority (package plan).
package jit
