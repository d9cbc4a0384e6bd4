package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"portcullis/core/store"
)

// wakePrefix begins the grant id of a doctor's own wake-up. Grant ids are UUIDs, so no grant's id begins so.
const wakePrefix = "doctor-"

const (
	wakeAhead = time.Second      // how far ahead it is set, so that it is scheduled like the end of a window
	wakeWait  = 10 * time.Second // how long one look waits for it
	wakeLate  = 5 * time.Second  // from this delay on it needs attention
	// wakeAgain is the age from which a wake-up that has not arrived is given up and another one is set. A queue that
	// delivers nothing keeps its messages, and looking must not fill it.
	wakeAgain = 10 * time.Minute
)

// wakes is what an instance knows about wake-ups.
type wakes struct {
	mu   sync.Mutex
	last time.Time // when a window's wake-up last arrived; zero if none has since the start
	own  *ownWake  // the last one set by this doctor
}

// ownWake is a wake-up that a doctor set for itself.
type ownWake struct {
	id   string
	due  time.Time
	came time.Time     // guarded by wakes.mu; zero until it arrives
	done chan struct{} // closed when it arrives
}

// Woken records a wake-up and reports whether it was a doctor's, for which no grant exists. It never fails: the
// message must not be redelivered and end up as a dead letter that alerts somebody.
func (d *Doctor) Woken(ctx context.Context, grant string) bool {
	now := d.Now()
	d.wakes.mu.Lock()
	if !strings.HasPrefix(grant, wakePrefix) {
		d.wakes.last = now
		d.wakes.mu.Unlock()
		return false
	}
	own := d.wakes.own
	mine := own != nil && own.id == grant
	if mine && own.came.IsZero() {
		own.came = now
		close(own.done)
	}
	d.wakes.mu.Unlock()
	if !mine && d.Rows != nil {
		_ = d.Rows.Answer(ctx, grant, now) // if this fails, the waiting instance reports that its wake-up has not come
	}
	return true
}

// set returns the wake-up to wait for, and whether it still has to be sent.
func (d *Doctor) set() (*ownWake, bool) {
	d.wakes.mu.Lock()
	defer d.wakes.mu.Unlock()
	now := d.Now()
	if own := d.wakes.own; own != nil && own.came.IsZero() && now.Sub(own.due) < wakeAgain {
		return own, false
	}
	d.wakes.own = &ownWake{id: wakePrefix + d.NewID(), due: now.Add(wakeAhead), done: make(chan struct{})}
	return d.wakes.own, true
}

// forget drops a wake-up that was not sent.
func (d *Doctor) forget(own *ownWake) {
	d.wakes.mu.Lock()
	defer d.wakes.mu.Unlock()
	if d.wakes.own == own {
		d.wakes.own = nil
	}
}

// arrival returns when a wake-up arrived at this instance, and when the last one of a window did.
func (d *Doctor) arrival(own *ownWake) (came, last time.Time) {
	d.wakes.mu.Lock()
	defer d.wakes.mu.Unlock()
	return own.came, d.wakes.last
}

// queue sets a wake-up and waits for it. It takes the same path as the wake-up that closes a window.
func (d *Doctor) queue(ctx context.Context) Check {
	own, unsent := d.set()
	if unsent {
		if err := d.Alarm.Schedule(ctx, store.Wake{Grant: own.id, Generation: 1, At: own.due}); err != nil {
			d.forget(own)
			return Check{State: Broken, Seen: "no wake-up could be set: " + why(err), Err: err, Facts: []Fact{d.lastWake(own)},
				Advice: "is the namespace there, and does the identity hold Azure Service Bus Data Sender on the queue? az role assignment list --scope QUEUE. Nothing can be opened meanwhile; the sweep closes what is open"}
		}
	}
	came, where, err := d.await(ctx, own)
	if err != nil {
		return Check{State: Unknown, Reason: "whether another instance took the wake-up could not be read", Facts: []Fact{d.lastWake(own)}, Err: err, Advice: "look at tableStorage first"}
	}
	c := Check{State: OK, Facts: []Fact{d.lastWake(own)}}
	if came.IsZero() {
		c.State, c.Seen = Broken, fmt.Sprintf("the wake-up that was set for %s has not come by %s", own.due.UTC().Format(time.RFC3339), d.Now().UTC().Format(time.RFC3339))
		c.Advice = "does the identity hold Azure Service Bus Data Receiver on the queue, is the function revoke enabled, is the queue active, and does nobody else receive from it? In a storm messages wait for their turn. Windows are closed by the sweep meanwhile, up to five minutes late"
		return c
	}
	late := max(came.Sub(own.due), 0)
	c.Seen = fmt.Sprintf("a wake-up came %.1f s after its time, to %s", late.Seconds(), where)
	if late > wakeLate {
		c.State, c.Advice = Attention, "is a storm under way, or are the clocks apart? If neither, look at the queue's active messages in the portal"
	}
	return c
}

// await waits for a wake-up to arrive here, and then checks once whether it arrived at another instance.
func (d *Doctor) await(ctx context.Context, own *ownWake) (came time.Time, where string, err error) {
	timer := time.NewTimer(max(own.due.Add(wakeWait).Sub(d.Now()), wakeAhead))
	defer timer.Stop()
	select {
	case <-own.done:
	case <-timer.C:
	case <-ctx.Done():
		return time.Time{}, "", context.Cause(ctx)
	}
	if came, _ = d.arrival(own); !came.IsZero() {
		return came, "this instance", nil
	}
	wake, at, err := d.Rows.Answered(ctx)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && wake != own.id:
		return time.Time{}, "", nil
	case err != nil:
		return time.Time{}, "", err
	}
	d.wakes.mu.Lock()
	own.came = at
	d.wakes.mu.Unlock()
	return at, "another instance", nil
}

func (d *Doctor) lastWake(own *ownWake) Fact {
	_, last := d.arrival(own)
	if last.IsZero() {
		return Fact{Name: "lastWakeUpOfAWindow", Reason: "none has come to this instance since its start"}
	}
	return Fact{Name: "lastWakeUpOfAWindow", Value: last.UTC().Format(time.RFC3339)}
}
