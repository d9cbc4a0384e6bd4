package arm

import (
	"context"
	"sync"
	"time"

	"portcullis/core/parallel"
)

// Shared lets callers that ask for the same at the same time share one read. A caller gets what was read after it asked, as if it
// had read by itself: who asks while a read is under way shares the next one with all others who ask meanwhile. So two reads at most
// answer any number of callers. Nothing is kept afterwards. The zero value is ready; it is safe for concurrent use.
type Shared[V any] struct {
	mu   sync.Mutex
	busy bool       // a read is under way
	next *shared[V] // the read that begins next; nil while nobody waits for one
}

type shared[V any] struct {
	read  func(context.Context) (V, error)
	ctx   context.Context
	done  chan struct{}
	value V
	err   error
}

// sharedTimeout bounds one shared read. It goes on when the caller that began it goes away, since others wait for it.
const sharedTimeout = 2 * time.Minute

// Do returns what read returns, called by this caller or by another one after this call began. What it returns is shared: it must not be
// changed. The read's context has the values of the context of the first caller that waits for it, and ends with none of theirs.
func (s *Shared[V]) Do(ctx context.Context, read func(context.Context) (V, error)) (V, error) {
	s.mu.Lock()
	r := s.next
	if r == nil {
		r = &shared[V]{read: read, ctx: context.WithoutCancel(ctx), done: make(chan struct{})}
		s.next = r
		if !s.busy {
			s.busy = true
			go s.run()
		}
	}
	s.mu.Unlock()
	select {
	case <-r.done:
		return r.value, r.err
	case <-ctx.Done():
		var none V
		return none, context.Cause(ctx)
	}
}

// run reads until nobody waits.
func (s *Shared[V]) run() {
	for {
		s.mu.Lock()
		r := s.next
		s.next, s.busy = nil, r != nil
		s.mu.Unlock()
		if r == nil {
			return
		}
		ctx, cancel := context.WithTimeout(r.ctx, sharedTimeout)
		r.err = parallel.Recover(func() (err error) { r.value, err = r.read(ctx); return err })
		cancel()
		close(r.done)
	}
}
