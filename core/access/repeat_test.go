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

// failingRules is security groups that one instance cannot read or write.
type failingRules struct {
	network.RuleStore
	down func() error
}

func (f failingRules) Rules(ctx context.Context, p network.Priority, t jit.ID) (network.Snapshot, error) {
	if err := f.down(); err != nil {
		return network.Snapshot{}, err
	}
	return f.RuleStore.Rules(ctx, p, t)
}

func (f failingRules) Apply(ctx context.Context, p network.Priority, s network.Snapshot, c plan.Changes) (network.Snapshot, error) {
	if err := f.down(); err != nil {
		return network.Snapshot{}, err
	}
	return f.RuleStore.Apply(ctx, p, s, c)
}

// TestRepeatingNeverUndoes: a request is sent again, to another instance or to the same, and this try fails: whatever the first one has come
// to stays. Only the try that nobody else repeats or has completed undoes what it opened.
func TestRepeatingNeverUndoes(t *testing.T) {
	down := &store.Unavailable{Dependency: "Azure Resource Manager", Err: errFault}
	type tries struct {
		w      *world
		other  rooms // fails
		first  store.GrantRecord
		begins func() // the repetition, which fails
	}
	tests := []struct {
		name string
		try  func(*testing.T, tries)
		open bool // in the end
	}{
		{"after the first was confirmed", func(t *testing.T, x tries) {
			if _, err := x.w.Open(t.Context(), who("ann"), x.first); err != nil {
				t.Fatal(err)
			}
			x.begins()
		}, true},
		{"while the first writes", func(t *testing.T, x tries) {
			x.w.cloud.Fault = func(_ context.Context, s coretest.Step) error {
				if s.Op == "Apply" && !s.After {
					x.begins()
				}
				return nil
			}
			if rec, err := x.w.Open(t.Context(), who("ann"), x.first); err != nil || rec.Grant.Status() != jit.Initiated {
				t.Errorf("the first try: %s, error %v", rec.Grant.Status(), err)
			}
		}, true},
		{"before the first begins", func(t *testing.T, x tries) {
			x.begins()
			if rec, err := x.w.Open(t.Context(), who("ann"), x.first); err != nil || rec.Grant.Status() != jit.Initiated {
				t.Errorf("the first try: %s, error %v", rec.Grant.Status(), err)
			}
		}, true},
		{"and the first fails too", func(t *testing.T, x tries) {
			x.begins()
			x.w.cloud.Fault = func(context.Context, coretest.Step) error { return down }
			if _, err := x.w.Open(t.Context(), who("ann"), x.first); err == nil {
				t.Error("the first try fails and tells of no error")
			}
			x.w.cloud.Fault = nil
			x.w.sweep()
		}, false},
		{"and the first has died", func(t *testing.T, x tries) {
			x.begins()
			x.w.leap(jit.OpeningTimeout)
			x.w.start()
			x.w.sweep()
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.enable("web")
			x := tries{w: w}
			x.other = w.instanceWith(func(p *core.Ports) {
				p.Kinds = network.KindsOf(network.SecurityGroups(failingRules{w.cloud.Kind(jit.TypeNSG), func() error { return down }}))
			})
			r := want("ann", 22, time.Hour, "203.0.113.7", "web")
			var err error
			if x.first, _, err = w.Request(t.Context(), who("ann"), r, "key"); err != nil {
				t.Fatal(err)
			}
			x.begins = func() {
				rec, known, err := x.other.Request(t.Context(), who("ann"), r, "key")
				if err == nil && known && rec.Grant.Status() == jit.Initiating {
					_, err = x.other.Open(t.Context(), who("ann"), rec)
				}
				if rec.Grant.Status() != jit.Initiated && !errors.As(err, new(*store.Unavailable)) {
					t.Errorf("the repetition: %s, error %v; want what was opened, or that Azure does not answer", rec.Grant.Status(), err)
				}
			}
			tt.try(t, x)
			w.cloud.Fault = nil
			g := w.grant(x.first.Grant.ID)
			if tt.open != (w.allows("web-nsg") == 1) || tt.open != (g.Status() == jit.Initiated) {
				t.Errorf("the request is %s %s, and %d rules allow", g.Status(), g.Reason(), w.allows("web-nsg"))
			}
			if slices.Contains(w.log(), "Open Failed web OpeningFailed") != (tt.name == "and the first fails too") {
				t.Errorf("the log: %v", w.log())
			}
			if !tt.open && (g.Status() != jit.Revoked || g.Reason() != jit.OpeningFailed) {
				t.Errorf("the request is %s %s", g.Status(), g.Reason())
			}
		})
	}
}

// TestCompletedMeanwhile: a try that fails after another one of the same request was confirmed gives what that one has stored.
func TestCompletedMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	other := w.instance()
	first, _, err := w.Request(t.Context(), who("ann"), want("ann", 22, time.Hour, "203.0.113.7", "web"), "")
	if err != nil {
		t.Fatal(err)
	}
	w.cloud.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op != "Apply" || s.After {
			return nil
		}
		w.cloud.Fault = nil
		if _, err := other.Open(t.Context(), who("ann"), first); err != nil {
			t.Error(err)
		}
		return &store.Unavailable{Dependency: "Azure Resource Manager", Err: errFault}
	}
	rec, err := w.Open(t.Context(), who("ann"), first)
	if err != nil || rec.Grant.Status() != jit.Initiated || w.grant(first.Grant.ID).Status() != jit.Initiated || w.allows("web-nsg") != 1 {
		t.Errorf("%s, error %v, %d rules", rec.Grant.Status(), err, w.allows("web-nsg"))
	}
}
