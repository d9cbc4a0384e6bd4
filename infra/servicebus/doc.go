// Package servicebus delivers wake-ups by scheduled messages of an Azure
// Service Bus queue, over the azservicebus client. [Alarm] implements
// access.Alarm and access.Pinger.
//
// # Messages
//
// A message is a hint to look at a grant and holds nothing else:
//
//	{"v":1,"grant":"<id>","generation":3}
//
// The Functions host copies the top-level properties of a JSON body over the
// message's metadata, so that none of these names may be that of a system
// property, and a receiver takes ids from the body alone, by [Parse].
//
// The message id is <grant>.<generation>.<unix milliseconds>.<attempt>. A queue with duplicate
// detection, in which scheduled messages take part, drops a message that is sent
// twice; a wake-up that is set anew for another end, or once more for the same, has another
// id and is never dropped.
//
// # What it promises
//
// [Alarm.Schedule] returns nil once the broker has accepted every message, and
// sends all of them, whatever their times, in one batch while they fit. No call takes longer
// than [MaxWait]. A connection that is lost is made anew by a later call.
//
// # What it does not do
//
// It cancels no message: one that has become stale finds a grant that has moved on
// and does nothing. It receives none; that is the host's. It does not create
// the queue. The broker's clock decides when a message is due, and it may come late.
package servicebus
