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
func Matches(n Estate, r *jit.Rule, p reach.Packet) bool { return match(n, r, p).matches }

func match(n Estate, r *jit.Rule, p reach.Packet) answer {
	a := answer{allow: r.Access == jit.Allow}
	if r.Protocol != "*" && r.Protocol != p.Protocol {
		return a
	}
	ports := inPorts(r.SourcePorts, p.SourcePort) && inPorts(r.DestinationPorts, p.DestinationPort)
	portsDepend := false
	if p.Protocol != "TCP" && p.Protocol != "UDP" { // it has none; whether it matches a rule with ports is not known
		ports = inPorts(r.SourcePorts, 0) && inPorts(r.SourcePorts, 65535) && inPorts(r.DestinationPorts, 0) && inPorts(r.DestinationPorts, 65535)
		portsDepend = !ports
	}
	src, srcDepends := inPeers(n, r.Source, p.Source, p.Destination, false)
	dst, dstDepends := inPeers(n, r.Destination, p.Destination, p.Destination, true)
	switch {
	case !src && !srcDepends, !dst && !dstDepends, !ports && !portsDepend:
		return a
	case src && dst && ports:
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

// inNetwork tells whether an address is in VirtualNetwork for the machine at dst: for sure, and possibly.
func inNetwork(n Estate, a, dst netip.Addr) (sure, possible bool) {
	if a == probes {
		return true, true
	}
	within := func(prefixes []netip.Prefix) bool {
		return slices.ContainsFunc(prefixes, func(q netip.Prefix) bool { return q.Contains(a) })
	}
	sure, seen := true, false
	for _, l := range n.Located {
		if slices.Contains(l.Addresses, dst) {
			in := within(l.Site.Network.Inside)
			sure, possible, seen = sure && in, possible || in || !l.Site.Network.Whole, true
		}
	}
	if seen {
		return sure, possible
	}
	in := within(n.Names.VirtualNetwork)
	return in, in || len(n.Names.VirtualNetwork) == 0
}

// inGroup tells whether the machine at an address is in a group: for sure, and possibly.
func inGroup(n Estate, dst netip.Addr, group string) (sure, possible bool) {
	sure, seen := true, false
	for _, l := range n.Located {
		if !slices.Contains(l.Addresses, dst) {
			continue
		}
		seen = true
		groups, known := l.Site.Groups[dst]
		in := slices.Contains(groups, strings.ToLower(group))
		sure, possible = sure && in, possible || in || !known
	}
	return sure && seen, possible || !seen
}

// inPeers tells whether a packet's source, or its destination, is among peers, and whether that depends on something unknown.
func inPeers(n Estate, p jit.Peers, a, dst netip.Addr, destination bool) (holds, depends bool) {
	if p.Any {
		return true, false
	}
	for _, q := range p.Prefixes {
		if q.Contains(a) {
			return true, false
		}
	}
	note := func(sure, possible bool) { holds, depends = holds || sure, depends || possible }
	inNet, mayNet := inNetwork(n, a, dst)
	if destination {
		inNet, mayNet = true, true
	}
	for _, t := range p.Tags {
		switch strings.ToLower(t) {
		case "virtualnetwork":
			note(inNet, mayNet)
		case "internet":
			public := !a.IsPrivate() && !a.IsLinkLocalUnicast() && !a.IsLoopback()
			note(public && !mayNet, public && !inNet)
		case "azureloadbalancer":
			note(a == probes && !destination, false)
		default:
			list, ok := n.Names.Tags[strings.ToLower(t)]
			note(false, !ok)
			for _, q := range list {
				note(q.Contains(a), false)
			}
		}
	}
	for _, g := range p.Groups {
		if destination {
			note(inGroup(n, dst, g))
		} else {
			note(false, mayNet)
		}
	}
	return holds, depends && !holds
}

// MayMatch reports whether the rule matches the packet, surely or depending on what is unknown.
func MayMatch(n Estate, r *jit.Rule, p reach.Packet) bool {
	a := match(n, r, p)
	return a.matches || a.depends
}

// Decides tells whether one security group can let the packet in, and whether it can keep it out.
func Decides(n Estate, rules []jit.Rule, p reach.Packet) (canAllow, canDeny bool) {
	return decides(n, p, rules, always)
}

// DecidesAlone is Decides without the rules that stand below those of every group.
func DecidesAlone(n Estate, rules []jit.Rule, p reach.Packet) (canAllow, canDeny bool) {
	return decides(n, p, rules)
}

func decides(n Estate, p reach.Packet, lists ...[]jit.Rule) (canAllow, canDeny bool) {
	type matching struct {
		priority int
		answer
	}
	var matched []matching
	for _, rules := range lists {
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
func Verdict(n Estate, p reach.Packet, guards ...reach.Guard) reach.Truth {
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
