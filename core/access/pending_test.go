package access_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/access"
	"portcullis/core/coretest"
	"portcullis/core/decide"
	"portcullis/core/jit"
	"portcullis/core/pending"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// later is alice's request for an hour from a time on.
func later(opens time.Time) jit.Request {
	r := want("alice", 22, time.Hour, "203.0.113.8", "web")
	r.Opens = opens
	return r
}

// newScheduledWorld is a world in which nobody has to approve, and alice's request begins an hour from now.
func newScheduledWorld(t *testing.T) *waitingWorld {
	w := newWaitingWorld(t, 1, nil)
	if _, err := w.doors.Revoke(t.Context(), signedIn("alice"), w.id); err != nil {
		t.Fatal(err)
	}
	w.policy(0, nil)
	w.id = w.request(later(noon.Add(time.Hour)))
	w.is(jit.Scheduled, "")
	return w
}

// TestScheduled: what is for later opens at its start and not before, for as long as was asked for from then.
func TestScheduled(t *testing.T) {
	w := newScheduledWorld(t)
	w.sweep()
	w.pass(time.Hour - time.Millisecond)
	w.is(jit.Scheduled, "")
	_, err := w.doors.Approve(t.Context(), signedIn("bob"), w.id, access.Digest(w.rec().Grant))
	wantRefusal(t, "an approval of what needs none", err, pending.CodeNotWaiting)
	w.pass(time.Millisecond)
	rec := w.is(jit.Initiated, "")
	if !rec.Grant.End().Equal(noon.Add(2*time.Hour)) || !rec.Grant.Begins().Equal(noon.Add(time.Hour)) || !rec.Grant.Start.Equal(noon) {
		t.Errorf("open from %s to %s", rec.Grant.Begins(), rec.Grant.End())
	}
	w.pass(time.Hour)
	w.is(jit.Revoked, jit.Expired)
}

// TestStartIsLate: after an outage over the start a sweep opens what is left of it, for a while; after that nobody expects it any more.
func TestStartIsLate(t *testing.T) {
	for _, tt := range []struct {
		late   time.Duration
		status jit.Status
		reason jit.Reason
	}{{jit.StartGrace - time.Millisecond, jit.Initiated, ""}, {jit.StartGrace, jit.Revoked, jit.OpeningFailed}} {
		w := newScheduledWorld(t)
		w.leap(time.Hour + tt.late)
		w.sweep()
		if rec := w.is(tt.status, tt.reason); tt.status == jit.Initiated && !rec.Grant.End().Equal(noon.Add(2*time.Hour)) {
			t.Errorf("%s late: ends at %s", tt.late, rec.Grant.End())
		}
		w.pass(time.Hour)
		if w.rec().Grant.Status() != jit.Revoked || w.allows("web-nsg") != 0 {
			t.Errorf("%s late: at its end %s", tt.late, w.rec().Grant.Status())
		}
	}
}

// TestStartIsDecidedAgain: at the start everything is looked at again, and who asked may have cancelled it.
func TestStartIsDecidedAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(w *waitingWorld)
		reason jit.Reason
	}{
		"cancelled":          {func(w *waitingWorld) { _, _ = w.doors.Revoke(w.t.Context(), signedIn("alice"), w.id) }, jit.UserRequested},
		"the right is lost":  {func(w *waitingWorld) { w.staff.set("alice", permit.ActionRead) }, jit.RightLost},
		"the port is gone":   {func(w *waitingWorld) { w.policy(0, func(p *jit.Policy) { p.Ports = p.Ports[1:] }) }, jit.OpeningFailed},
		"approval is needed": {func(w *waitingWorld) { w.policy(1, nil) }, jit.RightLost},
	} {
		w := newScheduledWorld(t)
		tt.change(w)
		w.pass(time.Hour)
		if w.is(jit.Revoked, tt.reason); t.Failed() {
			t.Fatal(name)
		}
	}
}

// TestApprovedForLater: what is approved before its start waits for that. An approval by app role has to come late enough to count then.
func TestApprovedForLater(t *testing.T) {
	w := newWaitingWorld(t, 1, nil)
	w.id = w.request(later(noon.Add(3 * time.Hour)))
	digest := access.Digest(w.rec().Grant)
	_, err := w.doors.Approve(t.Context(), signedIn("carol"), w.id, digest)
	wantRefusal(t, "by app role, three hours before", err, pending.CodeTooEarly)
	w.pass(90 * time.Minute) // longer than other requests wait
	w.is(jit.AwaitingApproval, "")
	if err := w.approve("bob"); err != nil {
		t.Fatal(err)
	}
	w.is(jit.Scheduled, "")
	w.staff.set("bob", permit.ActionRead)
	w.pass(90 * time.Minute)
	w.is(jit.Revoked, jit.RightLost)

	w = newWaitingWorld(t, 1, nil)
	w.id = w.request(later(noon.Add(3 * time.Hour)))
	w.pass(2 * time.Hour)
	if err := w.approve("carol"); err != nil {
		t.Fatal(err)
	}
	w.is(jit.Scheduled, "")
	w.pass(time.Hour)
	w.is(jit.Initiated, "")

	w = newWaitingWorld(t, 1, nil)
	w.id = w.request(later(noon.Add(3 * time.Hour)))
	w.pass(3 * time.Hour)
	w.is(jit.Revoked, jit.ApprovalExpired)
}

// TestDeniedBeforeItsStart: what waits for its start alone, or was approved for it, is denied by who may approve and by nobody else, until it begins.
func TestDeniedBeforeItsStart(t *testing.T) {
	for name, approved := range map[string]bool{"needs nobody": false, "approved": true} {
		w := newScheduledWorld(t)
		if approved {
			w = newWaitingWorld(t, 1, nil)
			w.id = w.request(later(noon.Add(time.Hour)))
			if err := w.approve("bob"); err != nil {
				t.Fatal(name, err)
			}
		}
		for who, code := range map[string]jit.Code{"alice": pending.CodeOwnRequest, "eve": permit.CodeForbidden} {
			_, err := w.doors.Deny(t.Context(), signedIn(who), w.id, "no")
			wantRefusal(t, name+", by "+who, err, code)
		}
		w.is(jit.Scheduled, "")
		if rec, _, err := w.doors.PreviewDeny(t.Context(), signedIn("bob"), w.id, "the release is off"); err != nil || rec.Grant.Reason() != jit.Denied {
			t.Errorf("%s: a look: %v", name, err)
		}
		w.is(jit.Scheduled, "")
		if _, err := w.doors.Deny(t.Context(), signedIn("bob"), w.id, "the release is off"); err != nil {
			t.Fatal(name, err)
		}
		if rec := w.is(jit.Revoked, jit.Denied); rec.Grant.Wait.Denied.Reason != "the release is off" {
			t.Errorf("%s: %+v", name, rec.Grant.Wait)
		}
		w.pass(time.Hour)
		w.is(jit.Revoked, jit.Denied)
		if w.allows("web-nsg") != 0 {
			t.Error(name, "opened although it was denied")
		}
	}
	w := newScheduledWorld(t)
	w.pass(time.Hour)
	_, err := w.doors.Deny(t.Context(), signedIn("bob"), w.id, "too late")
	wantRefusal(t, "of what is open", err, pending.CodeNotWaiting)
	w.is(jit.Initiated, "")
}

// TestCancelledBeforeItsStart: by who asked, whatever became of the right to ask, and by who may write the policy.
func TestCancelledBeforeItsStart(t *testing.T) {
	for _, who := range []string{"alice", "bob"} {
		w := newScheduledWorld(t)
		_, err := w.doors.Revoke(t.Context(), signedIn("carol"), w.id)
		wantRefusal(t, "by who may only approve", err, permit.CodeForbidden)
		w.staff.set("alice", permit.ActionRead)
		if _, err := w.doors.Revoke(t.Context(), signedIn(who), w.id); err != nil {
			t.Fatal(who, err)
		}
		w.pass(time.Hour)
		w.is(jit.Revoked, jit.UserRequested)
	}
}

// TestApprovalIsPreviewedAtItsStart: who approves what begins in days sees what would be then, and the policy's maximum counts from then.
func TestApprovalIsPreviewedAtItsStart(t *testing.T) {
	w := newWaitingWorld(t, 1, nil)
	start := noon.Add(3 * 24 * time.Hour)
	w.id = w.request(later(start))
	out, err := w.doors.PreviewApprove(t.Context(), signedIn("bob"), w.id, "")
	if err != nil {
		t.Fatal(err)
	}
	if g := out.Record.Grant; !g.Begins().Equal(start) || !g.End().Equal(start.Add(time.Hour)) || len(out.Changes) != 1 || len(out.Changes[0].Changes.Create) != 1 {
		t.Errorf("from %s to %s, %+v", g.Begins(), g.End(), out.Changes)
	}
	w.is(jit.AwaitingApproval, "")
}

// TestStartIsAskedFor: what could not open is refused when it is asked for, and what ends before the start does not stand in its way.
func TestStartIsAskedFor(t *testing.T) {
	w := newScheduledWorld(t)
	if _, err := w.doors.Revoke(t.Context(), signedIn("alice"), w.id); err != nil {
		t.Fatal(err)
	}
	w.policy(0, func(p *jit.Policy) { p.Options = &jit.Options{WidestIPv4: 30, WidestIPv6: 64} })
	ask := func(opens time.Time, source string) error {
		r := want("alice", 22, time.Hour, source, "web")
		r.Opens = opens
		_, _, err := w.doors.Request(t.Context(), signedIn("alice"), r, "")
		return err
	}
	now := want("alice", 22, time.Hour, "203.0.113.4/30", "web")
	now.RequestorID = signedIn("alice").ID
	w.mustAsk(now)
	wantRefusal(t, "beside what is open then", ask(noon.Add(time.Hour-time.Second), "203.0.113.0/30"), jit.CodeSourcesTogether)
	if err := ask(noon.Add(time.Hour), "203.0.113.0/30"); err != nil {
		t.Error("after what is open now:", err)
	}
	wantRefusal(t, "in the past", ask(noon.Add(-time.Hour), "203.0.113.0/30"), decide.CodeStartInPast)
	wantRefusal(t, "too far ahead", ask(noon.Add(decide.DefaultAhead+time.Second), "203.0.113.0/30"), decide.CodeStartTooFar)
	_, _, err := w.doors.Preview(t.Context(), signedIn("alice"), later(noon.Add(decide.DefaultAhead+time.Second)))
	wantRefusal(t, "a look too far ahead", err, decide.CodeStartTooFar)
	if rec, changes, err := w.doors.Preview(t.Context(), signedIn("alice"), later(noon.Add(time.Hour))); err != nil || rec.Grant.Status() != jit.Scheduled || len(changes) != 1 || len(changes[0].Changes.Create) != 1 {
		t.Errorf("a look: %v, %s, %+v", err, rec.Grant.Status(), changes)
	}
}

// TestAgainBeginsAtOnce: what is asked for once more begins at once, and lasts as long as what was for later.
func TestAgainBeginsAtOnce(t *testing.T) {
	w := newScheduledWorld(t)
	r, err := w.doors.Again(t.Context(), signedIn("alice"), w.id, jit.AnySource(), false)
	if err != nil || !r.Opens.IsZero() || r.VMs[0].Ports[0].Duration != time.Hour || !r.VMs[0].Ports[0].End.IsZero() {
		t.Errorf("%v, %+v", err, r)
	}
}

// TestTwoDecideAtOnce: whatever two people do at the same moment, each counts once, and what is denied is not opened.
func TestTwoDecideAtOnce(t *testing.T) {
	approve := func(w *waitingWorld, name, digest string) error {
		rec, err := w.doors.Approve(w.t.Context(), signedIn(name), w.id, digest)
		if err == nil && rec.Grant.Status() == jit.Initiating {
			_, err = w.desk.Open(w.t.Context(), rec)
		}
		return err
	}
	for _, tt := range []struct {
		name      string
		approvers int
		second    func(w *waitingWorld, digest string) error
		want      func(first, second error, g jit.Grant) bool
	}{
		{"two approve, both are needed", 2, func(w *waitingWorld, digest string) error { return approve(w, "ben", digest) }, func(first, second error, g jit.Grant) bool {
			return first == nil && second == nil && g.Status() == jit.Initiated && len(g.Wait.Approvals) == 2
		}},
		{"two approve, one is needed", 1, func(w *waitingWorld, digest string) error { return approve(w, "ben", digest) }, func(first, second error, g jit.Grant) bool {
			return (first == nil || second == nil) && g.Status() == jit.Initiated && len(g.Wait.Approvals) >= 1
		}},
		{"one approves twice", 2, func(w *waitingWorld, digest string) error { return approve(w, "bob", digest) }, func(first, second error, g jit.Grant) bool {
			return (first == nil) != (second == nil) && g.Status() == jit.AwaitingApproval && len(g.Wait.Approvals) == 1
		}},
		{"one denies", 1, func(w *waitingWorld, _ string) error {
			_, err := w.doors.Deny(w.t.Context(), signedIn("ben"), w.id, "no")
			return err
		}, func(first, second error, g jit.Grant) bool { // a denial after the approval and before the opening counts
			return (second == nil) == (g.Status() == jit.Revoked) && (second == nil || first == nil && g.Status() == jit.Initiated)
		}},
		{"who asked cancels", 1, func(w *waitingWorld, _ string) error {
			_, err := w.doors.Revoke(w.t.Context(), signedIn("alice"), w.id)
			return err
		}, func(_, second error, g jit.Grant) bool { return second == nil && g.Status() == jit.Revoked }},
	} {
		for range 20 {
			w := newWaitingWorld(t, tt.approvers, nil)
			digest := access.Digest(w.rec().Grant)
			var first, second error
			var both sync.WaitGroup
			both.Go(func() { first = approve(w, "bob", digest) })
			both.Go(func() { second = tt.second(w, digest) })
			both.Wait()
			w.sweep()
			open := 0
			if rec := w.rec(); rec.Grant.Status() == jit.Initiated {
				open = 1
			}
			if g := w.rec().Grant; !tt.want(first, second, g) || w.allows("web-nsg") != open {
				t.Fatalf("%s: %v; %v; %s with %d approvals and %d rules", tt.name, first, second, g.Status(), len(g.Wait.Approvals), w.allows("web-nsg"))
			}
		}
	}
}

// TestCrashWhileItWaits crashes what is done with requests that wait at every step, and starts anew: a sweep finishes what was approved, and in
// the end nothing is open and every grant is closed.
func TestCrashWhileItWaits(t *testing.T) {
	verbs := []struct {
		name string
		make func(t *testing.T) *waitingWorld
		do   func(w *waitingWorld) error
	}{
		{"ask", func(t *testing.T) *waitingWorld { return newWaitingWorld(t, 1, nil) }, func(w *waitingWorld) error {
			_, _, err := w.doors.Request(w.t.Context(), signedIn("alice"), want("alice", 3389, time.Hour, "203.0.113.8", "web"), "")
			return err
		}},
		{"approve", func(t *testing.T) *waitingWorld { return newWaitingWorld(t, 1, nil) }, func(w *waitingWorld) error {
			rec, err := w.doors.Approve(w.t.Context(), signedIn("bob"), w.id, w.digest)
			if err == nil && rec.Grant.Status() == jit.Initiating {
				_, err = w.desk.Open(w.t.Context(), rec)
			}
			return err
		}},
		{"deny", func(t *testing.T) *waitingWorld { return newWaitingWorld(t, 1, nil) }, func(w *waitingWorld) error {
			_, err := w.doors.Deny(w.t.Context(), signedIn("bob"), w.id, "no")
			return err
		}},
		{"cancel", func(t *testing.T) *waitingWorld { return newWaitingWorld(t, 1, nil) }, func(w *waitingWorld) error {
			_, err := w.doors.Revoke(w.t.Context(), signedIn("alice"), w.id)
			return err
		}},
		{"the end of the wait", func(t *testing.T) *waitingWorld { return newWaitingWorld(t, 1, nil) }, func(w *waitingWorld) error {
			w.leap(time.Hour)
			return w.Wake(w.t.Context(), w.id, 1)
		}},
		{"start", newScheduledWorld, func(w *waitingWorld) error { w.leap(time.Hour); return w.Wake(w.t.Context(), w.id, 1) }},
		{"start, by the sweep", newScheduledWorld, func(w *waitingWorld) error {
			w.leap(time.Hour)
			_, err := w.Sweep(w.t.Context(), who("portcullis"))
			return err
		}},
	}
	for _, verb := range verbs {
		t.Run(verb.name, func(t *testing.T) {
			steps, finished := 0, 0
			for n := 1; ; n++ {
				w := verb.make(t)
				seen := w.crashAt(n)
				err := verb.do(w)
				reached := *seen >= n
				if !reached && err != nil {
					t.Fatalf("without a crash: %v", err)
				}
				w.restart()
				when := fmt.Sprintf("%s crashed at step %d", verb.name, n)
				rec := w.rec()
				goesOn := len(rec.Grant.Wait.Approvals) > 0 || rec.Grant.Status() == jit.Scheduled && !w.now().Before(rec.Grant.Wait.Opens)
				w.sweep()
				if after := w.rec().Grant; goesOn && rec.Grant.Pending(w.now()) {
					if finished++; after.Status() != jit.Initiated || w.allows("web-nsg") != 1 {
						t.Errorf("%s: it was to go on, and is %s with %d rules", when, after.Status(), w.allows("web-nsg"))
					}
				}
				w.leap(4 * time.Hour)
				w.sweep()
				settled(t, w.world, when)
				if !reached {
					break
				}
				steps++
			}
			if steps < 4 || verb.name == "approve" && finished < 4 || verb.name == "start" && finished < 4 {
				t.Errorf("only %d steps were tried, of which %d were to go on", steps, finished)
			}
			t.Logf("crashed at each of %d steps, %d of which the sweep has finished", steps, finished)
		})
	}
}

// TestApprovalWithoutTheLog: an approval that the log does not have opens nothing; once it has, the sweep goes on.
func TestApprovalWithoutTheLog(t *testing.T) {
	w := newWaitingWorld(t, 1, nil)
	w.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Append" {
			return &store.Unavailable{Dependency: "Table Storage", Err: errFault}
		}
		return nil
	}
	if err := w.approve("bob"); err != nil {
		t.Fatal(err)
	}
	if rec := w.is(jit.AwaitingApproval, ""); len(rec.Grant.Wait.Approvals) != 1 || len(rec.Intents) != 1 {
		t.Errorf("approved: %+v, to be logged: %+v", rec.Grant.Wait.Approvals, rec.Intents)
	}
	w.store.Fault = nil
	w.sweep()
	if rec := w.is(jit.Initiated, ""); len(rec.Intents) != 0 {
		t.Errorf("to be logged: %+v", rec.Intents)
	}
}

// TestOvertakenWhileLogging: somebody else lets the grant go and opens it while an approval is logged; whoever logged it leaves it open (found by the
// simulation: the grant went back to be opened once more).
func TestOvertakenWhileLogging(t *testing.T) {
	w := newWaitingWorld(t, 1, nil)
	other := w.instanceWith(func(p *core.Ports) { p.Authority = w.staff })
	w.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Append" {
			return &store.Unavailable{Dependency: "Table Storage", Err: errFault}
		}
		return nil
	}
	if err := w.approve("bob"); err != nil {
		t.Fatal(err)
	}
	once := true
	w.store.Fault = func(ctx context.Context, s coretest.Step) error {
		if s.Op != "Append" || s.After || !once {
			return nil
		}
		once = false
		return other.desk.Due(ctx, w.rec())
	}
	if rec, err := w.desk.Release(t.Context(), w.rec()); err != nil || once || rec.Grant.Status() != jit.Initiated {
		t.Errorf("let go: %v, %s", err, rec.Grant.Status())
	}
	if rec := w.is(jit.Initiated, ""); rec.Grant.Generation != 2 {
		t.Errorf("generation %d", rec.Grant.Generation)
	}
}

// TestRightsUnknown: where Azure does not say who may what, nothing is opened and nothing ends; later the sweep goes on.
func TestRightsUnknown(t *testing.T) {
	w := newScheduledWorld(t)
	w.staff.mu.Lock()
	w.staff.down = &store.Unavailable{Dependency: "Azure Resource Manager", Err: errFault}
	w.staff.mu.Unlock()
	w.leap(time.Hour)
	if err := w.Wake(t.Context(), w.id, 1); err == nil {
		t.Error("the wake-up is taken, and does not come again")
	}
	w.is(jit.Scheduled, "")
	w.staff.mu.Lock()
	w.staff.down = nil
	w.staff.mu.Unlock()
	w.sweep()
	w.is(jit.Initiated, "")
}
