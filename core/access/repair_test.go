package access_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/store"
)

// TestFailedRemovalOnATargetThatIsNotOurs: a rule that a hand made under our prefix is
// removed also where the group has nothing else to do with us, and a removal that fails
// is tried again by the next sweep, although nothing of ours shows any more.
func TestFailedRemovalOnATargetThatIsNotOurs(t *testing.T) {
	w := newWorld(t)
	byHand := foreignRules()[1]
	byHand.Name = "portcullis-allow-by-hand"
	w.cloud.SetRules(nsgID("web-nsg"), byHand)
	failing := &halfway{Cloud: w.cloud, target: "web-nsg", broken: true}
	w.startWith(func(p *core.Ports) { p.Kinds = network.KindsOf(network.SecurityGroups(failing)) })
	if _, err := w.Sweep(t.Context(), who("portcullis")); err == nil {
		t.Fatal("a sweep whose write fails tells of no error")
	}
	if w.allows("web-nsg") != 0 || !failing.doubt {
		t.Fatal("the group should show the removal that failed")
	}
	w.start() // another process, and nothing is kept but the store
	w.startWith(func(p *core.Ports) { p.Kinds = network.KindsOf(network.SecurityGroups(failing)) })
	failing.broken = false
	writes := w.cloud.Writes()
	w.sweep()
	if n := w.cloud.Writes() - writes; n != 1 || failing.doubt {
		t.Errorf("%d writes, in doubt %t: nobody tried the removal again", n, failing.doubt)
	}
	if known, _ := w.mem.Known(t.Context()); len(known) != 0 {
		t.Errorf("%v is still looked at", known)
	}
	writes = w.cloud.Writes()
	w.sweep()
	if n := w.cloud.Writes() - writes; n != 0 {
		t.Errorf("a sweep of what is settled makes %d writes", n)
	}
}

// TestUnconfirmedTargetOfOthers: a group that never had anything to do with us is left
// alone, also where somebody else's write of it has failed.
func TestUnconfirmedTargetOfOthers(t *testing.T) {
	w := newWorld(t)
	w.startWith(func(p *core.Ports) {
		p.Kinds = network.KindsOf(network.SecurityGroups(&halfway{Cloud: w.cloud, target: "web-nsg", doubt: true}))
	})
	writes := w.cloud.Writes()
	w.sweep()
	if n := w.cloud.Writes() - writes; n != 0 {
		t.Errorf("%d writes of a group that is not ours", n)
	}
}

// halfway is a cloud in which a write of one target that is broken shows, and has failed.
type halfway struct {
	*coretest.Cloud
	target        string
	broken, doubt bool
}

func (h *halfway) shown(s network.Snapshot, err error) (network.Snapshot, error) {
	s.Unconfirmed = h.doubt && s.Target.Name == h.target
	return s, err
}

func (h *halfway) Rules(ctx context.Context, p network.Priority, target jit.ID) (network.Snapshot, error) {
	return h.shown(h.Cloud.Rules(ctx, p, target))
}

func (h *halfway) All(ctx context.Context, p network.Priority, sub string) ([]network.Snapshot, error) {
	all, err := h.Cloud.All(ctx, p, sub)
	for i := range all {
		all[i], _ = h.shown(all[i], nil)
	}
	return all, err
}

func (h *halfway) Apply(ctx context.Context, p network.Priority, s network.Snapshot, c plan.Changes) (network.Snapshot, error) {
	done, err := h.Cloud.Apply(ctx, p, s, c)
	if err != nil || s.Target.Name != h.target {
		return done, err
	}
	if h.doubt = h.broken; h.broken {
		return network.Snapshot{}, &store.Unavailable{Dependency: "Azure Resource Manager", Err: errFault}
	}
	return done, nil
}

// TestDenyRestoredByAVerb: a deny that stood and that somebody took away is a repair also
// where a request's round finds out, and one that is new is none.
func TestDenyRestoredByAVerb(t *testing.T) {
	repaired := func(w *world) bool { return slices.Contains(w.log(), "Repair Succeeded") }
	w := newWorld(t)
	w.enable("web")
	w.enable("app1")
	w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "app1"))
	w.enable("app2")
	if repaired(w) {
		t.Errorf("denies that were asked for are told as repairs: %q", w.log())
	}
	w.cloud.SetRules(nsgID("web-nsg"), foreignRules()...)
	w.start()
	w.leap(time.Minute)
	w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	if !repaired(w) {
		t.Errorf("the log does not tell that the deny was restored: %q", w.log())
	}

	w = newWorld(t)
	w.enable("web")
	if _, err := w.Disable(t.Context(), who("admin"), []jit.ID{vmID("web")}); err != nil {
		t.Fatal(err)
	}
	w.enable("web")
	if repaired(w) {
		t.Errorf("a deny of a machine that was disabled and enabled is told as a repair: %q", w.log())
	}

	// A process that dies between the write and the note has the next sweep make up for it.
	w = newWorld(t)
	w.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Confirm" {
			return errFault
		}
		return nil
	}
	if _, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("web", 22)}, false); !errors.Is(err, errFault) {
		t.Fatalf("enable: %v", err)
	}
	w.restart()
	w.sweep()
	w.cloud.SetRules(nsgID("web-nsg"), foreignRules()...)
	w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	if !repaired(w) {
		t.Errorf("the log does not tell that the deny was restored: %q", w.log())
	}
}
