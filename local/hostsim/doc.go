// Package hostsim stands in for the Azure Functions host on one machine. It
// runs the app as the host runs it: from the packaged folder (host.json and
// <name>/function.json), as a child process that is told its port, with HTTP
// requests forwarded to it and Service Bus messages and timer ticks posted to
// it. The handler binary is the one that ships; it cannot tell the difference.
//
// # Faithful to
//
// The custom-handler contract of the Functions host 4.x, as read in the sources
// of github.com/Azure/azure-functions-host (v4.1037) and its documentation:
//
//   - the process: its environment, the probe of GET / every 25 ms up to
//     initializationTimeout, the three meanings of its exit code (0: not
//     restarted, 200: restarted, other: an error, and the third error with no
//     more than 30 minutes between one and the next stops the host), SIGKILL as
//     the only way it ends;
//   - HTTP forwarding with its losses: a repeated query key arrives as one
//     value joined by commas, a body without a Content-Length is dropped,
//     redirects are not followed, answers are buffered;
//   - routes: templates below the route prefix, compared without case, with 404
//     and an empty body when none matches path and method;
//   - the trigger envelope with its odd encodings, see [Message], and the
//     message's own properties overwriting the system's metadata;
//   - what an answer to a trigger means: a status outside 2xx, an unreadable
//     body or one that is not JSON by its Content-Type is a failure; an empty
//     body or null leaves the invocation hanging until functionTimeout, which
//     kills the process with everything else in flight;
//   - peek-lock: a failure abandons the message at once, so it comes back
//     without delay until the queue dead-letters it; locks are renewed up to
//     maxAutoLockRenewalDuration;
//   - the platform's front end, as far as it adds the caller's address and port
//     to the end of X-Forwarded-For.
//
// The status codes given while there is no handler to ask (503 when none became
// ready in time, 500 when it went away) are not verified against the real host.
//
// # Leaves out
//
// Everything the app does not use is refused by [Start] rather than ignored:
// HTTP functions that are not forwarded, authorization keys, other triggers and
// outputs, cardinality many, retry policies, sessions, proxying. Without a word
// it leaves out scaling, TLS, CORS, the admin and key APIs, App Service
// Authentication, settings that disable a function, and the blob lease that
// makes a timer single across instances. Timer state is not stored, so no run
// is ever past due. The port is new for each process, where the real host keeps
// one, because another program may have taken it meanwhile.
package hostsim
