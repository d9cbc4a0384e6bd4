// Package telemetry measures Portcullis from outside: OpenTelemetry traces and
// metrics over OTLP, and the log lines that the alert rules look for.
//
// # How it measures
//
// The core neither logs nor measures. Everything here is a decorator around a
// port of core/access ([Telemetry.RuleStore], [Telemetry.Activity],
// [Telemetry.Sweeps]), a middleware around the doors ([Telemetry.Handler]), or a
// look at what is stored whenever metrics are exported ([Telemetry.Watch]). A
// decorator gives on what it wraps, value and error, unchanged.
//
//   - portcullis.windows.open: windows that are open, or may still be.
//   - portcullis.closing.overdue (s): age of the oldest window that should be
//     closed and is not confirmed to be; 0 where there is none.
//   - portcullis.closing.lateness (s): from a window's end until its closing was
//     confirmed; by reason.
//   - portcullis.open.duration (s): from a request until its ports were confirmed open.
//   - portcullis.arm.writes: writes of network security groups; by result.
//   - portcullis.arm.wait (s): what calls waited for their turn; by kind (reads, writes) and lane (closing, opening).
//   - portcullis.arm.queue: calls that wait for their turn in this instance; by kind and lane.
//   - portcullis.panics: panics in background work.
//   - portcullis.calls.turned_away: calls refused before they were looked at, as their callers were lately permitted nothing; by whether they had a valid token.
//   - portcullis.log.unwritten: entries of the activity log that could not be written when they were to be.
//
// The first two are read from the stored grants at each export, so that they
// are true after a crash and on an instance that has only just started. Every
// instance tells the same number: take the maximum over instances, not the
// sum. Lateness and duration are taken from the activity log on its way to the
// store, where an entry that has to be appended again is counted again.
//
// # Where the activity log ends
//
// After each sweep a line "chain head" states the head of every chain of today and yesterday that
// is not what this process stated last: day, subscription ("none" for the entries that concern none), entries, head. Lines leave
// for Log Analytics, where whoever may write the storage account may not write. docs/audit.md says how to compare,
// and docs/decisions/024 why this way. It costs two queries a sweep.
//
// # Lines that strangers cause
//
// A caller who may do nothing can have one line written with each call. [Bounded] lets through a few a minute of
// the lines that tell of calls, counts the rest, and tells how many they were. It leaves every other line alone.
//
// # On and off
//
// The standard variables switch it on: OTEL_EXPORTER_OTLP_ENDPOINT, or the one
// for traces or for metrics alone; see
// https://opentelemetry.io/docs/specs/otel/protocol/exporter/. Without them, or
// with OTEL_SDK_DISABLED=true, no exporter, no goroutine and no connection exist,
// and the log lines are still written. Only OTLP over HTTP is spoken; another
// OTEL_EXPORTER_OTLP_PROTOCOL is an error.
//
// # Killed without notice
//
// The Functions host ends a handler by SIGKILL. So nothing here relies on a
// shutdown: spans leave after a second and metrics every fifteen, unless
// OTEL_BSP_SCHEDULE_DELAY or OTEL_METRIC_EXPORT_INTERVAL say otherwise. What was
// measured since then is lost with the process; what must not be lost is in the
// activity log.
//
// # What it leaves out
//
// OTLP logs (the host takes standard output), spans of Service Bus (its SDK
// takes no tracing provider for what is used here), and a metric of its own for
// HTTP requests: the host reports each invocation as a request already.
package telemetry
