// Package reach tells what traffic reaches a machine: whether a packet comes through its security groups
// ([Names.Evaluate]), who can reach which port by which rule ([Names.Exposures]), what other rules take from an
// allow ([Names.Blocked]), and which allows of a group let something in to a port ([Names.Chain]).
//
// It evaluates rules as Azure documents it: the lowest priority that matches decides, default rules come last,
// every group has to allow. Security admin rules of Azure Virtual Network Manager come before all groups:
// [Names.Reach] and [Names.Exposures] look at them too, and [Names.Admin] tells what they do to a port.
//
// It is pure and exact, but for names: where a service tag or a group is not known, the answer is [Maybe].
//
// It does not know whose a rule is, reads nothing, and does not look at routes, at firewalls or at what
// listens on the machine.
package reach
