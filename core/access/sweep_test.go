package access_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/network"
	"portcullis/core/store"
)

func TestSweepClosesWhatWasMissed(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	w.leap(time.Hour + time.Second) // and no message comes
	if age, err := w.Overdue(t.Context()); err != nil || age != time.Second {
		t.Errorf("overdue %v, %v, want 1s", age, err)
	}
	rec := w.sweep()
	w.stands("web-nsg", closedWeb...)
	if rec.Closed != 1 || !w.grant(id).Closed() {
		t.Errorf("the sweep closed %d grants; the grant is %s", rec.Closed, w.grant(id).Status())
	}
	if again := w.sweep(); again.Changed != 0 || again.Closed != 0 {
		t.Errorf("a second sweep changed %d targets and closed %d grants", again.Changed, again.Closed)
	}
}

func TestSweepRepairs(t *testing.T) {
	orphan := jit.Rule{Name: label.Prefix + "allow-00000000000070008000000000000000-00000000", Priority: 110, Access: jit.Allow, Protocol: jit.TCP,
		Source: jit.AnyPeer(), Destination: jit.AnyPeer(), SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.AllPorts()}}
	for _, tc := range []struct {
		name string
		edit func([]jit.Rule) []jit.Rule
		want jit.Reason // why the window closes; "" where everything stands again
	}{
		{"our rules deleted", func(rules []jit.Rule) []jit.Rule {
			return slices.DeleteFunc(rules, func(r jit.Rule) bool { return label.Owned(r.Name) })
		}, jit.NotCertain},
		{"our allow deleted", func(rules []jit.Rule) []jit.Rule {
			return slices.DeleteFunc(rules, func(r jit.Rule) bool { return label.Owned(r.Name) && r.Access == jit.Allow })
		}, ""},
		{"our deny deleted", func(rules []jit.Rule) []jit.Rule {
			return slices.DeleteFunc(rules, func(r jit.Rule) bool { return label.Owned(r.Name) && r.Access == jit.Deny })
		}, ""},
		{"our allow widened", func(rules []jit.Rule) []jit.Rule {
			for i := range rules {
				if label.Owned(rules[i].Name) && rules[i].Access == jit.Allow {
					rules[i].Source = jit.AnyPeer()
				}
			}
			return rules
		}, ""},
		{"our deny turned into an allow", func(rules []jit.Rule) []jit.Rule {
			for i := range rules {
				if label.Owned(rules[i].Name) {
					rules[i].Access = jit.Allow
				}
			}
			return rules
		}, ""},
		{"a rule of our name that no grant has", func(rules []jit.Rule) []jit.Rule { return append(rules, orphan) }, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.enable("web")
			id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
			good := w.lines("web-nsg")
			w.cloud.SetRules(nsgID("web-nsg"), tc.edit(w.cloud.Standing(nsgID("web-nsg")))...)
			rec := w.sweep()
			if tc.want != "" {
				good = closedWeb
			}
			w.stands("web-nsg", good...)
			if w.grant(id).Reason() != tc.want || w.grant(id).Closed() != (tc.want != "") {
				t.Errorf("the window is %s %s, want the reason %q", w.grant(id).Status(), w.grant(id).Reason(), tc.want)
			}
			if !slices.ContainsFunc(rec.Findings, func(f store.Finding) bool { return f.Kind == store.FindingRepaired }) {
				t.Errorf("no finding tells of the repair: %+v", rec.Findings)
			}
		})
	}
}

func TestSweepFollowsMachines(t *testing.T) {
	w := newWorld(t)
	w.enable("app1", "app2")
	w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "app1"))
	w.place("app1", "apps-nsg", "10.0.1.9") // app1 has moved, and
	w.place("app2", "apps-nsg", "10.0.1.4") // its old address is app2's now
	w.sweep()
	w.stands("apps-nsg", "0100 allow ours 203.0.113.7 -> 10.0.1.9 :22", "4096 deny ours * -> 10.0.1.4,10.0.1.9 :22,3389")

	w.cloud.SetRules(nsgID("other-nsg"))
	w.place("app1", "other-nsg", "10.0.2.4")
	w.sweep()
	w.stands("apps-nsg", "4096 deny ours * -> 10.0.1.4 :22,3389")
	w.stands("other-nsg", "0100 allow ours 203.0.113.7 -> 10.0.2.4 :22", "4096 deny ours * -> 10.0.2.4 :22,3389")
}

// TestSweepFollowsWhatIsExtended: an extension between the sweep's look at a grant and its move does not keep the
// grant where it was.
func TestSweepFollowsWhatIsExtended(t *testing.T) {
	w := newWorld(t)
	w.enable("app1", "app2")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "app1"))
	w.place("app1", "apps-nsg", "10.0.1.9")
	w.place("app2", "apps-nsg", "10.0.1.4")
	extended := false
	w.store.Fault = func(ctx context.Context, s coretest.Step) error {
		if s.Op == "EachPolicy" && !s.After && !extended {
			extended = true
			_, err := w.Extend(ctx, who("alice"), id, 2*time.Hour, time.Time{})
			return err
		}
		return nil
	}
	w.sweep()
	if !extended || w.grant(id).End() != noon.Add(2*time.Hour) {
		t.Fatal("nobody came in between")
	}
	w.stands("apps-nsg", "0100 allow ours 203.0.113.7 -> 10.0.1.9 :22", "4096 deny ours * -> 10.0.1.4,10.0.1.9 :22,3389")
}

// TestMachineDeleted: a window does not outlive its machine, whose address or
// name may become another's (azure-docs issue 11987).
func TestMachineDeleted(t *testing.T) {
	w := newWorld(t)
	w.enable("app1", "app2")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "app1"))
	w.cloud.RemoveMachine(vmID("app1"))
	rec := w.sweep()
	w.stands("apps-nsg", "4096 deny ours * -> 10.0.1.5 :22,3389")
	if g := w.grant(id); !g.Closed() || g.Reason() != jit.MachineGone {
		t.Errorf("the grant is %s %s", g.Status(), g.Reason())
	}
	if !slices.ContainsFunc(rec.Findings, func(f store.Finding) bool { return f.Kind == store.FindingVMGone }) {
		t.Errorf("no finding tells that the machine is gone: %+v", rec.Findings)
	}
	if _, err := w.Disable(t.Context(), who("admin"), []jit.ID{vmID("app1")}); err != nil {
		t.Errorf("disable a machine that is gone: %v", err)
	}
}

// TestTableLost: from the rules alone the sweep closes what is past its end, and
// keeps what is closed closed.
func TestTableLost(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	w.mem = coretest.NewMemory()
	w.store = &coretest.Faulty{Store: w.mem}
	w.start()
	w.leap(59 * time.Minute)
	rec := w.sweep()
	if w.allows("web-nsg") != 1 {
		t.Error("a live window was closed with the table lost")
	}
	if !slices.ContainsFunc(rec.Findings, func(f store.Finding) bool { return f.Kind == store.FindingLost }) {
		t.Errorf("no finding tells that the state is lost: %+v", rec.Findings)
	}
	w.leap(time.Minute)
	w.sweep()
	w.stands("web-nsg", closedWeb...)
}

func TestOneBrokenTargetDoesNotStopTheOthers(t *testing.T) {
	w := newWorld(t)
	w.enable("web", "app1")
	w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	other := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "app1"))
	w.leap(2 * time.Hour)
	w.cloud.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Apply" && s.Of == nsgID("web-nsg").Key() {
			return store.ErrLocked
		}
		return nil
	}
	rec, err := w.Sweep(t.Context(), who("portcullis"))
	if err == nil {
		t.Error("the sweep does not say that something failed")
	}
	if w.allows("apps-nsg") != 0 || !w.grant(other).Closed() {
		t.Error("a broken target kept another one open")
	}
	kinds := map[store.FindingKind]int{}
	for _, f := range rec.Findings {
		kinds[f.Kind]++
	}
	if kinds[store.FindingBroken] != 1 || kinds[store.FindingOverdue] != 1 {
		t.Errorf("findings %v, want one Broken and one Overdue", kinds)
	}
	w.cloud.Fault = nil
	w.sweep()
	w.stands("web-nsg", closedWeb...)
}

// TestSweepGoesOn: a sweep that is cut off is taken up where it was.
func TestSweepGoesOn(t *testing.T) {
	w := newWorld(t)
	const n = 850
	for i := range n {
		vm, nsg := fmt.Sprintf("vm%04d", i), fmt.Sprintf("nsg%04d", i)
		w.cloud.SetRules(nsgID(nsg))
		w.place(vm, nsg, fmt.Sprintf("10.1.%d.%d", i/250, i%250+1))
		w.enable(vm)
	}
	for i := range n {
		w.cloud.SetRules(nsgID(fmt.Sprintf("nsg%04d", i))) // somebody removes every rule of ours
	}
	w.cloud.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Apply" && s.Of == nsgID("nsg0150").Key() && !s.After {
			w.leap(5 * time.Minute) // ARM is slow: the time runs out in the first stretch
		}
		return nil
	}
	first, err := w.Sweep(t.Context(), who("portcullis"))
	if err == nil || first.Next == "" || !first.Completed.IsZero() || first.Changed != 400 {
		t.Fatalf("the sweep says next %q, completed %v, changed %d, error %v; want it cut off after 400", first.Next, first.Completed, first.Changed, err)
	}
	w.cloud.Fault = nil
	second := w.sweep()
	if second.Next != "" || second.Changed != n-400 || second.Completed.IsZero() {
		t.Errorf("the next sweep changed %d and leaves %q", second.Changed, second.Next)
	}
	// And one that is killed has noted how far it came.
	w.cloud.Fault = func(_ context.Context, s coretest.Step) error { return nil }
	puts := 0
	w.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "PutSweep" && s.After {
			puts++
		}
		if puts >= 2 { // killed in the second stretch
			return errFault
		}
		return nil
	}
	if _, err := w.Sweep(t.Context(), who("portcullis")); err == nil {
		t.Fatal("the killed sweep reports no error")
	}
	w.restart()
	if last, err := w.mem.LastSweep(t.Context()); err != nil || last.Next != nsgID("nsg0400").Key() || !last.Completed.Equal(second.Completed) {
		t.Errorf("the record of the killed sweep goes on from %q, completed %v, error %v", last.Next, last.Completed, err)
	}
}

func TestSweepFindsWhatCanBeReached(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	w.mustAskAs(ann, 22, "*", "web") // a window is no finding
	rules := append(w.cloud.Standing(nsgID("web-nsg")),
		jit.Rule{Name: "AllowVnc", Priority: 310, Access: jit.Allow, Protocol: jit.TCP, Source: jit.Peers{Tags: []string{"Internet"}}, Destination: jit.AnyPeer(),
			SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{{First: 5000, Last: 6000}}},
		jit.Rule{Name: "IncidentDeny", Priority: 99 + 1000, Access: jit.Deny, Protocol: jit.AnyProtocol, Source: jit.AnyPeer(), Destination: jit.AnyPeer(),
			SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.AllPorts()}})
	w.cloud.SetRules(nsgID("web-nsg"), rules...)
	var got []string
	for _, f := range w.sweep().Findings {
		got = append(got, fmt.Sprint(f.Kind, " ", f.Rule, " of ", f.Target.Name, " ", f.Port, " ", f.VM.Name, ": ", f.Message))
	}
	want := []string{}
	for _, port := range []int{5900, 5985, 5986} {
		want = append(want, fmt.Sprintf("Reachable AllowVnc of web-nsg %d web: port %d of web (10.0.0.4), which its policy does not name, can be reached from the Internet through the rule AllowVnc", port, port))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

// TestAnotherMachineUnderTheName: a machine that is deleted and made anew between
// two sweeps is not the one that the window was granted for.
func TestAnotherMachineUnderTheName(t *testing.T) {
	w := newWorld(t)
	set := func(nics ...string) {
		addrs := []netip.Addr{netip.MustParseAddr("10.0.1.4")}
		w.cloud.Place(network.Machine{VM: vmID("app1"), Interfaces: nics, Private: addrs, Placements: []store.Placement{{Target: nsgID("apps-nsg"), Addresses: addrs}}})
	}
	set("nic-a", "nic-b")
	w.enable("app1")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "app1"))
	set("nic-b", "nic-c") // one interface changed: the same machine
	w.sweep()
	if w.grant(id).Status() != jit.Initiated {
		t.Fatalf("after a change of one interface the grant is %s", w.grant(id).Status())
	}
	set("nic-d")
	w.sweep()
	if g := w.grant(id); !g.Closed() || g.Reason() != jit.MachineGone {
		t.Errorf("the grant is %s %s", g.Status(), g.Reason())
	}
	w.stands("apps-nsg", "4096 deny ours * -> 10.0.1.4 :22,3389")
}

// TestSubscriptionThatCannotBeListed: what cannot be looked at is not taken for
// gone (a subscription that moved, a permission that was taken away).
func TestSubscriptionThatCannotBeListed(t *testing.T) {
	for _, op := range []string{"Machines", "All"} {
		t.Run(op, func(t *testing.T) {
			w := newWorld(t)
			w.enable("web")
			id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
			before := w.lines("web-nsg")
			w.cloud.Fault = func(_ context.Context, s coretest.Step) error {
				if s.Op == op {
					return store.ErrForbidden
				}
				return nil
			}
			rec, err := w.Sweep(t.Context(), who("portcullis"))
			if !errors.Is(err, store.ErrForbidden) || rec.Error == "" {
				t.Errorf("the sweep says %q, %v", rec.Error, err)
			}
			w.stands("web-nsg", before...)
			if w.grant(id).Status() != jit.Initiated {
				t.Errorf("the grant is %s", w.grant(id).Status())
			}
			w.leap(time.Hour) // and what ends still closes
			if _, err := w.Sweep(t.Context(), who("portcullis")); !errors.Is(err, store.ErrForbidden) {
				t.Errorf("error %v", err)
			}
			w.stands("web-nsg", closedWeb...)
		})
	}
}
