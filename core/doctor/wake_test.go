package doctor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"portcullis/core/doctor"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// TestWokenTakesItsOwnAlone: a grant's wake-up is not a doctor's; one of another instance's doctor is stored, once for each that comes, and
// taken even where it cannot be stored, so that it is not delivered again.
func TestWokenTakesItsOwnAlone(t *testing.T) {
	w := newWorld(t, first)
	if grant := uuid.NewString(); w.Woken(t.Context(), grant) || w.Woken(t.Context(), "") {
		t.Error("a grant's wake-up was taken")
	}
	if !w.Woken(t.Context(), "doctor-x") || w.answered != "doctor-x" || w.counts()["answer"] != 1 {
		t.Errorf("another's was stored as %q", w.answered)
	}
	w.fail["answer"] = secret
	if !w.Woken(t.Context(), "doctor-y") {
		t.Error("what cannot be stored comes again")
	}
}

// TestLastWake: when a window's wake-up last came is told, and that none has.
func TestLastWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, first)
		if f := find(t, w.look(), doctor.CheckQueue).Facts[0]; f.Value != "" || !strings.Contains(f.Reason, "since its start") {
			t.Errorf("%+v", f)
		}
		came := time.Now()
		w.Woken(t.Context(), uuid.NewString())
		time.Sleep(doctor.Life)
		if f := find(t, w.look(), doctor.CheckQueue).Facts[0]; f.Value != came.UTC().Format(time.RFC3339) {
			t.Errorf("%+v", f)
		}
	})
}

// TestWakeAtAnotherInstance: a wake-up that another instance took is told as that, and its time is the one there.
func TestWakeAtAnotherInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, first)
		other := newWorld(t, first)
		other.Rows = w.Rows
		w.deliver = func(wake store.Wake) { go other.arrive(wake) }
		c := find(t, w.look(), doctor.CheckQueue)
		if c.State != doctor.OK || !strings.Contains(c.Seen, "0.0 s after its time, to another instance") {
			t.Errorf("%+v", c)
		}
		if got := w.counts(); got["answer"] != 1 || got["answered"] != 1 {
			t.Errorf("it cost %v", got)
		}
		w.fail["answered"] = secret
		time.Sleep(doctor.Life)
		if c := find(t, w.look(), doctor.CheckQueue); c.State != doctor.Unknown {
			t.Errorf("where it cannot be read: %+v", c)
		}
	})
}

// TestOneWakeAtATime: while one has not come no other is sent, for ten minutes, however often somebody looks; when it comes late, that is told, and the
// next look sends another. What came twice is no harm.
func TestOneWakeAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, first)
		var held []store.Wake
		w.deliver = func(wake store.Wake) { held = append(held, wake) }
		began := time.Now()
		for time.Since(began) < 5*time.Minute {
			if c := find(t, w.look(), doctor.CheckQueue); c.State != doctor.Broken || !strings.Contains(c.Seen, began.Add(time.Second).UTC().Format(time.RFC3339)) {
				t.Fatalf("%+v", c)
			}
			time.Sleep(doctor.Life)
		}
		if len(held) != 1 {
			t.Fatalf("%d were sent within five minutes", len(held))
		}
		for range 2 {
			if !w.Woken(t.Context(), held[0].Grant) {
				t.Error("one that is late was not taken")
			}
		}
		w.deliver = func(wake store.Wake) { held = append(held, wake); go w.arrive(wake) }
		if c := find(t, w.look(), doctor.CheckQueue); c.State != doctor.OK || len(held) != 2 {
			t.Errorf("after it came: %d sent, %+v", len(held), c)
		}

		w.deliver = func(wake store.Wake) { held = append(held, wake) }
		time.Sleep(doctor.Life)
		w.look()
		time.Sleep(10*time.Minute - 11*time.Second)
		if w.look(); len(held) != 3 {
			t.Errorf("another was sent within ten minutes: %d", len(held))
		}
		time.Sleep(time.Minute)
		if w.look(); len(held) != 4 {
			t.Errorf("none was sent after ten minutes: %d", len(held))
		}
	})
}

// TestWakeThatWasNotSent is sent at the next look.
func TestWakeThatWasNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, first)
		w.fail["schedule"] = secret
		w.look()
		delete(w.fail, "schedule")
		time.Sleep(doctor.Life)
		if c := find(t, w.look(), doctor.CheckQueue); c.State != doctor.OK || w.counts()["schedule"] != 2 {
			t.Errorf("%+v", c)
		}
	})
}

// written is an activity log that takes everything, or nothing.
type written struct {
	store.Activity
	err error
}

func (w written) Append(context.Context, ...store.Entry) error { return w.err }

// TestLastClosing: when a window was last closed at its end and how late is told, of what is in the log alone; what ended early or failed is none.
func TestLastClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, first)
		fact := func() doctor.Fact {
			t.Helper()
			time.Sleep(doctor.Life)
			return find(t, w.look(), doctor.CheckClosings).Facts[1]
		}
		end := time.Now()
		good := store.Entry{Time: end.Add(2500 * time.Millisecond), End: end, Operation: store.OpClose, Result: store.Succeeded, Reason: string(jit.Expired)}
		early, failed, opened := good, good, good
		early.Reason, failed.Result, opened.Operation = string(jit.UserRequested), store.Failed, store.OpOpen
		if err := w.Noting(written{}).Append(t.Context(), early, failed, opened); err != nil {
			t.Fatal(err)
		}
		if err := w.Noting(written{err: secret}).Append(t.Context(), good); !errors.Is(err, secret) {
			t.Errorf("%v", err)
		}
		if f := fact(); f.Value != "" || f.Reason == "" {
			t.Errorf("%+v", f)
		}
		before := good
		before.Time = end
		if err := w.Noting(written{}).Append(t.Context(), good, before); err != nil {
			t.Fatal(err)
		}
		if f := fact(); f.Value != good.Time.UTC().Format(time.RFC3339)+", 2.5 s after its end" {
			t.Errorf("%+v", f)
		}
	})
}
