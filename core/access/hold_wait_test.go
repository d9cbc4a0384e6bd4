package access_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"portcullis/core/access"
	"portcullis/core/area"
	"portcullis/core/coretest"
	"portcullis/core/hold"
	"portcullis/core/jit"
	"portcullis/core/lockdown"
	"portcullis/core/pending"
)

// TestLockdownEndsWhatWaits: a lock-down ends what waits for approval, and what waits for its start, whether or not it holds new ones.
func TestLockdownEndsWhatWaits(t *testing.T) {
	for name, waiting := range map[string]func(*testing.T) *waitingWorld{
		"for approval":  func(t *testing.T) *waitingWorld { return newWaitingWorld(t, 2, nil) },
		"for its start": newScheduledWorld,
	} {
		for _, holds := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				w := waiting(t)
				run, err := w.lock.Begin(t.Context(), signedIn("dave"), lockdown.Order{Scope: area.Scope{VM: vmID("web")}, Reason: "suspected", Hold: holds})
				if err == nil {
					err = w.lock.Complete(t.Context(), run)
				}
				if err != nil || run.Found != 1 {
					t.Fatalf("%d found: %v", run.Found, err)
				}
				w.is(jit.Revoked, jit.LockedDown)
				w.pass(3 * time.Hour)
				w.sweep()
				w.is(jit.Revoked, jit.LockedDown)
			})
		}
	}
}

// TestHeldWhileItWaited: what waits in a scope that is held by the time of its approval is not opened, though the lock-down died before it closed anything.
func TestHeldWhileItWaited(t *testing.T) {
	w := newWaitingWorld(t, 1, nil)
	if _, err := w.lock.Begin(t.Context(), signedIn("dave"), lockdown.Order{Scope: area.Scope{Everything: true}, Reason: "suspected", Hold: true}); err != nil {
		t.Fatal(err)
	}
	if err := w.approve("bob"); err != nil {
		t.Fatal(err)
	}
	if rec := w.rec(); rec.Grant.AnyLive(w.now()) || w.allows("web-nsg") != 0 {
		t.Errorf("it is %s, and %d rules stand", rec.Grant.Status(), w.allows("web-nsg"))
	}
	w.sweep()
	if rec := w.rec(); !rec.Grant.Closed() {
		t.Errorf("after a sweep it is %s", rec.Grant.Status())
	}
	_, _, err := w.doors.Request(t.Context(), signedIn("alice"), want("alice", 22, time.Hour, "203.0.113.9", "web"), "")
	wantRefusal(t, "a new request", err, hold.CodeHeld)
}

// TestEndedWhileItWaits: what has ended at one machine while a request for two waits stays closed when it is approved, though it might be asked for
// again by then. The approval is of what is left.
func TestEndedWhileItWaits(t *testing.T) {
	for name, tt := range map[string]struct {
		reason jit.Reason
		end    func(w *waitingWorld) error
	}{
		"locked down": {jit.LockedDown, func(w *waitingWorld) error {
			run, err := w.lock.Begin(t.Context(), signedIn("dave"), lockdown.Order{Scope: area.Scope{VM: vmID("app1")}, Reason: "suspected"})
			if err != nil {
				return err
			}
			return w.lock.Complete(t.Context(), run)
		}},
		"disabled": {jit.PolicyRemoved, func(w *waitingWorld) error {
			_, err := w.Disable(t.Context(), who("admin"), []jit.ID{vmID("app1")})
			return err
		}},
		"disabled and enabled": {jit.PolicyRemoved, func(w *waitingWorld) error {
			_, err := w.Disable(t.Context(), who("admin"), []jit.ID{vmID("app1")})
			w.enable("app1")
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWaitingWorld(t, 1, nil)
			w.enable("app1")
			w.id = w.request(want("alice", 22, 2*time.Hour, "203.0.113.9", "app1", "web"))
			whole := access.Digest(w.rec().Grant)
			if err := tt.end(w); err != nil {
				t.Fatal(err)
			}
			_, err := w.doors.Approve(t.Context(), signedIn("bob"), w.id, whole)
			wantRefusal(t, "an approval of the whole", err, pending.CodeContentChanged)
			if err := w.approve("bob"); err != nil {
				t.Fatal(err)
			}
			app, web := w.rec().Grant.VMs[0].Ports[0], w.rec().Grant.VMs[1].Ports[0]
			if app.Status != jit.Revoked || app.Reason != tt.reason || w.allows("apps-nsg") != 0 {
				t.Errorf("app1 is %s %q with %d rules, want it closed: %s", app.Status, app.Reason, w.allows("apps-nsg"), tt.reason)
			}
			if web.Status != jit.Initiated || w.allows("web-nsg") != 1 {
				t.Errorf("web is %s %q with %d rules; failed: %q", web.Status, web.Reason, w.allows("web-nsg"), w.rec().Failed)
			}
		})
	}
}

// TestLockdownDuringARelease: a lock-down that comes at any step of the last approval and its opening leaves nothing of it open.
func TestLockdownDuringARelease(t *testing.T) {
	steps := 0
	for at := int64(1); ; at++ {
		w := newWaitingWorld(t, 1, nil)
		digest := access.Digest(w.rec().Grant)
		other := w.instance()
		var n atomic.Int64
		var locking, over atomic.Bool
		errs := make(chan error, 1)
		fault := func(context.Context, coretest.Step) error {
			if over.Load() || locking.Load() || n.Add(1) != at {
				return nil
			}
			locking.Store(true)
			defer locking.Store(false)
			run, err := other.lock.Begin(t.Context(), signedIn("dave"), lockdown.Order{Scope: area.Scope{Everything: true}, Reason: "suspected", Hold: true})
			if err == nil {
				err = other.lock.Complete(t.Context(), run)
			}
			errs <- err
			return nil
		}
		w.cloud.Fault, w.store.Fault, w.bell.Fault = fault, fault, fault
		rec, err := w.doors.Approve(t.Context(), signedIn("bob"), w.id, digest)
		if err == nil && rec.Grant.Status() == jit.Initiating {
			_, err = w.desk.Open(t.Context(), rec)
		}
		over.Store(true) // what the opening has left in the background still asks
		if n.Load() < at {
			if err != nil {
				t.Fatalf("undisturbed: %v", err)
			}
			w.is(jit.Initiated, "")
			break
		}
		steps++
		if locked := <-errs; locked != nil {
			t.Fatalf("the lock-down at step %d: %v", at, locked)
		}
		if w.allows("web-nsg") != 0 {
			t.Errorf("locked down at step %d (%v): it is %s, and %d rules stand", at, err, w.rec().Grant.Status(), w.allows("web-nsg"))
		}
		w.start()
		w.sweep()
		if open, _ := w.mem.OpenGrants(t.Context()); len(open) != 0 || w.allows("web-nsg") != 0 {
			t.Errorf("locked down at step %d, after a sweep %d grants are open", at, len(open))
		}
	}
	if steps < 15 {
		t.Errorf("only %d steps", steps)
	}
}
