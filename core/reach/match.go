package reach

import (
	"net/netip"
	"slices"
	"strings"

	"portcullis/core/jit"
)

// Bears reports whether r may match traffic to a destination of ours, a rule whose destinations are addresses
// and whose ports are single. An unknown name may match. Traffic from the Azure host does not count, so that a rule for
// health probes bears on nothing: nobody can send from there (Azure's page on 168.63.129.16).
func (n Names) Bears(r, ours *jit.Rule) bool {
	return portsOf(r, ours) && n.somebody(r.Source) &&
		slices.ContainsFunc(ours.Destination.Prefixes, func(p netip.Prefix) bool { return n.Covers(r.Destination, p.Addr()) != No })
}

// portsOf reports whether r matches a protocol and a port of ours. One of a protocol without ports matches none.
func portsOf(r, ours *jit.Rule) bool {
	return slices.ContainsFunc(withPorts(ours.Protocol), r.Protocol.Overlaps) &&
		slices.ContainsFunc(ours.DestinationPorts, func(p jit.PortRange) bool { return jit.HoldsPort(r.DestinationPorts, p.First) })
}

// withPorts returns the protocols with ports among those that p is.
func withPorts(p jit.Protocol) []jit.Protocol {
	if p == jit.AnyProtocol {
		return []jit.Protocol{jit.TCP, jit.UDP}
	}
	return []jit.Protocol{p}
}

// somebody reports whether peers as a source may contain anything but the Azure host.
func (n Names) somebody(p jit.Peers) bool {
	if p.Any || len(p.Groups) > 0 {
		return true
	}
	for _, t := range p.Tags {
		if strings.EqualFold(t, tagLoadBalancer) {
			continue
		}
		if prefixes, known := n.Tags[strings.ToLower(t)]; !known || len(addressesOf(prefixes...).minus(hosts())) > 0 {
			return true
		}
	}
	return slices.ContainsFunc(p.Prefixes, func(q netip.Prefix) bool { return !q.IsSingleIP() || !hosts().has(q.Addr().Unmap()) })
}

// Meets reports whether some packet may match both rules; see [Names.Bears].
func (n Names) Meets(r, ours *jit.Rule) bool {
	if !n.Bears(r, ours) {
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
	n = n.settled()
	own, _ := n.set(ours.Source, n.other)
	own = own.minus(hosts())
	tried := map[*space]bool{}
	return slices.ContainsFunc(ours.Destination.Prefixes, func(p netip.Prefix) bool {
		vnet := n.spaceAt(p.Addr())
		if tried[vnet] || n.Covers(r.Destination, p.Addr()) == No {
			return false
		}
		tried[vnet] = true
		_, theirs := n.set(r.Source, vnet)
		return len(own.and(theirs)) > 0
	})
}
