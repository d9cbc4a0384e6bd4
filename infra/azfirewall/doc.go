// Package azfirewall lets just-in-time access work on Azure Firewalls with classic rules: it implements
// [network.RuleStore] with the armnetwork clients of the Azure SDK.
//
// # What is ours
//
// One NAT rule collection, named [Collection]. It is made with the first rule and goes with the last, so
// that the firewall is then exactly as it was. Its priority is the highest free number, so that no rule of ours comes before
// one of others; it keeps it for as long as it stands. A rule that somebody else has put into it stays, and keeps it.
//
// Every NAT rule of every collection is read ([network.Snapshot].Rules). A rule of others has its own name, unless that
// would be taken for one of ours or is another rule's too: then it is "/collection/rule".
//
// # A write
//
// Azure Resource Manager (ARM) keeps a firewall as one object with one etag, as an NSG, and a write is as infra/nsg has it:
// the document's own bytes with our collection spliced in, in one PUT with If-Match, followed to its end, confirmed in ARM's
// answer. It takes minutes (three to five on average, says Azure's documentation), and ARM refuses another one meanwhile.
//
// Whether ARM honours If-Match for a firewall is not verified. Two things stand in for it: right before the PUT the firewall is
// read once more and must not have changed; and after it everything that is not ours must be in the answer as it was
// sent, or the write is a conflict that says what differs. What another writer did in the moment between that read and the PUT
// would still be undone, should If-Match be ignored.
//
// # What it does not do
//
// It refuses, by name ([CodeManaged]), a firewall that takes its rules from a firewall policy or is in a virtual hub: classic
// rules do not count there. It leaves IP groups alone: a source that is one is read as a group that may hold anybody. It checks no
// limit: ARM does, and [arm.CodeRefused] has its words.
//
// Succeeded is ARM's word, not that of the data plane. Connections that are established stay, as at an NSG (not verified).
//
// Unverified against the live service, beside If-Match: that everything that a GET shows can be put back, read-only properties
// included, and which permissions a PUT asks for beyond azureFirewalls/write (taken: to join the public addresses and the
// subnet that the firewall has already).
package azfirewall
