package rbac

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"portcullis/core/store"
)

// cache remembers answers for a while, in bounded memory, and lets one call serve all
// who ask for the same thing at once. Of the errors it remembers, shortly, only that the app
// may not ask: lists with much of a subscription in which it has no role would ask anew for every line.
// It is safe for concurrent use.
type cache[V any] struct {
	entries int           // at most
	bytes   int           // at most, as the sizes of the answers say
	timeout time.Duration // of one call
	now     func() time.Time

	mu      sync.Mutex
	flights map[string]*flight[V]
	kept    map[string]*list.Element // of *answer[V]
	order   list.List                // oldest first
	held    int                      // bytes
}

// errorSize is what an error is taken to occupy, in bytes.
const errorSize = 512

// flight is a call under way.
type flight[V any] struct {
	done  chan struct{}
	value V
	err   error
}

type answer[V any] struct {
	key   string
	value V
	err   error
	size  int
	asked time.Time
}

func (a *answer[V]) life() time.Duration {
	if a.err != nil {
		return ForbiddenLife
	}
	return Life
}

func newCache[V any](entries, bytes int, now func() time.Time) *cache[V] {
	return &cache[V]{entries: entries, bytes: bytes, timeout: timeout, now: now, flights: map[string]*flight[V]{}, kept: map[string]*list.Element{}}
}

// get gives what is remembered under the key and was asked for less than life ago, or what fetch gives, with its size in
// bytes. The call that fetch makes does not end when the one who caused it goes away, since
// others may wait for it; everybody waits as long as his own context lasts.
func (c *cache[V]) get(ctx context.Context, key string, life time.Duration, fetch func(context.Context) (V, int, error)) (V, error) {
	c.mu.Lock()
	now := c.now()
	if e, ok := c.kept[key]; ok {
		a := e.Value.(*answer[V])
		if age := now.Sub(a.asked); age >= 0 && age < min(life, a.life()) {
			c.mu.Unlock()
			return a.value, a.err
		}
		c.drop(e)
	}
	f, ok := c.flights[key]
	if !ok {
		f = &flight[V]{done: make(chan struct{})}
		c.flights[key] = f
		go c.fly(context.WithoutCancel(ctx), key, f, now, fetch)
	}
	c.mu.Unlock()
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		var none V
		return none, context.Cause(ctx)
	}
}

// fly makes the call. Its answer counts as old as the question.
func (c *cache[V]) fly(ctx context.Context, key string, f *flight[V], asked time.Time, fetch func(context.Context) (V, int, error)) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	value, size, err := fetch(ctx)
	f.value, f.err = value, err
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.flights, key)
	if err != nil {
		size = errorSize
	}
	if size += len(key); size <= c.bytes && (err == nil || errors.Is(err, store.ErrForbidden)) {
		c.kept[key] = c.order.PushBack(&answer[V]{key, value, err, size, asked})
		c.held += size
	}
	for len(c.kept) > c.entries || c.held > c.bytes {
		c.drop(c.order.Front())
	}
	close(f.done)
}

func (c *cache[V]) drop(e *list.Element) {
	a := c.order.Remove(e).(*answer[V])
	delete(c.kept, a.key)
	c.held -= a.size
}
