// Package azfirewall provides just-in-time access on Azure Firewalls with classic rules: it implements
// [network.RuleStore] with the armnetwork clients of the Azure SDK.
//
// # What is ours
//
// One NAT rule collection, named [Collection]. It is created with the first rule and deleted with the last, which
// leaves the firewall exactly as it was. Its priority is the highest free number, so that no rule of ours comes
// before a foreign one; it keeps its priority as long as it exists. A rule that somebody else has put into it
// stays, and keeps the collection.
//
// Every NAT rule of every collection is read ([network.Snapshot].Rules). A foreign rule keeps its own name, unless
// that could be mistaken for one of ours or is another rule's too: then it is "/collection/rule".
//
// # A write
//
// Azure Resource Manager (ARM) treats a firewall, like an NSG, as one object with one etag, and a write works as
// in infra/nsg: the document's own bytes with our collection spliced in, in one PUT with If-Match, followed to its
// end, confirmed by ARM's response. It takes minutes (three to five on average according to Azure's
// documentation), and ARM refuses another write meanwhile.
//
// It is not verified whether ARM honours If-Match for a firewall. Two checks replace it: right before the PUT the
// firewall is read once more and must be unchanged; and afterwards everything foreign must be in the response as
// it was sent, or the write is a conflict that reports the difference. If If-Match is ignored, another write in
// the moment between that read and the PUT would still be undone.
//
// # What it does not do
//
// It refuses, with [CodeManaged], a firewall that takes its rules from a firewall policy or is in a virtual hub:
// classic rules have no effect there. It does not resolve IP groups: a source that is one is read as a group with
// unknown members. It checks no limits: ARM does, and [arm.CodeRefused] contains its message.
//
// Succeeded is ARM's statement, not the data plane's. Established connections stay, as with an NSG (not verified).
//
// Unverified against the live service, besides If-Match: that everything in a GET can be PUT back, including
// read-only properties, and which permissions a PUT needs beyond azureFirewalls/write (assumed: joining the
// firewall's existing public addresses and subnet).
package azfirewall
