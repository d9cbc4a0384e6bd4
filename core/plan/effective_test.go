package plan_test

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"portcullis/core/jit"
	"portcullis/core/plan"
)

// The tiny network of the evaluator's tests.
var (
	tinySources = []string{"10.0.0.0", "10.0.0.1", "10.0.0.5", "10.0.1.1", "203.0.113.0", "203.0.113.1", "203.0.113.2", "203.0.113.7", "168.63.129.16", "2001:db8::", "2001:db8::1", "2001:db8::6", "fd00::1"}
	tinyMachine = []string{"10.0.0.4", "10.0.0.5", "fd00::4"}
	tinyPorts   = []uint16{22, 80, 3389}
)

func genPeers(t *rapid.T, label string, destination bool) jit.Peers {
	switch rapid.IntRange(0, 9).Draw(t, label+" kind") {
	case 0, 1:
		return jit.AnyPeer()
	case 2, 3:
		tags := []string{"Internet", "VirtualNetwork", "AzureLoadBalancer", "internet", "Storage", "Sql"}
		return jit.Peers{Tags: []string{rapid.SampledFrom(tags).Draw(t, label+" tag")}}
	case 4:
		return jit.Peers{Groups: []string{rapid.SampledFrom([]string{"/asg/Known", "/asg/unknown"}).Draw(t, label+" group")}}
	}
	pool := tinySources
	if destination {
		pool = tinyMachine
	}
	var p jit.Peers
	for range rapid.IntRange(1, 3).Draw(t, label+" prefixes") {
		a := netip.MustParseAddr(rapid.SampledFrom(pool).Draw(t, label+" address"))
		less := rapid.SampledFrom([]int{0, 1, 2, 3, 8, 24, 32}).Draw(t, label+" width")
		p.Prefixes = append(p.Prefixes, netip.PrefixFrom(a, a.BitLen()-less).Masked())
	}
	return p
}

func genRules(t *rapid.T, label string) []jit.Rule {
	priorities := rapid.SliceOfNDistinct(rapid.IntRange(100, 130), 0, 7, rapid.ID).Draw(t, label+" priorities")
	var rules []jit.Rule
	for i, n := range priorities {
		r := jit.Rule{Name: fmt.Sprintf("r%d", i), Priority: n}
		r.Access = jit.Access(rapid.IntRange(0, 1).Draw(t, "access"))
		r.Direction = jit.Direction(rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "direction"))
		r.Protocol = rapid.SampledFrom([]jit.Protocol{jit.TCP, jit.UDP, jit.AnyProtocol, jit.ICMP}).Draw(t, "protocol")
		r.Source, r.Destination = genPeers(t, "source", false), genPeers(t, "destination", true)
		r.SourcePorts = rapid.SampledFrom([][]jit.PortRange{{jit.AllPorts()}, {jit.AllPorts()}, {{First: 1024, Last: 65535}}, {{First: 0, Last: 1023}}, {{First: 7, Last: 7}, {First: 2000, Last: 3000}}}).Draw(t, "source ports")
		r.DestinationPorts = rapid.SampledFrom([][]jit.PortRange{{jit.AllPorts()}, {{First: 22, Last: 22}}, {{First: 22, Last: 22}, {First: 3389, Last: 3389}}, {{First: 20, Last: 100}}}).Draw(t, "ports")
		rules = append(rules, r)
	}
	return rules
}

func genNames(t *rapid.T) plan.Names {
	var n plan.Names
	if rapid.Bool().Draw(t, "network known") {
		n.VirtualNetwork = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("fd00::/64")}
		if rapid.Bool().Draw(t, "public addresses inside") {
			n.VirtualNetwork = append(n.VirtualNetwork, netip.MustParsePrefix("203.0.113.6/31"))
		}
	}
	n.Tags = map[string][]netip.Prefix{"storage": {netip.MustParsePrefix("203.0.113.0/31")}}
	n.Groups = map[string][]netip.Addr{"/asg/known": {netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("fd00::4")}}
	return n
}

func genGuards(t *rapid.T) []plan.Guard {
	var guards []plan.Guard
	for i := range rapid.IntRange(1, 2).Draw(t, "guards") {
		name := []string{"subnet", "nic"}[i]
		guards = append(guards, plan.Guard{Name: name, Rules: genRules(t, name)})
	}
	return guards
}

// tinyFrom is the ports that connections come from: each edge of the ranges of [genRules].
var tinyFrom = []uint16{0, 7, 1023, 1024, 2500, 65535}

// packets gives every packet from the tiny network to the machines, from each of the ports.
func packets(machines []string, from ...uint16) []plan.Packet {
	var out []plan.Packet
	for _, dst := range machines {
		d := netip.MustParseAddr(dst)
		for _, src := range tinySources {
			s := netip.MustParseAddr(src)
			if s.Is4() != d.Is4() {
				continue
			}
			for _, proto := range []jit.Protocol{jit.TCP, jit.UDP} {
				for _, port := range tinyPorts {
					for _, n := range from {
						out = append(out, plan.Packet{Protocol: proto, Source: s, SourcePort: n, Destination: d, DestinationPort: port})
					}
				}
			}
		}
	}
	return out
}

var tinyPackets = packets(tinyMachine, tinyFrom...)

func everyPacket(f func(plan.Packet)) {
	for _, p := range tinyPackets {
		f(p)
	}
}

func TestEvaluateAgainstNaiveMatcher(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, guards := genNames(t), genGuards(t)
		everyPacket(func(p plan.Packet) {
			got, want := n.Evaluate(p, guards...), naiveVerdict(n, p, guards...)
			if got.Allowed != want {
				t.Fatalf("%+v: got %s by %+v, want %s", p, got.Allowed, got.By, want)
			}
		})
	})
}

// Exposures must be exact: a source is named where some world lets some packet of it in, and nowhere else.
func TestExposuresAgainstNaiveMatcher(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, guards := genNames(t), genGuards(t)
		dst := netip.MustParseAddr(rapid.SampledFrom(tinyMachine).Draw(t, "machine"))
		all := n.Exposures(plan.Endpoint{Address: dst, Guards: guards}, tinyPorts, jit.AnySource())
		type at struct {
			port   uint16
			proto  jit.Protocol
			source netip.Addr
		}
		possible, certain := map[at]bool{}, map[at]bool{}
		everyPacket(func(p plan.Packet) {
			if p.Destination != dst {
				return
			}
			k := at{p.DestinationPort, p.Protocol, p.Source}
			v := naiveVerdict(n, p, guards...)
			possible[k] = possible[k] || v != plan.No
			certain[k] = certain[k] || v == plan.Yes
		})
		for k, want := range possible {
			one := jit.SourcesOf(netip.PrefixFrom(k.source, k.source.BitLen()))
			got, sure := false, false
			for _, e := range all {
				if e.Port == k.port && e.Protocol.Overlaps(k.proto) {
					got = got || holds(e.Sources, k.source)
					sure = sure || holds(e.Certain, k.source)
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

func holds(s jit.Sources, a netip.Addr) bool {
	return s.IsAny() || slices.ContainsFunc(s.Prefixes(), func(p netip.Prefix) bool { return p.Contains(a) })
}

func TestBlockedAgainstNaiveMatcher(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, rules := genNames(t), genRules(t, "foreign")
		dst := netip.MustParseAddr(rapid.SampledFrom(tinyMachine).Draw(t, "machine"))
		var sources []netip.Prefix
		for _, s := range tinySources {
			if a := netip.MustParseAddr(s); a.Is4() == dst.Is4() && rapid.Bool().Draw(t, "asks") {
				sources = append(sources, netip.PrefixFrom(a, a.BitLen()))
			}
		}
		if len(sources) == 0 {
			return
		}
		allow := jit.Rule{Name: "portcullis-allow-x", Priority: 115, Access: jit.Allow, Protocol: jit.TCP, Source: jit.Peers{Prefixes: sources}, Destination: jit.PeersOf(dst), SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(22)}}
		rules = slices.DeleteFunc(rules, func(r jit.Rule) bool { return r.Priority == allow.Priority })
		got := n.Blocked(allow, rules)
		some, sure, denied := false, false, false
		for _, s := range sources {
			for _, from := range tinyFrom {
				p := plan.Packet{Protocol: jit.TCP, Source: s.Addr(), SourcePort: from, Destination: dst, DestinationPort: 22}
				canAllow, canDeny := naiveGuard(n, append(slices.Clone(rules), allow), p)
				some, sure, denied = some || canAllow, sure || canAllow && !canDeny, denied || canDeny
			}
		}
		if (got.Whole == plan.Yes) != !some {
			t.Fatalf("whole %s, but some packet may come through: %t: %+v", got.Whole, some, got.By)
		}
		if got.Whole == plan.No && !sure {
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

// rl reads "allow 300 tcp Internet -> 10.0.0.4 :22"; a comma joins several, * is any.
func rl(t testing.TB, name, s string) jit.Rule {
	t.Helper()
	f := strings.Fields(s)
	if len(f) != 7 || f[4] != "->" {
		t.Fatalf("rule %q", s)
	}
	r := jit.Rule{Name: name, SourcePorts: []jit.PortRange{jit.AllPorts()}}
	if f[0] == "allow" {
		r.Access = jit.Allow
	}
	if _, err := fmt.Sscan(f[1], &r.Priority); err != nil {
		t.Fatal(err)
	}
	r.Protocol = jit.Protocol(strings.ToUpper(f[2]))
	r.Source, r.Destination = peersIn(t, f[3]), peersIn(t, f[5])
	r.DestinationPorts = portsIn(t, f[6])
	return r
}

func peersIn(t testing.TB, s string) jit.Peers {
	t.Helper()
	if s == "*" {
		return jit.AnyPeer()
	}
	var p jit.Peers
	for v := range strings.SplitSeq(s, ",") {
		switch {
		case strings.HasPrefix(v, "asg:"):
			p.Groups = append(p.Groups, v[4:])
		case strings.Contains(v, "/"):
			p.Prefixes = append(p.Prefixes, netip.MustParsePrefix(v))
		default:
			if a, err := netip.ParseAddr(v); err == nil {
				p.Prefixes = append(p.Prefixes, netip.PrefixFrom(a, a.BitLen()))
			} else {
				p.Tags = append(p.Tags, v)
			}
		}
	}
	return p
}

func portsIn(t testing.TB, s string) []jit.PortRange {
	t.Helper()
	if s == ":*" {
		return []jit.PortRange{jit.AllPorts()}
	}
	var out []jit.PortRange
	for v := range strings.SplitSeq(strings.TrimPrefix(s, ":"), ",") {
		var r jit.PortRange
		first, last, ranged := strings.Cut(v, "-")
		if !ranged {
			last = first
		}
		if _, err := fmt.Sscan(first+" "+last, &r.First, &r.Last); err != nil {
			t.Fatalf("ports %q: %v", s, err)
		}
		out = append(out, r)
	}
	return out
}

func guard(t testing.TB, name string, rules ...string) plan.Guard {
	t.Helper()
	g := plan.Guard{Name: name}
	for i, s := range rules {
		g.Rules = append(g.Rules, rl(t, fmt.Sprintf("%s%d", name, i), s))
	}
	return g
}

func TestExposures(t *testing.T) {
	known := plan.Names{VirtualNetwork: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	tests := []struct {
		name  string
		names plan.Names
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
			e := plan.Endpoint{Address: netip.MustParseAddr("10.0.0.4"), Guards: []plan.Guard{guard(t, "nic", tt.nic...)}}
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
	e := plan.Endpoint{Address: netip.MustParseAddr("10.0.0.4"), Guards: []plan.Guard{
		guard(t, "subnet", "allow 200 tcp 203.0.113.0/25 -> * :22,3389", "deny 4096 * * -> * :*"),
		guard(t, "nic", "allow 300 tcp 203.0.113.64/26,198.51.100.0/24 -> * :22", "deny 4096 * * -> * :*"),
	}}
	got := plan.Names{}.Exposures(e, plan.ManagementPorts(), jit.AnySource())
	if len(got) != 1 || got[0].Port != 22 || got[0].Sources.String() != "203.0.113.64/26" || got[0].By[0].Rule.Name != "subnet0" || got[0].By[1].Rule.Name != "nic0" || got[0].Ours() {
		t.Fatalf("got %+v", got)
	}
}

func TestExposuresWithoutGuards(t *testing.T) {
	got := plan.Names{}.Exposures(plan.Endpoint{Address: netip.MustParseAddr("10.0.0.4")}, []uint16{22}, jit.AnySource())
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
		allowed   plan.Truth
		rule      string
	}{
		{"nothing matches", "203.0.113.7", jit.UDP, 22, plan.Maybe, "AllowVnetInBound"}, // the network is not known
		{"the allow", "203.0.113.7", jit.TCP, 22, plan.Yes, "web1"},
		{"the allow, IPv4 in IPv6 form", "::ffff:203.0.113.7", jit.TCP, 22, plan.Yes, "web1"},
		{"a tag that may match", "203.0.113.7", jit.TCP, 23, plan.Maybe, "web0"},
		{"a probe", "168.63.129.16", jit.TCP, 80, plan.Yes, "AllowVnetInBound"},
		{"a protocol without ports meets a rule with them", "168.63.129.16", jit.ICMP, 0, plan.Yes, "AllowVnetInBound"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := plan.Names{}.Evaluate(plan.Packet{Protocol: tt.proto, Source: netip.MustParseAddr(tt.src), SourcePort: 5000, Destination: netip.MustParseAddr("10.0.0.4"), DestinationPort: tt.port}, web)
			if v.Allowed != tt.allowed || v.By[0].Rule.Name != tt.rule {
				t.Errorf("got %s by %s, want %s by %s", v.Allowed, v.By[0].Rule.Name, tt.allowed, tt.rule)
			}
		})
	}
}
