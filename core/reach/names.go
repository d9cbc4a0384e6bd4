package reach

import (
	"net/netip"
	"slices"
	"strings"

	"portcullis/core/jit"
)

// Names is what the names in rules stand for, as far as the caller knows. The zero value knows only the tag
// AzureLoadBalancer; an answer that depends on any other name is [Maybe].
type Names struct {
	// VirtualNetwork is everything that the tag VirtualNetwork contains for the machines in question: the address
	// spaces of their network, of its peers and of connected on-premises networks, and the prefixes of user-defined
	// routes (0.0.0.0/0 if a route sends everything elsewhere). Empty: not known.
	VirtualNetwork []netip.Prefix
	Groups         map[string][]netip.Addr   // the members of application security groups, by ARM id in lower case
	Tags           map[string][]netip.Prefix // other service tags, by name in lower case
}

const (
	tagInternet       = "Internet"
	tagAzure          = "AzureCloud"
	tagVirtualNetwork = "VirtualNetwork"
	tagLoadBalancer   = "AzureLoadBalancer"
)

// hosts returns the virtual addresses of the Azure host, the source of health probes: AzureLoadBalancer, and part
// of VirtualNetwork (Azure's service tags page; the IPv6 address is that of load balancer probes).
func hosts() addresses {
	return addressesOf(netip.MustParsePrefix("168.63.129.16/32"), netip.MustParsePrefix("fe80::1234:5678:9abc/128"))
}

// public returns the addresses of the public Internet. Documentation prefixes count as public.
func public() addresses {
	return everyAddress().minus(addressesOf(jit.NotPublic()...))
}

// Internet returns the sources that may come from the public Internet: every public address that is not known to
// be in the virtual network.
func (n Names) Internet() jit.Sources {
	sure, _ := n.virtualNetwork()
	return public().minus(sure).sources()
}

// set returns the addresses that peers as a source contain: certainly, and possibly, which includes the certain
// ones.
func (n Names) set(p jit.Peers) (sure, possible addresses) {
	if p.Any {
		every := everyAddress()
		return every, every
	}
	sure = addressesOf(p.Prefixes...)
	possible = sure
	for _, t := range p.Tags {
		s, m := n.tag(t)
		sure, possible = sure.or(s), possible.or(m)
	}
	for _, g := range p.Groups {
		members, known := n.Groups[strings.ToLower(g)]
		if !known {
			return sure, everyAddress()
		}
		held := addressesOf(jit.PeersOf(members...).Prefixes...)
		sure, possible = sure.or(held), possible.or(held)
	}
	return sure, possible
}

func (n Names) tag(name string) (sure, possible addresses) {
	switch {
	case strings.EqualFold(name, tagLoadBalancer):
		return hosts(), hosts()
	case strings.EqualFold(name, tagVirtualNetwork):
		return n.virtualNetwork()
	case strings.EqualFold(name, tagInternet):
		// It is not known whether an address that is neither public nor in the virtual network counts as Internet.
		s, m := n.virtualNetwork()
		return public().minus(m), everyAddress().minus(s)
	}
	if prefixes, known := n.Tags[strings.ToLower(name)]; known {
		held := addressesOf(prefixes...)
		return held, held
	}
	return nil, everyAddress()
}

func (n Names) virtualNetwork() (sure, possible addresses) {
	if len(n.VirtualNetwork) == 0 {
		return hosts(), everyAddress()
	}
	known := addressesOf(n.VirtualNetwork...).or(hosts())
	return known, known
}

// Covers reports whether peers as a destination contain a private address of a machine. Such an address is in
// VirtualNetwork by definition, and so not in Internet, whatever its range.
func (n Names) Covers(p jit.Peers, a netip.Addr) Truth {
	if p.Any {
		return Yes
	}
	for _, q := range p.Prefixes {
		if q.Contains(a) || q.Addr().Is4In6() && unmapped(q).Contains(a) {
			return Yes
		}
	}
	found := No
	for _, t := range p.Tags {
		switch {
		case strings.EqualFold(t, tagVirtualNetwork):
			return Yes
		case strings.EqualFold(t, tagInternet), strings.EqualFold(t, tagLoadBalancer):
			continue
		}
		prefixes, known := n.Tags[strings.ToLower(t)]
		if !known {
			found = Maybe
		} else if addressesOf(prefixes...).has(a) {
			return Yes
		}
	}
	for _, g := range p.Groups {
		members, known := n.Groups[strings.ToLower(g)]
		if !known {
			found = Maybe
		} else if slices.ContainsFunc(members, func(m netip.Addr) bool { return m.Unmap() == a }) {
			return Yes
		}
	}
	return found
}
