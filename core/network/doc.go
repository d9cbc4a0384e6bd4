// Package network models Azure as core sees it, and holds the ports through which core reads and writes it:
// machines and where they are, targets (network security groups and firewalls) and their rules, and security admin
// rules, which come before either.
//
// It computes where a grant's machines are ([Place]), at which firewall to dial them ([Fronts]), and what of them
// can be reached ([Reachable]). It stores nothing, and does not decide when to write a target: core/round does.
package network
