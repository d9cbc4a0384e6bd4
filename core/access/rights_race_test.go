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

// TestPreviewCountsWhatASweepCloses: a dry run counts the grants that a sweep would close, each once, whatever closes it, and not those of which it would
// close a part.
func TestPreviewCountsWhatASweepCloses(t *testing.T) {
	w, a := newWorld(t), &taken{lost: map[string]bool{}, down: map[string]bool{}}
	w.enable("web", "app1", "app2")
	w.startWith(func(p *core.Ports) { p.Authority = a; p.CloseLost = true })
	ends := func(long time.Duration, vms ...string) {
		r := asked(ann, 22, "203.0.113.9", vms...)
		r.VMs[0].Ports[0].Duration, r.VMs[1].Ports[0].Duration = time.Hour, long
		w.mustAsk(r)
	}
	ends(3*time.Hour, "web", "app1")               // a part is due, the rest is lost
	ends(3*time.Hour, "web", "app2")               // a part is due
	w.mustAskAs(bob, 3389, "203.0.113.10", "app1") // due as a whole
	w.mustAskAs(ann, 3389, "203.0.113.11", "app1", "web")
	w.leap(time.Hour + time.Minute)
	w.mustAskAs(ann, 3389, "203.0.113.12", "app1", "web") // a part is lost
	a.lost[ann.ID+" app1"] = true
	dry, err := w.Sweeper.PreviewNow(t.Context(), bob)
	if err != nil {
		t.Fatal(err)
	}
	if rec := w.sweep(); dry.Closed != rec.Closed || rec.Closed == 0 {
		t.Errorf("the dry run says %d, the sweep closed %d", dry.Closed, rec.Closed)
	}
}

// TestLostIsNotBeyond: what a sweep closes since its owner has lost the right is not told as open beyond the demand as well.
func TestLostIsNotBeyond(t *testing.T) {
	for name, closes := range map[string]bool{"report": false, "close": true} {
		w, a := newWorld(t), &taken{lost: map[string]bool{}, down: map[string]bool{}}
		w.enable("web")
		w.mustAskAs(ann, 22, "0.0.0.0/1", "web")
		a.lost[ann.ID+" web"] = true
		w.startWith(func(p *core.Ports) {
			p.Authority, p.CloseLost, p.Floor = a, closes, jit.Options{ForbidAnySource: true}
		})
		rec := w.sweep()
		if got := findings(rec, store.FindingBeyond); (got == "") != closes {
			t.Errorf("%s: %q", name, got)
		}
		if got := found(rec, store.FindingRightLost); len(got) != 1 {
			t.Errorf("%s: %v", name, got)
		}
	}
}
