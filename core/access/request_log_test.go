package access_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// TestOpenedAfterItsSuccessor: a request that is opened only after a newer one has
// taken its place is not reported open (found by the simulation).
func TestOpenedAfterItsSuccessor(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	older, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, 2*time.Hour, "203.0.113.7", "web"), "")
	if err != nil {
		t.Fatal(err)
	}
	w.leap(time.Second)
	newer := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	w.leap(time.Second)
	got, err := w.Open(t.Context(), who("alice"), older)
	if err != nil || !got.Grant.Closed() || got.Grant.Reason() != jit.NewerRequestInitiated {
		t.Errorf("the older grant is %s %s, %v", got.Grant.Status(), got.Grant.Reason(), err)
	}
	if w.grant(newer).Status() != jit.Initiated || w.allows("web-nsg") != 1 {
		t.Errorf("the newer grant is %s with %d allows", w.grant(newer).Status(), w.allows("web-nsg"))
	}
	w.pass(time.Hour)
	w.stands("web-nsg", closedWeb...)
}

// TestLogOfASupersededGrant: the log tells of a closing once, and only when it
// came about (found by the simulation).
func TestLogOfASupersededGrant(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	old := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	w.leap(time.Minute)
	rec, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, 30*time.Minute, "203.0.113.7", "web"), "")
	if err != nil {
		t.Fatal(err)
	}
	other, once := w.instance(), true
	w.store.Fault = func(ctx context.Context, s coretest.Step) error {
		if s.Op == "UpdateGrants" && !s.After && once {
			once = false // the newer grant is revoked right before it is stored as open
			_, err := other.Revoke(ctx, who("alice"), rec.Grant.ID)
			return err
		}
		return nil
	}
	if got, err := w.Open(t.Context(), who("alice"), rec); err != nil || !got.Grant.Closed() {
		t.Fatalf("the newer grant is %s, %v", got.Grant.Status(), err)
	}
	if w.grant(old).Status() != jit.Initiated {
		t.Errorf("the older grant is %s", w.grant(old).Status())
	}
	closed := func() (n int) {
		entries, _, _ := w.mem.Entries(t.Context(), store.EntryFilter{Operation: store.OpClose}, "", 100)
		for _, e := range entries {
			if e.Grant == old {
				n++
			}
		}
		return n
	}
	if closed() != 0 {
		t.Errorf("the log says that the older grant is closed: %q", w.log())
	}
	w.pass(time.Hour)
	if closed() != 1 {
		t.Errorf("the log tells %d times of the older grant's closing: %q", closed(), w.log())
	}
}

// TestLockedTargetRefusesAnOpening: what would forbid the closing forbids the
// opening first, since both are the same write; nothing is left of it.
func TestLockedTargetRefusesAnOpening(t *testing.T) {
	for _, forbidden := range []error{store.ErrLocked, store.ErrForbidden} {
		t.Run(forbidden.Error(), func(t *testing.T) {
			w := newWorld(t)
			w.enable("web")
			w.cloud.Fault = func(_ context.Context, s coretest.Step) error {
				if s.Op == "Apply" {
					return forbidden
				}
				return nil
			}
			if _, err := w.ask(want("alice", 22, time.Hour, "203.0.113.7", "web")); !errors.Is(err, forbidden) {
				t.Errorf("error %v, want %v", err, forbidden)
			}
			w.stands("web-nsg", closedWeb...)
			open, _ := w.mem.OpenGrants(t.Context())
			for _, g := range open {
				t.Errorf("a grant is left %s", g.Grant.Status())
			}
		})
	}
}

// TestOpenedWhenItWasConfirmed: the log tells of an opening at the time at which it is open on every
// target, which a firewall takes minutes for, and not at that at which the first was.
func TestOpenedWhenItWasConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.startWith(func(p *core.Ports) { p.Now = time.Now })
		w.enable("web", "app1")
		w.cloud.Fault = func(_ context.Context, s coretest.Step) error {
			if s.Op == "Apply" && s.After && s.Of == nsgID("apps-nsg").Key() {
				time.Sleep(3 * time.Minute)
			}
			return nil
		}
		w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web", "app1"))
		entries, _, err := w.mem.Entries(t.Context(), store.EntryFilter{Operation: store.OpOpen}, "", 10)
		if err != nil || len(entries) != 2 {
			t.Fatalf("%+v, %v", entries, err)
		}
		for _, e := range entries {
			if !e.Time.Equal(time.Now()) {
				t.Errorf("%s is logged as open at %s, and it is %s", e.VM.Name, e.Time, time.Now())
			}
		}
	})
}
