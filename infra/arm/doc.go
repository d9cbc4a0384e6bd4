// Package arm is the common part of the adapters that write to Azure Resource Manager (ARM): infra/nsg for network
// security groups, infra/azfirewall for firewalls.
//
// It promises
//
//   - that a document is written back with the bytes that were read, except for what was
//     spliced into them ([Members], [Span]): the SDK's models would drop unknown fields;
//   - that [Write] sends one conditional PUT and follows it to its end, and that an unknown
//     result of a write is [store.ErrConflict], so that the caller reads again;
//   - that SDK errors become errors of the ports, with ARM's own reason ([Translate]);
//   - that the calls of one identity keep within ARM's limits ([Pacer]).
//
// It does not know what is in a document and retries no conflict. Apart from the pacer it keeps no state.
//
// # Pace
//
// ARM counts the calls of a principal in a subscription in token buckets, one for reads, one for writes and one
// for deletes, and the network provider counts writes as well. A client that exceeds them is refused with 429. A
// [Pacer] counts too, so that calls wait here, in our order:
//
//   - It sends no call that exceeds the documented limits ([Documented]) or ARM's own count in
//     its x-ms-ratelimit-remaining headers.
//   - After a 429 for throttling, it sends nothing of that kind to that subscription until the
//     time that ARM asks for, however long. A caller that cannot wait so long gets a
//     [store.Unavailable] with the time. A 429 for another operation on the resource stops
//     nothing: the caller gets it.
//   - A closing call ([network.Priority]) goes before all others, the most overdue first. If
//     windows have ended lately, some write tokens are reserved for closings. While closings
//     wait, one token in eight still goes to the others, so that a storm of closings does not
//     lock everybody out.
//   - Managed subscriptions do not wait for each other; all others share one rate.
//
// A pacer learns of other processes with the same identity only from ARM's headers and refusals, and a new process
// assumes full buckets until ARM says otherwise. It is not documented whether the provider's window is fixed or
// sliding; the pacer is safe for both.
package arm
