// Package reachtest is what tests of [portcullis/core/reach] and of packages on top of it share: an oracle, generators of
// rules and packets, and rules written as text.
//
// The oracle is a packet matcher written as naively as possible, which shares nothing with the evaluator. It
// decides what is unknown in every possible way, one after the other.
package reachtest

import (
	"net/netip"
	"slices"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/reach"
)

// probes is the source address of a load balancer's health probes.
var probes = netip.MustParseAddr("168.63.129.16")

// always is what stands below the rules of every security group.
var always = func() []jit.Rule {
	all := []jit.PortRange{{First: 0, Last: 65535}}
	return []jit.Rule{
		{Priority: 65000, Access: jit.Allow, Protocol: "*", Source: jit.Peers{Tags: []string{"VirtualNetwork"}}, Destination: jit.Peers{Tags: []string{"VirtualNetwork"}}, SourcePorts: all, DestinationPorts: all},
		{Priority: 65001, Access: jit.Allow, Protocol: "*", Source: jit.Peers{Tags: []string{"AzureLoadBalancer"}}, Destination: jit.AnyPeer(), SourcePorts: all, DestinationPorts: all},
		{Priority: 65500, Access: jit.Deny, Protocol: "*", Source: jit.AnyPeer(), Destination: jit.AnyPeer(), SourcePorts: all, DestinationPorts: all},
	}
}()

// answer is what a rule does about one packet.
type answer struct {
	matches, depends bool
	allow            bool
}

// Matches reports whether the rule surely matches the packet.
func Matches(n reach.Names, r *jit.Rule, p reach.Packet) bool { return match(n, r, p).matches }

func match(n reach.Names, r *jit.Rule, p reach.Packet) answer {
	a := answer{allow: r.Access == jit.Allow}
	if r.Protocol != "*" && r.Protocol != p.Protocol {
		return a
	}
	if !inPorts(r.SourcePorts, p.SourcePort) || !inPorts(r.DestinationPorts, p.DestinationPort) {
		return a
	}
	src, srcDepends := inPeers(n, r.Source, p.Source, false)
	dst, dstDepends := inPeers(n, r.Destination, p.Destination, true)
	switch {
	case !src && !srcDepends, !dst && !dstDepends:
		return a
	case src && dst:
		a.matches = true
	default:
		a.depends = true
	}
	return a
}

func inPorts(ranges []jit.PortRange, n uint16) bool {
	for _, r := range ranges {
		if int(r.First) <= int(n) && int(n) <= int(r.Last) {
			return true
		}
	}
	return false
}

func inPeers(n reach.Names, p jit.Peers, a netip.Addr, destination bool) (holds, depends bool) {
	if p.Any {
		return true, false
	}
	for _, q := range p.Prefixes {
		if q.Contains(a) {
			return true, false
		}
	}
	host := a == probes
	for _, t := range p.Tags {
		known := len(n.VirtualNetwork) > 0
		inNet := destination || host
		for _, q := range n.VirtualNetwork {
			inNet = inNet || q.Contains(a)
		}
		switch strings.ToLower(t) {
		case "virtualnetwork":
			holds = holds || inNet
			depends = depends || !inNet && !known
		case "internet":
			private := a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsLoopback()
			if !inNet {
				if known && !private {
					holds = true
				} else {
					depends = true
				}
			}
		case "azureloadbalancer":
			holds = holds || host && !destination
		default:
			list, ok := n.Tags[strings.ToLower(t)]
			if !ok {
				depends = true
			}
			for _, q := range list {
				holds = holds || q.Contains(a)
			}
		}
	}
	for _, g := range p.Groups {
		members, ok := n.Groups[strings.ToLower(g)]
		if !ok {
			depends = true
		}
		holds = holds || slices.Contains(members, a)
	}
	return holds, depends && !holds
}

// Decides tells whether one security group can let the packet in, and whether it can keep it out.
func Decides(n reach.Names, rules []jit.Rule, p reach.Packet) (canAllow, canDeny bool) {
	type matching struct {
		priority int
		answer
	}
	var matched []matching
	for _, rules := range [][]jit.Rule{rules, always} {
		for i := range rules {
			if rules[i].Direction != jit.Inbound {
				continue
			}
			if a := match(n, &rules[i], p); a.matches || a.depends {
				matched = append(matched, matching{rules[i].Priority, a})
			}
		}
	}
	open := 0
	for _, m := range matched {
		if m.depends {
			open++
		}
	}
	for world := 0; world < 1<<open; world++ {
		best, allow, bit := 1<<30, false, 0
		for _, m := range matched {
			is := m.matches
			if m.depends {
				is = world>>bit&1 == 1
				bit++
			}
			if is && m.priority < best {
				best, allow = m.priority, m.allow
			}
		}
		if allow {
			canAllow = true
		} else {
			canDeny = true
		}
	}
	return canAllow, canDeny
}

// Verdict tells whether all guards let the packet in.
func Verdict(n reach.Names, p reach.Packet, guards ...reach.Guard) reach.Truth {
	v := reach.Yes
	for _, g := range guards {
		canAllow, canDeny := Decides(n, g.Rules, p)
		switch {
		case !canAllow:
			return reach.No
		case canDeny:
			v = reach.Maybe
		}
	}
	return v
}

// Holds reports whether the sources hold an address.
func Holds(s jit.Sources, a netip.Addr) bool {
	return s.IsAny() || slices.ContainsFunc(s.Prefixes(), func(p netip.Prefix) bool { return p.Contains(a) })
}
