// Package table stores policies, grants, keys, history, the activity log and
// the last sweep in Azure Table Storage, over the aztables client. [Store]
// implements every storage port of core/store.
//
// # Layout
//
// Three tables; docs/decisions/001-one-partition-for-live-state.md says why.
//
//	State     one partition, "live":
//	          policy|<machine>                   a policy, the authority on it
//	          grant|<id>                         an open grant, the authority on it
//	          open|<inverted start>|<id>         what lists give of it, the newest first
//	          named|<names>|<machine>            a copy of the policy where its named policy is found
//	          named|<names>|!                    that a named policy exists, and how it was written (record.NamedDoc)
//	          target|<target>                    marks a target as ours, or as to be looked at
//	          part|<target>|policy|<machine>     a policy as it bears on one target
//	          part|<target>|grant|<id>           an open grant as it bears on one target
//	          part|<target>|denies               the denies of ours last seen confirmed there
//	          key|<requestor and value>          an idempotency key
//	          age|<expiry>|<requestor and value> says that this key is there, the oldest first
//	          tell|<channel>|<start>|<id>|<seq>  a message to one channel, until it is delivered (package outbox)
//	          hold|...                           holds and lock-downs (package hold)
//	          review|owed|<person>               the review that a break-glass owes (package review)
//	          review|of|<id>                     what was written about it
//	          sweep                              the last sweep
//	          stream                             how far the activity log has been streamed (package position)
//	          doctor|try, doctor|wake            what the doctor tries the table with; its last wake-up that came elsewhere
//	History   closed grants, a partition for each day of their start
//	Activity  the activity log, a partition for each day:
//	          e|<inverted time>|<name>           an entry, with its place and hash in its chain
//	          id|<name>                          marks an entry as written
//	          head|<subscription>                where the chain of the day ends
//
// Machines, targets and keys stand in row keys as SHA-256, since ARM ids hold
// slashes, which keys may not. Partitions of History and Activity are named by
// the inverted day, and their rows begin with the inverted time, so that the order
// of the table is newest first and a page is one range query whatever the number of
// days it spans.
//
// Every entity holds one JSON document, cut over the properties Doc, Doc1 ... where
// it is longer than a property may be, with a format version. A document of an unknown
// version is an error. The other properties serve filters only.
//
// # What it promises
//
// A write and all that depends on it is one entity group transaction while it
// concerns at most 100 entities and 4 MiB, and every row that has an owner (policy, grant, key,
// target, history) is written on the condition of its ETag. Parts, and the rows by which something is found (open,
// named), are written without one, always in a transaction that holds their owner's.
//
// A grant at more targets than fit is written in several transactions, each of which
// holds the grant's own row on the condition of the one before. So the first transaction decides
// who wins, and a crash in between leaves the new grant with some parts as they were:
// parts missing after an insert (those targets stay closed), parts with the old
// windows after an update. The grant's row is the authority: [Store.OpenGrants] gives it
// with its placements, and [Store.UpdateGrants] with the same record writes every part again,
// also missing ones. A grant that closes keeps its row until its last part is gone.
//
// The activity log is the matter of infra/table/activity; docs/audit.md describes its chain.
//
// Errors are those of core/store: ErrNotFound, ErrConflict, ErrForbidden and
// *Unavailable. Anything else is a value that cannot be stored, or a stored
// one that cannot be read.
//
// # What it does not do
//
// It makes no decision about access, reads no clock, caches nothing but where the log ends, and
// deletes neither history nor the log. The chain is not signed: see docs/audit.md for what it proves. It does not create the storage account, and does not work on Cosmos DB.
package table
