package jit_test

import (
	"net/netip"
	"testing"

	"portcullis/core/jit"
)

func TestRuleEqual(t *testing.T) {
	pfx := netip.MustParsePrefix
	base := func() jit.Rule {
		return jit.Rule{Name: "n", Priority: 100, Access: jit.Allow, Protocol: jit.TCP, Source: jit.Peers{Prefixes: []netip.Prefix{pfx("10.0.0.1/32"), pfx("10.1.0.0/16")}, Tags: []string{"Internet"}, Groups: []string{"/a", "/b"}},
			Destination: jit.PeersOf(netip.MustParseAddr("10.0.0.4")), SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(22), {First: 1, Last: 3}}, Description: "d"}
	}
	tests := []struct {
		name   string
		change func(*jit.Rule)
		same   bool
	}{
		{"name", func(r *jit.Rule) { r.Name = "m" }, false},
		{"case of the name", func(r *jit.Rule) { r.Name = "N" }, false},
		{"priority", func(r *jit.Rule) { r.Priority++ }, false},
		{"direction", func(r *jit.Rule) { r.Direction = jit.Outbound }, false},
		{"access", func(r *jit.Rule) { r.Access = jit.Deny }, false},
		{"protocol", func(r *jit.Rule) { r.Protocol = jit.AnyProtocol }, false},
		{"any source", func(r *jit.Rule) { r.Source.Any = true }, false},
		{"one source fewer", func(r *jit.Rule) { r.Source.Prefixes = r.Source.Prefixes[1:] }, false},
		{"another tag", func(r *jit.Rule) { r.Source.Tags[0] = "VirtualNetwork" }, false},
		{"another group", func(r *jit.Rule) { r.Source.Groups[0] = "/c" }, false},
		{"wider destination", func(r *jit.Rule) { r.Destination.Prefixes[0] = pfx("10.0.0.0/24") }, false},
		{"source ports", func(r *jit.Rule) { r.SourcePorts = nil }, false},
		{"ports", func(r *jit.Rule) { r.DestinationPorts[0].Last++ }, false},
		{"description", func(r *jit.Rule) { r.Description = "" }, false},
		{"translated", func(r *jit.Rule) { r.Translated = netip.MustParseAddrPort("10.0.0.4:22") }, false},
		{"order of prefixes", func(r *jit.Rule) {
			r.Source.Prefixes[0], r.Source.Prefixes[1] = r.Source.Prefixes[1], r.Source.Prefixes[0]
		}, true},
		{"a prefix twice", func(r *jit.Rule) { r.Source.Prefixes = append(r.Source.Prefixes, r.Source.Prefixes[0]) }, true},
		{"host bits", func(r *jit.Rule) { r.Source.Prefixes[1] = pfx("10.1.2.3/16") }, true},
		{"order of ports", func(r *jit.Rule) {
			r.DestinationPorts[0], r.DestinationPorts[1] = r.DestinationPorts[1], r.DestinationPorts[0]
		}, true},
		{"order of groups", func(r *jit.Rule) { r.Source.Groups = []string{"/B", "/A"} }, true},
		{"case of the protocol", func(r *jit.Rule) { r.Protocol = "Tcp" }, true},
		{"case of a tag", func(r *jit.Rule) { r.Source.Tags[0] = "INTERNET" }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b, clone := base(), base(), base().Clone()
			tt.change(&b)
			if a.Equal(b) != tt.same || b.Equal(a) != tt.same {
				t.Errorf("equal %t, want %t", a.Equal(b), tt.same)
			}
			c := a.Clone()
			tt.change(&c)
			if !a.Equal(clone) {
				t.Error("a change of the clone reached the rule")
			}
			if got := b.Canonical(); !got.Equal(b) || !got.Canonical().Equal(got) {
				t.Error("the canonical form is not equal to the rule, or not a fixed point")
			}
		})
	}
}

// TestNATRuleEqual: a NAT rule does not look at source ports.
func TestNATRuleEqual(t *testing.T) {
	a := jit.Rule{Name: "n", Access: jit.Allow, Protocol: jit.TCP, Source: jit.AnyPeer(), Destination: jit.PeersOf(netip.MustParseAddr("203.0.113.20")),
		SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(40022)}, Translated: netip.MustParseAddrPort("10.0.0.4:22")}
	for _, tt := range []struct {
		name   string
		change func(*jit.Rule)
		same   bool
	}{
		{"no source ports", func(r *jit.Rule) { r.SourcePorts = nil }, true},
		{"IPv4 in IPv6 form", func(r *jit.Rule) { r.Translated = netip.MustParseAddrPort("[::ffff:10.0.0.4]:22") }, true},
		{"another machine", func(r *jit.Rule) { r.Translated = netip.MustParseAddrPort("10.0.0.5:22") }, false},
		{"another port", func(r *jit.Rule) { r.Translated = netip.MustParseAddrPort("10.0.0.4:23") }, false},
		{"not translated", func(r *jit.Rule) { r.Translated = netip.AddrPort{} }, false},
	} {
		b := a.Clone()
		tt.change(&b)
		if a.Equal(b) != tt.same || b.Equal(a) != tt.same {
			t.Errorf("%s: equal %t, want %t", tt.name, a.Equal(b), tt.same)
		}
	}
}
