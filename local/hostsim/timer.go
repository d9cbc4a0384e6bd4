package hostsim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// timer runs one timer function: by its schedule, in UTC, and when fired.
type timer struct {
	host     *Host
	function *function
	file     string        // keeps the status; "" for none
	turn     chan struct{} // holds a token while no run is under way
	status   *timerStatus  // guarded by turn
	late     bool          // the occurrence that an earlier host noted has passed
}

// newTimer returns a timer with the status that an earlier host left. The first one ever
// takes note of the next occurrence.
func newTimer(h *Host, f *function) (*timer, error) {
	t := &timer{host: h, function: f, turn: make(chan struct{}, 1)}
	t.turn <- struct{}{}
	if h.cfg.State != "" {
		t.file = filepath.Join(h.cfg.State, f.name+".json")
		text, err := os.ReadFile(t.file)
		if err == nil {
			t.status = &timerStatus{}
			err = json.Unmarshal(text, t.status)
			if err == nil {
				var next time.Time
				next, err = time.Parse(withZone, t.status.Next)
				t.late = next.Before(h.cfg.Now())
			}
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("read the status of the timer %s: %w", f.name, err)
		}
	}
	if t.status != nil {
		return t, nil
	}
	// To this host it never was written.
	next := f.schedule.Next(h.cfg.Now().UTC())
	err := t.keep(time.Time{}, next, h.cfg.Now().UTC())
	t.status = newTimerStatus(time.Time{}, next, time.Time{})
	return t, err
}

// keep notes the status, for the next host too.
func (t *timer) keep(last, next, now time.Time) error {
	t.status = newTimerStatus(last, next, now)
	if t.file == "" {
		return nil
	}
	text, err := json.Marshal(t.status)
	if err != nil {
		return err
	}
	partial := t.file + ".partial" // on a full disk what is there stays whole, or the next host would not start
	if err = os.WriteFile(partial, text, 0o600); err == nil {
		err = os.Rename(partial, t.file)
	}
	if err != nil {
		return fmt.Errorf("keep the status of the timer %s: %w", t.function.name, err)
	}
	return nil
}

// run fires the timer at each occurrence of its schedule until the host stops.
// An occurrence that passes during a run is left out. A failure is only logged,
// as the real host does.
func (t *timer) run() {
	h := t.host
	if h.cfg.Still {
		return
	}
	if t.late {
		t.tick(true)
	}
	var last time.Time
	for {
		now := h.cfg.Now().UTC()
		base := now
		if last.After(now) { // woken early: do not run one occurrence twice
			base = last
		}
		next := t.function.schedule.Next(base)
		sleep(h.ctx, next.Sub(now))
		if _, err := h.await(h.ctx); err != nil && h.stopping() || h.ctx.Err() != nil {
			return
		}
		last = next
		t.tick(false)
	}
}

func (t *timer) tick(pastDue bool) {
	if err := t.fire(t.host.ctx, pastDue); err != nil && !t.host.stopping() {
		t.host.log.Error("timer function failed", "function", t.function.name, "error", err)
	}
}

// fire runs the function when no other run of it is under way.
func (t *timer) fire(ctx context.Context, pastDue bool) error {
	h := t.host
	select {
	case <-t.turn:
	case <-ctx.Done():
		return fmt.Errorf("fire %s: %w", t.function.name, context.Cause(ctx))
	case <-h.ctx.Done():
		return fmt.Errorf("fire %s: %w", t.function.name, ErrStopped)
	}
	defer func() { t.turn <- struct{}{} }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.ctx, cancel)()
	now := h.cfg.Now().UTC()
	body, err := timerEnvelope(t.function, t.status, pastDue, now)
	if err != nil {
		return err
	}
	err = h.invoke(ctx, t.function, body)
	if h.ctx.Err() != nil {
		return err // cut off: the occurrence is past due for the next host
	}
	return errors.Join(err, t.keep(now, t.function.schedule.Next(h.cfg.Now().UTC()), now))
}

// stopping reports whether the host is closed or has given the handler up.
func (h *Host) stopping() bool {
	if h.ctx.Err() != nil {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state.phase == stopped
}
