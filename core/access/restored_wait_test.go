package access_test

import (
	"slices"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/access"
	"portcullis/core/area"
	"portcullis/core/jit"
	"portcullis/core/lockdown"
	"portcullis/core/pending"
	"portcullis/core/permit"
)

// over puts the tables of a moment ago back after what has happened since, and starts anew; lockFirst is the remedy of docs/operations.md.
func (w *waitingWorld) over(since func(), lockFirst bool) {
	w.t.Helper()
	copied := w.mem.Copy()
	since()
	w.putBack(copied)
	w.startWith(func(p *core.Ports) { p.Authority = w.staff })
	if !lockFirst {
		return
	}
	admin := signedIn("admin")
	w.staff.set("admin", writing...)
	run, err := w.lock.Begin(w.t.Context(), admin, lockdown.Order{Scope: area.Scope{Everything: true}, Reason: "restored", Hold: true})
	if err == nil {
		err = w.lock.Complete(w.t.Context(), run)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestRestoredTablesWait: a request that waits in tables which are put back, and was decided since, waits to the same end, opens by no sweep, and needs the
// people whom it needs, with their rights of now. Where everything is locked down first, nothing of it can open.
func TestRestoredTablesWait(t *testing.T) {
	denied := func(w *waitingWorld) {
		if _, err := w.doors.Deny(t.Context(), signedIn("dave"), w.id, "no"); err != nil {
			t.Fatal(err)
		}
	}
	opened := func(w *waitingWorld) {
		if err := w.approve("carol"); err != nil {
			t.Fatal(err)
		}
		w.is(jit.Initiated, "")
		if _, err := w.doors.Revoke(t.Context(), signedIn("alice"), w.id); err != nil {
			t.Fatal(err)
		}
	}
	for name, since := range map[string]func(*waitingWorld){"denied": denied, "approved, opened and closed": opened} {
		t.Run(name, func(t *testing.T) {
			w := newWaitingWorld(t, 2, nil)
			digest := w.digest
			if err := w.approve("bob"); err != nil {
				t.Fatal(err)
			}
			w.over(func() { since(w) }, false)
			w.sweep()
			w.is(jit.AwaitingApproval, "")
			_, err := w.doors.Approve(t.Context(), signedIn("bob"), w.id, digest)
			wantRefusal(t, "by whose approval is in the copy", err, pending.CodeAlreadyApproved)
			_, err = w.doors.Approve(t.Context(), signedIn("alice"), w.id, digest)
			wantRefusal(t, "by who asked", err, pending.CodeOwnRequest)
			w.staff.set("bob", permit.ActionRead)
			if err := w.approve("dave"); err != nil {
				t.Fatal(err)
			}
			w.is(jit.AwaitingApproval, "") // bob does not count any more
			w.pass(time.Hour)
			w.sweep()
			w.is(jit.Revoked, jit.ApprovalExpired)
		})
		t.Run(name+", and the end has come", func(t *testing.T) {
			w := newWaitingWorld(t, 2, nil)
			if err := w.approve("bob"); err != nil {
				t.Fatal(err)
			}
			w.over(func() { since(w); w.leap(time.Hour) }, false)
			_, err := w.doors.Approve(t.Context(), signedIn("dave"), w.id, access.Digest(w.rec().Grant))
			wantRefusal(t, "after its end", err, pending.CodeExpired)
			w.sweep()
			w.is(jit.Revoked, jit.ApprovalExpired)
		})
		t.Run(name+", locked down first", func(t *testing.T) {
			w := newWaitingWorld(t, 2, nil)
			digest := w.digest
			if err := w.approve("bob"); err != nil {
				t.Fatal(err)
			}
			w.over(func() { since(w) }, true)
			w.is(jit.Revoked, jit.LockedDown)
			_, err := w.doors.Approve(t.Context(), signedIn("dave"), w.id, digest)
			wantRefusal(t, "after the lock-down", err, pending.CodeNotWaiting)
			w.sweep()
			w.is(jit.Revoked, jit.LockedDown)
		})
	}
}

// TestRestoredTablesBegin: what was to begin, began and was ended since begins no second time a quarter of an hour after its start, nor at any time where
// everything is locked down first.
func TestRestoredTablesBegin(t *testing.T) {
	begun := func(w *waitingWorld) {
		w.pass(time.Hour)
		w.is(jit.Initiated, "")
		if _, err := w.doors.Revoke(t.Context(), signedIn("alice"), w.id); err != nil {
			t.Fatal(err)
		}
	}
	late := newScheduledWorld(t)
	late.over(func() { begun(late); late.leap(jit.StartGrace) }, false)
	writes := late.cloud.Writes()
	late.sweep()
	late.is(jit.Revoked, jit.OpeningFailed)
	if late.cloud.Writes() != writes {
		t.Errorf("%d rules were written", late.cloud.Writes()-writes)
	}
	for _, leap := range []time.Duration{0, jit.StartGrace} {
		w := newScheduledWorld(t)
		w.over(func() { begun(w); w.leap(leap) }, true)
		w.is(jit.Revoked, jit.LockedDown)
		w.sweep()
		w.pass(time.Hour)
		if w.is(jit.Revoked, jit.LockedDown); slices.Contains(w.log(), "Open Succeeded web") { // of the log that was put back
			t.Errorf("logged %q", w.log())
		}
	}
}
