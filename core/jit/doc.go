// Package jit holds the nouns of just-in-time access. The decisions made with them are package decide's.
//
// A [Policy] names the ports of one virtual machine that stay closed, and what may be requested for each: from
// which sources and for how long. A [Request] asks for ports, and a [Grant] is what it yields; an [*Error] says
// why there is none. A grant is a set of half-open windows [start, end), one for each port of each machine. A
// [Rule] is a firewall rule, ours or foreign, in the terms in which Azure evaluates it.
//
// # What it promises
//
// The package is pure: no context, no I/O, no clock, no randomness; now is a value. Zero values refuse: a zero
// [Protocol] is invalid, a zero [Sources] is empty, a zero [Access] denies, a zero [Status] is not open. Parsed
// values are canonical, so equal things compare equal: sources are masked, sorted and free of duplicates, and ARM
// ids compare by [ID.Key].
//
// # What it does not do
//
// It does not know who may ask (Azure RBAC does), where a machine is in the network, or how a rule gets its
// priority (package plan).
package jit
