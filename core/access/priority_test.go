package access_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
)

// prioritized notes in which priority a rule store was called.
type prioritized struct {
	network.RuleStore
	mu    sync.Mutex
	calls []prioritizedCall
}

type prioritizedCall struct {
	Op       string
	Priority network.Priority
}

func (f *prioritized) note(op string, p network.Priority) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, prioritizedCall{op, p})
}

func (f *prioritized) Rules(ctx context.Context, p network.Priority, target jit.ID) (network.Snapshot, error) {
	f.note("Rules", p)
	return f.RuleStore.Rules(ctx, p, target)
}

func (f *prioritized) All(ctx context.Context, p network.Priority, sub string) ([]network.Snapshot, error) {
	f.note("All", p)
	return f.RuleStore.All(ctx, p, sub)
}

func (f *prioritized) Turn(ctx context.Context, p network.Priority, _ network.Snapshot) (context.Context, bool, error) {
	f.note("Turn", p)
	return ctx, false, nil
}

func (f *prioritized) Apply(ctx context.Context, p network.Priority, s network.Snapshot, c plan.Changes) (network.Snapshot, error) {
	f.note("Apply", p)
	return f.RuleStore.Apply(ctx, p, s, c)
}

// ops returns the distinct methods that were called, sorted, and forgets the calls. Each has to have had the priority.
func (f *prioritized) ops(t *testing.T, verb string, want network.Priority) []string {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	var ops []string
	for _, c := range f.calls {
		if c.Priority != want {
			t.Errorf("%s: %s was called with %+v, want %+v", verb, c.Op, c.Priority, want)
		}
		ops = append(ops, c.Op)
	}
	f.calls = nil
	slices.Sort(ops)
	return slices.Compact(ops)
}

// TestPriorityOfEachCall: every call for a closing has the priority of its window's end, also the reads; those for a request or a
// sweep are ordinary.
func TestPriorityOfEachCall(t *testing.T) {
	w := newFirewalled(t)
	groups, firewalls := &prioritized{RuleStore: w.cloud.Kind(jit.TypeNSG)}, &prioritized{RuleStore: w.cloud.Kind(jit.TypeFirewall)}
	restart := func() { // nothing is remembered
		w.startWith(func(p *core.Ports) {
			p.Kinds = network.KindsOf(network.SecurityGroups(groups), network.AzureFirewalls(firewalls))
		})
	}
	check := func(verb string, want network.Priority, ofGroups, ofFirewalls []string) {
		t.Helper()
		if got := groups.ops(t, verb, want); !slices.Equal(got, ofGroups) {
			t.Errorf("%s called %v of the security groups, want %v", verb, got, ofGroups)
		}
		if got := firewalls.ops(t, verb, want); !slices.Equal(got, ofFirewalls) {
			t.Errorf("%s called %v of the firewalls, want %v", verb, got, ofFirewalls)
		}
	}
	restart()
	w.enable("behind")
	groups.calls, firewalls.calls = nil, nil
	restart()
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "behind"))
	check("request", network.Ordinary(), []string{"Apply", "Rules", "Turn"}, []string{"All", "Apply", "Turn"})
	w.leap(time.Hour)
	restart()
	if err := w.Wake(t.Context(), id, 0); err != nil || !w.grant(id).Closed() {
		t.Fatalf("the wake-up: closed %t, error %v", w.grant(id).Closed(), err)
	}
	check("wake-up", network.Closing(w.grant(id).VMs[0].Ports[0].End), []string{"Apply", "Rules", "Turn"}, []string{"All", "Apply", "Turn"})
	w.sweep()
	check("sweep", network.Ordinary(), []string{"All"}, []string{"All"})
}
