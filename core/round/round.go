package round

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/parallel"
	"portcullis/core/plan"
	"portcullis/core/repair"
	"portcullis/core/roster"
	"portcullis/core/store"
)

const (
	// turnTimeout bounds the wait for the turn to write, which in a storm is much longer than the work.
	turnTimeout = 30 * time.Minute
	// maxLooks bounds how often a round looks at the stored state again before it writes, because more asks came.
	maxLooks = 4
	// maxLostWrites bounds how many writes for one asker may be lost to others before the asker is told.
	maxLostWrites = store.Attempts
	// minConflictBackoff is the wait after the first lost write. It doubles with each in a row, up to maxConflictBackoff.
	minConflictBackoff = 100 * time.Millisecond
	maxConflictBackoff = 5 * time.Second
)

// work is the work on one target, while somebody waits for it or something is left to write.
type work struct {
	*Rounds
	target jit.ID
	kind   network.TargetKind
	queue  *queue

	snap        network.Snapshot // what stands, if known is set
	known       bool
	fresh       bool            // the rules have to be read: others have changed them, or an ask is newer than what is remembered
	asOf        int             // the place of the last ask before snap was read or written; -1 for remembered
	reread      bool            // the rules were read once more for asks that were newer than the read, since the last write
	place       int             // the place of the last ask before the last look at the stored state
	left        bool            // something may be left to write that nobody waits for
	lost        int             // writes in a row that were lost to others, since the last answer
	confirmedAt time.Time       // when the write was confirmed that snap is the answer to; zero if snap was read, or a gap was left since
	remembered  bool            // the target is not ours, and is marked to be looked at
	ended       map[string]bool // grants of which this round has ended windows
	unended     error           // why it could not end others, until somebody is told
}

// run works on one target until nobody waits and nothing is left to write.
func (s *Rounds) run(ctx context.Context, target jit.ID, q *queue) {
	w := &work{Rounds: s, target: target, queue: q}
	for w.goesOn() {
		w.place, _ = s.look(q)
		if err := s.Recovered(target.String(), func() error { return w.once(ctx) }); err != nil {
			w.left, w.known, w.fresh = false, false, false
			s.answer(ctx, q, func(a *ask) bool {
				a.err = err
				return a.place <= w.place
			})
		}
	}
}

// goesOn reports whether there is more to do. If not, the target's queue is removed.
func (w *work) goesOn() bool {
	w.queues.mu.Lock()
	defer w.queues.mu.Unlock()
	if len(w.queue.asks) > 0 || w.left {
		return true
	}
	delete(w.queues.by, w.target.Key())
	return false
}

// once reads if it must, computes, answers the asks that are satisfied, and writes what is left. The next call looks
// at what is stored again, and so removes what another instance has ended between this look and the write (decision 004).
func (w *work) once(ctx context.Context) (err error) {
	if w.kind, err = w.Kinds.Of(w.target); err != nil {
		return err
	}
	_, p := w.look(w.queue)
	s := begin(ctx, p, w.kind)
	defer func() { s.end() }()
	switch err := w.fetch(s); {
	case errors.Is(err, store.ErrNotFound):
		w.left, w.known = false, false
		w.release(ctx, Outcome{Target: w.target, At: w.now(), Gone: true})
		return nil
	case err != nil:
		return fmt.Errorf("read the rules of %s: %w", w.target.Name, err)
	}
	out, next, err := w.prepare(ctx, s)
	if s = next; errors.Is(err, errConfirmedElsewhere) {
		return w.conflicted(ctx, err)
	}
	if err != nil || w.fresh {
		return err
	}
	if out.complete(w.snap.Standing) {
		// The asks that are left are newer than what is known. If it was read, they begin from what is remembered, as any new
		// ask does; if it was only remembered, it has to be read.
		w.left, w.known, w.fresh, w.reread = false, w.asOf < 0, w.asOf < 0, false
		w.forgetLooks(w.queue)
		return nil
	}
	return w.put(ctx, &s, out)
}

// fetch sets snap: what is known, unless the rules have to be read.
func (w *work) fetch(s slot) (err error) {
	if w.known && !w.fresh {
		return nil
	}
	last, _ := w.look(w.queue)
	w.confirmedAt = time.Time{}
	if w.fresh {
		w.snap, err = w.Read(s.ctx, s.priority, w.target)
		w.asOf = last
	} else {
		var read bool
		if w.snap, read, err = w.Known(s.ctx, s.priority, w.target); read {
			w.asOf = last
		} else {
			w.asOf = -1
		}
	}
	w.known, w.fresh = err == nil, false
	return err
}

// prepare computes what the target should be, and answers the asks that are satisfied. If something is left to write, it waits
// for its turn and looks at the stored state again, so that what falls due or is asked for meanwhile is in the same write.
func (w *work) prepare(ctx context.Context, s slot) (Outcome, slot, error) {
	for looks := 1; ; looks++ {
		place, p := w.look(w.queue)
		w.place = place
		out, err := w.Compute(s.ctx, w.snap.Standing)
		if err != nil {
			return out, s, err
		}
		ended, unended := w.endAll(s.ctx, out)
		if w.fresh {
			return out, s, nil
		}
		if ended {
			continue
		}
		if w.asOf >= 0 {
			w.looked(w.queue, place, out.Plan.Changes)
		}
		if err := w.confirmed(s.ctx, ctx, out); err != nil {
			return out, s, err
		}
		if out, err = w.rest(out, unended); err != nil || out.complete(w.snap.Standing) {
			return out, s, err
		}
		if w.fresh = w.standsUnread(out); w.fresh {
			w.reread = true
			return out, s, nil
		}
		w.closeAlsoDue(ctx, out)
		if w.leaveGap(s.ctx, out) {
			continue
		}
		waited := false
		if turns, ok := w.kind.Rules.(network.Turns); ok && !s.held {
			s.end()
			if s, waited, err = w.turn(ctx, turns, out.priority(p)); err != nil {
				return out, s, fmt.Errorf("wait for the turn to write %s: %w", w.target.Name, err)
			}
			if !s.held { // a more urgent ask came
				continue
			}
		}
		if last, _ := w.look(w.queue); !waited && (last == place || looks >= maxLooks) {
			return out, s, nil
		}
	}
}

// errConfirmedElsewhere says that another instance has noted other denies as confirmed.
var errConfirmedElsewhere = errors.New("another instance has noted other rules as confirmed")

// confirmed stores which denies stand, and answers the asks that are satisfied or in vain. It answers none from what is only remembered.
func (w *work) confirmed(bounded, ctx context.Context, out Outcome) error {
	w.answer(ctx, w.queue, func(a *ask) bool {
		a.out.Target, a.out.At, a.out.State = out.Target, out.At, out.State
		return a.closing == nil && a.Grant != "" && a.place <= w.place && out.over(a.Grant)
	})
	if w.snap.Unconfirmed || w.asOf < 0 {
		return nil
	}
	if !out.changes(out.reguards) && w.some(w.queue, func(a *ask) bool { return a.place <= w.asOf }) {
		err := w.note(bounded, out)
		if errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("%w: %w", errConfirmedElsewhere, err)
		}
		if err != nil {
			return err
		}
	}
	w.release(ctx, out)
	return nil
}

// release answers the satisfied asks that came before what is known was read or written.
func (w *work) release(ctx context.Context, out Outcome) {
	w.answer(ctx, w.queue, func(a *ask) bool {
		if a.place > w.asOf && !(out.Gone && a.place <= w.place) || !out.satisfies(a) {
			return false
		}
		before := a.out
		a.out = out
		a.out.Written, a.out.Repaired, a.out.Ended, a.out.Remembered = before.Written, before.Repaired, before.Ended, w.remembered
		w.lost = 0
		return true
	})
}

// put writes the changes. First it logs what is repaired, and remembers a target that is not ours.
func (w *work) put(ctx context.Context, s *slot, out Outcome) error {
	what := repair.Of(out.Plan, out.State, out.Current, w.some(w.queue, func(a *ask) bool { return a.Sweep }))
	if err := w.logRepair(s.ctx, out, w.snap.Version, what); err != nil {
		return err
	}
	if !out.State.Known && !w.remembered {
		if err := w.Targets.Remember(s.ctx, w.target); err != nil {
			return fmt.Errorf("remember %s: %w", w.target.Name, err)
		}
		w.remembered = true
	}
	if err := w.expect(s.ctx, out); errors.Is(err, store.ErrConflict) {
		return w.conflicted(ctx, fmt.Errorf("%w: %w", errConfirmedElsewhere, err))
	} else if err != nil {
		return err
	}
	answer, err := w.Write(s.ctx, s.priority, w.kind, w.snap, out.Plan.Changes)
	s.held, w.reread = false, false
	switch {
	case err == nil:
		w.snap, w.asOf, w.lost, w.left, w.confirmedAt = answer, w.place, 0, true, w.Now()
		w.wrote(out.Plan.Changes, what)
		w.tellRemoved(ctx, out)
		return nil
	case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrNotFound):
		return w.conflicted(ctx, err)
	}
	return fmt.Errorf("write the rules of %s: %w", w.target.Name, err)
}

// wrote adds a write to the outcomes of all asks that it was for.
func (w *work) wrote(c plan.Changes, repaired []string) {
	w.queues.mu.Lock()
	defer w.queues.mu.Unlock()
	for _, a := range w.queue.asks {
		if a.place <= w.place {
			a.out.Written, a.out.Repaired = merge(a.out.Written, c), append(a.out.Repaired, repaired...)
		}
	}
}

// conflicted makes the next call read the target, since others wrote first, and waits before it. The wait grows and differs
// from instance to instance. Asks that have lost maxLostWrites writes end with an error.
func (w *work) conflicted(ctx context.Context, err error) error {
	w.lost++
	w.fresh, w.left = true, w.lost < maxLostWrites
	told := &store.Unavailable{Dependency: "Azure Resource Manager", Err: fmt.Errorf("write the rules of %s: others wrote first %d times in a row, the last time: %w", w.target.Name, maxLostWrites, err)}
	w.answer(ctx, w.queue, func(a *ask) bool {
		if a.place > w.place {
			return false
		}
		if a.lost++; a.lost == maxLostWrites {
			a.err = told
		}
		return a.err != nil
	})
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, w.target.Key(), w.Now().UnixNano())
	wait := min(minConflictBackoff<<min(w.lost-1, 10), maxConflictBackoff)
	timer := time.NewTimer(wait/2 + wait/2*time.Duration(h.Sum32()%1000)/1000)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

// slot is the context of a piece of work, what ends it, and the priority of its calls.
type slot struct {
	ctx      context.Context
	end      context.CancelFunc
	priority network.Priority
	held     bool // the turn to write is kept
}

// begin bounds a piece of work by the time that the target's kind allows for it.
func begin(ctx context.Context, p network.Priority, kind network.TargetKind) slot {
	bounded, cancel := context.WithTimeout(ctx, kind.Round)
	return slot{ctx: bounded, end: cancel, priority: p}
}

// turn waits for the turn to write. The slot that it returns is not held if a more urgent ask came meanwhile.
func (w *work) turn(ctx context.Context, turns network.Turns, p network.Priority) (slot, bool, error) {
	place, leave := context.WithTimeout(ctx, turnTimeout)
	w.queues.mu.Lock()
	if now := highestPriority(w.queue.asks); now.Before(p) {
		p = now
	}
	wait, preempt := context.WithCancel(place)
	w.queue.preempt = preempt
	w.queues.mu.Unlock()
	held, waited, err := turns.Turn(wait, p, w.snap)
	w.queues.mu.Lock()
	w.queue.preempt = nil
	w.queues.mu.Unlock()
	preempted := wait.Err() != nil && place.Err() == nil // also where the turn had just come: it is then given back
	if err != nil || preempted {
		preempt()
		leave()
		if preempted {
			err = nil
		}
		return begin(ctx, p, w.kind), waited, err
	}
	bounded, cancel := context.WithTimeout(held, w.kind.Round)
	return slot{ctx: bounded, end: func() { cancel(); preempt(); leave() }, priority: p, held: true}, waited, nil
}

// Compute returns what a target should be, from the rules that stand and what is stored now.
func (s *Rounds) Compute(ctx context.Context, snap network.Standing) (Outcome, error) {
	kind, err := s.Kinds.Of(snap.Target)
	if err != nil {
		return Outcome{}, err
	}
	state, err := s.Targets.State(ctx, snap.Target)
	if err != nil {
		return Outcome{}, fmt.Errorf("read what is stored of %s: %w", snap.Target.Name, err)
	}
	out := Outcome{Target: snap.Target, At: s.now(), State: state, Current: snap.Rules}
	out.Plan = kind.Compute(s.input(snap, state, out.At))
	return out, nil
}

// input is what the rules of a target depend on.
func (s *Rounds) input(snap network.Standing, state roster.State, at time.Time) plan.Input {
	return plan.Input{State: state, Current: snap.Rules, Public: snap.Addresses, Now: at, Moved: s.Moves.Grants(snap.Target), LeaveRemoved: s.LeaveRemoved}
}

// background runs f in a goroutine of its own and recovers from its panic.
func (s *Rounds) background(of string, f func() error) {
	go func() { _ = s.Recovered(of, f) }()
}

// Recovered calls f. If f panics, it calls Panicked and returns the panic as an error; the sweep takes up what f worked on.
func (s *Rounds) Recovered(of string, f func() error) error {
	err := parallel.Recover(f)
	if p, ok := errors.AsType[*parallel.Panic](err); ok && s.Panicked != nil {
		s.Panicked(of, fmt.Appendf(nil, "%v\n%s", p.Value, p.Stack))
	}
	return err
}
