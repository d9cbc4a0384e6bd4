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

// cache is a cache with bounded memory and single flight. The only error that it caches, briefly, is that the app
// may not read role assignments: otherwise a long list from a subscription in which the app has no role would
// cause a request for every line. It is safe for concurrent use.
type cache[V any] struct {
	entries int           // at most
	bytes   int           // at most, by the sizes of the answers
	timeout time.Duration // of one call
	now     func() time.Time
	calls   singleflight.Group

	mu    sync.Mutex
	kept  map[string]*list.Element // of *answer[V]
	order list.List                // oldest first
	held  int                      // bytes
}

// errorSize is the assumed size of an error, in bytes.
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

// get returns the cached answer if it was requested less than life ago, else the result of fetch, with its size in
// bytes. The fetch continues when the caller that started it goes away, since others may wait for it; each caller
// waits as long as its own context lasts.
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

// remembered returns an answer that was requested less than life ago and has not expired.
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

// call fetches the answer, unless a fetch has ended since the caller looked. The answer's age counts from the
// request.
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

// keep caches an answer if it fits, and drops the oldest ones to make room.
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
