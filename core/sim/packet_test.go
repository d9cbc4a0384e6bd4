package sim_test

import (
	"net/netip"
	"slices"

	"portcullis/core/jit"
)

// packet is the first packet of a connection.
type packet struct {
	src, dst netip.Addr
	port     uint16
	protocol jit.Protocol
	to       netip.AddrPort // where the rule in question sends it
	at       estate         // where dst is
}

// estate is what names in rules mean for a machine's interface.
type estate struct {
	network []netip.Prefix // the addresses of its virtual network
	groups  []string       // the application security groups that it is in
}

// The two address plans: of the machines in the other subscription, public addresses are in the network too.
func (m *machine) estate(a netip.Addr) estate {
	out := estate{network: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:1::/48")}}
	if m.id.Subscription == other {
		out.network = append(out.network, netip.MustParsePrefix("203.0.113.0/24"))
	}
	for _, n := range m.nics {
		if slices.Contains(n.addrs, a) {
			out.groups = n.asgs
		}
	}
	return out
}

// azureHost is where health probes come from, and nobody else.
var azureHost = netip.MustParseAddr("168.63.129.16")

// sends reports whether the packet's source is among peers.
func (p packet) sends(of jit.Peers) bool {
	inside := p.src == azureHost
	for _, q := range p.at.network {
		inside = inside || q.Contains(p.src)
	}
	for _, t := range of.Tags {
		switch t {
		case "VirtualNetwork":
			if inside {
				return true
			}
		case "Internet":
			if !inside && !p.src.IsPrivate() {
				return true
			}
		case "AzureLoadBalancer":
			if p.src == azureHost {
				return true
			}
		}
	}
	return within(of, p.src)
}

// arrives reports whether the packet's destination is among peers.
func (p packet) arrives(of jit.Peers) bool {
	for _, g := range of.Groups {
		if slices.Contains(p.at.groups, g) {
			return true
		}
	}
	return slices.Contains(of.Tags, "VirtualNetwork") || within(of, p.dst)
}

func hit(r *jit.Rule, p packet) bool {
	if r.Direction != jit.Inbound || r.Protocol != jit.AnyProtocol && r.Protocol != p.protocol {
		return false
	}
	port := false
	for _, q := range r.DestinationPorts {
		port = port || q.First <= p.port && p.port <= q.Last
	}
	return port && p.sends(r.Source) && p.arrives(r.Destination)
}

func within(p jit.Peers, a netip.Addr) bool {
	for _, q := range p.Prefixes {
		if q.Contains(a) {
			return true
		}
	}
	return p.Any
}

// first returns the rule that decides about the packet among those that count.
func first(rules []jit.Rule, p packet, count func(jit.Rule) bool) (jit.Rule, bool) {
	best := -1
	for i := range rules { // hardly one is hit, and to copy them all is dear under the race detector
		if r := &rules[i]; (best < 0 || r.Priority < rules[best].Priority) && hit(r, p) && count(*r) {
			best = i
		}
	}
	if best < 0 {
		return jit.Rule{}, false
	}
	return rules[best], true
}

func every(jit.Rule) bool { return true }

// lets reports whether, of the rules that count, the deciding one allows.
func lets(rules []jit.Rule, p packet, count func(jit.Rule) bool) bool {
	r, ok := first(rules, p, count)
	return ok && r.Access == jit.Allow
}

// strangers are the sources that the oracle tries beside those that rules name.
var strangers = addrs("203.0.113.7", "203.0.113.8", "203.0.113.99", "198.51.100.5", "192.0.2.1", "10.0.9.9", "2001:db8::7", "2001:db8::9", "2001:db8:1::1")

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// from returns source addresses to try for some prefixes, of the family of dst.
func from(prefixes []netip.Prefix, dst netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, p := range prefixes {
		if p.Addr().Is4() != dst.Is4() {
			continue
		}
		out = append(out, p.Addr())
		for _, a := range strangers {
			if p.Contains(a) {
				out = append(out, a)
			}
		}
	}
	return out
}

func sameFamily(dst netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(strangers), func(a netip.Addr) bool { return a.Is4() != dst.Is4() })
}

// inside returns source addresses that a window names.
func inside(s jit.Sources, dst netip.Addr) []netip.Addr {
	if s.IsAny() {
		return sameFamily(dst)
	}
	return from(s.Prefixes(), dst)
}

func protocols(p jit.Protocol) []jit.Protocol {
	if p == jit.AnyProtocol {
		return []jit.Protocol{jit.TCP, jit.UDP}
	}
	return []jit.Protocol{p}
}

func holds(s jit.Sources, a netip.Addr) bool {
	if s.IsAny() {
		return true
	}
	for _, p := range s.Prefixes() {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
