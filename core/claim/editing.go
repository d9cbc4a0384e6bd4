package claim

import (
	"context"
	"fmt"
	"sync"
)

// Editing lets one caller at a time change a named policy in this process, since reading it, checking the
// precondition and writing involves several rows. Between processes, a [Claim] does this. The zero value is
// ready.
type Editing struct {
	mu   sync.Mutex
	held map[string]chan struct{} // by the policy's key; closed when released
}

// Lock waits until nobody else holds the key, and returns the function that releases it.
func (e *Editing) Lock(ctx context.Context, key string) (func(), error) {
	for {
		e.mu.Lock()
		other, taken := e.held[key]
		if !taken {
			if e.held == nil {
				e.held = map[string]chan struct{}{}
			}
			mine := make(chan struct{})
			e.held[key] = mine
			e.mu.Unlock()
			return func() {
				e.mu.Lock()
				defer e.mu.Unlock()
				delete(e.held, key)
				close(mine)
			}, nil
		}
		e.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for another change of the policy: %w", ctx.Err())
		}
	}
}
