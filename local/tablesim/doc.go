// Package tablesim is an Azure Table Storage account on one machine: an
// [http.Handler] that the unmodified aztables client (v1.4.1) talks to.
//
// It exists so that the table adapter which ships is the one that tests and
// the local stack exercise. Where the public emulator, Azurite, is laxer than
// the service, tablesim refuses what the service refuses, because a program
// that only ever met a lax emulator fails on its first day in Azure.
//
// # Faithful to
//
//   - tables: create, delete, list, name grammar, names compared without case;
//   - entities: insert, get, replace, merge, insert-or-replace,
//     insert-or-merge, delete; If-Match; a Timestamp and an ETag
//     (W/"datetime'...'") that no two writes of a server share, also not
//     across a restart or with a clock that stands still or goes back;
//   - Edm types String, Int32, Int64, Double, Boolean, DateTime (100 ns), Guid
//     and Binary with their annotations, at the three metadata levels;
//   - queries: $filter, $select, $top, pages of at most 1000 entities with
//     continuation headers, in ordinal (UTF-16) order of PartitionKey, then
//     RowKey. A range of keys in the filter is a seek, not a scan; "or" scans
//     the smallest range that holds both sides;
//   - entity group transactions: atomic, one partition, each entity once, at
//     most 100 operations and 4 MiB. A refused transaction is answered 202
//     with the status and the code of the failing operation inside, its index
//     before the message ("3:The specified entity already exists."). The 101st
//     operation is "99:... exceeds the maximum 100 changes ..." InvalidInput
//     (seen in petabridge/Akka.Persistence.Azure#251), a repeated row
//     InvalidDuplicateRow (Azure/azure-sdk-for-python#33839);
//   - limits: keys of 1024 UTF-16 units without / \ # ? and control
//     characters, 252 own properties, property names, 64 KiB per string or
//     binary value, 1 MiB per entity, 15 comparisons in a filter;
//   - errors: status, x-ms-error-code and an odata.error body;
//   - authorization: a bearer token, judged by [Config.Verify], or
//     SharedKeyLite, the one shared key scheme that aztables uses.
//
// # Leaves out
//
// Throttling by rate, geo replication and statistics, SAS, the SharedKey
// scheme (as opposed to SharedKeyLite), stored access policies, service
// properties, CORS, Atom payloads, a query inside a transaction, X-HTTP-Method
// tunnelling, and TableBeingDeleted (a deleted table can be created again at
// once; the service needs about 40 seconds).
//
// # Uncertain
//
// Believed from memory or the documentation, not seen on a live account:
//
//   - a transaction over 4 MiB is refused outright with 413;
//   - the codes KeyValueTooLarge for long keys and OutOfRangeInput for dates
//     before 1601;
//   - bounds of 15 comparisons and 1024 units are the documentation's; the
//     service is said to be more generous at times;
//   - a number without annotation and outside of Int32 is refused;
//   - numbers of different width are compared by value, other values of
//     different types match nothing, and a missing property makes its
//     comparison false, so that "not (p eq 1)" holds where p is missing;
//   - $select leaves out properties that an entity does not have (the service
//     may send null);
//   - keys in the body of a replace or merge that differ from the keys in the
//     URL are refused with InvalidInput;
//   - $top over 1000 is read as 1000;
//   - a verified token without permission: 403 AuthorizationPermissionMismatch.
//
// # Knobs
//
// Faults, latency and page sizes can be changed while the server runs; see
// [Server.SetDown], [Server.FailNext], [Server.SetLatency],
// [Server.SetMaxPage] and [Server.EmptyPages]. [Server.Stats] counts what a
// caller costs and [Server.Requests] names its last calls.
package tablesim
