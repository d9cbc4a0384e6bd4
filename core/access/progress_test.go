package access_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core/access"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/round"
	"portcullis/core/store"
)

// progress writes how far an opening is, as another instance sees it.
func (w *world) progress(id string) string {
	w.t.Helper()
	rec, err := w.instance().Find(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	out := rec.Grant.Status().String()
	for _, p := range rec.Progress() {
		out += fmt.Sprint(" ", p.Target.Name, " ", p.Confirmed)
	}
	return out
}

// TestProgress: while a grant is being opened it says which targets have confirmed it, and only
// those; what it says is stored, so that every instance says the same, and one that starts anew.
func TestProgress(t *testing.T) {
	const none, half = "Initiating apps-nsg false web-nsg false", "Initiating apps-nsg false web-nsg true"
	// first lets somebody else write the grant right before its first note.
	first := func(change func(*store.GrantRecord, *world)) func(*world, coretest.Step) error {
		once := true
		return func(w *world, s coretest.Step) error {
			if s.Op != "NoteConfirmed" || s.After || !once {
				return nil
			}
			once = false
			g, err := w.mem.OpenGrants(context.Background())
			if err == nil {
				change(&g[0], w)
				_, err = w.mem.UpdateGrants(context.Background(), g[0])
			}
			return err
		}
	}
	for name, tc := range map[string]struct {
		fault       func(*world, coretest.Step) error // at the write of web-nsg, and at every call of the store
		half        string                            // while apps-nsg has not answered, "" for what depends on who is first
		whole, code string                            // at the end
	}{
		"confirmed": {nil, half, "Initiated", ""},
		"the answer of web-nsg is lost": {func(_ *world, s coretest.Step) error {
			if s.Op == "Apply" && s.After {
				return errFault
			}
			return nil
		}, none, "", ""},
		"web-nsg is gone": {func(w *world, s coretest.Step) error {
			if s.Op == "Apply" && !s.After {
				w.cloud.RemoveTarget(nsgID("web-nsg"))
			}
			return nil
		}, none, "Revoked", string(round.CodeTargetGone)},
		"the note cannot be stored": {func(_ *world, s coretest.Step) error {
			if s.Op == "NoteConfirmed" || s.Op == "UpdateGrants" {
				return errFault
			}
			return nil
		}, none, "", ""},
		"somebody writes it first":  {first(func(g *store.GrantRecord, _ *world) { g.LastError = "x" }), half, "Initiated", ""},
		"somebody revokes it first": {first(func(g *store.GrantRecord, w *world) { g.Grant = g.Grant.Revoke(w.now(), jit.UserRequested) }), "", "Revoked", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.enable("web", "app1")
				rec, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, time.Hour, "203.0.113.7", "web", "app1"), "")
				if err != nil {
					t.Fatal(err)
				}
				id, release := rec.Grant.ID, make(chan struct{})
				if got := w.progress(id); got != none {
					t.Errorf("before: %s", got)
				}
				w.cloud.Fault = func(_ context.Context, s coretest.Step) error {
					if s.Op == "Apply" && s.Of == nsgID("apps-nsg").Key() {
						if !s.After {
							<-release
						}
						return nil
					}
					if tc.fault == nil || s.Op == "Apply" && s.Of != nsgID("web-nsg").Key() {
						return nil
					}
					return tc.fault(w, s)
				}
				stored := w.store.Fault
				w.store.Fault = func(ctx context.Context, s coretest.Step) error {
					if tc.fault != nil && (s.Op == "NoteConfirmed" || s.Op == "UpdateGrants") {
						return tc.fault(w, s)
					}
					return nil
				}
				done := make(chan error)
				go func() { _, err := w.Open(t.Context(), who("alice"), rec); done <- err }()
				time.Sleep(2 * time.Second) // of the bubble's
				synctest.Wait()
				if got := w.progress(id); tc.half != "" && got != tc.half {
					t.Errorf("while apps-nsg has not answered: %s, want %s", got, tc.half)
				}
				if name == "confirmed" && w.allows("web-nsg") != 1 {
					t.Error("web-nsg is said to have confirmed a rule that does not stand")
				}
				close(release)
				err = <-done
				w.store.Fault = stored
				if code(err) != jit.Code(tc.code) || (err == nil) != (tc.half != none) {
					t.Errorf("ended with %v", err)
				}
				if got := w.progress(id); tc.whole != "" && got != tc.whole {
					t.Errorf("at the end: %s, want %s", got, tc.whole)
				}
			})
		})
	}
}

// TestProgressCosts: targets that confirm one after the other, ten in a second, are noted once in each second, in the order in
// which they came, and the last of them with the grant itself.
func TestProgressCosts(t *testing.T) {
	for targets, notes := range map[int][]int{1: nil, 2: nil, 10: nil, 12: {11}, 36: {11, 21, 31}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			var names []string
			turn := map[string]time.Duration{}
			for i := range targets {
				name := fmt.Sprintf("vm%02d", i)
				w.cloud.SetRules(nsgID("nsg-" + name))
				w.place(name, "nsg-"+name, fmt.Sprintf("10.0.2.%d", i))
				names = append(names, name)
				turn[nsgID("nsg-"+name).Key()] = max(50*time.Millisecond, time.Duration(i)*100*time.Millisecond)
			}
			w.enable(names...)
			rec, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, time.Hour, "203.0.113.7", names...), "")
			if err != nil {
				t.Fatal(err)
			}
			w.cloud.Fault = func(_ context.Context, s coretest.Step) error {
				if s.Op == "Apply" && s.After {
					time.Sleep(turn[s.Of])
				}
				return nil
			}
			var noted []int
			stored := 0
			w.store.Fault = func(ctx context.Context, s coretest.Step) error {
				switch {
				case s.Op == "UpdateGrants" && !s.After:
					stored++
				case s.Op == "NoteConfirmed" && s.After:
					g, err := w.mem.Grant(ctx, rec.Grant.ID)
					n := 0
					for _, p := range g.Placements {
						if p.Confirmed {
							n++
						}
					}
					noted = append(noted, n)
					return err
				}
				return nil
			}
			if _, err := w.Open(t.Context(), who("alice"), rec); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(noted, notes) || stored != 1 {
				t.Errorf("%d targets: noted at %v, want %v; the grant was stored %d times, want once", targets, noted, notes, stored)
			}
		})
	}
}

// TestProgressShown: who may read one of two machines is told of its targets alone.
func TestProgressShown(t *testing.T) {
	w := newWorld(t)
	w.enable("web", "app1")
	rec, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, time.Hour, "203.0.113.7", "web", "app1"), "")
	if err != nil {
		t.Fatal(err)
	}
	for name, targets := range map[string]string{"reader": "apps-nsg web-nsg ", "webreader": "web-nsg "} {
		shown, err := guarded(w).Find(t.Context(), person(name), rec.Grant.ID)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, p := range shown.Progress() {
			got += p.Target.Name + " "
		}
		if got != targets {
			t.Errorf("%s is told of %q, want %q", name, got, targets)
		}
	}
	if _, err := guarded(w).Find(t.Context(), person("nobody"), rec.Grant.ID); code(err) != access.CodeRequestNotFound {
		t.Errorf("got %v", err)
	}
}
