package plan_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/plan"
	"portcullis/core/reach"
	"portcullis/core/reach/reachtest"
	"portcullis/core/roster"
)

func property(t *testing.T, f func(*rapid.T, plan.Input, plan.Plan)) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		in := genInput(t)
		f(t, in, compute(in))
	})
}

func TestComputeAgainIsEmpty(t *testing.T) {
	property(t, func(t *rapid.T, in plan.Input, p plan.Plan) {
		in.Current = p.Changes.Apply(in.Current)
		if again := compute(in); !again.Changes.Empty() {
			t.Fatalf("refused before %v, then %+v", p.Refused, again.Changes)
		}
	})
}

func TestOrderDoesNotMatter(t *testing.T) {
	property(t, func(t *rapid.T, in plan.Input, p plan.Plan) {
		in.Current = rapid.Permutation(in.Current).Draw(t, "current")
		in.Policies = rapid.Permutation(in.Policies).Draw(t, "policies")
		in.Openings = rapid.Permutation(in.Openings).Draw(t, "openings")
		for i, pol := range in.Policies {
			in.Policies[i].Policy.Ports = rapid.Permutation(pol.Policy.Ports).Draw(t, "ports")
			in.Policies[i].Addresses = rapid.Permutation(pol.Addresses).Draw(t, "addresses")
		}
		for i, o := range in.Openings {
			in.Openings[i].Grant.VMs = rapid.Permutation(o.Grant.VMs).Draw(t, "machines")
			for j, vm := range in.Openings[i].Grant.VMs {
				in.Openings[i].Grant.VMs[j].Ports = rapid.Permutation(vm.Ports).Draw(t, "windows")
			}
		}
		if d := gocmp.Diff(p, compute(in), cmpopts.EquateComparable(netip.Prefix{}, netip.AddrPort{}), cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
	})
}

func foreignOf(rules []jit.Rule) []jit.Rule {
	out := slices.DeleteFunc(slices.Clone(rules), func(r jit.Rule) bool { return label.Owned(r.Name) })
	slices.SortFunc(out, func(a, b jit.Rule) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func TestForeignRulesStay(t *testing.T) {
	property(t, func(t *rapid.T, in plan.Input, p plan.Plan) {
		for _, r := range slices.Concat(p.Changes.Create, p.Changes.Update, p.Changes.Delete) {
			if !label.Owned(r.Name) {
				t.Fatalf("changes %s, which is not ours", r.Name)
			}
		}
		before, after := foreignOf(in.Current), foreignOf(p.Changes.Apply(in.Current))
		if reflect.DeepEqual(before, after) { // which is much faster than the difference of two crowds
			return
		}
		if d := gocmp.Diff(before, after, cmpopts.EquateComparable(netip.Prefix{}, netip.AddrPort{}), cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
	})
}

func TestRulesAreWhatAzureTakes(t *testing.T) {
	property(t, func(t *rapid.T, in plan.Input, p plan.Plan) {
		type place struct {
			direction jit.Direction
			priority  int
		}
		at, names := map[place]string{}, map[string]bool{}
		after := p.Changes.Apply(in.Current)
		for _, r := range after {
			k := place{r.Direction, r.Priority}
			if at[k] != "" {
				t.Fatalf("%s and %s share priority %d", at[k], r.Name, r.Priority)
			}
			at[k] = r.Name
			if lower := strings.ToLower(r.Name); names[lower] {
				t.Fatalf("%s stands twice", r.Name)
			} else {
				names[lower] = true
			}
		}
		for _, r := range p.Rules {
			if r.Priority < plan.MinPriority || r.Priority > plan.MaxPriority || len(r.Name) > 80 || len(r.Description) > 140 || r.Direction != jit.Inbound {
				t.Fatalf("%+v", r)
			}
			if r.Destination.Any || len(r.Destination.Prefixes) == 0 || !r.Source.Any && len(r.Source.Prefixes) == 0 {
				t.Fatalf("a side is empty, or the destination is any: %+v", r)
			}
			for _, q := range slices.Concat(r.Source.Prefixes, r.Destination.Prefixes) {
				if q.Addr().Is4() != r.Destination.Prefixes[0].Addr().Is4() {
					t.Fatalf("mixes families: %+v", r)
				}
			}
		}
		if len(after) > max(plan.MaxRules, len(foreignOf(in.Current))) {
			t.Fatalf("%d rules", len(after))
		}
	})
}

// window reports whether some live window of the input wants the packet in; only the
// grants that keep says.
func window(in plan.Input, p reach.Packet, desired bool, keep func(grant string) bool) bool {
	var all []jit.Grant
	for _, o := range in.Openings {
		all = append(all, o.Grant)
	}
	for _, o := range in.Openings {
		for _, vm := range o.Grant.VMs {
			for _, w := range vm.Ports {
				if keep(o.Grant.ID) && o.Grant.Live(w, in.Now) && (!desired || o.Grant.Desired(vm.VM, w, in.Now, all)) && w.Number == p.DestinationPort &&
					(w.Protocol == "*" || w.Protocol == p.Protocol) && reachtest.Holds(w.Sources, p.Source) && slices.Contains(o.Addresses[vm.VM.Key()], p.Destination) {
					return true
				}
			}
		}
	}
	return false
}

// The addresses that [tinyVMs] have, but for one. The Azure host's own packets let nobody in.
var toMachines = slices.DeleteFunc(reachtest.Packets([]string{"10.0.0.4", "10.0.0.5", "10.0.0.7", "fd00::4"}, 1024), reachtest.ByHost)

func machinePackets(f func(reach.Packet)) {
	for _, p := range toMachines {
		f(p)
	}
}

func TestOurRulesAllowOnlyLiveWindows(t *testing.T) {
	property(t, func(t *rapid.T, in plan.Input, p plan.Plan) {
		refused := map[string]bool{}
		for _, r := range p.Refused {
			refused[r.Grant] = true
		}
		for _, r := range p.Rules {
			if id, ok := label.GrantOf(r.Name); (r.Access == jit.Allow) != ok || ok && refused[id] {
				t.Fatalf("%s allows, but its grant was refused or is not named", r.Name)
			}
		}
		known := estate(in)
		ours := slices.DeleteFunc(p.Changes.Apply(in.Current), func(r jit.Rule) bool { return !label.Owned(r.Name) || r.Access != jit.Allow })
		machinePackets(func(q reach.Packet) {
			for i := range ours {
				if reachtest.Matches(known, &ours[i], q) && !window(in, q, false, func(id string) bool { return !refused[id] }) {
					t.Fatalf("%+v comes in by %+v", q, ours[i])
				}
			}
		})
	})
}

func TestLiveWindowsAreOpen(t *testing.T) {
	property(t, func(t *rapid.T, in plan.Input, p plan.Plan) {
		refused := map[string]bool{}
		for _, r := range p.Refused {
			refused[r.Grant] = true
		}
		after := p.Changes.Apply(in.Current)
		known, blocked := estate(in), map[string]bool{}
		for _, b := range p.Blocked {
			blocked[b.Grant] = true
		}
		machinePackets(func(q reach.Packet) {
			if !window(in, q, true, func(id string) bool { return !refused[id] && !blocked[id] }) {
				return
			}
			if _, canDeny := reachtest.Decides(known, after, q); canDeny {
				t.Fatalf("%+v does not come in, and no refusal or block says so: %+v", q, p.Rules)
			}
		})
	})
}

func TestProtectedPortsAreClosed(t *testing.T) {
	property(t, func(t *rapid.T, in plan.Input, p plan.Plan) {
		if slices.ContainsFunc(p.Refused, func(r plan.Refusal) bool { return r.Grant == "" }) {
			return
		}
		known, after := estate(in), p.Changes.Apply(in.Current)
		machinePackets(func(q reach.Packet) {
			for _, pol := range in.Policies {
				port, ok := pol.Policy.Port(q.DestinationPort)
				if !ok || !port.Protocol.Overlaps(q.Protocol) || !slices.Contains(pol.Addresses, q.Destination) {
					continue
				}
				canAllow, _ := reachtest.Decides(known, after, q)
				if !canAllow || window(in, q, true, func(string) bool { return true }) {
					continue
				}
				if pol.Policy.ExistingRules == jit.Override {
					t.Fatalf("%+v comes in: %+v", q, p.Rules)
				}
				if !slices.ContainsFunc(p.Exposed, func(f plan.Foreign) bool { return f.VM.Equal(pol.Policy.VM) && f.Port == q.DestinationPort }) {
					t.Fatalf("%+v comes in and is not in Exposed: %+v", q, p)
				}
			}
		})
	})
}

// What is told as exposed, or overridden, is so by the oracle.
func TestExposedIsReal(t *testing.T) {
	property(t, func(t *rapid.T, in plan.Input, p plan.Plan) {
		if len(p.Overridden)+len(p.Exposed) == 0 || len(in.Openings) > 0 {
			return
		}
		exposed := map[string]bool{}
		for _, f := range p.Exposed {
			exposed[fmt.Sprint(f.VM.Name, f.Port)] = true
		}
		names, after := estate(in).Known(), p.Changes.Apply(in.Current)
		machinePackets(func(q reach.Packet) {
			v := names.Evaluate(q, reach.Guard{Rules: after})
			d := v.By[0]
			if d.Allowed != reach.Yes || d.Rule.Priority > plan.MaxPriority {
				return
			}
			for _, pol := range in.Policies {
				port, ok := pol.Policy.Port(q.DestinationPort)
				if ok && port.Protocol.Overlaps(q.Protocol) && slices.Contains(pol.Addresses, q.Destination) && !exposed[fmt.Sprint(pol.Policy.VM.Name, q.DestinationPort)] {
					t.Fatalf("%+v comes in by %s, which is not in Exposed", q, d.Rule.Name)
				}
			}
		})
	})
}

func TestNothingMovesWithoutNeed(t *testing.T) {
	property(t, func(t *rapid.T, in plan.Input, p plan.Plan) {
		if len(in.Openings) == 0 {
			return
		}
		in.Current = p.Changes.Apply(in.Current)
		in.Openings = in.Openings[1:]
		after := compute(in)
		if len(p.Refused)+len(after.Refused) > 0 {
			return
		}
		at := map[string]int{}
		for _, r := range p.Rules {
			at[r.Name] = r.Priority
		}
		for _, r := range after.Rules {
			if n, ok := at[r.Name]; ok && n != r.Priority {
				t.Fatalf("%s moved from %d to %d when a grant ended", r.Name, n, r.Priority)
			}
		}
	})
}

// Whatever is full, everything that should close does.
func TestLimitsNeverKeepAClose(t *testing.T) {
	property(t, func(t *rapid.T, in plan.Input, p plan.Plan) {
		in.Current = p.Changes.Apply(in.Current)
		in.Now = noon.Add(24 * time.Hour)
		taken := map[int]bool{}
		for _, r := range in.Current {
			taken[r.Priority] = true
		}
		for n := 100; n <= 4096 && len(in.Current) < plan.MaxRules; n++ {
			if !taken[n] {
				in.Current = append(in.Current, jit.Rule{Name: fmt.Sprintf("late-%d", n), Priority: n, Access: jit.Deny})
			}
		}
		later := compute(in)
		after := later.Changes.Apply(in.Current)
		for _, r := range after {
			if label.Owned(r.Name) && r.Access == jit.Allow {
				t.Fatalf("%s still stands", r.Name)
			}
		}
		denies := func(rules []jit.Rule) (out []string) {
			for _, r := range rules {
				if r.Access == jit.Deny {
					out = append(out, fmt.Sprint(r.Name, r.Destination))
				}
			}
			return out
		}
		if d := gocmp.Diff(denies(p.Rules), denies(later.Rules)); d != "" {
			t.Fatal(d)
		}
	})
}

// A refused grant leaves nothing: what is planned is what would be had it never been asked for.
func TestRefusedIsNeverAsked(t *testing.T) {
	property(t, func(t *rapid.T, in plan.Input, p plan.Plan) {
		for _, r := range p.Refused {
			in.Openings = slices.DeleteFunc(slices.Clone(in.Openings), func(o roster.Opening) bool { return o.Grant.ID == r.Grant })
		}
		without := compute(in)
		names := func(p plan.Plan) []string { return texts(p.Rules, func(r jit.Rule) string { return r.Name }) }
		if d := gocmp.Diff(names(without), names(p)); d != "" {
			t.Fatalf("refused %v: %s", p.Refused, d)
		}
	})
}
