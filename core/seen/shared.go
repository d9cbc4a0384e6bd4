package seen

import (
	"context"
	"sync"
	"time"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/parallel"
)

// sharedReadTimeout bounds one shared read, which goes on when a caller who waits for it goes away.
const sharedReadTimeout = time.Minute

// sharedReads lets callers share the reads of a target: each gets one that began after the call, and those who come while one is under
// way share the next. So however many ask, one read is under way and one is waited for, and a group that is full and asked for all the
// same does not take the reads that others need. It is safe for concurrent use; its zero value is empty.
type sharedReads struct {
	mu   sync.Mutex
	next map[string]*sharedRead // by jit.ID.Key, of the targets that are being read; nil while nobody waits for one more
}

type sharedRead struct {
	done     chan struct{}
	read     func() (network.Standing, error)
	standing network.Standing
	err      error
}

// get returns what read returns, called after get was.
func (s *sharedReads) get(ctx context.Context, target jit.ID, read func(context.Context) (network.Standing, error)) (network.Standing, error) {
	mine := s.join(target.Key(), func() (network.Standing, error) {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), sharedReadTimeout)
		defer cancel()
		return read(bounded)
	})
	select {
	case <-mine.done:
		return mine.standing, mine.err
	case <-ctx.Done():
		return network.Standing{}, context.Cause(ctx)
	}
}

// join returns the read that begins next, and begins it if none is under way.
func (s *sharedReads) join(key string, read func() (network.Standing, error)) *sharedRead {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting, busy := s.next[key]
	if waiting != nil {
		return waiting
	}
	mine := &sharedRead{done: make(chan struct{}), read: read}
	if s.next == nil {
		s.next = map[string]*sharedRead{}
	}
	if s.next[key] = mine; !busy {
		go s.run(key)
	}
	return mine
}

// run reads a target until nobody waits for one more read.
func (s *sharedReads) run(key string) {
	for r := s.take(key); r != nil; r = s.take(key) {
		r.err = parallel.Recover(func() (err error) { r.standing, err = r.read(); return err })
		close(r.done)
	}
}

// take returns the read that is waited for. If there is none, the target is no longer being read.
func (s *sharedReads) take(key string) *sharedRead {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.next[key]
	if r == nil {
		delete(s.next, key)
		return nil
	}
	s.next[key] = nil
	return r
}
