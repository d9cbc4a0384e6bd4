package coretest

import (
	"context"
	"slices"
	"sync"
	"time"

	"portcullis/core/store"
)

var _ store.Alarm = (*Bell)(nil)

// Bell is an in-memory alarm. It delivers nothing by itself: a test takes what is due with [Bell.Due] and delivers
// it as often, as late and in whatever order it likes. Like the service, it drops a duplicate wake-up. It is safe
// for concurrent use; the zero value is ready.
type Bell struct {
	// Fault is called at every step of every call; the caller gets its error. Nil means no faults.
	Fault func(context.Context, Step) error

	mu    sync.Mutex
	set   []store.Wake
	known map[store.Wake]bool
}

// Schedule implements [store.Alarm].
func (b *Bell) Schedule(ctx context.Context, wakes ...store.Wake) error {
	for _, after := range []bool{false, true} {
		if after {
			b.add(wakes)
		}
		if b.Fault == nil || len(wakes) == 0 {
			continue
		}
		if err := b.Fault(ctx, Step{Op: "Schedule", Of: wakes[0].Grant, After: after}); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bell) add(wakes []store.Wake) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known == nil {
		b.known = map[store.Wake]bool{}
	}
	for _, w := range wakes {
		if !b.known[w] {
			b.known[w] = true
			b.set = append(b.set, w)
		}
	}
}

// Due removes and returns the wake-ups that are due at now, earliest first.
func (b *Bell) Due(now time.Time) []store.Wake {
	b.mu.Lock()
	defer b.mu.Unlock()
	var due, rest []store.Wake
	for _, w := range b.set {
		if w.At.After(now) {
			rest = append(rest, w)
		} else {
			due = append(due, w)
		}
	}
	b.set = rest
	slices.SortStableFunc(due, func(a, b store.Wake) int { return a.At.Compare(b.At) })
	return due
}

// Set returns the wake-ups that are not due yet or have not been taken.
func (b *Bell) Set() []store.Wake {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.set)
}
