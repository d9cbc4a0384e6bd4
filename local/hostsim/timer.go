package hostsim

import (
	"context"
	"fmt"
	"time"
)

// timer runs one timer function: by its schedule, in UTC, and when fired.
type timer struct {
	host     *Host
	function *function
	turn     chan struct{} // holds a token while no run is under way
	status   *timerStatus  // guarded by turn
}

func newTimer(h *Host, f *function) *timer {
	t := &timer{host: h, function: f, turn: make(chan struct{}, 1)}
	t.turn <- struct{}{}
	return t
}

// run fires the timer at each occurrence of its schedule until the host stops.
// An occurrence that passes during a run is left out. A failure is only logged,
// as the real host does.
func (t *timer) run() {
	h := t.host
	if h.cfg.Still {
		return
	}
	if t.function.runOnStartup {
		t.tick()
	}
	var last time.Time
	for {
		now := h.cfg.Now().UTC()
		base := now
		if last.After(now) { // woken early: do not run one occurrence twice
			base = last
		}
		next := t.function.schedule.Next(base)
		if next.IsZero() {
			h.log.Warn("the schedule has no occurrence", "function", t.function.name)
			return
		}
		sleep(h.ctx, next.Sub(now))
		if _, err := h.await(h.ctx); err != nil && h.stopping() {
			return
		}
		last = next
		t.tick()
	}
}

func (t *timer) tick() {
	if err := t.fire(t.host.ctx); err != nil && !t.host.stopping() {
		t.host.log.Error("timer function failed", "function", t.function.name, "error", err)
	}
}

// fire runs the function when no other run of it is under way.
func (t *timer) fire(ctx context.Context) error {
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
	body, err := timerEnvelope(t.function, t.status, now)
	if err != nil {
		return err
	}
	err = h.invoke(ctx, t.function, body)
	t.status = &timerStatus{
		Last:        now.Format(roundTrip),
		Next:        t.function.schedule.Next(h.cfg.Now().UTC()).Format(roundTrip),
		LastUpdated: h.cfg.Now().UTC().Format(roundTrip),
	}
	return err
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
