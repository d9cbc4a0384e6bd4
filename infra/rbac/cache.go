package rbac

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"portcullis/core/parallel"
	"portcullis/core/store"
)

// cache remembers answers for a while, in bounded memory. One call serves all
// who ask for the same thing at once. Of the errors it remembers, shortly, only that the app
// may not ask: lists with much of a subscription in which it has no role would ask anew for every line.
// It is safe for concurrent use.
type cache[V any] struct {
	entries int           // at most
	bytes   int           // at most, as the sizes of the answers say
	timeout time.Duration // of one call
	now     func() time.Time
	calls   singleflight.Group

	mu    sync.Mutex
	kept  map[string]*list.Element // of *answer[V]
	order list.List                // oldest first
	held  int                      // bytes
}

// errorSize is what an error is taken to occupy, in bytes.
const errorSize = 512

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
	return &cache[V]{entries: entries, bytes: bytes, timeout: timeout, now: now, kept: map[string]*list.Element{}}
}

// get returns what is remembered under the key and was asked for less than life ago, or what fetch returns, with its size in
// bytes. The call that fetch makes does not end when the one who caused it goes away, since
// others may wait for it; everybody waits as long as their own context lasts.
func (c *cache[V]) get(ctx context.Context, key string, life time.Duration, fetch func(context.Context) (V, int, error)) (V, error) {
	if a, ok := c.remembered(key, life, c.now()); ok {
		return a.value, a.err
	}
	called := c.calls.DoChan(key, func() (any, error) { return c.call(context.WithoutCancel(ctx), key, life, fetch) })
	var value V
	select {
	case r := <-called:
		value, _ = r.Val.(V)
		return value, r.Err
	case <-ctx.Done():
		return value, context.Cause(ctx)
	}
}

// remembered returns an answer that was asked for less than life ago and has not outlived its own.
func (c *cache[V]) remembered(key string, life time.Duration, now time.Time) (*answer[V], bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.kept[key]
	if !ok {
		return nil, false
	}
	a := e.Value.(*answer[V])
	if age := now.Sub(a.asked); age >= 0 && age < min(life, a.life()) {
		return a, true
	}
	c.drop(e)
	return nil, false
}

// call makes the call, unless one has ended since the caller looked. Its answer counts as old as the question.
func (c *cache[V]) call(ctx context.Context, key string, life time.Duration, fetch func(context.Context) (V, int, error)) (V, error) {
	asked := c.now()
	if a, ok := c.remembered(key, life, asked); ok {
		return a.value, a.err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var value V
	var size int
	err := parallel.Recover(func() (err error) {
		value, size, err = fetch(ctx)
		return err
	})
	if err != nil {
		size = errorSize
	}
	if err == nil || errors.Is(err, store.ErrForbidden) {
		c.keep(&answer[V]{key, value, err, size + len(key), asked})
	}
	return value, err
}

// keep remembers an answer if there is room for it, and drops the oldest ones for it.
func (c *cache[V]) keep(a *answer[V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.size > c.bytes {
		return
	}
	if e, ok := c.kept[a.key]; ok {
		c.drop(e)
	}
	c.kept[a.key] = c.order.PushBack(a)
	c.held += a.size
	for len(c.kept) > c.entries || c.held > c.bytes {
		c.drop(c.order.Front())
	}
}

func (c *cache[V]) drop(e *list.Element) {
	a := c.order.Remove(e).(*answer[V])
	delete(c.kept, a.key)
	c.held -= a.size
}
