package plan_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

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
