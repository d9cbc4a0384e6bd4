// Package bench measures how close Portcullis comes to what Azure's limits allow, beside the design that comes to mind
// first. It is tests only: `make bench` runs them, prints tables and writes docs/benchmarks.md; `make test` holds the
// counts (calls to Resource Manager, table operations, messages) exactly and no times.
//
// # What is real
//
// The app: handlers, verbs and the adapters that ship, put together as main puts them together. The Azure SDK's clients
// with their retries and pollers, of the app and of the peer. The requests that they send, which the stand-ins of
// Resource Manager and Table Storage answer in this process.
//
// # What is simulated
//
// Time, by testing/synctest: a latency costs nothing and is exact. A write takes between 2 and 10 seconds, drawn for each
// network security group from a seed; a call to Resource Manager takes armTrip and one to Table Storage or Service Bus
// tableTrip and busTrip, which nobody measured against Azure. The token buckets are the stand-in's. Service Bus and
// the Functions host are a queue of this package: it delivers what is due to as many invocations at a time as host.json
// allows, delivers again what failed and puts away after ten deliveries what fails still.
//
// # The peer
//
// The obvious design: one rule for each port of each machine, written with SecurityRules.BeginCreateOrUpdate, one after
// the other, each waited for with the SDK's own poller and its 30 seconds; one row and one message for each rule; one
// delete for each rule when it ends. Its best variant writes all rules at the same time and polls every second. It is
// given what it would need to find out: a free priority costs it nothing, and nobody else changes anything.
//
// # What it leaves out
//
// The cold start of a Functions instance, the time for packets to follow a confirmed rule, a second region, and every
// limit of Table Storage and Service Bus but their latency. There is one instance of the app, and two in a steady load:
// how several of them share the buckets is not measured.
package bench
