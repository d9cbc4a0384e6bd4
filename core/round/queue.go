package round

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"portcullis/core/gather"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/parallel"
	"portcullis/core/plan"
)

// Want is what a caller of [Rounds.Reconcile] waits for, beside that the target is as stored.
type Want struct {
	Grant string // whose rules have to stand, or to be gone; "" where it is about policies
	Sweep bool   // nobody asked for a change: whatever differs is repaired
}

// ask is a caller that waits for a target.
type ask struct {
	Want
	priority network.Priority
	closing  *closing        // nil where nothing closes
	alsoDue  bool            // what else is due on the target is closed with it
	place    int             // in the order of arrival, from 1
	lost     int             // writes for it that were lost to others
	first    map[string]bool // of an ask for no grant: the rules that its first look found to be written; nil before
	out      Outcome
	err      error
	done     chan struct{}
}

// queues is group commit: all who ask for a target while it is being written share the next write. A round works from
// what is stored, so it does the work of all who stored their change before it looked.
type queues struct {
	mu sync.Mutex
	by map[string]*queue // of the targets that are being worked on
}

// queue is the asks for one target. Its fields are guarded by queues.mu.
type queue struct {
	asks    []*ask
	last    int                // the place of the last ask
	asked   map[string]bool    // the grants that were asked for in this process
	preempt context.CancelFunc // ends a wait for a turn so that it starts again with a higher priority; nil while none waits
}

// highestPriority returns the highest priority of the asks.
func highestPriority(asks []*ask) network.Priority {
	p := network.Ordinary()
	for _, a := range asks {
		if a.priority.Before(p) {
			p = a.priority
		}
	}
	return p
}

// Reconcile brings one target to what is stored, as it is at the call or later. It returns when what is wanted stands there, or when
// ctx ends; the work then goes on.
func (s *Rounds) Reconcile(ctx context.Context, target jit.ID, want Want) (Outcome, error) {
	a := &ask{Want: want, done: make(chan struct{})}
	if out, done := s.standsAlready(ctx, a.priority, target); done {
		return out, nil
	}
	s.join(ctx, target, a)
	select {
	case <-a.done:
		return a.out, a.err
	case <-ctx.Done():
		return Outcome{}, fmt.Errorf("wait for the rules of %s: %w", target.Name, ctx.Err())
	}
}

// ReconcileAll reconciles targets side by side. It returns the outcomes, or the joined errors.
func (s *Rounds) ReconcileAll(ctx context.Context, targets []jit.ID, want Want) ([]Outcome, error) {
	outs, ctx := make([]Outcome, len(targets)), gather.Many(ctx, len(targets))
	err := parallel.AtOnce(targets, func(i int, t jit.ID) (err error) {
		outs[i], err = s.Reconcile(ctx, t, want)
		return err
	})
	return outs, err
}

// Begin starts Reconcile and does not wait.
func (s *Rounds) Begin(ctx context.Context, target jit.ID, want Want) {
	s.join(ctx, target, &ask{Want: want, done: make(chan struct{})})
}

// standsAlready reports whether a target of a kind that maps shows what should stand there, confirmed. It spares a
// round, which takes minutes there and would find nothing to write.
func (s *Rounds) standsAlready(ctx context.Context, p network.Priority, target jit.ID) (Outcome, bool) {
	if !s.Kinds.Maps(target) {
		return Outcome{}, false
	}
	shown, err := s.ShownTo(ctx, p, target)
	if err != nil || shown.Unconfirmed {
		return Outcome{}, false
	}
	out, err := s.Compute(ctx, shown)
	return out, err == nil && out.Plan.Changes.Empty() && !out.Unnoted()
}

// join queues asks for a target, and starts the work on it if none is under way.
func (s *Rounds) join(ctx context.Context, target jit.ID, asks ...*ask) {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	q := s.queues.by[target.Key()]
	if q == nil {
		q = &queue{asked: map[string]bool{}}
		if s.queues.by == nil {
			s.queues.by = map[string]*queue{}
		}
		s.queues.by[target.Key()] = q
		go s.run(context.WithoutCancel(ctx), target, q)
	}
	before := highestPriority(q.asks)
	for _, a := range asks {
		q.last++
		a.place = q.last
		if a.Grant != "" {
			q.asked[a.Grant] = true
		}
	}
	q.asks = append(q.asks, asks...)
	if highestPriority(q.asks).Before(before) && q.preempt != nil {
		q.preempt()
	}
}

// look returns the place of the last ask, and the highest priority of all.
func (s *Rounds) look(q *queue) (last int, p network.Priority) {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	return q.last, highestPriority(q.asks)
}

// looked notes, for each ask up to a place, what its first look found to be written: what is found later is for others.
func (s *Rounds) looked(q *queue, place int, c plan.Changes) {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	for _, a := range q.asks {
		if a.Grant != "" || a.first != nil || a.place > place {
			continue
		}
		a.first = map[string]bool{}
		for _, r := range slices.Concat(c.Create, c.Update, c.Delete) {
			a.first[r.Name] = true
		}
	}
}

// forgetLooks drops what looked has noted, since the rules are read again.
func (s *Rounds) forgetLooks(q *queue) {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	for _, a := range q.asks {
		a.first = nil
	}
}

// some reports whether is holds for one of the asks.
func (s *Rounds) some(q *queue, is func(*ask) bool) bool {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	return slices.ContainsFunc(q.asks, is)
}

// answer ends the asks for which done, which sets their outcome or error, returns true.
func (s *Rounds) answer(ctx context.Context, q *queue, done func(*ask) bool) {
	var closings []*ask
	s.queues.mu.Lock()
	q.asks = slices.DeleteFunc(q.asks, func(a *ask) bool {
		if !done(a) {
			return false
		}
		if a.closing != nil {
			closings = append(closings, a)
		}
		close(a.done)
		return true
	})
	s.queues.mu.Unlock()
	if len(closings) > 0 {
		s.background("store closings", func() error { s.answered(context.WithoutCancel(ctx), closings); return nil })
	}
}
