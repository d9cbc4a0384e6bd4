package plan

import (
	"net/netip"
	"slices"
	"strings"

	"portcullis/core/jit"
)

// opens reports whether the inbound rule may allow traffic from somewhere to
// port n, of the given protocol, of a machine with one of these addresses. A
// service tag or an application security group as destination counts as holding
// the machine: on doubt the deny is placed higher.
func opens(r jit.Rule, addrs []netip.Addr, n uint16, protocol jit.Protocol) bool {
	return r.Direction == jit.Inbound && r.Access == jit.Allow && hits(r, addrs, n, protocol)
}

// hits reports whether the rule may match traffic to the port of such a machine.
func hits(r jit.Rule, addrs []netip.Addr, n uint16, protocol jit.Protocol) bool {
	return r.Protocol.Overlaps(protocol) &&
		slices.ContainsFunc(r.DestinationPorts, func(p jit.PortRange) bool { return p.Contains(n) }) &&
		slices.ContainsFunc(addrs, func(a netip.Addr) bool { return mayHold(r.Destination, a) })
}

func mayHold(p jit.Peers, a netip.Addr) bool {
	if p.Any || len(p.Groups) > 0 {
		return true
	}
	// Internet is the one tag that cannot hold a private address.
	if slices.ContainsFunc(p.Tags, func(t string) bool { return !strings.EqualFold(t, "Internet") || !a.IsPrivate() }) {
		return true
	}
	return slices.ContainsFunc(p.Prefixes, func(q netip.Prefix) bool { return q.Contains(a) })
}

// meets reports whether some packet may match both rules of ours; both have
// addresses as destinations and single ports.
func meets(a, b jit.Rule) bool {
	if !a.Protocol.Overlaps(b.Protocol) {
		return false
	}
	if !slices.ContainsFunc(a.DestinationPorts, func(p jit.PortRange) bool {
		return slices.ContainsFunc(b.DestinationPorts, func(q jit.PortRange) bool { return p.First <= q.Last && q.First <= p.Last })
	}) {
		return false
	}
	return slices.ContainsFunc(a.Destination.Prefixes, func(p netip.Prefix) bool {
		return slices.ContainsFunc(b.Destination.Prefixes, p.Overlaps)
	})
}

// mayMatchSome reports whether a foreign rule may match some packet that the
// rule of ours matches. Tags and groups count as holding it.
func mayMatchSome(foreign, ours jit.Rule) bool {
	for _, dst := range ours.Destination.Prefixes {
		for _, port := range ours.DestinationPorts {
			if hits(foreign, []netip.Addr{dst.Addr()}, port.First, ours.Protocol) {
				return ours.Source.Any || foreign.Source.Any || len(foreign.Source.Tags)+len(foreign.Source.Groups) > 0 ||
					slices.ContainsFunc(ours.Source.Prefixes, func(p netip.Prefix) bool {
						return slices.ContainsFunc(foreign.Source.Prefixes, p.Overlaps)
					})
			}
		}
	}
	return false
}
