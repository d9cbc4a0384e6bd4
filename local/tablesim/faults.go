package tablesim

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Failure is how an operation fails on purpose.
type Failure int

const (
	none Failure = iota
	// NotApplied answers 503 ServerBusy and does nothing.
	NotApplied
	// Applied does the operation, then answers 500 OperationTimedOut.
	Applied
	// ReplyLost does the operation, then closes the connection without a
	// byte of answer.
	ReplyLost
)

// errReplyLost makes ServeHTTP drop the connection.
var errReplyLost = errors.New("reply lost")

// faults are the knobs. The zero value is a healthy server.
type faults struct {
	mu      sync.Mutex
	down    bool
	planned []plannedFailure
	latency time.Duration
	maxPage int
	empty   int
}

type plannedFailure struct {
	left int
	how  Failure
	only []Operation
}

// SetDown makes every request answer 503 ServerBusy, or ends that.
func (s *Server) SetDown(down bool) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.down = down
}

// FailNext makes the next n operations fail as told; with only, the next n of
// those kinds (a transaction is one Batch). Calls add up, earliest first.
// Requests that are unauthorized or malformed do not count.
func (s *Server) FailNext(n int, how Failure, only ...Operation) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.planned = append(s.faults.planned, plannedFailure{n, how, only})
}

// ClearFailures forgets what FailNext and EmptyPages have still in store.
func (s *Server) ClearFailures() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.planned, s.faults.empty = nil, 0
}

// SetLatency delays every request by d before anything happens.
func (s *Server) SetLatency(d time.Duration) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.latency = d
}

// SetMaxPage bounds a page of a query to n entities or tables, so that few
// rows exercise continuation; 0 is the service's 1000.
func (s *Server) SetMaxPage(n int) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.maxPage = n
}

// EmptyPages makes the next n pages of entity queries come back with no
// entity and a continuation, as the service may do at any time.
func (s *Server) EmptyPages(n int) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.empty = n
}

func (f *faults) isDown() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.down
}

func (f *faults) take(op Operation) Failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.planned {
		p := &f.planned[i]
		if p.left > 0 && (len(p.only) == 0 || slices.Contains(p.only, op)) {
			p.left--
			return p.how
		}
	}
	return none
}

func (f *faults) takeEmptyPage() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.empty <= 0 {
		return false
	}
	f.empty--
	return true
}

func (f *faults) pageLimit() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.maxPage > 0 && f.maxPage < maxPageEntities {
		return f.maxPage
	}
	return maxPageEntities
}

func (f *faults) delay(ctx context.Context) error {
	f.mu.Lock()
	d := f.latency
	f.mu.Unlock()
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
