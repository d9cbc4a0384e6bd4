// Package hostsim stands in for the Azure Functions host on one machine. It
// runs the app as the host runs it: from the packaged folder (host.json and
// <name>/function.json), as a child process that is told its port, with HTTP
// requests proxied to it and Service Bus messages and timer ticks posted to
// it. The handler binary is the one that ships.
//
// # Faithful to
//
// The Functions host that Azure runs, of the version [Version], in proxy mode
// (enableProxyingHttpRequest). The tests of local/realhost send 228 raw requests to both and
// list every difference with its reason. So measured are
//
//   - the path, which is read once, for the routes and for the handler; the query; the headers,
//     repeated ones in one line; the bodies, in chunks too; the marks of a proxied request
//     (X-Forwarded-For, -Host, -Proto, x-ms-invocation-id), and that nothing reaches a trigger's path;
//   - the setting ASPNETCORE_FORWARDEDHEADERS_ENABLED, by which the caller's address is the
//     nearest proxy's word;
//   - the bounds: 414, 431, 500 for a body that is too large;
//   - routes: templates below the route prefix, compared without case, with 404
//     and an empty body when none matches path and method;
//   - what the handler drops is sent again, up to 40 times, also to the next process; when the
//     client goes away the handler's connection is closed;
//   - the headers of a trigger's post; ScheduleStatus before the first run and after a
//     missed one; schedules, of the forms that both read alike (functions.CheckSchedule);
//   - the process: the third error of the handler with no more than 30 minutes between one and the next stops the host.
//
// From the sources of the host (v4.1037) and its documentation, and not measured, since the
// real one lacks its Service Bus extension here:
//
//   - the envelope of a message with its odd encodings, see [Message], and the
//     message's own properties overwriting the system's metadata;
//   - peek-lock: a failure abandons the message at once, so it comes back
//     without delay until the queue dead-letters it; locks are renewed up to
//     maxAutoLockRenewalDuration;
//   - an empty answer to a trigger leaves the invocation hanging until functionTimeout, which
//     kills the process with everything else in flight;
//   - the meanings of the exit codes 0 (not restarted) and 200 (restarted), the probe of GET / every 25 ms.
//
// # Leaves out
//
// Everything the app does not use is refused by [Start] rather than ignored:
// HTTP functions that are not proxied (forwarding mode, and the envelope), authorization keys, other triggers and
// outputs, cardinality many, retry policies, sessions. Without a word
// it leaves out scaling, TLS, CORS, the home page, the admin and key APIs, WebSockets, App Service
// Authentication and the front end (local/easyauth is both), settings that disable a function, and the blob lease that
// makes a timer single across instances. What Go's HTTP server refuses or writes by itself stays so: the table
// of local/realhost says where. The port is new for each process, where the real host keeps
// one, because another program may have taken it meanwhile.
package hostsim
