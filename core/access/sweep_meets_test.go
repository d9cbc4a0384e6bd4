package access_test

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

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

