package access_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"portcullis/core/area"
	"portcullis/core/coretest"
	"portcullis/core/hold"
	"portcullis/core/jit"
	"portcullis/core/lockdown"
	"portcullis/core/store"
)

const annID, bobID = "00000000-0000-0000-0000-0000000000a1", "00000000-0000-0000-0000-0000000000b0"

// people with ids as tokens have them.
var (
	annie = jit.Caller{ID: "tid/" + annID, Name: "ann@example.com", Correlation: "test"}
	bobby = jit.Caller{ID: "tid/" + bobID, Name: "bob@example.com", Correlation: "test"}
	admin = jit.Caller{ID: "tid/00000000-0000-0000-0000-0000000000ad", Name: "admin@example.com", Correlation: "test"}
)

// locks locks down and waits for it.
func (w *world) locks(r rooms, o lockdown.Order) (lockdown.Run, error) {
	run, err := r.lock.Begin(w.t.Context(), admin, o)
	if err != nil {
		return run, err
	}
	return run, r.lock.Complete(w.t.Context(), run)
}

func (w *world) mustLock(scope area.Scope, holds bool) lockdown.Run {
	w.t.Helper()
	run, err := w.locks(w.rooms, lockdown.Order{Scope: scope, Reason: "somebody left", Hold: holds})
	if err != nil {
		w.t.Fatal(err)
	}
	return run
}

// scopes are one of each kind that cover annie at web, and one of each kind that do not.
func scopes() (covering, others []area.Scope) {
	return []area.Scope{{Everything: true}, {Person: annID}, {VM: vmID("WEB")}, {Subscription: sub}, {Subscription: sub, ResourceGroup: "DEMO"}},
		[]area.Scope{{Person: bobID}, {VM: vmID("app1")}, {Subscription: "00000000-0000-0000-0000-000000000bad"}, {Subscription: sub, ResourceGroup: "dem"}, {}}
}

// TestHeld: what is held neither begins nor lasts longer, by no verb, and what is not held does; it is the same after a restart, until it is lifted.
func TestHeld(t *testing.T) {
	covering, others := scopes()
	for i, scope := range slices.Concat(covering, others) {
		held := i < len(covering)
		t.Run(scope.String(), func(t *testing.T) {
			w := newWorld(t)
			w.enable("web")
			open := w.mustAskAs(annie, 22, "203.0.113.7")
			begun := w.intended(annie, "203.0.113.9")
			hold1 := store.Hold{ID: "00000000-0000-7000-8000-000000000001", Scope: scope, Reason: "test", At: noon}
			set, err := w.mem.Holds(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			set.Holds = []store.Hold{hold1}
			if _, err := w.mem.PutHolds(t.Context(), set); err != nil { // by another instance, which has died right after
				t.Fatal(err)
			}
			w.leap(time.Second)
			verbs := func(when string, held bool) {
				t.Helper()
				fresh := asked(annie, 3389, "203.0.113.27", "web")
				_, _, requested := w.doors.Request(t.Context(), annie, fresh, "key "+when)
				_, _, preview := w.doors.Preview(t.Context(), annie, fresh)
				_, _, repeated := w.doors.Request(t.Context(), annie, asked(annie, 22, "203.0.113.7", "web"), "another key "+when)
				_, extended := w.doors.Extend(t.Context(), annie, open, 2*time.Hour, time.Time{})
				_, _, previewed := w.doors.PreviewExtend(t.Context(), annie, open, 150*time.Minute, time.Time{})
				_, opened := w.doors.Open(t.Context(), annie, begun)
				for verb, err := range map[string]error{"request": requested, "dry run": preview, "extension": extended, "its dry run": previewed, "opening": opened} {
					if refused := code(err) == hold.CodeHeld; refused != held {
						t.Errorf("%s, %s: %v", when, verb, err)
					}
				}
				if !held && repeated != nil {
					t.Errorf("%s, again: %v", when, repeated)
				}
			}
			writes := w.cloud.Writes()
			verbs("held", held)
			if n := w.allows("web-nsg"); held && n != 1 {
				t.Errorf("%d allows, want the one from before the hold", n)
			}
			if !held {
				return
			}
			if got := w.cloud.Writes() - writes; got != 0 {
				t.Errorf("what is held wrote %d times", got)
			}
			if _, err := w.doors.Revoke(t.Context(), annie, open); err != nil {
				t.Errorf("a closing: %v", err)
			}
			w.start()
			_, _, err = w.doors.Request(t.Context(), annie, asked(annie, 3389, "203.0.113.28", "web"), "")
			if code(err) != hold.CodeHeld {
				t.Errorf("after a restart: %v", err)
			}
			if _, err := w.lock.Lift(t.Context(), admin, hold1.ID, "all is well", false); err != nil {
				t.Fatal(err)
			}
			open, begun = w.mustAskAs(annie, 22, "203.0.113.7"), w.intended(annie, "203.0.113.29")
			verbs("lifted", false)
		})
	}
}

// TestOldHoldsProveNothing: an instance that remembers that nothing is held opens nothing after another has set a hold, and one that remembers a hold
// refuses nothing after another has lifted it.
func TestOldHoldsProveNothing(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	if err := w.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.mustAskAs(bobby, 22, "203.0.113.8")
	reads := 0
	w.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Holds" && !s.After {
			reads++
		}
		return nil
	}
	w.mustAskAs(bobby, 22, "203.0.113.9")
	if reads != 0 {
		t.Errorf("an ordinary request read the holds %d times", reads)
	}
	w.store.Fault = nil
	other := w.instance()
	run, err := w.locks(other, lockdown.Order{Scope: area.Scope{VM: vmID("web")}, Reason: "test", Hold: true})
	if err != nil {
		t.Fatal(err)
	}
	writes := w.cloud.Writes()
	_, _, err = w.Request(t.Context(), annie, asked(annie, 22, "203.0.113.7", "web"), "")
	if code(err) != hold.CodeHeld || w.cloud.Writes() != writes || w.allows("web-nsg") != 0 {
		t.Errorf("with what it remembers: %v, %d writes, %d allows", err, w.cloud.Writes()-writes, w.allows("web-nsg"))
	}
	if open, _ := w.mem.OpenGrants(t.Context()); len(open) != 0 {
		t.Errorf("%d grants are stored", len(open))
	}
	if _, err := other.lock.Lift(t.Context(), admin, run.Hold, "over", false); err != nil {
		t.Fatal(err)
	}
	w.mustAskAs(annie, 22, "203.0.113.7")
}

// TestHoldsThatCannotBeRead: nothing opens while they cannot, and everything closes.
func TestHoldsThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	open, begun := w.mustAskAs(annie, 22, "203.0.113.7"), w.intended(annie, "203.0.113.9")
	w.start() // it remembers nothing
	w.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Holds" || s.Op == "Lockdowns" {
			return &store.Unavailable{Dependency: "Table Storage", Err: errFault}
		}
		return nil
	}
	writes := w.cloud.Writes()
	_, _, requested := w.Request(t.Context(), annie, asked(annie, 3389, "203.0.113.7", "web"), "")
	_, opened := w.Open(t.Context(), annie, begun)
	_, extended := w.Extend(t.Context(), annie, open, 2*time.Hour, time.Time{})
	for verb, err := range map[string]error{"request": requested, "opening": opened, "extension": extended} {
		if _, down := errors.AsType[*store.Unavailable](err); !down {
			t.Errorf("%s: %v", verb, err)
		}
	}
	if n := w.cloud.Writes() - writes; n != 0 {
		t.Errorf("%d writes", n)
	}
	if rec, err := w.Revoke(t.Context(), annie, open); err != nil || !rec.Grant.Closed() {
		t.Errorf("the closing: %v", err)
	}
	w.pass(2 * time.Hour)
	_, _ = w.Sweep(t.Context(), who("portcullis"))
	if w.allows("web-nsg") != 0 {
		t.Errorf("%q", w.lines("web-nsg"))
	}
}

// TestLockdownDuringAnOpening: a lock-down that comes at any step of an opening, whole or dying right after its hold, leaves nothing of it open.
func TestLockdownDuringAnOpening(t *testing.T) {
	for _, dies := range []bool{false, true} {
		t.Run(fmt.Sprint("dies ", dies), func(t *testing.T) {
			steps := 0
			for at := int64(1); ; at++ {
				w := newWorld(t)
				w.enable("web", "app1")
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
					run, err := other.lock.Begin(t.Context(), admin, lockdown.Order{Scope: area.Scope{Everything: true}, Reason: "test", Hold: true})
					if err == nil && !dies {
						err = other.lock.Complete(t.Context(), run)
					}
					errs <- err
					return nil
				}
				w.cloud.Fault, w.store.Fault, w.bell.Fault = fault, fault, fault
				rec, err := w.ask(asked(annie, 22, "203.0.113.7", "web", "app1"))
				over.Store(true) // what the opening has left in the background still asks
				if n.Load() < at {
					if err != nil {
						t.Fatalf("undisturbed: %v", err)
					}
					break
				}
				steps++
				if locked := <-errs; locked != nil {
					t.Fatalf("the lock-down at step %d: %v", at, locked)
				}
				late := err == nil && rec.Grant.Status() == jit.Initiated // it was open before the hold came
				if left := w.allows("web-nsg") + w.allows("apps-nsg"); left != 0 && !(dies && late) {
					t.Errorf("locked down at step %d (%v): %d allows stand", at, err, left)
				}
				w.start()
				w.sweep()
				if open, _ := w.mem.OpenGrants(t.Context()); len(open) != 0 || w.allows("web-nsg")+w.allows("apps-nsg") != 0 {
					t.Errorf("locked down at step %d, after a sweep %d grants are open: %q", at, len(open), w.lines("web-nsg"))
				}
			}
			if steps < 12 {
				t.Errorf("only %d steps", steps)
			}
		})
	}
}

// TestHeldWhileItOpened: a hold that comes between the write of an opening and its confirmation undoes it, though nobody marks it.
func TestHeldWhileItOpened(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	w.cloud.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Apply" && s.After {
			set, err := w.mem.Holds(t.Context())
			if err != nil || len(set.Holds) > 0 {
				return err
			}
			set.Holds = []store.Hold{{ID: "h", Scope: area.Scope{Person: annID}, At: noon}}
			_, err = w.mem.PutHolds(t.Context(), set)
			return err
		}
		return nil
	}
	_, err := w.ask(asked(annie, 22, "203.0.113.7", "web"))
	if code(err) != hold.CodeHeld || w.allows("web-nsg") != 0 {
		t.Errorf("%v, and %d allows stand", err, w.allows("web-nsg"))
	}
	if open, _ := w.mem.OpenGrants(t.Context()); len(open) != 0 {
		t.Errorf("%d grants are open", len(open))
	}
	if got := strings.Join(w.log(), "\n"); !strings.Contains(got, "Failed") {
		t.Errorf("the log says nothing:\n%s", got)
	}
}

// TestHeldUntilItIsLifted: a hold refuses until the write that lifts it has succeeded, and goes on refusing where that fails.
func TestHeldUntilItIsLifted(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	run := w.mustLock(area.Scope{VM: vmID("web")}, true)
	ask := func(when string) {
		t.Helper()
		if _, _, err := w.Request(t.Context(), annie, asked(annie, 22, "203.0.113.7", "web"), ""); code(err) != hold.CodeHeld {
			t.Errorf("%s: %v", when, err)
		}
	}
	w.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op != "PutHolds" {
			return nil
		}
		ask("before the write")
		return errFault
	}
	if _, err := w.lock.Lift(t.Context(), admin, run.Hold, "over", false); err == nil {
		t.Fatal("it is lifted")
	}
	w.store.Fault = nil
	ask("after a write that failed")
	if open, _ := w.mem.OpenGrants(t.Context()); len(open) != 0 {
		t.Errorf("%d grants are stored", len(open))
	}
}

// TestLockdownMeetsAClosing: a lock-down has ended only once what was being closed in its scope when it came is closed as well.
func TestLockdownMeetsAClosing(t *testing.T) {
	for name, end := range map[string]func(w *world, id string){
		"revoked": func(w *world, id string) { _, _ = w.Revoke(t.Context(), bobby, id) },
		"expired": func(w *world, _ string) { w.leap(24 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.enable("web", "app1")
			id := w.mustAskAs(bobby, 22, "203.0.113.7")
			w.cloud.Fault = func(_ context.Context, s coretest.Step) error {
				if s.Op == "Apply" {
					return errFault
				}
				return nil
			}
			end(w, id)
			w.cloud.Fault = nil
			if w.allows("web-nsg") != 1 || w.grant(id).Closed() {
				t.Fatalf("%d allows, %s", w.allows("web-nsg"), w.grant(id).Status())
			}
			if w.mustLock(area.Scope{VM: vmID("app1")}, false); w.allows("web-nsg") != 1 {
				t.Error("a lock-down elsewhere has closed it")
			}
			if w.mustLock(area.Scope{VM: vmID("web")}, false); w.allows("web-nsg") != 0 || !w.grant(id).Closed() {
				t.Errorf("%d allows after the lock-down, %s", w.allows("web-nsg"), w.grant(id).Status())
			}
		})
	}
}
