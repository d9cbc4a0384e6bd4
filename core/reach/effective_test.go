package reach_test

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"portcullis/core/jit"
	"portcullis/core/reach"
	"portcullis/core/reach/reachtest"
)

func TestEvaluateAgainstNaiveMatcher(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, guards := reachtest.Estates(t), reachtest.Guards(t)
		names := n.Known()
		reachtest.EveryPacket(func(p reach.Packet) {
			got, want := names.Evaluate(p, guards...), reachtest.Verdict(n, p, guards...)
			if got.Allowed != want {
				t.Fatalf("%+v: got %s by %+v, want %s", p, got.Allowed, got.By, want)
			}
		})
	})
}

// Exposures must be exact: a source is named where some world lets some packet of it in, and nowhere else.
func TestExposuresAgainstNaiveMatcher(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, guards := reachtest.Estates(t), reachtest.Guards(t)
		dst := netip.MustParseAddr(rapid.SampledFrom(reachtest.Machines).Draw(t, "machine"))
		all := n.Known().Exposures(reach.Endpoint{Address: dst, Guards: guards}, reachtest.Ports, jit.AnySource())
		type at struct {
			port   uint16
			proto  jit.Protocol
			source netip.Addr
		}
		possible, certain := map[at]bool{}, map[at]bool{}
		reachtest.EveryPacket(func(p reach.Packet) {
			if p.Destination != dst || p.DestinationPort == 0 {
				return
			}
			k := at{p.DestinationPort, p.Protocol, p.Source}
			v := reachtest.Verdict(n, p, guards...)
			possible[k] = possible[k] || v != reach.No
			certain[k] = certain[k] || v == reach.Yes
		})
		for k, want := range possible {
			one := jit.SourcesOf(netip.PrefixFrom(k.source, k.source.BitLen()))
			got, sure := false, false
			for _, e := range all {
				if e.Port == k.port && e.Protocol.Overlaps(k.proto) {
					got = got || reachtest.Holds(e.Sources, k.source)
					sure = sure || reachtest.Holds(e.Certain, k.source)
				}
			}
			if got != want {
				t.Fatalf("%+v from %s: got exposed %t, want %t: %+v", k, one, got, want, all)
			}
			if sure && !certain[k] {
				t.Fatalf("%+v: certain, but it hangs on a name: %+v", k, all)
			}
		}
	})
}

func pointers(rules []jit.Rule) []*jit.Rule {
	out := make([]*jit.Rule, len(rules))
	for i := range rules {
		out[i] = &rules[i]
	}
	return out
}

func TestBlockedAgainstNaiveMatcher(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, rules := reachtest.Estates(t), reachtest.Rules(t, "foreign")
		dst := netip.MustParseAddr(rapid.SampledFrom(reachtest.Machines).Draw(t, "machine"))
		var sources []netip.Prefix
		for _, s := range reachtest.Sources {
			if a := netip.MustParseAddr(s); a.Is4() == dst.Is4() && s != "168.63.129.16" && rapid.Bool().Draw(t, "asks") {
				sources = append(sources, netip.PrefixFrom(a, a.BitLen()))
			}
		}
		if len(sources) == 0 {
			return
		}
		allow := jit.Rule{Name: "portcullis-allow-x", Priority: 115, Access: jit.Allow, Protocol: jit.TCP, Source: jit.Peers{Prefixes: sources}, Destination: jit.PeersOf(dst), SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(22)}}
		rules = slices.DeleteFunc(rules, func(r jit.Rule) bool { return r.Priority == allow.Priority })
		got := n.Known().Blocked(&allow, pointers(rules))
		some, sure, denied := false, false, false
		for _, s := range sources {
			for _, from := range reachtest.SourcePorts {
				p := reach.Packet{Protocol: jit.TCP, Source: s.Addr(), SourcePort: from, Destination: dst, DestinationPort: 22}
				canAllow, canDeny := reachtest.Decides(n, append(slices.Clone(rules), allow), p)
				some, sure, denied = some || canAllow, sure || canAllow && !canDeny, denied || canDeny
			}
		}
		if (got.Whole == reach.Yes) != !some {
			t.Fatalf("whole %s, but some packet may come through: %t: %+v", got.Whole, some, got.By)
		}
		if got.Whole == reach.No && !sure {
			t.Fatalf("whole no, but no packet surely comes through: %+v", got.By)
		}
		if (len(got.By) > 0) != denied {
			t.Fatalf("denied by %+v, but some packet is: %t", got.By, denied)
		}
		if !slices.IsSortedFunc(got.By, func(a, b jit.Rule) int { return cmp.Compare(a.Priority, b.Priority) }) {
			t.Fatalf("not in order: %+v", got.By)
		}
	})
}

func guard(t testing.TB, name string, rules ...string) reach.Guard {
	t.Helper()
	g := reach.Guard{Name: name}
	for i, s := range rules {
		g.Rules = append(g.Rules, reachtest.Rule(t, fmt.Sprintf("%s%d", name, i), s))
	}
	return g
}

func TestExposures(t *testing.T) {
	known := reach.Names{VirtualNetwork: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	tests := []struct {
		name  string
		names reach.Names
		nic   []string
		from  jit.Sources
		want  []string // port protocol rule sources
	}{
		{"nothing opens from the Internet", known, nil, known.Internet(), nil},
		{"peers come in by the default rule", known, nil, jit.SourcesOf(netip.MustParsePrefix("10.9.0.0/16")), []string{"22 * AllowVnetInBound 10.9.0.0/16 certain"}},
		{"an allow from any", known, []string{"allow 300 tcp * -> * :22"}, jit.SourcesOf(netip.MustParsePrefix("203.0.113.0/24")), []string{"22 TCP nic0 203.0.113.0/24 certain"}},
		{"what a deny before it leaves", known, []string{"deny 200 * 203.0.113.0/25 -> * :*", "allow 300 * 203.0.113.0/24 -> 10.0.0.4 :20-30"}, known.Internet(), []string{"22 * nic1 203.0.113.128/25 certain"}},
		{"an unknown tag may let in", known, []string{"allow 300 tcp Storage.WestEurope -> * :22"}, jit.SourcesOf(netip.MustParsePrefix("203.0.113.9/32")), []string{"22 TCP nic0 203.0.113.9 maybe"}},
		{"an unknown tag that denies takes nothing for sure", known, []string{"deny 200 tcp Sql -> * :22", "allow 300 tcp 203.0.113.9 -> * :22"}, known.Internet(), []string{"22 TCP nic1 203.0.113.9 maybe"}},
		{"another port", known, []string{"allow 300 tcp * -> * :23"}, known.Internet(), nil},
		{"another machine", known, []string{"allow 300 tcp * -> 10.0.0.5 :22"}, known.Internet(), nil},
		{"another family", known, []string{"allow 300 tcp ::/0 -> * :22"}, jit.AnySource(), []string{"22 * AllowVnetInBound 10.0.0.0/8,168.63.129.16 certain"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := reach.Endpoint{Address: netip.MustParseAddr("10.0.0.4"), Guards: []reach.Guard{guard(t, "nic", tt.nic...)}}
			var got []string
			for _, x := range tt.names.Exposures(e, []uint16{22}, tt.from) {
				sure := "maybe"
				if x.Sources.Equal(x.Certain) {
					sure = "certain"
				}
				got = append(got, fmt.Sprintf("%d %s %s %s %s", x.Port, x.Protocol, x.By[0].Rule.Name, x.Sources, sure))
			}
			if d := gocmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// Both the subnet's and the interface's group must let a packet in.
func TestExposuresThroughTwoGuards(t *testing.T) {
	e := reach.Endpoint{Address: netip.MustParseAddr("10.0.0.4"), Guards: []reach.Guard{
		guard(t, "subnet", "allow 200 tcp 203.0.113.0/25 -> * :22,3389", "deny 4096 * * -> * :*"),
		guard(t, "nic", "allow 300 tcp 203.0.113.64/26,198.51.100.0/24 -> * :22", "deny 4096 * * -> * :*"),
	}}
	got := reach.Names{}.Exposures(e, reach.ManagementPorts(), jit.AnySource())
	if len(got) != 1 || got[0].Port != 22 || got[0].Sources.String() != "203.0.113.64/26" || got[0].By[0].Rule.Name != "subnet0" || got[0].By[1].Rule.Name != "nic0" {
		t.Fatalf("got %+v", got)
	}
}

func TestExposuresWithoutGuards(t *testing.T) {
	got := reach.Names{}.Exposures(reach.Endpoint{Address: netip.MustParseAddr("10.0.0.4")}, []uint16{22}, jit.AnySource())
	if len(got) != 1 || len(got[0].By) != 0 || got[0].Sources.String() != "0.0.0.0/0" {
		t.Fatalf("got %+v", got)
	}
}

func TestEvaluateNamesTheRule(t *testing.T) {
	web := guard(t, "web", "deny 100 tcp Internet -> * :23", "allow 300 tcp * -> * :22")
	tests := []struct {
		name, src string
		proto     jit.Protocol
		port      uint16
		allowed   reach.Truth
		rule      string
	}{
		{"nothing matches", "203.0.113.7", jit.UDP, 22, reach.Maybe, "AllowVnetInBound"}, // the network is not known
		{"the allow", "203.0.113.7", jit.TCP, 22, reach.Yes, "web1"},
		{"the allow, IPv4 in IPv6 form", "::ffff:203.0.113.7", jit.TCP, 22, reach.Yes, "web1"},
		{"a tag that may match", "203.0.113.7", jit.TCP, 23, reach.Maybe, "web0"},
		{"a probe", "168.63.129.16", jit.TCP, 80, reach.Yes, "AllowVnetInBound"},
		{"a protocol without ports meets a rule with them", "168.63.129.16", jit.ICMP, 0, reach.Yes, "AllowVnetInBound"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := reach.Names{}.Evaluate(reach.Packet{Protocol: tt.proto, Source: netip.MustParseAddr(tt.src), SourcePort: 5000, Destination: netip.MustParseAddr("10.0.0.4"), DestinationPort: tt.port}, web)
			if v.Allowed != tt.allowed || v.By[0].Rule.Name != tt.rule {
				t.Errorf("got %s by %s, want %s by %s", v.Allowed, v.By[0].Rule.Name, tt.allowed, tt.rule)
			}
		})
	}
}
