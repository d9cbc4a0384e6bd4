package access_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/store"
)

// TestSweepMeetsAnOpening: a window that opens at a machine that has moved, after the sweep has listed the rules, was not missing when it listed them. It
// stays, and the next sweep, which has seen it stand, brings it to where the machine is.
func TestSweepMeetsAnOpening(t *testing.T) {
	w := newWorld(t)
	w.enable("app1")
	rec, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, time.Hour, "203.0.113.7", "app1"), "")
	if err != nil {
		t.Fatal(err)
	}
	w.place("app1", "apps-nsg", "10.0.1.9")
	opened := false
	w.store.Fault = func(ctx context.Context, s coretest.Step) error {
		if s.Op == "EachPolicy" && !s.After && !opened {
			opened = true
			if got, err := w.Open(ctx, who("alice"), rec); err != nil || got.Grant.Status() != jit.Initiated {
				t.Errorf("opened %s, %v", got.Grant.Status(), err)
			}
		}
		return nil
	}
	for i, at := range []string{"10.0.1.4", "10.0.1.9"} {
		found := found(w.sweep(), store.FindingEnded)
		if g := w.grant(rec.Grant.ID); g.Status() != jit.Initiated || len(found) > 0 {
			t.Fatalf("sweep %d: the window is %s %q, found %v", i+1, g.Status(), g.Reason(), found)
		}
		stands := slices.ContainsFunc(w.cloud.Standing(nsgID("apps-nsg")), func(r jit.Rule) bool {
			return label.Owned(r.Name) && r.Access == jit.Allow && slices.Contains(r.Destination.Prefixes, netip.MustParsePrefix(at+"/32"))
		})
		if !stands {
			t.Errorf("sweep %d: no rule opens %s: %q", i+1, at, w.lines("apps-nsg"))
		}
	}
}

// TestSweepShortensInTime: a window that a sweep shortens, since the change of its policy died half way, ends by its own wake-up.
func TestSweepShortensInTime(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	rec, err := w.mem.Policy(t.Context(), vmID("web"))
	if err != nil {
		t.Fatal(err)
	}
	rec.Policy.Ports[0].Maximum = 30 * time.Minute
	if _, err := w.mem.PutPolicy(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	w.leap(time.Minute)
	if _, err := w.doors.PreviewNow(t.Context(), ann); err != nil {
		t.Fatal(err)
	}
	wakes := len(w.bell.Set())
	if g := w.grant(id); !g.End().Equal(noon.Add(time.Hour)) || wakes != 1 {
		t.Errorf("a dry sweep leaves the end at %s, and %d wake-ups", g.End(), wakes)
	}
	w.sweep()
	w.pass(29 * time.Minute)
	if g := w.grant(id); !g.Closed() || w.allows("web-nsg") != 0 {
		t.Errorf("at its new end the window is %s, and %d rules allow", g.Status(), w.allows("web-nsg"))
	}
}

// TestSweepEndsWhatHasNoPolicy: windows at a machine whose policy was removed by a call that died end with the next sweep. Nothing ends where
// the policies could not be read, or where the machine has a policy again.
func TestSweepEndsWhatHasNoPolicy(t *testing.T) {
	away := errors.New("away")
	for _, tt := range []struct {
		name  string
		fault func(w *world, s coretest.Step) error
		ends  bool
		fails bool
	}{
		{"the policy list cannot be read", func(_ *world, s coretest.Step) error {
			if s.Op == "EachPolicy" {
				return away
			}
			return nil
		}, false, true},
		{"the policy cannot be read", func(_ *world, s coretest.Step) error {
			if s.Op == "Policy" {
				return away
			}
			return nil
		}, false, true},
		{"enabled again after the list was read", func(w *world, s coretest.Step) error {
			if _, err := w.mem.Policy(w.t.Context(), vmID("web")); s.Op == "EachPolicy" && s.After && err != nil {
				w.enable("web")
			}
			return nil
		}, false, false},
		{"removed", nil, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.enable("web", "app1")
			id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web", "app1"))
			w.leap(time.Second)
			rec, err := w.mem.Policy(t.Context(), vmID("web"))
			if err == nil {
				err = w.mem.DeletePolicy(t.Context(), rec)
			}
			if err != nil {
				t.Fatal(err)
			}
			if tt.fault != nil {
				w.store.Fault = func(_ context.Context, s coretest.Step) error { return tt.fault(w, s) }
			}
			dry, err := w.doors.PreviewNow(t.Context(), ann)
			if dry.Closed != 0 || tt.fails != errors.Is(err, away) {
				t.Errorf("a dry sweep counts %d grants closed, of which a part stays open; %v", dry.Closed, err)
			}
			if _, err := w.Sweep(t.Context(), who("portcullis")); tt.fails != errors.Is(err, away) {
				t.Errorf("the sweep: %v", err)
			}
			for _, vm := range w.grant(id).VMs {
				port, ends := vm.Ports[0], tt.ends && vm.VM.Equal(vmID("web"))
				if ends != (port.Status == jit.Revoked) || ends != (port.Reason == jit.PolicyRemoved) {
					t.Errorf("the window at %s is %s %q", vm.VM.Name, port.Status, port.Reason)
				}
			}
			if closed := w.allows("web-nsg") == 0; closed != tt.ends || w.allows("apps-nsg") != 1 {
				t.Errorf("%d rules allow at web, %d at app1", w.allows("web-nsg"), w.allows("apps-nsg"))
			}
		})
	}
}

// TestPreviewCountsWhatIsMissing: a dry sweep counts the windows that it would close since their rules are missing, as the sweep does.
func TestPreviewCountsWhatIsMissing(t *testing.T) {
	w := newWorld(t)
	w.enable("web", "app1", "app2")
	w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web", "app1")) // at two groups
	w.mustAsk(want("bob", 22, time.Hour, "203.0.113.8", "app2"))
	copied := w.mem.Copy()
	for _, nsg := range []string{"web-nsg", "apps-nsg"} {
		w.cloud.SetRules(nsgID(nsg), slices.DeleteFunc(w.cloud.Standing(nsgID(nsg)), func(r jit.Rule) bool { return label.Owned(r.Name) && r.Access == jit.Allow })...)
	}
	w.putBack(copied)
	w.startWith(func(p *core.Ports) { *p = w.portsOf(); p.LeaveRemoved = true })
	dry, err := w.doors.PreviewNow(t.Context(), ann)
	if err != nil {
		t.Fatal(err)
	}
	if rec := w.sweep(); dry.Closed != 2 || rec.Closed != 2 {
		t.Errorf("a dry sweep counts %d closed, the sweep %d; want 2", dry.Closed, rec.Closed)
	}
}
