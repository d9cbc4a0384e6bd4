package plan_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/plan"
	"portcullis/core/reach"
	"portcullis/core/reach/reachtest"
	"portcullis/core/roster"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func vmID(name string) jit.ID {
	return jit.ID{Subscription: "00000000-0000-0000-0000-00000000d3e0", ResourceGroup: "demo", Type: jit.TypeVM, Name: name}
}

// The machines of the property tests: one address of each family, one that two have, two.
var tinyVMs = map[string][]netip.Addr{
	"a": {netip.MustParseAddr("10.0.0.4"), netip.MustParseAddr("fd00::4")},
	"b": {netip.MustParseAddr("10.0.0.5")},
	"d": {netip.MustParseAddr("10.0.0.5")}, // in another network with the same addresses
	"c": {netip.MustParseAddr("10.0.0.6"), netip.MustParseAddr("10.0.0.7")},
}

func pickAny[T any](t *rapid.T, label string, list ...T) T {
	return rapid.SampledFrom(list).Draw(t, label)
}

func genSources(t *rapid.T) jit.Sources {
	if rapid.IntRange(0, 4).Draw(t, "any source") == 0 {
		return jit.AnySource()
	}
	var ps []netip.Prefix
	for range rapid.IntRange(1, 3).Draw(t, "sources") {
		a := netip.MustParseAddr(pickAny(t, "source", reachtest.Sources...))
		ps = append(ps, netip.PrefixFrom(a, a.BitLen()-pickAny(t, "width", 0, 1, 3)))
	}
	return jit.SourcesOf(ps...)
}

func genPolicies(t *rapid.T) []roster.Protected {
	var out []roster.Protected
	for _, name := range []string{"a", "b", "c", "d"} {
		if !rapid.Bool().Draw(t, "protected "+name) {
			continue
		}
		p := roster.Protected{Policy: jit.Policy{VM: vmID(name)}, Addresses: tinyVMs[name]}
		p.Site = reachtest.Site(t, p.Addresses...)
		p.Policy.ExistingRules = pickAny(t, "existing rules", jit.Override, jit.Override, jit.Respect)
		for _, n := range rapid.SliceOfNDistinct(rapid.SampledFrom(reachtest.Ports), 1, 3, rapid.ID).Draw(t, "ports") {
			p.Policy.Ports = append(p.Policy.Ports, jit.PortRule{Number: n, Protocol: pickAny(t, "protocol", jit.TCP, jit.UDP, jit.AnyProtocol), Sources: jit.AnySource(), Maximum: time.Hour})
		}
		out = append(out, p)
	}
	return out
}

func genOpenings(t *rapid.T) []roster.Opening {
	var out []roster.Opening
	for i := range rapid.IntRange(0, 4).Draw(t, "grants") {
		g := jit.Grant{ID: fmt.Sprintf("%08d-0000-4000-8000-000000000000", i), Requestor: pickAny(t, "requestor", "ann", "bob")}
		g.Start = noon.Add(-time.Duration(rapid.IntRange(0, 3).Draw(t, "age")) * time.Minute)
		g.OpenBy = noon.Add(pickAny(t, "open by", -time.Second, 0, time.Minute))
		o := roster.Opening{Addresses: map[string][]netip.Addr{}}
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 1, 3, rapid.ID).Draw(t, "machines") {
			vm := jit.GrantVM{VM: vmID(name)}
			for _, n := range rapid.SliceOfNDistinct(rapid.SampledFrom(reachtest.Ports), 1, 3, rapid.ID).Draw(t, "ports") {
				vm.Ports = append(vm.Ports, jit.Window{Number: n, Protocol: pickAny(t, "protocol", jit.TCP, jit.UDP, jit.AnyProtocol), Sources: genSources(t),
					End: noon.Add(pickAny(t, "end", -time.Minute, 0, time.Millisecond, time.Minute, time.Hour)), Status: pickAny(t, "status", jit.Initiating, jit.Initiated, jit.Initiated, jit.Revoking, jit.Revoked)})
			}
			g.VMs = append(g.VMs, vm)
			o.Addresses[vm.VM.Key()] = tinyVMs[name]
		}
		o.Grant = g
		out = append(out, o)
	}
	return out
}

// genForeign gives foreign rules, at times with so many around them that little room is left.
func genForeign(t *rapid.T) []jit.Rule {
	rules := reachtest.Rules(t, "foreign")
	used := map[int]bool{}
	for i := range rules {
		rules[i].Name = "foreign-" + rules[i].Name
		used[rules[i].Priority] = true
	}
	crowd := rapid.SampledFrom([]int{100, 100, 100, 105, 131, 4094, 4097}).Draw(t, "taken below")
	for n := 100; n < crowd && len(rules) < plan.MaxRules; n += max(1, crowd/1000) {
		if !used[n] {
			rules = append(rules, jit.Rule{Name: fmt.Sprintf("crowd-%d", n), Priority: n, Access: jit.Allow, Protocol: jit.TCP, Source: jit.AnyPeer(), Destination: jit.AnyPeer(), SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(443)}})
		}
	}
	return rules
}

// genInput gives a target with a past: rules of ours from another time, some edited by hand.
func genInput(t *rapid.T) plan.Input {
	in := plan.Input{Names: reachtest.Names(t), Now: noon, Current: genForeign(t)}
	in.State = roster.State{Known: true, Policies: genPolicies(t), Openings: genOpenings(t)}
	if rapid.Bool().Draw(t, "a past") {
		past := in
		past.Now = noon.Add(-time.Duration(rapid.IntRange(0, 2).Draw(t, "ago")) * time.Minute)
		past.State = roster.State{Known: true, Policies: genPolicies(t), Openings: genOpenings(t)}
		if rapid.Bool().Draw(t, "policies as before") {
			past.Policies = in.Policies
		}
		in.Current = compute(past).Changes.Apply(in.Current)
		if n := rapid.IntRange(0, 5).Draw(t, "edit by hand"); n > 0 {
			in.Current = edited(in.Current, n)
		}
		if rapid.Bool().Draw(t, "foreign rules changed") {
			in.Current = slices.DeleteFunc(in.Current, func(r jit.Rule) bool { return strings.HasPrefix(r.Name, "foreign-r") && r.Priority%2 == 0 })
		}
	}
	return in
}

// estate is what the oracle knows of an input.
func estate(in plan.Input) reachtest.Estate {
	e := reachtest.Estate{Names: in.Names}
	for _, p := range in.Policies {
		e.Located = append(e.Located, reach.Located{Addresses: p.Addresses, Site: p.Site})
	}
	return e
}

func edited(rules []jit.Rule, n int) []jit.Rule {
	i := slices.IndexFunc(rules, func(r jit.Rule) bool { return label.Owned(r.Name) })
	if i < 0 {
		return rules
	}
	r := &rules[i]
	switch n {
	case 1:
		return slices.Delete(rules, i, i+1)
	case 2:
		r.Destination = jit.AnyPeer()
	case 3:
		r.Description, r.DestinationPorts = "", []jit.PortRange{jit.AllPorts()}
	case 4:
		r.Direction = jit.Outbound
	case 5:
		if p := 4000; !slices.ContainsFunc(rules, func(o jit.Rule) bool { return o.Priority == p }) {
			r.Priority = p
		}
	}
	return rules
}
