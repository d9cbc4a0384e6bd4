// Package doctor looks whether an installation can do its work, and says what to do where it cannot: the app's own roles, its
// tokens, the table, the queue, resource providers, the clock, sweeps and closings, settings and versions.
//
// [Doctor.Look] asks for the permission of [permit.VerbSweep] first: whoever holds it in a managed subscription is told of that
// subscription and of the installation as a whole, and of no other subscription.
//
// It promises an answer whatever is ill: every check has its own deadline and they run side by side, so that
// a dependency which hangs costs its own check and no other. What could not be found out is [Unknown] with the reason, never [OK]. One look
// serves all who ask within [Life], so that nobody multiplies what it costs: a read and a conditional write of one row, a wake-up
// of its own, and reads of what is stored and of Resource Manager.
//
// It repairs nothing and changes no rule. The wake-up that it sets is for a grant that does not exist, and [Doctor.Woken]
// takes it before anybody looks for one. It does not look at what only the host can see: whether it may read the queue's count, its storage, its own log.
package doctor
