package access_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"portcullis/core/coretest"
	"portcullis/core/jit"
)

// TestRequestReadsTargetsOnly holds that a request finds the policies among what is stored of its targets, each of which it
// reads once before it decides, and reads by itself only that of a machine that has moved since a sweep looked; what
// the policy demands holds in both.
func TestRequestReadsTargetsOnly(t *testing.T) {
	for name, row := range map[string]struct {
		moved            bool
		policies, states int
	}{
		"where the policy was stored": {false, 0, 2},
		"where it was not":            {true, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.enable("web", "app1")
			rec, err := w.mem.Policy(t.Context(), vmID("web"))
			if err != nil {
				t.Fatal(err)
			}
			rec.Policy.Options = &jit.Options{RequireJustification: true}
			if row.moved {
				rec.Placements = nil
			}
			if _, err := w.mem.PutPolicy(t.Context(), rec); err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			calls := map[string]int{}
			w.store.Fault = func(_ context.Context, s coretest.Step) error {
				mu.Lock()
				defer mu.Unlock()
				if !s.After {
					calls[s.Op]++
				}
				return nil
			}
			r := want("alice", 22, time.Hour, "203.0.113.7", "web", "app1")
			r.Justification = ""
			if _, _, err := w.Request(t.Context(), who("alice"), r, ""); code(err) != jit.CodeJustificationRequired {
				t.Errorf("a request without the justification that the policy demands: %v", err)
			}
			clear(calls)
			r.Justification = "because"
			if _, _, err := w.Request(t.Context(), who("alice"), r, ""); err != nil {
				t.Fatal(err)
			}
			if calls["Policy"] != row.policies || calls["State"] != row.states {
				t.Errorf("calls %v, want %d of Policy and %d of State", calls, row.policies, row.states)
			}
		})
	}
}
