// Package nsg lets just-in-time access work on Azure network security groups
// (NSGs): it implements [network.RuleStore], [network.Network] and [store.Pinger]
// with the armnetwork clients of the Azure SDK.
//
// # A write
//
// Azure Resource Manager (ARM) keeps an NSG and its rules as one object with one
// etag. [Client.Rules] reads it whole and keeps the answer's bytes. [Client.Apply]
// splices our rules into those bytes and sends them back in one PUT with If-Match,
// so that any number of rules changes at once or not at all, and a rule of ours
// can go even under a CanNotDelete lock, which forbids the DELETE of a rule. What
// is not ours (rules of others, tags, properties that no SDK knows yet) goes back
// byte for byte as it came. The SDK's model would drop what it does not know,
// so the model is neither read nor sent; the client, its retries and its poller are used.
//
// A PUT that is answered with Succeeded is confirmed by that answer. Otherwise the
// operation is polled to its end and the NSG read once more. Either way the rules
// that Apply gives are those of ARM's answer, and the changes were found in it.
//
// # Where machines stand
//
// armnetwork cannot ask for the network interfaces of one machine without the
// compute API, so both [Client.Machines] and [Client.Locate] list the interfaces,
// the virtual networks (with their subnets) and the public addresses of a
// subscription: one listing of each, at the same time. Both the NSG of an interface
// and that of the subnet of each of its IP configurations guard a machine.
//
// A firewall stands before a machine where the routes of its subnet lead there, or, without routes, where it is in the same
// virtual network; the placement names it as a target too, for infra/azfirewall to write. Where no virtual network can hold one
// nothing more is asked; elsewhere it is a list of firewalls, and one of route tables. Routes that a gateway learns
// and those of a virtual hub are not seen, and neither is an appliance that stands between.
//
// [Client.Survey] is for people to see: it lists long subscriptions by resource group, side by side.
// With pages of 100 after 50 ms each, 10,000 machines with a public address take 200 pages: 5 s
// of waiting in one group, under one second in twenty. Decoding them costs about a second of one core.
//
// [Client.Recall] finds machines again by one GET for each interface that the last listing named, where
// that is fewer reads. While many writes are unfinished one listing of the NSGs tells of them all.
// docs/decisions/008 says what may be concluded from either.
//
// # What it does not do
//
// It does not decide which rules should stand and does not retry a conflict: that
// is for the callers, who compute the change again. It paces nothing by itself; the
// [arm.Pacer] of its [Config] does. It reads security admin rules of Azure Virtual Network Manager,
// which are evaluated before any NSG ([Client.AdminRules]), and never writes one.
//
// Succeeded is ARM's word, not that of the data plane: how long packets lag
// behind it is not documented.
//
// Unverified against the live service: what ARM answers to If-Match for an NSG that
// is gone (taken as 404 or 412), and whether it keeps everything that it shows in a GET
// when that is put back (the Kubernetes cloud provider puts the whole model back,
// read-only properties included).
package nsg
