package reach_test

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"portcullis/core/jit"
	"portcullis/core/reach"
	"portcullis/core/reach/reachtest"
)

// TestMatchesAgainstNaiveMatcher: a rule that may match a packet of ours bears on it, and one that meets it may match a packet of
// both. What the Azure host sends does not count.
func TestMatchesAgainstNaiveMatcher(t *testing.T) {
	packets := slices.DeleteFunc(reachtest.Packets(reachtest.Machines, 1024), reachtest.ByHost)
	rapid.Check(t, func(t *rapid.T) {
		e, rules := reachtest.Estates(t), reachtest.Rules(t, "foreign")
		names := e.Known()
		dst := netip.MustParseAddr(rapid.SampledFrom(reachtest.Machines).Draw(t, "machine"))
		ours := jit.Rule{Name: "ours", Access: jit.Allow, Protocol: rapid.SampledFrom([]jit.Protocol{jit.TCP, jit.UDP, jit.AnyProtocol}).Draw(t, "protocol"),
			Source: jit.AnyPeer(), Destination: jit.PeersOf(dst), SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(22)}}
		for _, s := range rapid.SliceOfN(rapid.SampledFrom(reachtest.Sources), 0, 3).Draw(t, "sources") {
			if a := netip.MustParseAddr(s); a.Is4() == dst.Is4() && !reachtest.ByHost(reach.Packet{Source: a}) {
				ours.Source.Any, ours.Source.Prefixes = false, append(ours.Source.Prefixes, netip.PrefixFrom(a, a.BitLen()))
			}
		}
		for i := range rules {
			r := &rules[i]
			r.SourcePorts = ours.SourcePorts
			bears, meets := false, false
			for _, p := range packets {
				if p.Destination != dst || !ours.Protocol.Overlaps(p.Protocol) || p.DestinationPort != 22 || !reachtest.MayMatch(e, r, p) {
					continue
				}
				bears = true
				meets = meets || reachtest.Matches(e, &ours, p)
			}
			if bears && !names.Bears(r, &ours) || meets && !names.Meets(r, &ours) {
				t.Fatalf("bears %t, meets %t; got %t, %t of %+v", bears, meets, names.Bears(r, &ours), names.Meets(r, &ours), *r)
			}
			if !ours.Source.Any && !meets && names.Meets(r, &ours) {
				t.Fatalf("meets nothing of %+v: %+v", ours.Source, *r)
			}
		}
	})
}

// TestPassesAgainstNaiveMatcher: as long as some packet may come in by an allow, it passes.
func TestPassesAgainstNaiveMatcher(t *testing.T) {
	packets := slices.DeleteFunc(reachtest.Packets(reachtest.Machines, reachtest.SourcePorts...), reachtest.ByHost)
	rapid.Check(t, func(t *rapid.T) {
		e, rules := reachtest.Estates(t), reachtest.Rules(t, "foreign")
		chain := e.Known().Chain(pointers(rules))
		for _, p := range packets {
			allowed := false
			for _, pass := range chain.To(p.Destination).Passes(p.Protocol, p.DestinationPort) {
				allowed = allowed || pass.Protocol == p.Protocol && reachtest.MayMatch(e, pass.Rule, p)
			}
			if can, _ := reachtest.DecidesAlone(e, rules, p); can && !allowed {
				t.Fatalf("%+v may come in, and no rule passes", p)
			}
		}
	})
}

// TestBears: each kind of rule that bears on nobody, and its neighbour that does.
func TestBears(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.4"), netip.MustParseAddr("10.0.0.5")
	site := func(n reach.Network, groups ...string) reach.Site {
		return reach.Site{Network: n, Groups: map[netip.Addr][]string{a: groups}}
	}
	vnet := reach.Network{Inside: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}}
	whole := reach.Network{Inside: vnet.Inside, Whole: true}
	one := func(s reach.Site) reach.Names {
		return reach.Names{}.At(reach.Located{Addresses: []netip.Addr{a}, Site: s})
	}
	twins := reach.Names{}.At(reach.Located{Addresses: []netip.Addr{a}, Site: site(whole, "/asg/web")}, reach.Located{Addresses: []netip.Addr{a}, Site: site(reach.Network{Inside: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, Whole: true})})
	for name, tc := range map[string]struct {
		names  reach.Names
		source string // of ours
		rule   string
		want   bool // bears, and meets
	}{
		"ping":                                  {reach.Names{}, "*", "deny 100 icmp * -> * :*", false},
		"ESP":                                   {reach.Names{}, "*", "allow 100 esp * -> * :*", false},
		"AH":                                    {reach.Names{}, "*", "deny 100 ah * -> * :*", false},
		"every protocol":                        {reach.Names{}, "*", "deny 100 * * -> * :*", true},
		"health probes":                         {reach.Names{}, "*", "allow 100 tcp azureloadbalancer -> * :22", false},
		"the host by its address":               {reach.Names{}, "*", "allow 100 tcp 168.63.129.16,168.63.129.16/32 -> * :22", false},
		"the host and others":                   {reach.Names{}, "*", "allow 100 tcp 168.63.129.16/31 -> * :22", true},
		"health probes and the Internet":        {reach.Names{}, "*", "allow 100 tcp AzureLoadBalancer,Internet -> * :22", true},
		"another group":                         {one(site(vnet, "/asg/web")), "*", "deny 100 tcp * -> asg:/asg/db :22", false},
		"no group":                              {one(site(vnet)), "*", "deny 100 tcp * -> asg:/asg/db :22", false},
		"its own group":                         {one(site(vnet, "/asg/web")), "*", "deny 100 tcp * -> asg:/ASG/Web :22", true},
		"groups not known":                      {one(reach.Site{Network: vnet}), "*", "deny 100 tcp * -> asg:/asg/db :22", true},
		"a machine not known":                   {reach.Names{}.At(reach.Located{Addresses: []netip.Addr{b}, Site: site(vnet)}), "*", "deny 100 tcp * -> asg:/asg/db :22", true},
		"one of two machines":                   {twins, "*", "deny 100 tcp * -> asg:/asg/web :22", true},
		"neither of two machines":               {twins, "*", "deny 100 tcp * -> asg:/asg/db :22", false},
		"Internet, from the network":            {one(site(vnet)), "10.0.9.9", "deny 100 * Internet -> * :*", false},
		"Internet, from a private address":      {one(site(vnet)), "192.168.7.7", "deny 100 * Internet -> * :*", false},
		"Internet, network not known":           {reach.Names{}, "192.168.7.7", "deny 100 * Internet -> * :*", false},
		"Internet, from a public address":       {one(site(vnet)), "203.0.113.7", "deny 100 * Internet -> * :*", true},
		"Internet, public address of a network": {one(site(reach.Network{Inside: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}})), "203.0.113.7", "deny 100 * Internet -> * :*", false},
		"Internet, of one of two networks":      {twins, "203.0.113.7", "deny 100 * Internet -> * :*", true},
		"the network, from a public address":    {one(site(whole)), "203.0.113.7", "deny 100 * VirtualNetwork -> * :*", false},
		"the network, where it may be more":     {one(site(vnet)), "203.0.113.7", "deny 100 * VirtualNetwork -> * :*", true},
		"the network, from inside":              {one(site(whole)), "10.0.9.9", "deny 100 * VirtualNetwork -> * :*", true},
		"the network, of one of two":            {twins, "203.0.113.7", "deny 100 * VirtualNetwork -> * :*", true},
		"a group of senders, from outside":      {one(site(whole)), "203.0.113.7", "deny 100 * asg:/asg/jump -> * :*", false},
		"a group of senders, from inside":       {one(site(whole)), "10.0.9.9", "deny 100 * asg:/asg/jump -> * :*", true},
	} {
		t.Run(name, func(t *testing.T) {
			r := reachtest.Rule(t, "r", tc.rule)
			ours := jit.Rule{Protocol: jit.AnyProtocol, Source: reachtest.Peers(t, tc.source), Destination: jit.PeersOf(a), SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(22)}}
			if got := tc.names.Meets(&r, &ours); got != tc.want {
				t.Errorf("meets %t, want %t", got, tc.want)
			}
			if tc.source == "*" && tc.names.Bears(&r, &ours) != tc.want {
				t.Errorf("bears %t, want %t", !tc.want, tc.want)
			}
		})
	}
}
