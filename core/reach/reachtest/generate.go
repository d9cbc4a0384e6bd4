package reachtest

import (
	"fmt"
	"net/netip"

	"pgregory.net/rapid"

	"portcullis/core/jit"
	"portcullis/core/reach"
)

// A small network: every source, machine and port that packets and rules are made of. SourcePorts is
// each edge of the ranges of [Rules].
var (
	Sources     = []string{"10.0.0.0", "10.0.0.1", "10.0.0.5", "10.0.1.1", "203.0.113.0", "203.0.113.1", "203.0.113.2", "203.0.113.7", "168.63.129.16", "2001:db8::", "2001:db8::1", "2001:db8::6", "fd00::1"}
	Machines    = []string{"10.0.0.4", "10.0.0.5", "fd00::4"}
	Ports       = []uint16{22, 80, 3389}
	SourcePorts = []uint16{0, 7, 1023, 1024, 2500, 65535}
)

func peers(t *rapid.T, label string, destination bool) jit.Peers {
	switch rapid.IntRange(0, 9).Draw(t, label+" kind") {
	case 0, 1:
		return jit.AnyPeer()
	case 2, 3:
		tags := []string{"Internet", "VirtualNetwork", "AzureLoadBalancer", "internet", "Storage", "Sql"}
		return jit.Peers{Tags: []string{rapid.SampledFrom(tags).Draw(t, label+" tag")}}
	case 4:
		return jit.Peers{Groups: []string{rapid.SampledFrom([]string{"/asg/Web", "/asg/db"}).Draw(t, label+" group")}}
	}
	pool := Sources
	if destination {
		pool = Machines
	}
	var p jit.Peers
	for range rapid.IntRange(1, 3).Draw(t, label+" prefixes") {
		a := netip.MustParseAddr(rapid.SampledFrom(pool).Draw(t, label+" address"))
		less := rapid.SampledFrom([]int{0, 1, 2, 3, 8, 24, 32}).Draw(t, label+" width")
		p.Prefixes = append(p.Prefixes, netip.PrefixFrom(a, a.BitLen()-less).Masked())
	}
	return p
}

// Rules draws up to seven rules of both directions.
func Rules(t *rapid.T, label string) []jit.Rule {
	priorities := rapid.SliceOfNDistinct(rapid.IntRange(100, 130), 0, 7, rapid.ID).Draw(t, label+" priorities")
	var rules []jit.Rule
	for i, n := range priorities {
		r := jit.Rule{Name: fmt.Sprintf("r%d", i), Priority: n}
		r.Access = jit.Access(rapid.IntRange(0, 1).Draw(t, "access"))
		r.Direction = jit.Direction(rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "direction"))
		r.Protocol = rapid.SampledFrom([]jit.Protocol{jit.TCP, jit.TCP, jit.UDP, jit.AnyProtocol, jit.AnyProtocol, jit.ICMP, jit.ESP, jit.AH}).Draw(t, "protocol")
		r.Source, r.Destination = peers(t, "source", false), peers(t, "destination", true)
		r.SourcePorts = rapid.SampledFrom([][]jit.PortRange{{jit.AllPorts()}, {jit.AllPorts()}, {{First: 1024, Last: 65535}}, {{First: 0, Last: 1023}}, {{First: 7, Last: 7}, {First: 2000, Last: 3000}}}).Draw(t, "source ports")
		r.DestinationPorts = rapid.SampledFrom([][]jit.PortRange{{jit.AllPorts()}, {{First: 22, Last: 22}}, {{First: 22, Last: 22}, {First: 3389, Last: 3389}}, {{First: 20, Last: 100}}}).Draw(t, "ports")
		rules = append(rules, r)
	}
	return rules
}

// Estate is what is known of a small network, in a form that the oracle can read.
type Estate struct {
	Names   reach.Names // without machines
	Located []reach.Located
}

// Known returns the estate as names.
func (e Estate) Known() reach.Names { return e.Names.At(e.Located...) }

// Names draws what names stand for; some stay unknown.
func Names(t *rapid.T) reach.Names {
	var n reach.Names
	if rapid.Bool().Draw(t, "network known") {
		n.VirtualNetwork = network(t).Inside
	}
	n.Tags = map[string][]netip.Prefix{"storage": {netip.MustParsePrefix("203.0.113.0/31")}}
	return n
}

// network draws an address plan. All of them have the machines' addresses.
func network(t *rapid.T) reach.Network {
	n := reach.Network{Inside: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("fd00::/64")}, Whole: rapid.Bool().Draw(t, "whole network")}
	switch rapid.IntRange(0, 2).Draw(t, "address plan") {
	case 1: // public addresses
		n.Inside = append(n.Inside, netip.MustParsePrefix("203.0.113.6/31"))
	case 2: // a peer
		n.Inside = append(n.Inside, netip.MustParsePrefix("10.0.1.0/24"))
	}
	return n
}

// Site draws what is known of where some addresses are.
func Site(t *rapid.T, addresses ...netip.Addr) reach.Site {
	s := reach.Site{Groups: map[netip.Addr][]string{}}
	if rapid.IntRange(0, 3).Draw(t, "site") > 0 {
		s.Network = network(t)
	}
	for _, a := range addresses {
		if rapid.IntRange(0, 3).Draw(t, "membership") > 0 {
			s.Groups[a] = rapid.SampledFrom([][]string{{}, {"/asg/web"}, {"/asg/db"}, {"/asg/db", "/asg/web"}}).Draw(t, "groups")
		}
	}
	return s
}

// Estates draws what is known of machines at [Machines], at times of two at one address.
func Estates(t *rapid.T) Estate {
	e := Estate{Names: Names(t)}
	for _, m := range Machines {
		a := netip.MustParseAddr(m)
		for range rapid.SampledFrom([]int{0, 1, 1, 1, 2}).Draw(t, "machines at "+m) {
			e.Located = append(e.Located, reach.Located{Addresses: []netip.Addr{a}, Site: Site(t, a)})
		}
	}
	return e
}

// Guards draws one or two security groups.
func Guards(t *rapid.T) []reach.Guard {
	var guards []reach.Guard
	for i := range rapid.IntRange(1, 2).Draw(t, "guards") {
		name := []string{"subnet", "nic"}[i]
		guards = append(guards, reach.Guard{Name: name, Rules: Rules(t, name)})
	}
	return guards
}

// Packets returns every packet from [Sources] to the machines, from each of the source ports.
func Packets(machines []string, from ...uint16) []reach.Packet {
	var out []reach.Packet
	for _, dst := range machines {
		d := netip.MustParseAddr(dst)
		for _, src := range Sources {
			s := netip.MustParseAddr(src)
			if s.Is4() != d.Is4() {
				continue
			}
			for _, proto := range []jit.Protocol{jit.TCP, jit.UDP} {
				for _, port := range Ports {
					for _, n := range from {
						out = append(out, reach.Packet{Protocol: proto, Source: s, SourcePort: n, Destination: d, DestinationPort: port})
					}
				}
			}
		}
	}
	return out
}

// withoutPorts returns every packet from [Sources] to [Machines] of the protocols that have no ports.
func withoutPorts() []reach.Packet {
	var out []reach.Packet
	for _, p := range Packets(Machines, 0) {
		if p.Protocol == jit.TCP && p.DestinationPort == Ports[0] {
			for _, p.Protocol = range []jit.Protocol{jit.ICMP, jit.ESP, jit.AH} {
				p.DestinationPort = 0
				out = append(out, p)
			}
		}
	}
	return out
}

var everyPacket = append(Packets(Machines, SourcePorts...), withoutPorts()...)

// EveryPacket calls f with every packet from [Sources] and [SourcePorts] to [Machines].
func EveryPacket(f func(reach.Packet)) {
	for _, p := range everyPacket {
		f(p)
	}
}

// ByHost reports whether a packet is of the Azure host, such as a health probe.
func ByHost(p reach.Packet) bool { return p.Source == probes }
