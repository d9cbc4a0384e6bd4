package coretest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"portcullis/core/store"
)

// Hint is the content of a delivered wake-up.
type Hint struct {
	Grant      string
	Generation int
	Remind     bool
}

// AlarmFixture controls what is behind an alarm: its own clock, which begins at or before [AlarmStart], and
// failures.
type AlarmFixture interface {
	// Delivered advances the clock to now, never back, and returns the hints delivered since the last call, in any
	// order.
	Delivered(now time.Time) ([]Hint, error)
	// Fail makes every call fail as if nothing answered, until it is called with false.
	Fail(on bool)
}

// AlarmStart is when the suite's clock begins.
var AlarmStart = morning

// TestAlarm is the suite of store.Alarm.
func TestAlarm(t *testing.T, newAlarm func(t *testing.T) (store.Alarm, AlarmFixture)) {
	wake := func(n int, at time.Time) store.Wake {
		return store.Wake{Grant: idAt(morning, n), Generation: 1, At: at}
	}
	hint := func(n, generation int) Hint { return Hint{idAt(morning, n), generation, false} }
	t.Run("refusals", func(t *testing.T) {
		alarm, behind := newAlarm(t)
		behind.Fail(true)
		err := alarm.Schedule(t.Context(), wake(2, morning))
		if _, ok := errors.AsType[*store.Unavailable](err); !ok {
			t.Errorf("schedule while nothing answers: got error %v, want *store.Unavailable", err)
		}
		behind.Fail(false)
		if err := alarm.Schedule(t.Context(), wake(3, morning)); err != nil {
			t.Errorf("schedule after it answers again: %v", err)
		}
		if err := alarm.Schedule(t.Context()); err != nil {
			t.Errorf("schedule of nothing: %v", err)
		}
		delivers(t, behind, morning, hint(3, 1))
	})
	t.Run("a reminder beside an end", func(t *testing.T) {
		alarm, behind := newAlarm(t)
		at := morning.Add(time.Hour)
		reminder := wake(1, at)
		reminder.Remind = true
		schedule(t, alarm, wake(1, at), reminder, wake(1, at), reminder)
		delivers(t, behind, at, hint(1, 1), Hint{idAt(morning, 1), 1, true})
	})
	t.Run("not before its time", func(t *testing.T) {
		alarm, behind := newAlarm(t)
		at := morning.Add(time.Hour)
		schedule(t, alarm, wake(1, at), wake(2, at.Add(time.Hour)), wake(3, morning.Add(-time.Hour)), wake(4, at))
		delivers(t, behind, morning, hint(3, 1))
		delivers(t, behind, at.Add(-time.Millisecond))
		delivers(t, behind, at, hint(1, 1), hint(4, 1))
		delivers(t, behind, at.Add(time.Hour), hint(2, 1))
	})
	t.Run("set again", func(t *testing.T) {
		alarm, behind := newAlarm(t)
		first := wake(1, morning.Add(time.Minute))
		schedule(t, alarm, first)
		next := first
		next.Generation = 2
		schedule(t, alarm, next)
		delivers(t, behind, first.At, hint(1, 1), hint(1, 2))
		// A delivered wake-up may have to come again, at once or at another time.
		next.Attempt = 1
		schedule(t, alarm, next)
		delivers(t, behind, first.At, hint(1, 2))
		next.At = next.At.Add(time.Minute)
		schedule(t, alarm, next)
		delivers(t, behind, next.At, hint(1, 2))
	})
	t.Run("many at once", func(t *testing.T) {
		alarm, behind := newAlarm(t)
		var want []Hint
		for n := range 400 {
			want = append(want, hint(n, 1))
		}
		done := race(8, func(n int) (int, error) {
			for i := range 5 {
				var wakes []store.Wake
				for j := range 10 {
					wakes = append(wakes, wake(n*50+i*10+j, morning.Add(time.Duration(j)*time.Second)))
				}
				if err := alarm.Schedule(t.Context(), wakes...); err != nil {
					return n, fmt.Errorf("caller %d: %w", n, err)
				}
			}
			return n, nil
		})
		if done.odd != nil || len(done.values) != 8 {
			t.Fatalf("%d of 8 callers got through: %v", len(done.values), done.odd)
		}
		delivers(t, behind, morning.Add(time.Minute), want...)
	})
}

func schedule(t *testing.T, alarm store.Alarm, wakes ...store.Wake) {
	t.Helper()
	if err := alarm.Schedule(t.Context(), wakes...); err != nil {
		t.Fatalf("schedule: %v", err)
	}
}

// delivers checks that each of the hints is delivered by now, at least once, and no other.
func delivers(t *testing.T, behind AlarmFixture, now time.Time, want ...Hint) {
	t.Helper()
	hints, err := behind.Delivered(now)
	if err != nil {
		t.Fatal(err)
	}
	got, wanted := map[Hint]bool{}, map[Hint]bool{}
	for _, h := range hints {
		got[h] = true
	}
	for _, h := range want {
		wanted[h] = true
		if !got[h] {
			t.Errorf("at %s: %v was not delivered", now.Format(time.TimeOnly), h)
		}
	}
	for h := range got {
		if !wanted[h] {
			t.Errorf("at %s: %v was delivered", now.Format(time.TimeOnly), h)
		}
	}
}
