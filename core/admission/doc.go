// Package admission says when a call is taken up, so that those who may do nothing do not keep those who may do something waiting. It
// permits nothing: who is admitted is asked for permission as before.
//
// # Who waits
//
// A caller to whom the authority has said yes, to whatever question, goes at once for [Remembered]. Everybody else has [Free] calls, of which
// one comes back every [Again]; what these calls ask for and how they are answered does not matter, so that empty lists and bad bodies count
// as refusals do. Beyond that a call waits in the slow lane: [AtOnce] are worked on at a time, one begins every [Pace], callers
// take turns, [MaxWaiting] wait, none longer than [MaxWait]. Where the lane is full, the caller with most calls in it loses his last
// one. Calls that are turned away are counted, and refused with [CodeTooManyRefusals] after [Hold], but at once where [MaxHeld] wait for that.
//
// Calls without a valid token are one caller in all of this, with an allowance of its own.
//
// # Closings
//
// A closing never waits in the slow lane. Beyond [FreeClosings] a caller who was permitted nothing has one a second, and waits for nobody but
// himself. Who has closed something is permitted.
//
// # What is kept
//
// At most [MaxCallers] callers who were permitted nothing are told apart, until their allowances are whole again; the others share one
// allowance, but for closings. At most [MaxPermitted] callers are known to be permitted, whom nobody can be without a right. All of it is one
// process's, in memory, and bounded whatever callers choose.
//
// # What it leaves out
//
// A caller in the slow lane who sends half a body holds one of its places until the server's limit for reading ends his call.
// The rate at which calls arrive: the platform's. Callers with a right, whose refused calls cost what they cost.
package admission
