package reach

import (
	"net/netip"
	"strings"
	"sync"

	"portcullis/core/jit"
)

// Names is what the names in rules stand for, as far as the caller knows. The zero value knows only the tag
// AzureLoadBalancer; an answer that depends on any other name is [Maybe]. What is known of the machines' addresses is
// added by [Names.At].
//
//	name               holds for sure          may hold                surely does not hold
//	VirtualNetwork     Network.Inside          the rest, unless Whole  the rest, if Whole
//	Internet           public addresses that   public addresses not    private addresses, and what is in
//	                   VirtualNetwork cannot   known to be in it       VirtualNetwork for sure
//	AzureLoadBalancer  the Azure host          -                       everything else
//	a group, as a      nobody                  what VirtualNetwork     everything else
//	source                                     may hold
//	a group, as a      addresses known to be   addresses of which      addresses known to be outside
//	destination        in it                   nothing is known
//	any other tag      Tags                    everything, without     the rest, with Tags
//	                                           Tags
type Names struct {
	// VirtualNetwork is everything that the tag VirtualNetwork contains at addresses that [Names.At] does not say more of.
	// Empty: not known.
	VirtualNetwork []netip.Prefix
	Tags           map[string][]netip.Prefix // other service tags, by name in lower case

	places map[netip.Addr]*place
	other  *space // at all other addresses
}

const (
	tagInternet       = "Internet"
	tagAzure          = "AzureCloud"
	tagVirtualNetwork = "VirtualNetwork"
	tagLoadBalancer   = "AzureLoadBalancer"
)

// hosts returns the virtual addresses of the Azure host, the source of health probes: AzureLoadBalancer, and part
// of VirtualNetwork (Azure's service tags page; the IPv6 address is that of load balancer probes).
var hosts = sync.OnceValue(func() addresses {
	return addressesOf(netip.MustParsePrefix("168.63.129.16/32"), netip.MustParsePrefix("fe80::1234:5678:9abc/128"))
})

// public returns the addresses of the public Internet. Documentation prefixes count as public.
var public = sync.OnceValue(func() addresses { return everyAddress().minus(addressesOf(jit.NotPublic()...)) })

// Internet returns the sources that may come from the public Internet: every public address that is not known to
// be in the virtual network.
func (n Names) Internet() jit.Sources {
	return public().minus(n.settled().other.sure).sources()
}

// set returns the addresses that peers as a source contain: certainly, and possibly, which includes the certain
// ones. vnet is what VirtualNetwork holds at the packet's destination.
func (n Names) set(p jit.Peers, vnet *space) (sure, possible addresses) {
	if p.Any {
		every := everyAddress()
		return every, every
	}
	sure = addressesOf(p.Prefixes...)
	possible = sure
	for _, t := range p.Tags {
		s, m := n.tag(t, vnet)
		sure, possible = sure.or(s), possible.or(m)
	}
	if len(p.Groups) > 0 { // members have addresses in the network; who all of them are is not known
		possible = possible.or(vnet.possible)
	}
	return sure, possible
}

func (n Names) tag(name string, vnet *space) (sure, possible addresses) {
	switch {
	case strings.EqualFold(name, tagLoadBalancer):
		return hosts(), hosts()
	case strings.EqualFold(name, tagVirtualNetwork):
		return vnet.sure, vnet.possible
	case strings.EqualFold(name, tagInternet): // "reachable by the public internet", says Azure's service tags page
		return public().minus(vnet.possible), public().minus(vnet.sure)
	}
	if prefixes, known := n.Tags[strings.ToLower(name)]; known {
		held := addressesOf(prefixes...)
		return held, held
	}
	return nil, everyAddress()
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
		switch n.member(a, g) {
		case Yes:
			return Yes
		case Maybe:
			found = Maybe
		}
	}
	return found
}
