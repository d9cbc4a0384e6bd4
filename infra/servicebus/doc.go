// Package servicebus delivers wake-ups as scheduled messages of an Azure Service Bus queue, with the azservicebus
// client. [Alarm] implements [store.Alarm] and [store.Pinger].
//
// # Messages
//
// A message is a hint to check a grant and contains nothing else:
//
//	{"v":1,"grant":"<id>","generation":3}
//
// The Functions host copies the top-level properties of a JSON body over the message's metadata. So none of these
// names may be that of a system property, and a receiver reads ids only from the body, with [Parse].
//
// A reminder has "remind":true too: nothing is to close, and people are told that an end is near.
//
// The message id is <grant>.<generation>.<unix milliseconds>.<attempt>, of a reminder with .r at its end. A queue with duplicate detection, which
// includes scheduled messages, drops a message that is sent twice. A wake-up for another end, or a repeated one
// for the same end, has another id and is never dropped.
//
// # What it promises
//
// [Alarm.Schedule] returns nil once the broker has accepted every message, and sends all of them, whatever their
// times, in one batch if they fit. No call takes longer than [MaxWait]. After a lost connection, a later call
// connects again.
//
// # What it does not do
//
// It cancels no message: a stale one finds a grant that has moved on and does nothing. It receives none; the host
// does. It does not create the queue. The broker's clock decides when a message is due, and it may arrive late.
package servicebus
