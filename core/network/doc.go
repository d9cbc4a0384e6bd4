// Package network holds what stands in Azure as core sees it, and the ports through which it is read and written:
// machines and where they stand, targets (network security groups and firewalls) and the rules on them, and what
// security admin rules say before either.
//
// It tells where a grant's machines stand ([Place]), at which firewall they are dialled ([Fronts]), and what of them can be
// reached ([Reachable]). It holds nothing that is stored, and does not say when a target is written: that is core/round's part.
package network
