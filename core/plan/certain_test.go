package plan_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/plan"
	"portcullis/core/roster"
)

// compute is plan.Compute where the table is certainly as new as the rules: it knows every deny that stands, and every open window
// was seen to stand a moment ago.
func compute(in plan.Input) plan.Plan { return plan.Compute(certain(in)) }

// translate is the same for plan.Translate.
func translate(in plan.Input) plan.Plan { return plan.Translate(certain(in)) }

func certain(in plan.Input) plan.Input {
	in.Confirmed = notes(in.Current)
	in.Moved = func(string) bool { return true }
	return in
}

// notes is what is stored of the denies among rules.
func notes(rules []jit.Rule) []string {
	var out []string
	for _, r := range rules {
		if r.Access == jit.Deny && label.Owned(r.Name) {
			out = append(out, roster.Note(r))
		}
	}
	return out
}

// TestUnknownDeny: a deny that nothing stored knows stays as it closes, and keeps no marks, which nobody would take away.
func TestUnknownDeny(t *testing.T) {
	policy := func(vm string, ports ...uint16) roster.Protected {
		p := jit.Policy{VM: vmID(vm)}
		for _, n := range ports {
			p.Ports = append(p.Ports, jit.PortRule{Number: n, Protocol: jit.TCP})
		}
		return roster.Protected{Policy: p, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0." + vm[1:])}}
	}
	in := plan.Input{Now: noon, State: roster.State{Known: true, Policies: []roster.Protected{policy("v4", 22), policy("v5", 22, 3389)}, Openings: grants(1)}}
	in.Current = compute(in).Changes.Apply(nil)
	marked := slices.IndexFunc(in.Current, func(r jit.Rule) bool { return strings.Contains(r.Description, "(open ") })
	if marked < 0 {
		t.Fatalf("no deny has a mark: %v", in.Current)
	}
	in.Policies, in.Openings = nil, nil // an older table
	p := plan.Compute(in)
	if len(p.Kept) != 2 {
		t.Errorf("kept %v, want both denies", p.Kept)
	}
	for _, r := range p.Rules {
		if r.Access == jit.Deny && strings.Contains(r.Description, "(open ") {
			t.Errorf("%s keeps its marks: %s", r.Name, r.Description)
		}
	}
	if again := plan.Compute(plan.Input{Now: noon, State: in.State, Current: p.Changes.Apply(in.Current)}); !again.Changes.Empty() || len(again.Kept) != 2 {
		t.Errorf("computed again: %+v", again.Changes)
	}
	in.Confirmed = notes(in.Current)
	if p := plan.Compute(in); len(p.Kept) != 0 || slices.ContainsFunc(p.Rules, func(r jit.Rule) bool { return r.Access == jit.Deny }) {
		t.Errorf("denies that are known stay: %v", p.Rules)
	}
}

// TestDenyChangedByHand: what others have written into a deny of ours is put right where no deny of ours can hold it. A range, or an address of the other
// family, beside the machines' own would be refused by Azure, with every other change of the group.
func TestDenyChangedByHand(t *testing.T) {
	p := roster.Protected{Policy: jit.Policy{VM: vmID("v4"), Ports: []jit.PortRule{{Number: 22, Protocol: jit.TCP}}}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.4")}}
	in := plan.Input{Now: noon, State: roster.State{Known: true, Policies: []roster.Protected{p}}}
	right := compute(in).Changes.Apply(nil)
	in.Confirmed = notes(right)
	for by, kept := range map[string]int{"10.0.0.0/24": 0, "fd00::5/128": 0, "10.0.0.9/32": 1} {
		wrong := right[0].Clone()
		wrong.Destination.Prefixes = append(wrong.Destination.Prefixes, netip.MustParsePrefix(by))
		wrong = wrong.Canonical()
		in.Current = []jit.Rule{wrong}
		got := plan.Compute(in)
		for _, to := range got.Rules[0].Destination.Prefixes {
			if !to.IsSingleIP() || to.Addr().Is6() {
				t.Errorf("%s: the deny is to %v", by, got.Rules[0].Destination)
			}
		}
		if len(got.Kept) != kept || len(got.Rules[0].Destination.Prefixes) != 1+kept || len(got.Changes.Update) != 1-kept {
			t.Errorf("%s: kept %v, %+v", by, got.Kept, got.Changes)
		}
	}
}

// TestKeptAlone: of a deny to which others gave addresses these stay, and nothing else does. What its machines no longer ask for goes, whether the
// deny was noted as it stands or as it was about to be written, until nothing is left but what was kept.
func TestKeptAlone(t *testing.T) {
	policy := func(vm string) roster.Protected {
		return roster.Protected{Policy: jit.Policy{VM: vmID(vm), Ports: []jit.PortRule{{Number: 22, Protocol: jit.TCP}}}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0." + vm[1:])}}
	}
	in := plan.Input{Now: noon, State: roster.State{Known: true, Policies: []roster.Protected{policy("v4"), policy("v5"), policy("v6")}}}
	in.Current = compute(in).Changes.Apply(nil)
	in.Confirmed = notes(in.Current)
	in.Current[0].Destination.Prefixes = append(in.Current[0].Destination.Prefixes, netip.MustParsePrefix("10.0.0.9/32"))
	for _, step := range []struct {
		name   string
		remain []roster.Protected
		want   string
		kept   int
	}{
		{"others add an address", []roster.Protected{policy("v4"), policy("v5"), policy("v6")}, "10.0.0.4/32 10.0.0.5/32 10.0.0.6/32 10.0.0.9/32", 1},
		{"a machine is no longer protected", []roster.Protected{policy("v4"), policy("v5")}, "10.0.0.4/32 10.0.0.5/32 10.0.0.9/32", 1},
		{"another", []roster.Protected{policy("v4")}, "10.0.0.4/32 10.0.0.9/32", 1},
		{"the last", nil, "10.0.0.9/32", 1},
		{"one is protected again", []roster.Protected{policy("v5")}, "10.0.0.5/32 10.0.0.9/32", 1},
		{"the machine at the address is", []roster.Protected{policy("v5"), policy("v9")}, "10.0.0.5/32 10.0.0.9/32", 0},
		{"and no longer", []roster.Protected{policy("v5")}, "10.0.0.5/32", 0},
	} {
		in.Policies = step.remain
		p := plan.Compute(in)
		if len(p.Rules) != 1 || len(p.Kept) != step.kept {
			t.Fatalf("%s: kept %v, %v", step.name, p.Kept, p.Rules)
		}
		var to []string
		for _, q := range p.Rules[0].Destination.Prefixes {
			to = append(to, q.String())
		}
		if got := strings.Join(to, " "); got != step.want {
			t.Errorf("%s: the deny is to %s, want %s", step.name, got, step.want)
		}
		in.Current = p.Changes.Apply(in.Current)
		in.Confirmed = []string{roster.Expected(p.Note(p.Rules[0]))}
		if again := plan.Compute(in); !again.Changes.Empty() {
			t.Errorf("%s: computed again: %+v", step.name, again.Changes)
		}
	}
}

// TestKeptByAnOlderTable: where the deny stands otherwise than the note of what was kept says, the table may be older than it, and all of it stays.
func TestKeptByAnOlderTable(t *testing.T) {
	policy := roster.Protected{Policy: jit.Policy{VM: vmID("v4"), Ports: []jit.PortRule{{Number: 22, Protocol: jit.TCP}}}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.4")}}
	in := plan.Input{Now: noon, State: roster.State{Known: true, Policies: []roster.Protected{policy}}}
	in.Current = compute(in).Changes.Apply(nil)
	in.Current[0].Destination.Prefixes = append(in.Current[0].Destination.Prefixes, netip.MustParsePrefix("10.0.0.9/32"))
	p := plan.Compute(in)
	in.Confirmed = []string{p.Note(p.Rules[0])}
	in.Current[0].Destination.Prefixes = append(in.Current[0].Destination.Prefixes, netip.MustParsePrefix("10.0.0.5/32")) // protected since
	for _, policies := range [][]roster.Protected{{policy}, nil} {
		in.Policies = policies
		if p := plan.Compute(in); !p.Changes.Empty() || len(p.Kept) != 1 {
			t.Errorf("%d policies: kept %v, %+v", len(policies), p.Kept, p.Changes)
		}
	}
	in.Confirmed = []string{roster.Note(in.Current[0]) + " keeps 10.0.0.9 x"}
	if p := plan.Compute(in); !p.Changes.Empty() {
		t.Errorf("by a note that cannot be read: %+v", p.Changes)
	}
}

// TestAllowChangedByHand: an allow that others have changed so that it opens less is put right once, and is missing the second time, as one
// that they have removed. One that opens more, or that leads elsewhere, is put right each time, and no window ends for that.
func TestAllowChangedByHand(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*jit.Rule)
		less   bool
	}{
		{"denies", func(r *jit.Rule) { r.Access = jit.Deny }, true},
		{"outbound", func(r *jit.Rule) { r.Direction = jit.Outbound }, true},
		{"from one address of several", func(r *jit.Rule) { r.Source.Prefixes = r.Source.Prefixes[:1] }, true},
		{"from another address", func(r *jit.Rule) { r.Source = jit.PeersOf(netip.MustParseAddr("198.51.100.9")) }, true},
		{"to another port", func(r *jit.Rule) { r.DestinationPorts = []jit.PortRange{jit.OnePort(23)} }, true},
		{"from one port", func(r *jit.Rule) { r.SourcePorts = []jit.PortRange{jit.OnePort(1)} }, true},
		{"by another protocol", func(r *jit.Rule) { r.Protocol = jit.UDP }, true},
		{"from everybody", func(r *jit.Rule) { r.Source = jit.AnyPeer() }, false},
		{"to all ports", func(r *jit.Rule) { r.DestinationPorts = []jit.PortRange{jit.AllPorts()} }, false},
		{"to other addresses", func(r *jit.Rule) { r.Destination = jit.PeersOf(netip.MustParseAddr("10.0.0.77")) }, false},
		{"to all addresses", func(r *jit.Rule) { r.Destination = jit.AnyPeer() }, false},
		{"elsewhere in the list", func(r *jit.Rule) { r.Priority = 300 }, false},
		{"in its description", func(r *jit.Rule) { r.Description = "mine" }, false},
	} {
		in := handInput(t)
		right := in.Current
		for round := 1; round <= 3; round++ {
			in.Current = nil
			for _, r := range right {
				r = r.Clone()
				if r.Access == jit.Allow {
					tc.change(&r)
				}
				in.Current = append(in.Current, r)
			}
			p := plan.Compute(in)
			stands := slices.ContainsFunc(p.Rules, func(r jit.Rule) bool { return r.Access == jit.Allow })
			if missing := tc.less && round > 1; missing != (len(p.Missing) == 1) || missing == stands || missing && !p.Missing[0].Others {
				t.Fatalf("%s, change %d: missing %+v, rules %v", tc.name, round, p.Missing, p.Rules)
			} else if missing {
				break
			}
			right = p.Changes.Apply(in.Current)
			if again := plan.Compute(plan.Input{Now: noon, State: in.State, Current: right}); !again.Changes.Empty() {
				t.Errorf("%s: computed again: %+v", tc.name, again.Changes)
			}
		}
		if in = handInput(t); tc.less {
			for i := range in.Current {
				if in.Current[i].Access == jit.Allow {
					tc.change(&in.Current[i])
				}
			}
			in.LeaveRemoved = true
			if p := plan.Compute(in); len(p.Missing) != 1 || !p.Missing[0].Others {
				t.Errorf("%s, and what others remove stays: %+v", tc.name, p.Missing)
			}
		}
	}
}

// TestMissingBesideANewerRequest: a rule that is missing is made again beside a newer request of the same person that took its place, and may come to
// nothing, and not beside one that lets in the same because it asked for more: it would stand longer than that one.
func TestMissingBesideANewerRequest(t *testing.T) {
	for _, tc := range []struct {
		name    string
		sources jit.Sources
		again   bool
	}{{"from the same", jit.Sources{}, true}, {"from everywhere", jit.AnySource(), false}} {
		in := handInput(t)
		newer := in.Openings[0]
		newer.Grant = newer.Grant.Each(func(_ jit.ID, w jit.Window) jit.Window {
			if !tc.again {
				w.Sources = tc.sources
			}
			w.Status = jit.Initiating
			return w
		})
		newer.Grant.ID, newer.Grant.Start, newer.Grant.OpenBy = "99999999-0000-4000-8000-000000000000", noon.Add(-time.Minute), noon.Add(time.Minute)
		beside := in
		beside.Openings = []roster.Opening{newer}
		in.Current = compute(beside).Changes.Apply(nil)
		in.Confirmed = notes(in.Current)
		newer.Grant = newer.Grant.Revoke(noon, jit.OpeningFailed)
		in.Openings = []roster.Opening{in.Openings[0], newer}
		p := plan.Compute(in)
		stands := slices.ContainsFunc(p.Rules, func(r jit.Rule) bool { return r.Access == jit.Allow })
		if stands != tc.again || (len(p.Missing) == 0) != tc.again {
			t.Errorf("%s: missing %+v, rules %v", tc.name, p.Missing, p.Rules)
		}
	}
}

// handInput is one confirmed window of two sources, whose rules stand as they should.
func handInput(t *testing.T) plan.Input {
	p := roster.Protected{Policy: jit.Policy{VM: vmID("v4"), Ports: []jit.PortRule{{Number: 22, Protocol: jit.TCP}}}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.4")}}
	in := plan.Input{Now: noon, State: roster.State{Known: true, Policies: []roster.Protected{p}, Openings: grants(1)}}
	vm := &in.Openings[0].Grant.VMs[0]
	in.Policies[0].Policy.VM = vm.VM
	in.Openings[0].Addresses = map[string][]netip.Addr{vm.VM.Key(): p.Addresses}
	sources, err := jit.ParseSources("203.0.113.7", "203.0.113.99")
	if err != nil {
		t.Fatal(err)
	}
	for i := range vm.Ports {
		vm.Ports[i].Sources, vm.Ports[i].Status, vm.Ports[i].Protocol = sources, jit.Initiated, jit.TCP
	}
	in.Current = compute(in).Changes.Apply(nil)
	in.Confirmed = notes(in.Current)
	return in
}
