package reach_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"portcullis/core/jit"
	"portcullis/core/reach"
)

func adminRule(name string, priority int, a reach.AdminAction, source string, ports ...uint16) reach.AdminRule {
	r := reach.AdminRule{Action: a, Manager: "corp", Rule: jit.Rule{Name: name, Priority: priority, Protocol: jit.TCP, Source: jit.AnyPeer(), Destination: jit.AnyPeer(),
		SourcePorts: []jit.PortRange{jit.AllPorts()}}}
	switch p, err := netip.ParsePrefix(source); {
	case err == nil:
		r.Source = jit.Peers{Prefixes: []netip.Prefix{p}}
	case source != "*":
		r.Source = jit.Peers{Tags: []string{source}}
	}
	for _, n := range ports {
		r.DestinationPorts = append(r.DestinationPorts, jit.OnePort(n))
	}
	return r
}

func titles(rules []reach.AdminRule) []string {
	var out []string
	for _, r := range rules {
		out = append(out, r.Name)
	}
	return out
}

// TestAdmin: what security admin rules do to a port before any security group is asked.
func TestAdmin(t *testing.T) {
	deny, allow, always := reach.AdminDeny, reach.AdminAllow, reach.AdminAlways
	tests := []struct {
		name           string
		rules          []reach.AdminRule
		from           string
		opened, denied string
		whole          reach.Truth
	}{
		{"no rules", nil, "*", "[]", "[]", reach.No},
		{"deny of all", []reach.AdminRule{adminRule("d", 10, deny, "*", 22)}, "203.0.113.7", "[]", "[d]", reach.Yes},
		{"deny of another port", []reach.AdminRule{adminRule("d", 10, deny, "*", 3389)}, "203.0.113.7", "[]", "[]", reach.No},
		{"deny of some", []reach.AdminRule{adminRule("d", 10, deny, "203.0.113.0/25", 22)}, "203.0.113.0/24", "[]", "[d]", reach.No},
		{"deny of others", []reach.AdminRule{adminRule("d", 10, deny, "198.51.100.0/24", 22)}, "203.0.113.7", "[]", "[]", reach.No},
		{"deny below an allow", []reach.AdminRule{adminRule("d", 10, deny, "*", 22), adminRule("a", 9, allow, "203.0.113.0/24", 22)}, "203.0.113.7", "[]", "[]", reach.No},
		{"deny above an allow", []reach.AdminRule{adminRule("d", 9, deny, "*", 22), adminRule("a", 10, allow, "*", 22)}, "203.0.113.7", "[]", "[d]", reach.Yes},
		{"always", []reach.AdminRule{adminRule("w", 10, always, "*", 22)}, "*", "[w]", "[]", reach.No},
		{"always below a deny", []reach.AdminRule{adminRule("w", 10, always, "*", 22), adminRule("d", 1, deny, "*", 22)}, "*", "[]", "[d]", reach.Yes},
		{"always above a deny of all", []reach.AdminRule{adminRule("w", 1, always, "10.0.0.0/8", 22), adminRule("d", 2, deny, "*", 22)}, "*", "[w]", "[d]", reach.No},
		{"always below an allow", []reach.AdminRule{adminRule("w", 10, always, "*", 22), adminRule("a", 1, allow, "*", 22)}, "*", "[]", "[]", reach.No},
		{"one priority", []reach.AdminRule{adminRule("d", 10, deny, "*", 22), adminRule("w", 10, always, "*", 22)}, "*", "[w]", "[]", reach.No},
		{"the Internet", []reach.AdminRule{adminRule("d", 10, deny, "Internet", 22)}, "203.0.113.7", "[]", "[d]", reach.Yes},
		{"a name that is not known", []reach.AdminRule{adminRule("d", 10, deny, "NobodyKnows", 22)}, "203.0.113.7", "[]", "[d]", reach.Maybe},
		{"an always of a name that is not known", []reach.AdminRule{adminRule("w", 10, always, "NobodyKnows", 22)}, "203.0.113.7", "[w]", "[]", reach.No},
	}
	names := reach.Names{VirtualNetwork: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			backwards := slices.Clone(tt.rules)
			slices.Reverse(backwards)
			for _, rules := range [][]reach.AdminRule{tt.rules, backwards} {
				from, err := jit.ParseSources(tt.from)
				if err != nil {
					t.Fatal(err)
				}
				got := names.Admin(rules, netip.MustParseAddr("10.0.0.4"), jit.TCP, 22, from)
				if o, d := fmt.Sprint(titles(got.Opened)), fmt.Sprint(titles(got.Denied)); o != tt.opened || d != tt.denied || got.Whole != tt.whole {
					t.Errorf("opened %s, denied %s, whole %s; want %s, %s, %s", o, d, got.Whole, tt.opened, tt.denied, tt.whole)
				}
			}
		})
	}
	if got, want := adminRule("d", 1, deny, "*", 22).Title(), "security admin rule d of network manager corp"; got != want {
		t.Errorf("title %q, want %q", got, want)
	}
}

// TestAdminAgainstNaiveMatcher: single packets and sets of sources get the same answer, which is
// that of looking for the first rule that matches.
func TestAdminAgainstNaiveMatcher(t *testing.T) {
	dst := netip.MustParseAddr("10.0.0.4")
	prefixes := []string{"*", "203.0.113.0/24", "203.0.113.0/25", "203.0.113.7/32", "198.51.100.0/24", "10.0.0.0/8"}
	packets := []netip.Addr{netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("203.0.113.200"), netip.MustParseAddr("198.51.100.9"), netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("192.0.2.1")}
	names := reach.Names{VirtualNetwork: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	rapid.Check(t, func(rt *rapid.T) {
		var admin []reach.AdminRule
		for i := range rapid.IntRange(0, 5).Draw(rt, "rules") {
			r := adminRule(fmt.Sprint("r", i), 1+3*i, reach.AdminAction(rapid.IntRange(0, 2).Draw(rt, "action")), rapid.SampledFrom(prefixes).Draw(rt, "source"), rapid.SampledFrom([]uint16{22, 3389}).Draw(rt, "port"))
			if rapid.Bool().Draw(rt, "elsewhere") {
				r.Destination = jit.Peers{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}}
			}
			admin = append(admin, r)
		}
		guard := reach.Guard{Name: "nsg", Rules: []jit.Rule{adminRule("open", 100, 0, rapid.SampledFrom(prefixes).Draw(rt, "nsg"), 22).Rule}}
		guard.Rules[0].Access = jit.Allow
		e := reach.Endpoint{VM: jit.ID{Name: "web"}, Address: dst, Admin: admin, Guards: []reach.Guard{guard}}
		exposures := names.Exposures(e, []uint16{22}, jit.AnySource())
		for _, src := range packets {
			p := reach.Packet{Protocol: jit.TCP, Source: src, SourcePort: 50000, Destination: dst, DestinationPort: 22}
			from := jit.SourcesOf(netip.PrefixFrom(src, src.BitLen()))
			want, opened, denied := names.Evaluate(p, guard).Allowed, false, false
			for _, r := range admin {
				in := r.Source.Any || slices.ContainsFunc(r.Source.Prefixes, func(q netip.Prefix) bool { return q.Contains(src) })
				if !in || !r.Destination.Any || !r.DestinationPorts[0].Contains(22) {
					continue
				}
				switch r.Action {
				case reach.AdminDeny:
					want, denied = reach.No, true
				case reach.AdminAlways:
					want, opened = reach.Yes, true
				}
				break
			}
			if got := names.Reach(p, e).Allowed; got != want {
				rt.Fatalf("from %s: reach says %s, want %s", src, got, want)
			}
			reached := slices.ContainsFunc(exposures, func(x reach.Exposure) bool {
				return x.Protocol != jit.UDP && (x.Certain.IsAny() || x.Certain.Contains(from))
			})
			if reached != (want == reach.Yes) {
				rt.Fatalf("from %s: exposures say %t, want %s: %+v", src, reached, want, exposures)
			}
			one := names.Admin(admin, dst, jit.TCP, 22, from)
			if (one.Whole == reach.Yes) != denied || (len(one.Opened) > 0) != opened {
				rt.Fatalf("from %s: %+v, want denied %t, opened %t", src, one, denied, opened)
			}
		}
	})
}
