// Package arm is what the adapters that write to Azure Resource Manager (ARM) have in common,
// whatever the resource: infra/nsg for network security groups, infra/azfirewall for firewalls.
//
// It promises
//
//   - that a document goes back as the bytes that were read, but for what was spliced into
//     them ([Members], [Span]): the SDK's models would drop what they do not know;
//   - that [Write] sends one conditional PUT and follows it to its end, and that whatever leaves the
//     fate of a write open is [store.ErrConflict], so that the caller reads again;
//   - that errors of the SDK come out in the words of the ports, with ARM's own reason ([Translate]);
//   - that the calls of one identity keep to the pace that ARM allows it ([Pacer]).
//
// It does not know what is in a document and retries no conflict. But for the pacer it keeps no state.
//
// # Pace
//
// ARM counts the calls of a principal in a subscription in token buckets, one for reads, one for
// writes and one for deletes, and the network provider counts writes once more. Who takes more is
// refused with 429. A [Pacer] counts along, so that calls wait here, in an order that we choose:
//
//   - No call is sent for which the documented limits leave no room ([Documented]), nor one that
//     ARM's own count, in its x-ms-ratelimit-remaining headers, leaves no room for.
//   - After a 429 that tells of throttling nothing of that kind is sent to that subscription until
//     the time that it asks for, however far off. Who cannot wait so long gets an
//     [store.Unavailable] that says when. A 429 that tells of another operation on the
//     resource closes nothing: it is passed on to who asked.
//   - A call that closes ([network.Priority]) goes before all others, the most overdue first, and where windows
//     have ended lately some tokens for writes are left to closings alone. While closings wait, one token in eight still
//     goes to the others, so that a storm of closings does not lock everybody out.
//   - Subscriptions that are managed do not wait for each other; all others share one pace.
//
// A pacer does not know of other processes with the same identity but by ARM's headers and refusals, and
// a new process takes the buckets for full until ARM says otherwise. Whether the provider's window
// is fixed or sliding is not documented; what is kept here is safe for both.
package arm
