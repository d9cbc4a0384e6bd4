// Package doctor checks whether an installation can do its work, and says what to do if it cannot: the app's own
// roles, its tokens, the table, the queue, resource providers, the clock, sweeps and closings, settings and
// versions.
//
// [Doctor.Look] first asks for the permission of [permit.VerbSweep]: a caller who holds it in a managed
// subscription sees that subscription and the installation as a whole, and no other subscription.
//
// It always answers: checks run concurrently, each with its own deadline, so a dependency that hangs costs only
// its own check. What cannot be determined is [Unknown] with the reason, never [OK]. Callers within [Life] share
// one look, so that nobody multiplies its cost: a read and a conditional write of one row, a wake-up of its own,
// and reads of stored records and of Resource Manager.
//
// It repairs nothing and changes no rule. Its wake-up is for a grant that does not exist, and [Doctor.Woken] takes
// it before anything looks for that grant. It does not check what only the host can see: whether the host may read
// the queue's count, its storage, its own log.
package doctor
