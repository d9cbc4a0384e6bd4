package access_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/access"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/store"
)

func TestRevokeTwice(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	if _, err := w.Revoke(t.Context(), who("alice"), "00000000-0000-7000-8000-000000000000"); code(err) != access.CodeRequestNotFound {
		t.Errorf("error %v, want %s", err, access.CodeRequestNotFound)
	}
	r := want("alice", 22, time.Hour, "203.0.113.7", "web")
	id := w.mustAsk(r)
	for range 2 {
		rec, err := w.Revoke(t.Context(), who("alice"), id)
		if err != nil || !rec.Grant.Closed() || rec.Grant.Reason() != jit.UserRequested {
			t.Fatalf("revoke: %s %s, %v", rec.Grant.Status(), rec.Grant.Reason(), err)
		}
	}
	w.stands("web-nsg", closedWeb...)
	if again := w.mustAsk(r); again == id {
		t.Error("asking again right after closing gave the closed grant")
	}
}

// TestExtendJoinsRules: windows that ended at different times and get one end share one rule from then on, over ports and machines: the rules that let the same
// in stand, so nothing is missing.
func TestExtendJoinsRules(t *testing.T) {
	w := newWorld(t)
	w.enable("app1", "app2")
	r := want("alice", 22, 30*time.Minute, "203.0.113.7", "app1", "app2")
	r.VMs[1].Ports[0].Duration = 40 * time.Minute
	for i := range r.VMs {
		p := r.VMs[i].Ports[0]
		p.Number, p.Duration = 3389, time.Hour
		r.VMs[i].Ports = append(r.VMs[i].Ports, p)
	}
	id := w.mustAsk(r)
	w.pass(10 * time.Minute)
	before := w.allows("apps-nsg")
	if _, err := w.Extend(t.Context(), who("alice"), id, 2*time.Hour, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if after := w.allows("apps-nsg"); after != 1 || before != 3 {
		t.Errorf("%d rules, and then %d: want 3 and 1", before, after)
	}
	w.sweep()
	if after := w.allows("apps-nsg"); after != 1 || !w.grant(id).AnyOpen(w.now()) {
		t.Errorf("the sweep left %d rules, and the request %s", after, w.grant(id).Status())
	}
	w.pass(2 * time.Hour)
	if w.allows("apps-nsg") != 0 {
		t.Error("it is open after its end")
	}
}

// TestExtendTooLate: what ends while the wake-ups for its later end are being scheduled has ended.
func TestExtendTooLate(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	w.leap(time.Hour - time.Second)
	w.bell.Fault = func(_ context.Context, s coretest.Step) error {
		if s.After {
			w.leap(time.Second)
		}
		return nil
	}
	if rec, err := w.Extend(t.Context(), who("alice"), id, time.Hour, time.Time{}); code(err) != jit.CodeRequestEnded {
		t.Errorf("%s, %v, want %s", rec.Grant.End(), err, jit.CodeRequestEnded)
	}
	w.bell.Fault = nil
	w.pass(0)
	w.stands("web-nsg", closedWeb...)
}

func TestExtend(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	name := func() string {
		for _, r := range w.cloud.Standing(nsgID("web-nsg")) {
			if r.Access == jit.Allow && label.Owned(r.Name) {
				return fmt.Sprint(r.Name, r.Priority)
			}
		}
		return ""
	}
	rule := name()
	w.pass(30 * time.Minute)
	for _, tc := range []struct {
		name   string
		length time.Duration
		end    time.Time
		want   jit.Code
	}{
		{"neither", 0, time.Time{}, jit.CodeInvalidInitiate},
		{"both", time.Hour, noon.Add(2 * time.Hour), jit.CodeInvalidInitiate},
		{"in the past", 0, noon, jit.CodeEndInPast},
		{"not later", 0, noon.Add(time.Hour), jit.CodeEndNotLater},
		{"over the maximum, counted from the start", 2*time.Hour + 33*time.Minute, time.Time{}, jit.CodeDurationOverMaximum},
	} {
		if _, err := w.Extend(t.Context(), who("alice"), id, tc.length, tc.end); code(err) != tc.want {
			t.Errorf("%s: error %v, want %s", tc.name, err, tc.want)
		}
	}
	if _, err := w.Extend(t.Context(), who("alice"), id, 2*time.Hour, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if got := name(); got != rule {
		t.Errorf("the extension moved the rule from %s to %s", rule, got)
	}
	w.pass(30 * time.Minute) // the message for the old end comes and does nothing
	if w.allows("web-nsg") != 1 {
		t.Fatal("the old end closed the extended window")
	}
	w.pass(90 * time.Minute)
	w.stands("web-nsg", closedWeb...)
	if _, err := w.Extend(t.Context(), who("alice"), id, time.Hour, time.Time{}); code(err) != jit.CodeRequestEnded {
		t.Errorf("error %v, want %s", err, jit.CodeRequestEnded)
	}
}

// TestWakeEarly: a broker whose clock is ahead wakes too early; the wake-up is
// sent again for later, and not for a time that the broker already takes as past.
func TestWakeEarly(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	w.leap(58 * time.Minute)
	before := len(w.bell.Set())
	if err := w.Wake(t.Context(), id, 1); err != nil {
		t.Fatal(err)
	}
	set := w.bell.Set()
	if len(set) != before+1 || !set[len(set)-1].At.Equal(noon.Add(62*time.Minute)) {
		t.Errorf("wake-ups %+v, want one more two minutes after the end", set)
	}
	if w.allows("web-nsg") != 1 {
		t.Error("an early wake-up closed a live window")
	}
	for _, generation := range []int{0, 2, 99} {
		if err := w.Wake(t.Context(), id, generation); err != nil || len(w.bell.Set()) != len(set) {
			t.Errorf("a wake-up of generation %d did something (error %v)", generation, err)
		}
	}
	if err := w.Wake(t.Context(), "00000000-0000-7000-8000-000000000000", 1); err != nil {
		t.Errorf("a wake-up for an unknown grant: %v", err)
	}
}

// TestRevokeThatFindsNothingToWrite: another instance revokes the grant, and
// finds no rule to remove, right before the write that opens it.
func TestRevokeThatFindsNothingToWrite(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	rec, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, time.Hour, "203.0.113.7", "web"), "")
	if err != nil {
		t.Fatal(err)
	}
	other, once := w.instance(), true
	w.cloud.Fault = func(ctx context.Context, s coretest.Step) error {
		if s.Op == "Apply" && !s.After && once {
			once = false
			got, err := other.Revoke(ctx, who("alice"), rec.Grant.ID)
			if err == nil && !got.Grant.Closed() {
				t.Errorf("the revoke reads %s", got.Grant.Status())
			}
			return err
		}
		return nil
	}
	if got, err := w.Open(t.Context(), who("alice"), rec); err != nil || !got.Grant.Closed() {
		t.Errorf("the opening ends as %s, %v", got.Grant.Status(), err)
	}
	w.stands("web-nsg", closedWeb...)
}

// TestRevokedByTwo: who finds on storing it that somebody else has closed the grant is told that it is closed.
func TestRevokedByTwo(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	first := true
	w.store.Fault = func(ctx context.Context, s coretest.Step) error {
		if s.Op == "UpdateGrants" && first {
			first = false
			_, err := w.Revoke(ctx, who("bob"), id)
			return err
		}
		return nil
	}
	rec, err := w.Revoke(t.Context(), who("alice"), id)
	if err != nil || !rec.Grant.Closed() {
		t.Errorf("%s, %v", rec.Grant.Status(), err)
	}
	if n := strings.Count(strings.Join(w.log(), "\n"), "Revoke Succeeded"); n != 1 {
		t.Errorf("the log tells of %d revokes: %q", n, w.log())
	}
}

// TestClosingsNeverGiveUp: a closing that fails is tried again by whoever delivers
// the wake-up, then by wake-ups of its own, further and further apart, and the
// grant remembers how often and why.
func TestClosingsNeverGiveUp(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	cause := error(store.ErrLocked)
	w.cloud.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Apply" {
			return cause
		}
		return nil
	}
	w.leap(time.Hour)
	w.bell.Due(w.now())
	for try := 1; try < 3; try++ {
		if err := w.Wake(t.Context(), id, 1); err == nil || len(w.bell.Set()) != 0 {
			t.Fatalf("try %d: error %v with %d wake-ups of its own, want an error and none", try, err, len(w.bell.Set()))
		}
	}
	var waits []time.Duration
	for range 8 {
		if err := w.Wake(t.Context(), id, 1); err != nil {
			t.Fatalf("the try is not handed on: %v", err)
		}
		set := w.bell.Set()
		if len(set) != 1 {
			t.Fatalf("%d wake-ups, want 1", len(set))
		}
		wait := set[0].At.Sub(w.now())
		waits = append(waits, wait)
		w.leap(wait)
		w.bell.Due(w.now())
	}
	want := []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 5 * time.Minute, 5 * time.Minute, 5 * time.Minute}
	if diff := cmp.Diff(want, waits); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
	rec, _ := w.mem.Grant(t.Context(), id)
	if rec.Attempts != 10 || rec.LastError != "a management lock forbids the write" {
		t.Errorf("attempts %d, last error %q", rec.Attempts, rec.LastError)
	}
	cause = &store.Unavailable{Dependency: "Azure Resource Manager", RetryAfter: 17 * time.Minute, Err: errFault}
	if err := w.Wake(t.Context(), id, 1); err != nil {
		t.Fatal(err)
	}
	if set := w.bell.Set(); len(set) != 1 || set[0].At.Sub(w.now()) != 17*time.Minute {
		t.Errorf("wake-ups %+v, want one when Azure asked for it", set)
	}
	w.cloud.Fault = nil
	w.pass(17 * time.Minute)
	w.stands("web-nsg", closedWeb...)
	if !w.grant(id).Closed() || !slices.Contains(w.log(), "Close Failed web") {
		t.Errorf("the grant is %s; log %q", w.grant(id).Status(), w.log())
	}
}
