package hostsim

import (
	"context"
	"fmt"
)

// phase is what the host thinks of its handler.
type phase int

const (
	starting phase = iota // there is none yet, or it does not answer yet
	ready                 // it has answered the probe
	gone                  // it exited with 0, which the host takes for no reason to act
	stopped               // the host has given it up, or is closed
)

// state is what the supervisor publishes.
type state struct {
	phase   phase
	process *process // nil before the first start
	err     error    // stopped: why; wraps ErrStopped
}

func (h *Host) publish(s state) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state = s
	close(h.changed)
	h.changed = make(chan struct{})
}

// waitFor waits until the published state satisfies ok, or ctx ends.
func (h *Host) waitFor(ctx context.Context, ok func(state) bool) (state, error) {
	for {
		h.mu.Lock()
		s, changed := h.state, h.changed
		h.mu.Unlock()
		if ok(s) {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return s, context.Cause(ctx)
		}
	}
}

// await waits for a handler that answers, and returns it.
func (h *Host) await(ctx context.Context) (*process, error) {
	s, err := h.waitFor(ctx, func(s state) bool { return s.phase != starting })
	switch {
	case err != nil:
		return nil, fmt.Errorf("wait for the handler: %w", err)
	case s.phase == stopped:
		return nil, s.err
	case s.phase == gone:
		return nil, errGone
	}
	return s.process, nil
}
