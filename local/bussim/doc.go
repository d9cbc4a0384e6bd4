// Package bussim is a stand-in for Azure Service Bus queues: a small AMQP 1.0
// broker for one machine, which the unmodified SDKs talk to over TCP.
//
// # Faithful to
//
// What azservicebus v1.11.0 (Go) and @azure/service-bus 7.9.5 (JavaScript) do
// with queues, both of which run against it in the tests:
//
//   - SASL ANONYMOUS, PLAIN and MSSBCBS; claims by $cbs put-token with shared
//     access signatures and JSON Web Tokens, per connection, until they expire;
//   - sends (single, in several frames, batches), schedules by annotation and
//     by $management, cancelling, peeking;
//   - peek-lock and receive-and-delete; complete, abandon, defer, dead-letter
//     and release, on the link and by lock token; lock renewal and expiry;
//   - max delivery count, time to live, dead-letter queues, duplicate
//     detection, in which scheduled messages take part;
//   - error conditions and status codes that those SDKs act upon.
//
// The semantics were written from the sources and documentation of the SDKs.
// They were NOT verified against Microsoft's broker or its emulator. Where a
// detail is a guess, its comment says "unverified". To check, run the tests
// with SB_CONN set to the connection string of a namespace that has the queues
// "portcullis-test" (lock duration 5 s, max delivery count 3) and
// "portcullis-test-dup" (the same, duplicate detection over 20 s).
//
// # Left out
//
// Topics, subscriptions and rules; message sessions; transactions and
// send-via; forwarding; partitioning; WebSockets and TLS; the HTTP
// administration API; Python's azure-servicebus, which puts its tokens in
// another form and cannot sign in here; claims per right (a key or token grants send, listen and
// manage at once); quotas; link recovery with unsettled state. Unlike the
// service, it forgets locks when it restarts: the messages are active again
// with the count they had.
//
// # Time
//
// All deadlines follow [Config.Now]. With the real clock a timer fires at the
// next due instant; a test with a clock of its own moves it and calls
// [Broker.Wake]. Only the transport's own timeouts use real time.
//
// # State
//
// With [Config.Dir] set, messages, sequence numbers, schedules and duplicate
// windows are in a bbolt file before a sender is told "accepted". It is not
// synced: it outlives a killed process, not a machine that loses power.
package bussim
