// Package access holds the verbs over requests: request, open, extend, revoke. Package protect holds those over
// policies, and package guard has each behind its permission.
//
// Every verb does the same two things: it changes the stored state (package store), then it
// has the targets concerned brought to it (package round). So duplicate, late or lost messages, overlapping
// windows, hand edits and crashes need no code of their own: the next reconcile
// lands on the same rules.
//
// # What it promises
//
// The close is written before the open: a request is stored as an intent and its
// wake-up is scheduled before a rule is written, and it is reported open only
// after the firewall has confirmed the rule. A crash after any step leaves
// nothing open, or something that is already scheduled to close; an opening that is not
// confirmed within [jit.OpeningTimeout] is undone. The store is the truth, the
// alarm is a hint, the sweep is the guarantee.
//
// # What it does not do
//
// It does not decide who may call a verb, does not log (it writes the activity
// log, which is part of the product), and never reads a clock but [Service.Now].
package access
