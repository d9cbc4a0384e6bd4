// Package reach computes which traffic reaches a machine: whether a packet passes its security groups
// ([Names.Evaluate]), who can reach which port by which rule ([Names.Exposures]), what other rules take from an
// allow ([Names.Blocked]), and which allows of a group let packets in to a port ([Names.Chain]).
//
// It evaluates rules as Azure documents it: the matching rule with the lowest priority number decides, default
// rules come last, every group has to allow. Security admin rules of Azure Virtual Network Manager come before all
// groups: [Names.Reach] and [Names.Exposures] include them, and [Names.Admin] returns their effect on a port.
//
// It is pure and exact except for names: what a service tag or a group holds is known for each address ([Names.At],
// decision 030), and if that does not tell, the answer is [Maybe].
//
// It does not know who made a rule, reads nothing, and ignores routes, firewalls and what listens on the machine.
package reach
