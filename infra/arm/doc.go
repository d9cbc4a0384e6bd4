// Package arm is what the adapters that write to Azure Resource Manager (ARM) have in common,
// whatever the resource: infra/nsg for network security groups, infra/azfirewall for firewalls.
//
// It promises
//
//   - that a document goes back as the bytes that were read, but for what was spliced into
//     them ([Members], [Span]): the SDK's models would drop what they do not know;
//   - that [Write] sends one conditional PUT and follows it to its end, and that whatever leaves the
//     fate of a write open is [access.ErrConflict], so that the caller reads again;
//   - that errors of the SDK come out in the words of the ports, with ARM's own reason ([Translate]).
//
// It does not know what is in a document, retries no conflict, and keeps no state.
package arm
