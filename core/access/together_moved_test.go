package access_test

import (
	"context"
	"testing"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/jit"
)

// TestTogetherAtOnceAfterAMove: what a policy demands is demanded of two requests at the same moment also while the machine stands behind another security
// group than the policy is stored at, until a sweep has moved the policy.
func TestTogetherAtOnceAfterAMove(t *testing.T) {
	w := newWorld(t)
	p := policyOf("web", 22)
	p.Options = &jit.Options{WidestIPv4: 24, WidestIPv6: 64}
	if _, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{p, policyOf("app1", 22)}, false); err != nil {
		t.Fatal(err)
	}
	w.place("web", "apps-nsg", "10.0.1.9")
	other := w.instanceWith(func(*core.Ports) {})
	var second error
	came := false
	w.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "InsertGrant" && !s.After && !came {
			came = true
			rec, _, err := other.Request(t.Context(), who("alice"), wantFrom("alice", alternate(4, 100), "web"), "")
			if err == nil {
				_, err = other.Open(t.Context(), who("alice"), rec)
			}
			second = err
		}
		return nil
	}
	_, first := w.ask(wantFrom("alice", alternate(4, 0), "web"))
	if !came || first == nil && second == nil {
		t.Error("both opened")
	}
	for _, err := range []error{first, second} {
		if err != nil && code(err) != jit.CodeSourcesTogether {
			t.Error(err)
		}
	}
	if n := w.allows("apps-nsg"); n > 1 {
		t.Errorf("%d rules allow", n)
	}
}
