package admission_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core/admission"
	"portcullis/core/jit"
)

// by is the caller with an id.
func by(id string) jit.Caller { return jit.Caller{ID: id} }

// door counts who is let in.
type door struct {
	*admission.Lanes
	away    atomic.Int64
	mu      sync.Mutex
	inside  map[string]int // by caller
	most    int            // at a time, of strangers
	entered []string       // in order
}

func newDoor() *door {
	d := &door{inside: map[string]int{}}
	d.Lanes = admission.New(time.Now, func(jit.Caller) { d.away.Add(1) })
	return d
}

// call enters, stays for a while and leaves. It gives the refusal, and how long the call waited.
func (d *door) call(t *testing.T, ctx context.Context, id string, closing bool, stays time.Duration) (time.Duration, error) {
	t.Helper()
	began := time.Now()
	leave, err := d.Enter(ctx, by(id), closing)
	waited := time.Since(began)
	if err != nil {
		if bad := jit.Refused(err); bad == nil || bad.Code != admission.CodeTooManyRefusals {
			t.Errorf("turned away with %v", err)
		}
		return waited, err
	}
	d.mu.Lock()
	d.inside[id]++
	d.entered = append(d.entered, id)
	n := 0
	for _, inside := range d.inside {
		n += inside
	}
	d.most = max(d.most, n)
	d.mu.Unlock()
	time.Sleep(stays)
	d.mu.Lock()
	d.inside[id]--
	d.mu.Unlock()
	leave()
	return waited, nil
}

// exhaust uses up what a caller has.
func (d *door) exhaust(t *testing.T, id string) {
	t.Helper()
	for range admission.Free {
		if waited, err := d.call(t, t.Context(), id, false, 0); err != nil || waited != 0 {
			t.Fatalf("a call that is still free: %v after %s", err, waited)
		}
	}
}

// TestFewStrangersAtOnce: of 40 who are permitted nothing and call as fast as they are answered, two calls at most are worked on at a time
// and one begins in each pace, whoever they are; none is turned away while the lane holds them.
func TestFewStrangersAtOnce(t *testing.T) {
	for name, id := range map[string]func(int) string{"one": func(int) string { return "t/nobody" }, "many": func(i int) string { return fmt.Sprint("t/", i) }} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor()
				for i := range 40 {
					if i == 0 || id(i) != id(0) {
						d.exhaust(t, id(i))
					}
				}
				d.most, d.entered = 0, nil
				began := time.Now()
				var all sync.WaitGroup
				for i := range 40 {
					all.Go(func() {
						for time.Since(began) < 20*time.Second {
							if _, err := d.call(t, t.Context(), id(i), false, time.Second/10); err != nil {
								t.Error(err)
							}
						}
					})
				}
				all.Wait()
				if d.most != admission.AtOnce {
					t.Errorf("%d strangers' calls were worked on at once, at most %d were to be", d.most, admission.AtOnce)
				}
				most := int(time.Since(began)/admission.Pace) + 1
				if n := len(d.entered); n > most || n < most/2 {
					t.Errorf("%d calls in %s", n, time.Since(began))
				}
				if d.away.Load() != 0 {
					t.Errorf("%d were turned away", d.away.Load())
				}
			})
		})
	}
}

// TestPermittedOvertake: with the lane full and both of its places taken for good, who was permitted something, who is new, and whoever closes,
// goes at once; a stranger is turned away.
func TestPermittedOvertake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		d.exhaust(t, "t/nobody")
		d.exhaust(t, "t/other")
		d.Permitted("t/ann")
		var all sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for i := range admission.AtOnce + admission.MaxWaiting {
			all.Go(func() { _, _ = d.call(t, ctx, "t/nobody", false, time.Hour) })
			if i < admission.AtOnce {
				time.Sleep(admission.Pace)
			}
		}
		synctest.Wait()
		for range 1000 {
			if waited, err := d.call(t, t.Context(), "t/ann", false, 0); err != nil || waited != 0 {
				t.Fatalf("who was permitted something: %v after %s", err, waited)
			}
		}
		for range admission.Free {
			if waited, err := d.call(t, t.Context(), "t/new", false, 0); err != nil || waited != 0 {
				t.Fatalf("who is new: %v after %s", err, waited)
			}
		}
		for _, id := range []string{"t/nobody", "t/other"} {
			for range admission.FreeClosings {
				if waited, err := d.call(t, t.Context(), id, true, 0); err != nil || waited != 0 {
					t.Fatalf("a closing: %v after %s", err, waited)
				}
			}
		}
		if d.away.Load() != 0 {
			t.Fatalf("%d were turned away", d.away.Load())
		}
		if waited, err := d.call(t, t.Context(), "t/nobody", false, 0); err == nil || d.away.Load() != 1 || waited != admission.Hold {
			t.Errorf("one more of who fills the lane: %v after %s, %d were counted", err, waited, d.away.Load())
		}
		for range admission.MaxHeld {
			all.Go(func() { _, _ = d.call(t, ctx, "t/nobody", false, 0) })
		}
		synctest.Wait()
		if waited, err := d.call(t, t.Context(), "t/nobody", false, 0); err == nil || waited != 0 {
			t.Errorf("one more than are held: %v after %s", err, waited)
		}
		cancel()
		all.Wait()
	})
}

// TestLaneIsShared: who has filled the lane has to give way to others who are permitted nothing, and they take turns.
func TestLaneIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		d.exhaust(t, "t/nobody")
		d.exhaust(t, "t/mistaken")
		d.entered = nil
		var all sync.WaitGroup
		for range 1 + admission.MaxWaiting { // one goes at once
			all.Go(func() { _, _ = d.call(t, t.Context(), "t/nobody", false, admission.Pace) })
		}
		synctest.Wait()
		waited, err := d.call(t, t.Context(), "t/mistaken", false, 0)
		if err != nil || waited > 3*admission.Pace {
			t.Errorf("beside a full lane: %v after %s", err, waited)
		}
		all.Wait()
		if at := slices.Index(d.entered, "t/mistaken"); at > 3 || d.away.Load() != 1 { // whose place it was
			t.Errorf("he was number %d, %d were turned away", at, d.away.Load())
		}
	})
}

// TestPermittedWhileWaiting: a permission lets the calls go that wait already.
func TestPermittedWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		d.exhaust(t, "t/ann")
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() {
				if waited, err := d.call(t, t.Context(), "t/ann", false, time.Minute); err != nil || waited > time.Second {
					t.Errorf("%v after %s", err, waited)
				}
			})
		}
		time.Sleep(time.Second)
		d.Permitted("t/ann")
		all.Wait()
	})
}

// TestClosingsWaitForNobodyElse: a stranger's closings wait for his own, and are bounded; another stranger's do not wait.
func TestClosingsWaitForNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		for range admission.FreeClosings {
			if waited, err := d.call(t, t.Context(), "t/nobody", true, 0); err != nil || waited != 0 {
				t.Fatalf("%v after %s", err, waited)
			}
		}
		var all sync.WaitGroup
		var longest atomic.Int64
		for range 40 {
			all.Go(func() {
				if waited, err := d.call(t, t.Context(), "t/nobody", true, 0); err == nil {
					longest.Store(max(longest.Load(), int64(waited)))
				}
			})
		}
		synctest.Wait()
		if waited, err := d.call(t, t.Context(), "t/other", true, 0); err != nil || waited != 0 {
			t.Errorf("another's closing: %v after %s", err, waited)
		}
		all.Wait()
		if got := time.Duration(longest.Load()); got != admission.MaxWait || d.away.Load() != 40-int64(admission.MaxWait/admission.ClosingsEvery) {
			t.Errorf("his own waited %s at most, %d were turned away", got, d.away.Load())
		}
	})
}

// TestCallsComeBack: what was used up comes back in minutes, and a permission is forgotten in minutes.
func TestCallsComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		d.exhaust(t, "t/nobody")
		time.Sleep(admission.Free * admission.Again)
		d.exhaust(t, "t/nobody")
		d.Permitted("t/ann")
		time.Sleep(admission.Remembered)
		d.exhaust(t, "t/ann")
		hold := []func(){}
		for range admission.AtOnce {
			leave, err := d.Enter(t.Context(), by("t/ann"), false)
			if err != nil {
				t.Fatal(err)
			}
			hold = append(hold, leave)
		}
		if waited, err := d.call(t, t.Context(), "t/ann", false, 0); err == nil || waited != admission.MaxWait+admission.Hold {
			t.Errorf("a call while both places are taken: %v after %s", err, waited)
		}
		for _, leave := range hold {
			leave()
		}
	})
}

// TestUnidentified: calls without a valid token are one caller, whoever sends them, and take nothing from those with one.
func TestUnidentified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() { _, _ = d.call(t, t.Context(), "", false, 0) })
		}
		synctest.Wait()
		if n := len(d.entered); n > 100+1 || d.away.Load() < 1000-100-1-admission.MaxWaiting {
			t.Errorf("%d of 1,000 went, %d were turned away", n, d.away.Load())
		}
		d.exhaust(t, "t/nobody")
		if waited, err := d.call(t, t.Context(), "t/nobody", false, 0); err != nil || waited > 2*admission.Pace {
			t.Errorf("beside a lane full of calls without a token: %v after %s", err, waited)
		}
		all.Wait()
	})
}

// TestGone: a caller who goes away gives his place back, and is counted.
func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		d.exhaust(t, "t/nobody")
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			var all sync.WaitGroup
			for range 40 {
				all.Go(func() { _, _ = d.call(t, ctx, "t/nobody", false, 0) })
			}
			synctest.Wait()
			cancel()
			all.Wait()
		}
		if n := len(d.entered) - admission.Free; n+int(d.away.Load()) != 3*40 || n > 3 {
			t.Errorf("%d went, %d were turned away", n, d.away.Load())
		}
		if waited, err := d.call(t, t.Context(), "t/nobody", false, 0); err != nil || waited > admission.Pace {
			t.Errorf("after them: %v after %s", err, waited)
		}
	})
}

// TestManyCallers: what is kept is bounded, however many callers there are, and who comes beyond that shares, but does not wait to close.
func TestManyCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		for i := range admission.MaxCallers {
			if _, err := d.call(t, t.Context(), fmt.Sprint("t/", i), false, 0); err != nil {
				t.Fatal(err)
			}
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range 100_000 {
			leave, err := d.Enter(t.Context(), by(fmt.Sprint("u/", i)), true)
			if err != nil {
				t.Fatal(err)
			}
			leave()
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
			t.Errorf("100,000 more callers take %d bytes", grown)
		}
		for i := range admission.Free {
			if waited, err := d.call(t, t.Context(), fmt.Sprint("v/", i), false, 0); err != nil || waited != 0 {
				t.Fatalf("%v after %s", err, waited)
			}
		}
		time.Sleep(time.Second) // the lane is idle
		if waited, err := d.call(t, t.Context(), "w/shares", false, 0); err != nil || waited != 0 {
			t.Errorf("who shares, and finds the lane empty: %v after %s", err, waited)
		}
		for i := range 3 * admission.MaxPermitted {
			d.Permitted(fmt.Sprint("p/", i))
		}
		if waited, err := d.call(t, t.Context(), fmt.Sprint("p/", 3*admission.MaxPermitted-1), false, 0); err != nil || waited != 0 {
			t.Errorf("the last who was permitted something: %v after %s", err, waited)
		}
	})
}

// authority says yes to ann, no to bob, and fails for others.
type authority struct{}

func (authority) Missing(_ context.Context, who jit.Caller, _ string, actions ...string) (string, error) {
	switch {
	case who.ID == "t/ann":
		return "", nil
	case who.ID == "t/bob":
		return actions[0], nil
	}
	return "", errors.New("nothing is known")
}

// TestWatch: a yes of the authority is a permission, and nothing else is; answers pass unchanged.
func TestWatch(t *testing.T) {
	for id, want := range map[string]bool{"t/ann": true, "t/bob": false, "t/other": false} {
		synctest.Test(t, func(t *testing.T) {
			d := newDoor()
			d.exhaust(t, id)
			missing, err := d.Watch(authority{}).Missing(t.Context(), by(id), "/subscriptions/s", "read")
			if (missing == "" && err == nil) != want {
				t.Fatalf("%s: %q %v", id, missing, err)
			}
			for range 2 {
				if waited, _ := d.call(t, t.Context(), id, false, 0); waited != 0 && want {
					t.Errorf("%s waited %s", id, waited)
				}
			}
			waited, _ := d.call(t, t.Context(), id, false, 0)
			if (waited == 0) != want {
				t.Errorf("%s waited %s", id, waited)
			}
		})
	}
}
