package access_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/jit"
)

// TestNarrowingMeetsANewerChange: a change of a policy that is slow ends nothing that a newer one allows again.
func TestNarrowingMeetsANewerChange(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	newer := false
	w.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "OpenGrants" && !s.After && !newer {
			newer = true
			w.enable("web") // with port 22
		}
		return nil
	}
	list, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("web", 3389)}, false)
	if err != nil || !newer {
		t.Fatal(newer, err)
	}
	if says := list[0].Narrowed.String(); says != "" {
		t.Errorf("it says %q", says)
	}
	if g := w.grant(id); g.Status() != jit.Initiated || w.allows("web-nsg") != 1 {
		t.Errorf("the window is %s %q, %d rules allow", g.Status(), g.Reason(), w.allows("web-nsg"))
	}
}

// TestExtendingMeetsAShortening: an extension that meets a change of the policy does not undo what the change has shortened.
func TestExtendingMeetsAShortening(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	p := policyOf("web", 22)
	p.Ports[0].Maximum = 30 * time.Minute
	shortened := false
	w.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "UpdateGrants" && !s.After && !shortened {
			shortened = true
			if _, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{p}, false); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	_, err := w.Extend(t.Context(), who("alice"), id, 2*time.Hour, time.Time{})
	if code(err) == "" || !shortened {
		t.Errorf("extended: %v, shortened: %v", err, shortened)
	}
	if end := w.grant(id).End(); !end.Equal(noon.Add(30 * time.Minute)) {
		t.Errorf("the window ends at %s", end)
	}
}

// TestTryThatPanics: a try to open that panics has failed, and is undone as any other.
func TestTryThatPanics(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	panicked := ""
	w.startWith(func(p *core.Ports) { p.Panicked = func(of string, _ []byte) { panicked = of } })
	rec, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, time.Hour, "203.0.113.7", "web"), "")
	if err != nil {
		t.Fatal(err)
	}
	once := false
	w.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "UpdateGrants" && !s.After && !once {
			once = true
			panic("a test")
		}
		return nil
	}
	if _, err := w.Open(t.Context(), who("alice"), rec); err == nil {
		t.Error("a try that panics succeeds")
	}
	if g := w.grant(rec.Grant.ID); !g.Closed() || g.Reason() != jit.OpeningFailed || w.allows("web-nsg") != 0 || !strings.Contains(panicked, rec.Grant.ID) {
		t.Errorf("the grant is %s %q, %d rules allow; told: %q", g.Status(), g.Reason(), w.allows("web-nsg"), panicked)
	}
}
