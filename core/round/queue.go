package round

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/parallel"
	"portcullis/core/plan"
)

// Want is what somebody wants of a target, beside that it is as stored.
type Want struct {
	Grant string // whose rules have to stand, or to be gone; "" where it is about policies
	Sweep bool   // nobody asked for anything: what has to be changed is a repair
}

// ask is somebody who waits for a target.
type ask struct {
	Want
	priority network.Priority
	closing  *closing        // nil where nothing closes
	alsoDue  bool            // what else is due on the target is closed with it
	place    int             // in the order in which they came, from 1
	lost     int             // writes that were for it and were lost to others
	first    map[string]bool // the rules that were to be written when it was first looked for; nil before. Of who wants no grant
	out      Outcome
	err      error
	done     chan struct{}
}

// queues is group commit: who asks for a target while it is being written waits for the next write, which is for all
// of them. Since a round works from what is stored, it does the work of all who stored their change before it looked.
type queues struct {
	mu sync.Mutex
	by map[string]*queue // of the targets that are being worked on
}

// queue is who waits for one target. Its fields are guarded by queues.mu.
type queue struct {
	asks    []*ask
	last    int                // the place of the one that came last
	preempt context.CancelFunc // ends the wait for a turn, which is for something less urgent; nil where there is none
}

// priority gives that of the most urgent one that waits.
func (q *queue) priority() network.Priority {
	var p network.Priority
	for _, a := range q.asks {
		if a.priority.Before(p) {
			p = a.priority
		}
	}
	return p
}

// Reconcile brings one target to what is stored, as it is at the call or later. It ends when what is wanted stands there, or when ctx
// does; the work goes on.
func (s *Rounds) Reconcile(ctx context.Context, target jit.ID, want Want) (Outcome, error) {
	if out, done := s.standsAlready(ctx, target); done {
		return out, nil
	}
	a := &ask{Want: want, done: make(chan struct{})}
	s.join(ctx, target, a)
	select {
	case <-a.done:
		return a.out, a.err
	case <-ctx.Done():
		return Outcome{}, fmt.Errorf("wait for the rules of %s: %w", target.Name, ctx.Err())
	}
}

// ReconcileAll is Reconcile of targets side by side. It gives the outcomes of all, or the joined errors.
func (s *Rounds) ReconcileAll(ctx context.Context, targets []jit.ID, want Want) ([]Outcome, error) {
	outs := make([]Outcome, len(targets))
	err := parallel.AtOnce(targets, func(i int, t jit.ID) (err error) {
		outs[i], err = s.Reconcile(ctx, t, want)
		return err
	})
	return outs, err
}

// Begin is Reconcile for who does not wait.
func (s *Rounds) Begin(ctx context.Context, target jit.ID, want Want) {
	s.join(ctx, target, &ask{Want: want, done: make(chan struct{})})
}

// standsAlready spares a round on a target of a kind that maps, where rounds take minutes, if
// what is shown there is confirmed and is what should stand. A round would then have found nothing
// to write either, and looks no later.
func (s *Rounds) standsAlready(ctx context.Context, target jit.ID) (Outcome, bool) {
	if !s.Kinds.Maps(target) {
		return Outcome{}, false
	}
	shown, err := s.Shown(ctx, target)
	if err != nil || shown.Unconfirmed {
		return Outcome{}, false
	}
	out, err := s.Compute(ctx, shown)
	return out, err == nil && out.Plan.Changes.Empty() && !out.Unnoted()
}

// join has asks wait for a target, and begins to work on it where nobody does.
func (s *Rounds) join(ctx context.Context, target jit.ID, asks ...*ask) {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	q := s.queues.by[target.Key()]
	if q == nil {
		q = &queue{}
		if s.queues.by == nil {
			s.queues.by = map[string]*queue{}
		}
		s.queues.by[target.Key()] = q
		go s.run(context.WithoutCancel(ctx), target, q)
	}
	before := q.priority()
	for _, a := range asks {
		q.last++
		a.place = q.last
	}
	q.asks = append(q.asks, asks...)
	if q.priority().Before(before) && q.preempt != nil {
		q.preempt()
	}
}

// look gives the place of the one that came last, and the priority of all that wait.
func (s *Rounds) look(q *queue) (last int, p network.Priority) {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	return q.last, q.priority()
}

// looked notes for those who have come up to a place what was to be written when it was first looked for them: whatever
// comes later is for others.
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

// forgetLooks takes what was looked at for nothing: it will be read anew.
func (s *Rounds) forgetLooks(q *queue) {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	for _, a := range q.asks {
		a.first = nil
	}
}

// some reports whether one of those that wait is so.
func (s *Rounds) some(q *queue, is func(*ask) bool) bool {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	return slices.ContainsFunc(q.asks, is)
}

// answer lets those go for which done says so, after it has given them what they are answered.
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
