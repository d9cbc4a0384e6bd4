package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// What calls may write to the log, of each kind by itself. A process at its bound writes some 100 MB a day in both kinds together,
// in Log Analytics, where a line is written twice (docs/operations.md, "What strangers can cause").
const (
	callBurst  = 120              // lines at once
	callEvery  = 2 * time.Second  // one more after each
	callsTold  = 30 * time.Second // how often what was left out is told, at most
	callLength = 400              // bytes of one text of a line: paths and errors are as long as callers make them
)

// Bounded gives a handler that bounds the lines which anybody can cause by calling: "request", unless the call
// changed something or failed, and "caller refused". Lines of refused calls and lines of others have a bound
// each, so that neither crowds out the other. What is left out is counted and told by a line "calls left out of the log", at most every 30 s while
// there are any. Warnings, errors and every other line pass unchanged. It drives its clock by package time.
func Bounded(next slog.Handler) slog.Handler {
	now := time.Now()
	return &bounded{Handler: next, calls: &calls{next: next, refused: allowance{left: callBurst, filled: now}, answered: allowance{left: callBurst, filled: now}}}
}

// bounded is the handler of one logger; loggers made from it share what is counted.
type bounded struct {
	slog.Handler
	calls *calls
}

// calls is what all loggers of a process count together.
type calls struct {
	next slog.Handler

	mu                sync.Mutex
	refused, answered allowance
	telling           bool // a line that tells what was left out is to come
}

// allowance is a token bucket, and how often it was empty since that was told.
type allowance struct {
	left    int
	filled  time.Time
	skipped int
}

func (a *allowance) take(now time.Time) bool {
	if n := int(now.Sub(a.filled) / callEvery); n > 0 {
		a.left, a.filled = min(callBurst, a.left+n), a.filled.Add(time.Duration(n)*callEvery)
	}
	if a.left == 0 {
		a.skipped++
		return false
	}
	a.left--
	return true
}

// Handle implements [slog.Handler].
func (b *bounded) Handle(ctx context.Context, r slog.Record) error {
	refused, bounds := kindOfCall(r)
	if !bounds {
		return b.Handler.Handle(ctx, r)
	}
	if !b.calls.pass(refused) {
		return nil
	}
	short := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if text := a.Value; text.Kind() == slog.KindString && len(text.String()) > callLength {
			a.Value = slog.StringValue(text.String()[:callLength] + " ...")
		}
		short.AddAttrs(a)
		return true
	})
	return b.Handler.Handle(ctx, short)
}

// kindOfCall reports whether a line tells of a call that anybody can make, and whether it was refused. A call that failed, and one
// other than GET that did not, are worth their line.
func kindOfCall(r slog.Record) (refused, bounds bool) {
	if r.Level > slog.LevelInfo {
		return false, false
	}
	if r.Message == "caller refused" {
		return true, true
	}
	if r.Message != "request" {
		return false, false
	}
	method, status := "", int64(0)
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "method":
			method = a.Value.String()
		case "status":
			status = a.Value.Int64()
		}
		return true
	})
	refused = status >= 400 && status < 500
	return refused, refused || status < 400 && (method == "GET" || method == "HEAD")
}

// pass takes a line's place, or counts it as left out.
func (c *calls) pass(refused bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := &c.answered
	if refused {
		of = &c.refused
	}
	if of.take(time.Now()) {
		return true
	}
	if !c.telling {
		c.telling = true
		time.AfterFunc(callsTold, c.tell)
	}
	return false
}

// tell writes how many lines were left out since it was last told.
func (c *calls) tell() {
	c.mu.Lock()
	refused, answered := c.refused.skipped, c.answered.skipped
	c.refused.skipped, c.answered.skipped, c.telling = 0, 0, false
	c.mu.Unlock()
	r := slog.NewRecord(time.Now(), slog.LevelWarn, "calls left out of the log", 0)
	r.AddAttrs(slog.Int("refused", refused), slog.Int("answered", answered))
	_ = c.next.Handle(context.Background(), r) // where the log cannot be written nothing can say so
}

// WithAttrs implements [slog.Handler].
func (b *bounded) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &bounded{b.Handler.WithAttrs(attrs), b.calls}
}

// WithGroup implements [slog.Handler].
func (b *bounded) WithGroup(name string) slog.Handler {
	return &bounded{b.Handler.WithGroup(name), b.calls}
}
