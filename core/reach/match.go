package reach

import (
	"net/netip"
	"slices"

	"portcullis/core/jit"
)

// MayMatch reports whether r may match traffic to a destination of ours, a rule whose destinations are addresses
// and whose ports are single. An unknown name may match.
func (n Names) MayMatch(r, ours *jit.Rule) bool {
	return r.Protocol.Overlaps(ours.Protocol) &&
		slices.ContainsFunc(ours.DestinationPorts, func(p jit.PortRange) bool { return jit.HoldsPort(r.DestinationPorts, p.First) }) &&
		slices.ContainsFunc(ours.Destination.Prefixes, func(p netip.Prefix) bool { return n.Covers(r.Destination, p.Addr()) != No })
}

// MayMeet reports whether some packet may match both rules; see [Names.MayMatch].
func (n Names) MayMeet(r, ours *jit.Rule) bool {
	if !n.MayMatch(r, ours) {
		return false
	}
	if r.Source.Any || ours.Source.Any {
		return true
	}
	if len(r.Source.Tags)+len(r.Source.Groups) == 0 { // the common case, without building sets
		return slices.ContainsFunc(ours.Source.Prefixes, func(p netip.Prefix) bool {
			return slices.ContainsFunc(r.Source.Prefixes, func(q netip.Prefix) bool { return unmapped(q).Overlaps(p) })
		})
	}
	_, theirs := n.set(r.Source)
	_, own := n.set(ours.Source)
	return len(own.and(theirs)) > 0
}
