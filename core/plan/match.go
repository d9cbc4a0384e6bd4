package plan

import (
	"net/netip"
	"slices"

	"portcullis/core/jit"
)

// mayOpen reports whether the rule may allow traffic from somewhere to
// something that the deny of ours closes. What n does not know counts: on doubt the
// deny is placed higher.
func (n Names) mayOpen(r, deny *jit.Rule) bool {
	return r.Direction == jit.Inbound && r.Access == jit.Allow && n.mayHit(r, deny)
}

// mayHit reports whether the rule may match traffic to a destination of ours,
// whose destinations are addresses and whose ports are single.
func (n Names) mayHit(r, ours *jit.Rule) bool {
	return r.Protocol.Overlaps(ours.Protocol) &&
		slices.ContainsFunc(ours.DestinationPorts, func(p jit.PortRange) bool { return holdsPort(r.DestinationPorts, p.First) }) &&
		slices.ContainsFunc(ours.Destination.Prefixes, func(p netip.Prefix) bool { return n.guards(r.Destination, p.Addr()) != No })
}

// mayMeet reports whether some packet may match both the rule and the rule of ours.
func (n Names) mayMeet(r, ours *jit.Rule) bool {
	if !n.mayHit(r, ours) {
		return false
	}
	if r.Source.Any || ours.Source.Any {
		return true
	}
	if len(r.Source.Tags)+len(r.Source.Groups) == 0 { // the common case, without making sets
		return slices.ContainsFunc(ours.Source.Prefixes, func(p netip.Prefix) bool {
			return slices.ContainsFunc(r.Source.Prefixes, func(q netip.Prefix) bool { return unmapped(q).Overlaps(p) })
		})
	}
	_, theirs := n.set(r.Source)
	_, own := n.set(ours.Source)
	return len(own.and(theirs)) > 0
}
