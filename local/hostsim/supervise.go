package hostsim

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The real host's bound for a handler that fails: ErrorEventsThreshold and
// WorkerRestartErrorIntervalThresholdInMinutes.
const (
	maxErrors     = 3
	errorInterval = 30 * time.Minute
)

// maxBackOff bounds the wait between two starts under AlwaysRestart.
const maxBackOff = 5 * time.Second

var errGone = errors.New("the handler exited with 0 and is not started again")

// errorCount counts the handler's errors as the real host does: it forgets them
// all when one comes more than errorInterval after the one before it.
type errorCount struct {
	n    int
	last time.Time
}

func (c *errorCount) add(now time.Time) {
	if c.n > 0 && now.Sub(c.last) > errorInterval {
		c.n = 0
	}
	c.n++
	c.last = now
}

// supervise keeps one handler process running until the host stops, and stops
// the host when it gives the handler up.
func (h *Host) supervise() {
	defer h.cancel()
	var failed errorCount
	unready := 0 // processes in a row that never answered
	for {
		served, err := h.runProcess()
		if h.ctx.Err() != nil {
			h.publish(state{phase: stopped, err: fmt.Errorf("%w: closed", ErrStopped)})
			return
		}
		if err == nil {
			continue
		}
		failed.add(h.cfg.Now())
		unready++
		if served {
			unready = 0
		}
		h.log.Error("handler process failed", "error", err, "errors", failed.n)
		if failed.n < maxErrors {
			continue
		}
		if !h.cfg.AlwaysRestart {
			h.log.Error("exceeded the handler's restart count, shutting down", "errors", failed.n)
			h.publish(state{phase: stopped, err: fmt.Errorf("%w: %d errors of the handler, the last: %w", ErrStopped, failed.n, err)})
			return
		}
		sleep(h.ctx, backOff(unready))
	}
}

// runProcess runs one handler process to its end and reports whether it ever
// answered. A nil error asks for the next one; an error is one that counts
// against the handler.
func (h *Host) runProcess() (served bool, err error) {
	p, err := h.startProcess()
	if err != nil {
		return false, fmt.Errorf("start the handler: %w", err)
	}
	defer p.kill()
	// Published before the process is ended, so that nobody is sent to one that
	// is being killed.
	defer h.publish(state{phase: starting})
	h.publish(state{phase: starting, process: p})
	if err := h.probe(h.ctx, p, h.settings.initializationTimeout); err != nil {
		select {
		case <-p.exited:
			return false, h.exit(p)
		default:
			return false, fmt.Errorf("handler: %w", err)
		}
	}
	h.publish(state{phase: ready, process: p})
	select {
	case <-p.exited:
		return true, h.exit(p)
	case <-p.restart:
		return true, nil
	case <-h.ctx.Done():
		return true, nil
	}
}

// exit judges the exit code of a process that ended by itself.
func (h *Host) exit(p *process) error {
	switch p.code {
	case 0:
		if h.cfg.AlwaysRestart {
			return errors.New("handler exited with 0")
		}
		h.log.Warn("the handler exited with 0: the host does not start it again")
		h.publish(state{phase: gone, process: p})
		select {
		case <-p.restart: // an invocation of before timed out
		case <-h.ctx.Done():
		}
		return nil
	case 200:
		h.log.Info("the handler asked to be restarted")
		return nil
	case -1:
		return errors.New("handler ended by a signal")
	}
	return fmt.Errorf("handler exited with %d", p.code)
}

// backOff is the wait after n+1 failures in a row: 100 ms, doubled
// each time, up to maxBackOff.
func backOff(n int) time.Duration {
	return min(100*time.Millisecond<<min(n, 10), maxBackOff)
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
