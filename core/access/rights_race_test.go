package access_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// TestRightLostOfWhatOthersHaveClosed: a window that its owner closes while a sweep asks for rights is closed for the owner's reason, once, and is
// no failure of the sweep.
func TestRightLostOfWhatOthersHaveClosed(t *testing.T) {
	w, a, ann1, _, _, _ := newLost(t, true)
	a.lost[ann.ID+" app1"] = true
	other := w.instance()
	var once sync.Once
	a.during = func() {
		once.Do(func() {
			if _, err := other.Revoke(t.Context(), ann, ann1); err != nil {
				t.Error(err)
			}
		})
	}
	rec := w.sweep()
	if g := w.grant(ann1); !g.Closed() || g.Reason() != jit.UserRequested {
		t.Errorf("closed %t for %s", g.Closed(), g.Reason())
	}
	if rec.Closed != 0 {
		t.Errorf("the sweep says that it closed %d grants", rec.Closed)
	}
	lines := slices.DeleteFunc(w.log(), func(l string) bool { return !strings.HasPrefix(l, "Close ") })
	if len(lines) != 2 { // ann's own, and the part of her other grant
		t.Errorf("the log: %v", lines)
	}
}

// TestOverdueNamesTheMachine: a closing that fails is told of the machine whose window is due, and since when, not of another of the same grant.
func TestOverdueNamesTheMachine(t *testing.T) {
	w, a := newWorld(t), &taken{lost: map[string]bool{}, down: map[string]bool{}}
	w.enable("web", "app1")
	id := w.mustAskAs(ann, 22, "203.0.113.1", "web", "app1")
	w.leap(time.Minute)
	a.lost[ann.ID+" app1"] = true
	w.startWith(func(p *core.Ports) { p.Authority = a; p.CloseLost = true })
	w.cloud.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Apply" {
			return errFault
		}
		return nil
	}
	rec, err := w.Sweep(t.Context(), who("portcullis"))
	if err == nil {
		t.Fatal("the sweep did not fail")
	}
	overdue := slices.DeleteFunc(slices.Clone(rec.Findings), func(f store.Finding) bool { return f.Kind != store.FindingOverdue })
	if len(overdue) != 1 || overdue[0].Grant != id || overdue[0].VM.Name != "app1" || !strings.Contains(overdue[0].Message, "for app1 ended at "+w.now().Format(time.RFC3339)) {
		t.Errorf("%+v", overdue)
	}
}
