// Package memo is a short-lived cache with single flight: concurrent callers share one fetch.
package memo

import (
	"context"
	"sync"
	"time"

	"portcullis/core/parallel"
)

// Memo caches the last answer for each key for a short while; concurrent callers share one fetch. It never removes
// keys, so they must be few, such as subscriptions. It is safe for concurrent use; its zero value is empty.
type Memo[V any] struct {
	mu      sync.Mutex
	kept    map[string]remembered[V]
	flights map[string]*flight[V]
}

type remembered[V any] struct {
	value V
	asked time.Time
}

type flight[V any] struct {
	done  chan struct{}
	value V
	err   error
}

// fetchTimeout bounds one fetch, which continues when the caller that started it goes away.
const fetchTimeout = time.Minute

// Get returns the cached answer if it was fetched less than life ago, else the result of fetch, which receives the
// previous answer. Errors are not cached.
func (m *Memo[V]) Get(ctx context.Context, key string, now func() time.Time, life func(V) time.Duration, fetch func(ctx context.Context, before V) (V, error)) (V, error) {
	m.mu.Lock()
	asked := now()
	before, known := m.kept[key]
	if age := asked.Sub(before.asked); known && age >= 0 && age < life(before.value) {
		m.mu.Unlock()
		return before.value, nil
	}
	f := m.flights[key]
	if f == nil {
		f = &flight[V]{done: make(chan struct{})}
		if m.flights == nil {
			m.kept, m.flights = map[string]remembered[V]{}, map[string]*flight[V]{}
		}
		m.flights[key] = f
		go func() {
			bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
			defer cancel()
			f.err = parallel.Recover(func() (err error) { f.value, err = fetch(bounded, before.value); return err })
			m.mu.Lock()
			defer m.mu.Unlock()
			if delete(m.flights, key); f.err == nil {
				m.kept[key] = remembered[V]{f.value, asked}
			}
			close(f.done)
		}()
	}
	m.mu.Unlock()
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		var none V
		return none, context.Cause(ctx)
	}
}

// Always returns a constant life.
func Always[V any](life time.Duration) func(V) time.Duration {
	return func(V) time.Duration { return life }
}
