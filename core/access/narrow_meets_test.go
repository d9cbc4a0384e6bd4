package access_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"portcullis/core/coretest"
	"portcullis/core/defender"
	"portcullis/core/jit"
)

// TestDisableMeetsAWindow: a window that opens after the windows of a machine were closed, and before its policy is gone, is closed with it and told.
func TestDisableMeetsAWindow(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	id := ""
	w.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "DeletePolicy" && !s.After && id == "" {
			id = w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
		}
		return nil
	}
	ends, err := w.Disable(t.Context(), who("admin"), []jit.ID{vmID("web")})
	if err != nil || id == "" {
		t.Fatal(id, err)
	}
	if closes, _ := ends.Windows(); closes != 1 {
		t.Errorf("told of %d windows", closes)
	}
	if got := w.grant(id); !got.Closed() || got.Reason() != jit.PolicyRemoved || w.allows("web-nsg") != 0 {
		t.Errorf("%s %q, %d rules allow", got.Status(), got.Reason(), w.allows("web-nsg"))
	}
}

// TestReplacementThatFailedHalfWay: what a replacement has stored before it failed ends what it refuses when it is sent again.
func TestReplacementThatFailedHalfWay(t *testing.T) {
	w := newWorld(t)
	g := guarded(w)
	replace := func(ports ...uint16) (defender.NamedPolicy, error) {
		return g.ReplacePolicy(t.Context(), person("admin"), defaultPolicy, valid(policyOf("app1", ports...), policyOf("web", ports...)), defender.Written{}, defender.Precondition{})
	}
	if _, err := replace(22, 3389); err != nil {
		t.Fatal(err)
	}
	ids := []string{w.mustAsk(want("alice", 3389, time.Hour, "203.0.113.7", "web")), w.mustAsk(want("alice", 3389, time.Hour, "203.0.113.7", "app1"))}
	puts, down := 0, errors.New("away")
	w.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "PutListed" && !s.After {
			if puts++; puts == 2 {
				return down
			}
		}
		return nil
	}
	if _, err := replace(22); !errors.Is(err, down) {
		t.Fatalf("%d writes, %v", puts, err)
	}
	w.store.Fault = nil
	p, err := replace(22)
	if err != nil {
		t.Fatal(err)
	}
	if closes, _ := p.Narrowed.Windows(); closes != 2 {
		t.Errorf("told of %d windows", closes)
	}
	if slices.ContainsFunc(ids, func(id string) bool { return !w.grant(id).Closed() }) || w.allows("web-nsg")+w.allows("apps-nsg") != 0 {
		t.Errorf("%d rules allow", w.allows("web-nsg")+w.allows("apps-nsg"))
	}
}
