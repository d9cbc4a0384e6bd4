package plan_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"portcullis/core/jit"
	"portcullis/core/plan"
)

func adminRule(name string, priority int, a plan.AdminAction, source string, ports ...uint16) plan.AdminRule {
	r := plan.AdminRule{Action: a, Manager: "corp", Rule: jit.Rule{Name: name, Priority: priority, Protocol: jit.TCP, Source: jit.AnyPeer(), Destination: jit.AnyPeer(),
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

func titles(rules []plan.AdminRule) []string {
	var out []string
	for _, r := range rules {
		out = append(out, r.Name)
	}
	return out
}

// TestAdmin: what security admin rules do to a port before any security group is asked.
func TestAdmin(t *testing.T) {
	deny, allow, always := plan.AdminDeny, plan.AdminAllow, plan.AdminAlways
	tests := []struct {
		name           string
		rules          []plan.AdminRule
		from           string
		opened, denied string
		whole          plan.Truth
	}{
		{"no rules", nil, "*", "[]", "[]", plan.No},
		{"deny of all", []plan.AdminRule{adminRule("d", 10, deny, "*", 22)}, "203.0.113.7", "[]", "[d]", plan.Yes},
		{"deny of another port", []plan.AdminRule{adminRule("d", 10, deny, "*", 3389)}, "203.0.113.7", "[]", "[]", plan.No},
		{"deny of some", []plan.AdminRule{adminRule("d", 10, deny, "203.0.113.0/25", 22)}, "203.0.113.0/24", "[]", "[d]", plan.No},
		{"deny of others", []plan.AdminRule{adminRule("d", 10, deny, "198.51.100.0/24", 22)}, "203.0.113.7", "[]", "[]", plan.No},
		{"deny below an allow", []plan.AdminRule{adminRule("d", 10, deny, "*", 22), adminRule("a", 9, allow, "203.0.113.0/24", 22)}, "203.0.113.7", "[]", "[]", plan.No},
		{"deny above an allow", []plan.AdminRule{adminRule("d", 9, deny, "*", 22), adminRule("a", 10, allow, "*", 22)}, "203.0.113.7", "[]", "[d]", plan.Yes},
		{"always", []plan.AdminRule{adminRule("w", 10, always, "*", 22)}, "*", "[w]", "[]", plan.No},
		{"always below a deny", []plan.AdminRule{adminRule("w", 10, always, "*", 22), adminRule("d", 1, deny, "*", 22)}, "*", "[]", "[d]", plan.Yes},
		{"always above a deny of all", []plan.AdminRule{adminRule("w", 1, always, "10.0.0.0/8", 22), adminRule("d", 2, deny, "*", 22)}, "*", "[w]", "[d]", plan.No},
		{"always below an allow", []plan.AdminRule{adminRule("w", 10, always, "*", 22), adminRule("a", 1, allow, "*", 22)}, "*", "[]", "[]", plan.No},
		{"one priority", []plan.AdminRule{adminRule("d", 10, deny, "*", 22), adminRule("w", 10, always, "*", 22)}, "*", "[w]", "[]", plan.No},
		{"the Internet", []plan.AdminRule{adminRule("d", 10, deny, "Internet", 22)}, "203.0.113.7", "[]", "[d]", plan.Yes},
		{"a name that is not known", []plan.AdminRule{adminRule("d", 10, deny, "NobodyKnows", 22)}, "203.0.113.7", "[]", "[d]", plan.Maybe},
		{"an always of a name that is not known", []plan.AdminRule{adminRule("w", 10, always, "NobodyKnows", 22)}, "203.0.113.7", "[w]", "[]", plan.No},
	}
	names := plan.Names{VirtualNetwork: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			backwards := slices.Clone(tt.rules)
			slices.Reverse(backwards)
			for _, rules := range [][]plan.AdminRule{tt.rules, backwards} {
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
	names := plan.Names{VirtualNetwork: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	rapid.Check(t, func(rt *rapid.T) {
		var admin []plan.AdminRule
		for i := range rapid.IntRange(0, 5).Draw(rt, "rules") {
			r := adminRule(fmt.Sprint("r", i), 1+3*i, plan.AdminAction(rapid.IntRange(0, 2).Draw(rt, "action")), rapid.SampledFrom(prefixes).Draw(rt, "source"), rapid.SampledFrom([]uint16{22, 3389}).Draw(rt, "port"))
			if rapid.Bool().Draw(rt, "elsewhere") {
				r.Destination = jit.Peers{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}}
			}
			admin = append(admin, r)
		}
		guard := plan.Guard{Name: "nsg", Rules: []jit.Rule{adminRule("open", 100, 0, rapid.SampledFrom(prefixes).Draw(rt, "nsg"), 22).Rule}}
		guard.Rules[0].Access = jit.Allow
		e := plan.Endpoint{VM: vmID("web"), Address: dst, Admin: admin, Guards: []plan.Guard{guard}}
		exposures := names.Exposures(e, []uint16{22}, jit.AnySource())
		for _, src := range packets {
			p := plan.Packet{Protocol: jit.TCP, Source: src, SourcePort: 50000, Destination: dst, DestinationPort: 22}
			from := jit.SourcesOf(netip.PrefixFrom(src, src.BitLen()))
			want, opened, denied := names.Evaluate(p, guard).Allowed, false, false
			for _, r := range admin {
				in := r.Source.Any || slices.ContainsFunc(r.Source.Prefixes, func(q netip.Prefix) bool { return q.Contains(src) })
				if !in || !r.Destination.Any || !r.DestinationPorts[0].Contains(22) {
					continue
				}
				switch r.Action {
				case plan.AdminDeny:
					want, denied = plan.No, true
				case plan.AdminAlways:
					want, opened = plan.Yes, true
				}
				break
			}
			if got := names.Reach(p, e).Allowed; got != want {
				rt.Fatalf("from %s: reach says %s, want %s", src, got, want)
			}
			reached := slices.ContainsFunc(exposures, func(x plan.Exposure) bool {
				return x.Protocol != jit.UDP && (x.Certain.IsAny() || x.Certain.Contains(from))
			})
			if reached != (want == plan.Yes) {
				rt.Fatalf("from %s: exposures say %t, want %s: %+v", src, reached, want, exposures)
			}
			one := names.Admin(admin, dst, jit.TCP, 22, from)
			if (one.Whole == plan.Yes) != denied || (len(one.Opened) > 0) != opened {
				rt.Fatalf("from %s: %+v, want denied %t, opened %t", src, one, denied, opened)
			}
		}
	})
}
