// Package stream sends the activity log out of the account, to the security team's own system: each entry at least once, those of a chain in the order in
// which they were appended, and after them where the chain ends.
//
// It keeps no outbox. A chain counts its entries, so that a place in each chain is all that has to be kept ([store.StreamRecord]): what was appended after it is
// still to be sent, whenever that is. So a request writes nothing for it, and nothing is lost while the receiver is away. A place moves after the
// receiver has taken what comes before it; who dies in between sends that again, with the same uid.
//
// The place also remembers the hash that it ended with. Where the chain does not have it any more, or has fewer entries, it was put back or written anew: it is sent
// again from its first entry, with the hashes that it has now, beside those that the receiver already has. This package judges nothing more; what was
// sent is compared outside (docs/audit.md), where who holds the account cannot write.
//
// A sweep drives it, beside its own work and for a bounded time; one instance at a time works on it. Who fails leaves the receiver alone for a
// growing pause.
package stream
