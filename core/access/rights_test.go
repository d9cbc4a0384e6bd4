package access_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"portcullis/core"
	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// taken is an authority that takes the right to ask from some, by object id and machine, and counts what it is asked.
type taken struct {
	lost map[string]bool // caller's id and machine's name
	down map[string]bool // callers of whom nothing can be found out
	mu   sync.Mutex
	asks []string

	during func() // is called with each question; nil for nothing
}

func (a *taken) Missing(_ context.Context, who jit.Caller, scope string, actions ...string) (string, error) {
	name := scope[strings.LastIndex(scope, "/")+1:]
	if a.during != nil {
		a.during()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asks = append(a.asks, who.ID+" "+name)
	if a.down[who.ID] {
		return "", &store.Unavailable{Dependency: "Azure Resource Manager", Err: errFault}
	}
	if a.lost[who.ID+" "+name] {
		return actions[0], nil
	}
	return "", nil
}

// newLost is a world in which ann has windows on app1 and app2, two on app1, and bob one on app1.
func newLost(t *testing.T, closes bool) (w *world, a *taken, ann1, ann2, both, bob1 string) {
	w, a = newWorld(t), &taken{lost: map[string]bool{}, down: map[string]bool{}}
	w.enable("app1", "app2")
	ann1, ann2 = w.mustAskAs(ann, 22, "203.0.113.1", "app1"), w.mustAskAs(ann, 22, "203.0.113.2", "app2")
	both, bob1 = w.mustAskAs(ann, 3389, "203.0.113.3", "app1", "app2"), w.mustAskAs(bob, 22, "203.0.113.4", "app1")
	w.startWith(func(p *core.Ports) { p.Authority = a; p.CloseLost = closes })
	return w, a, ann1, ann2, both, bob1
}

// found gives the grants that findings of a kind name, and the messages of those that name none.
func found(rec store.SweepRecord, kind store.FindingKind) []string {
	var out []string
	for _, f := range rec.Findings {
		switch {
		case f.Kind == kind && f.Grant != "":
			out = append(out, f.Grant+" "+f.VM.Name)
		case f.Kind == kind:
			out = append(out, f.Message)
		}
	}
	slices.Sort(out)
	return out
}

// TestRightThatCannotBeRead: what could not be found out is no lost right: nothing is closed, no such finding is made, and it is said.
func TestRightThatCannotBeRead(t *testing.T) {
	w, a, ann1, _, _, _ := newLost(t, true)
	a.down[ann.ID], a.lost[ann.ID+" app1"] = true, true
	rec := w.sweep()
	if got := found(rec, store.FindingRightLost); got != nil {
		t.Errorf("found %v", got)
	}
	if got := strings.Join(found(rec, store.FindingUnchecked), "\n"); !strings.Contains(got, "could still do so, 4 times (Azure Resource Manager is unavailable)") {
		t.Errorf("said %q", got)
	}
	if !w.grant(ann1).AnyLive(w.now()) {
		t.Error("it was closed")
	}
}

// TestRightLost: a sweep names the windows whose owner could not ask for them any more, by machine, with one question for each owner and
// machine; it closes them where it is told to, with their own reason and line in the log, and leaves all others open.
func TestRightLost(t *testing.T) {
	for name, closes := range map[string]bool{"report": false, "close": true} {
		t.Run(name, func(t *testing.T) {
			w, a, ann1, ann2, both, bob1 := newLost(t, closes)
			if rec := w.sweep(); len(found(rec, store.FindingRightLost)) != 0 {
				t.Fatalf("%+v", rec.Findings)
			}
			a.lost[ann.ID+" app1"] = true
			a.asks = nil
			dry, err := w.Sweeper.PreviewNow(t.Context(), bob)
			if err != nil || len(found(dry, store.FindingRightLost)) != 2 || dry.Closed != map[bool]int{true: 1}[closes] {
				t.Errorf("the dry run: %+v, %v", dry, err)
			}
			if !w.grant(ann1).AnyLive(w.now()) {
				t.Fatal("the dry run closed it")
			}
			a.asks = nil
			rec := w.sweep()
			want := []string{ann1 + " app1", both + " app1"}
			slices.Sort(want)
			if got := found(rec, store.FindingRightLost); !slices.Equal(got, want) {
				t.Errorf("found %v, want %v", got, want)
			}
			slices.Sort(a.asks)
			if got := strings.Join(a.asks, ", "); got != ann.ID+" app1, "+ann.ID+" app2, "+bob.ID+" app1" {
				t.Errorf("asked %s: want one question for each owner and machine", got)
			}
			open := func(id string) bool { return w.grant(id).AnyLive(w.now()) }
			if open(ann1) == closes || !open(ann2) || !open(both) || !open(bob1) {
				t.Errorf("open: ann's on app1 %t, on app2 %t, on both %t, bob's %t", open(ann1), open(ann2), open(both), open(bob1))
			}
			allowed := strings.Join(w.lines("apps-nsg"), "\n")
			if strings.Contains(allowed, "203.0.113.1") == closes || !strings.Contains(allowed, "203.0.113.2") || !strings.Contains(allowed, "203.0.113.3") || !strings.Contains(allowed, "203.0.113.4") {
				t.Errorf("rules:\n%s", allowed)
			}
			entries, _, err := w.mem.Entries(t.Context(), store.EntryFilter{Operation: store.OpClose}, "", 10)
			if err != nil || closes != (len(entries) == 2) || closes && (entries[0].Reason != string(jit.RightLost) || entries[0].Requestor != jit.App().Name) {
				t.Errorf("the log: %+v, %v", entries, err)
			}
			if again := w.sweep(); closes != (len(found(again, store.FindingRightLost)) == 0) {
				t.Errorf("the next sweep: %v", found(again, store.FindingRightLost))
			}
		})
	}
}

// TestRightLostNamesWhatIsMissing: the finding says whose right, which one and where.
func TestRightLostNamesWhatIsMissing(t *testing.T) {
	w, a, _, ann2, _, _ := newLost(t, false)
	a.lost[ann.ID+" app2"] = true
	for _, f := range w.sweep().Findings {
		if f.Kind == store.FindingRightLost && f.Grant == ann2 && !(strings.Contains(f.Message, ann.Name) && strings.Contains(f.Message, permit.ActionInitiate) && f.VM.Name == "app2") {
			t.Errorf("%+v", f)
		}
	}
}
