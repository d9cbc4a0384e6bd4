package coretest

import (
	"net/netip"

	"portcullis/core/jit"
	"portcullis/core/label"
)

// Dialect is the kind of rules that one kind of target holds.
type Dialect struct {
	// Ours returns a rule of ours with the name, the n-th of those that can coexist, n from 0 to 9.
	Ours func(name string, n int) jit.Rule
	// Theirs returns a foreign rule, the n-th of those that can coexist with each other and with Ours, n from 0 to
	// 109.
	Theirs func(name string, n int) jit.Rule
	// Changed returns a rule of ours, with its name, after a possible change.
	Changed func(jit.Rule) jit.Rule
	// Others is one foreign rule of every kind, as it is read.
	Others []jit.Rule
}

func prefixes(list ...string) jit.Peers {
	var p jit.Peers
	for _, s := range list {
		p.Prefixes = append(p.Prefixes, netip.MustParsePrefix(s))
	}
	return p
}

func ranges(r ...jit.PortRange) []jit.PortRange { return r }

// SecurityRules returns the dialect of network security groups. Even rules of ours open, odd ones close.
func SecurityRules() Dialect {
	all := ranges(jit.AllPorts())
	ports := []uint16{22, 3389, 5985, 5986}
	return Dialect{
		Ours: func(name string, n int) jit.Rule {
			r := jit.Rule{Name: label.Prefix + name, Priority: 100 + n, Protocol: jit.TCP, Source: jit.AnyPeer(),
				Destination: jit.PeersOf(netip.MustParseAddr("10.0.0.4"), netip.MustParseAddr("10.0.0.5")), SourcePorts: all,
				DestinationPorts: ranges(jit.OnePort(ports[n%4])), Description: "Portcullis v1: of the conformance suite"}
			switch {
			case n%2 == 0:
				r.Access = jit.Allow
			default:
				r.DestinationPorts = append(r.DestinationPorts, jit.OnePort(8080))
			}
			if n == 2 {
				r.Destination = prefixes("fd00::4/128")
			}
			return r
		},
		Theirs: func(name string, n int) jit.Rule {
			return jit.Rule{Name: name, Priority: 200 + n, Access: jit.Allow, Protocol: jit.TCP, Source: jit.Peers{Tags: []string{"Internet"}}, Destination: jit.AnyPeer(),
				SourcePorts: all, DestinationPorts: ranges(jit.OnePort(443))}
		},
		Changed: func(r jit.Rule) jit.Rule {
			r.DestinationPorts = ranges(jit.OnePort(22))
			r.Source = prefixes("203.0.113.0/24")
			r.Description = "Portcullis v1: changed"
			return r
		},
		Others: []jit.Rule{
			{Name: "any", Priority: 200, Access: jit.Allow, Protocol: jit.AnyProtocol, Source: jit.AnyPeer(), Destination: jit.AnyPeer(), SourcePorts: all, DestinationPorts: all},
			{Name: "deny", Priority: 201, Protocol: jit.UDP, Source: jit.AnyPeer(), Destination: prefixes("10.0.0.0/24"), SourcePorts: all, DestinationPorts: ranges(jit.OnePort(53)), Description: "no <names> & \"quotes\""},
			{Name: "lists", Priority: 202, Access: jit.Allow, Protocol: jit.TCP, Source: prefixes("192.0.2.0/24", "198.51.100.7/32"), Destination: prefixes("10.0.0.4/32", "10.0.1.0/25"), SourcePorts: ranges(jit.PortRange{First: 1024, Last: 2047}, jit.OnePort(5000)), DestinationPorts: ranges(jit.OnePort(0), jit.OnePort(65535), jit.PortRange{First: 8000, Last: 8100})},
			{Name: "six", Priority: 203, Access: jit.Allow, Protocol: jit.TCP, Source: prefixes("2001:db8::/32"), Destination: prefixes("fd00::4/128"), SourcePorts: all, DestinationPorts: ranges(jit.OnePort(22))},
			{Name: "tag", Priority: 204, Access: jit.Allow, Protocol: jit.ICMP, Source: jit.Peers{Tags: []string{"VirtualNetwork"}}, Destination: jit.Peers{Tags: []string{"VirtualNetwork"}}, SourcePorts: all, DestinationPorts: all},
			{Name: "out", Priority: 200, Direction: jit.Outbound, Protocol: jit.AnyProtocol, Source: jit.AnyPeer(), Destination: jit.Peers{Tags: []string{"Internet"}}, SourcePorts: all, DestinationPorts: all},
		},
	}
}

// NATRules returns the dialect of Azure Firewalls. Every target accepts connections at the public address.
func NATRules(public netip.Addr) Dialect {
	to := func(last byte, port uint16) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, last}), port)
	}
	rule := func(name string, p jit.Protocol, from jit.Peers, port uint16, to netip.AddrPort, note string) jit.Rule {
		return jit.Rule{Name: name, Access: jit.Allow, Protocol: p, Source: from, Destination: jit.PeersOf(public), SourcePorts: ranges(jit.AllPorts()), DestinationPorts: ranges(jit.OnePort(port)), Description: note, Translated: to}
	}
	return Dialect{
		Ours: func(name string, n int) jit.Rule {
			from, protocol := jit.AnyPeer(), jit.TCP
			switch n % 3 {
			case 1:
				from = prefixes("203.0.113.7/32", "198.51.100.0/24")
			case 2:
				from, protocol = prefixes("203.0.113.0/24"), jit.AnyProtocol
			}
			return rule(label.Prefix+name, protocol, from, uint16(40000+n), to(4, 22), "Portcullis v1: of the conformance suite")
		},
		Theirs: func(name string, n int) jit.Rule {
			return rule(name, jit.TCP, jit.AnyPeer(), uint16(8000+n), to(9, 443), "")
		},
		Changed: func(r jit.Rule) jit.Rule {
			r.Source, r.Translated = prefixes("203.0.113.8/32"), to(5, 22)
			r.Description = "Portcullis v1: changed"
			return r
		},
		Others: []jit.Rule{
			rule("any", jit.AnyProtocol, jit.AnyPeer(), 8000, to(9, 443), ""),
			rule("udp", jit.UDP, prefixes("10.1.0.0/16"), 8001, to(9, 53), "no <names> & \"quotes\""),
			rule("lists", jit.TCP, prefixes("192.0.2.0/24", "198.51.100.7/32"), 8002, to(10, 8080), ""),
		},
	}
}
