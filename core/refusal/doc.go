// Package refusal writes refusals to the activity log, so that none is missing, none drowns the rest and none makes up a part of the log.
//
// A refused call is one entry, however many machines it names, cut to what a row holds. One caller has [PerCaller] entries in
// [Window], all callers together [Total]. Further refusals are counted, and one entry tells their number and whose they were
// when the window has ended. A call that was turned away before it was read has no entry of its own and is counted there too.
//
// The bounds are those of one process, in memory: each instance has its own, and a process that is ended loses what it has
// counted: one window, and more only where the log took nothing. What is kept is bounded too: [MaxCallers] callers are told apart, and the others are counted together.
package refusal
