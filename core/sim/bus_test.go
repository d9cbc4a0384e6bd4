package sim_test

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"portcullis/core/store"
)

// bus delivers wake-ups late, early, twice, out of order or never.
type bus struct {
	run   *run
	mu    sync.Mutex
	known map[store.Wake]bool // duplicate detection
	queue []store.Wake
}

func (b *bus) add(wakes []store.Wake) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range wakes {
		if !b.known[w] {
			b.known[w] = true
			b.queue = append(b.queue, w)
		}
	}
	slices.SortStableFunc(b.queue, func(x, y store.Wake) int {
		return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.Grant, y.Grant), cmp.Compare(x.Generation, y.Generation), cmp.Compare(x.Attempt, y.Attempt))
	})
}

// has reports whether a wake-up of the grant for that moment was ever scheduled.
func (b *bus) has(grant string, at time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for w := range b.known {
		if w.Grant == grant && !w.At.Before(at) {
			return true
		}
	}
	return false
}

// handedOn reports whether a failed closing of the grant ever scheduled another wake-up.
func (b *bus) handedOn(grant string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for w := range b.known {
		if w.Grant == grant && w.Attempt > 0 {
			return true
		}
	}
	return false
}

// due takes the first wake-up that is due by the broker's clock.
func (b *bus) due(now time.Time) (store.Wake, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 || b.queue[0].At.After(now) {
		return store.Wake{}, false
	}
	w := b.queue[0]
	b.queue = b.queue[1:]
	return w, true
}

// again puts a wake-up back, like an expired lock.
func (b *bus) again(w store.Wake) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue = append(b.queue, w)
}

// next returns when the first wake-up is due.
func (b *bus) next() (time.Time, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		return time.Time{}, false
	}
	return b.queue[0].At, true
}
