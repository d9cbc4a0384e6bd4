package round

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/parallel"
	"portcullis/core/plan"
	"portcullis/core/store"
)

// turnTimeout bounds what a round waits for its turn to write, which in a storm is much longer than
// its work.
const turnTimeout = 30 * time.Minute

// Outcome is what a round found and left on one target.
type Outcome struct {
	Target  jit.ID
	At      time.Time // the time for which the rules were computed
	State   plan.State
	Current []jit.Rule // the rules from which they were computed
	Plan    plan.Plan
	Gone    bool // the target does not exist (any more)

	Written    plan.Changes // what the round wrote, all writes together
	Repaired   []string     // what of that put right what others had changed, in words
	Remembered bool         // the target is not ours, and the sweep goes on to look at it
}

// rounds is group commit: while one round on a target is under way, all who ask
// for another share the next one. Since a round works from what is stored, it does
// the work of all who stored their change before it looked; so n changes of
// one target cost at most two rounds. A round that waits for its turn to write has not
// looked for the last time yet, and still takes in who comes.
type rounds struct {
	mu      sync.Mutex
	waiting map[string]*attempt // the round that takes in who asks, by target
	running map[string]bool
}

type attempt struct {
	sweeping bool             // for a sweep: what nobody asked for is a repair
	urgency  network.Priority // the most urgent of those who share it
	sharing  int
	hurry    context.CancelFunc // ends the wait for a turn, which was for something less urgent; nil where there is none
	done     chan struct{}
	out      Outcome
	err      error
}

// Reconcile brings one target to what is stored, in a round that looks at it after
// the call. It ends when the round does or when ctx does; the round goes on.
func (s *Rounds) Reconcile(ctx context.Context, target jit.ID, sweeping bool) (Outcome, error) {
	if out, done := s.glance(ctx, target); done {
		return out, nil
	}
	r := s.Join(ctx, target, sweeping)
	select {
	case <-r.done:
		return r.out, r.err
	case <-ctx.Done():
		return Outcome{}, fmt.Errorf("wait for the rules of %s: %w", target.Name, ctx.Err())
	}
}

// glance spares a round on a target of a kind that maps, where rounds take minutes, if
// what is shown there is confirmed and is what should stand. A round would then have found nothing
// to write either, and looks no later.
func (s *Rounds) glance(ctx context.Context, target jit.ID) (Outcome, bool) {
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

// Join gives the next round on a target, and begins it where none is under way.
func (s *Rounds) Join(ctx context.Context, target jit.ID, sweeping bool) *attempt {
	key := target.Key()
	s.rounds.mu.Lock()
	if s.rounds.waiting == nil {
		s.rounds.waiting, s.rounds.running = map[string]*attempt{}, map[string]bool{}
	}
	r := s.rounds.waiting[key]
	if r == nil {
		r = &attempt{done: make(chan struct{})}
		s.rounds.waiting[key] = r
	}
	r.share(network.PriorityOf(ctx), sweeping)
	if !s.rounds.running[key] {
		s.rounds.running[key] = true
		go s.run(context.WithoutCancel(ctx), target)
	}
	s.rounds.mu.Unlock()
	return r
}

// share takes one more into the round. A closing does not wait in the place of an opening.
func (r *attempt) share(u network.Priority, sweeping bool) {
	r.sharing++
	r.sweeping = r.sweeping || sweeping
	if !u.Before(r.urgency) {
		return
	}
	if r.urgency = u; r.hurry != nil {
		r.hurry()
	}
}

// run does rounds on one target until nobody waits for another.
func (s *Rounds) run(ctx context.Context, target jit.ID) {
	key := target.Key()
	for {
		s.rounds.mu.Lock()
		r := s.rounds.waiting[key]
		if r == nil {
			delete(s.rounds.running, key)
			s.rounds.mu.Unlock()
			return
		}
		s.rounds.mu.Unlock()
		r.out, r.err = s.round(ctx, target, r)
		s.shut(target, r)
		close(r.done)
	}
}

// shares gives how many share the round so far, and its urgency.
func (s *Rounds) shares(r *attempt) (int, network.Priority) {
	s.rounds.mu.Lock()
	defer s.rounds.mu.Unlock()
	return r.sharing, r.urgency
}

// shut lets nobody into the round any more, and gives how many share it.
func (s *Rounds) shut(target jit.ID, r *attempt) int {
	s.rounds.mu.Lock()
	defer s.rounds.mu.Unlock()
	if s.rounds.waiting[target.Key()] == r {
		delete(s.rounds.waiting, target.Key())
	}
	return r.sharing
}

// round reads, computes and writes until there is nothing left to write.
//
// It begins from the rules that are remembered, if there are any: a write from these is safe, since it
// is conditional. That nothing is left to write is concluded only from rules that were read after
// everybody who shares the round had stored his change, or that a write of the round was answered with.
//
// The rules are read before the state, and the state is read again after every
// write. So a change that is stored while a round is under way is seen either
// by that round's last look at the state, or by its own round, which reads the
// rules later than it was stored and so finds what the other one wrote. Without
// the second look a revoke that finds nothing to write yet could be passed by
// the write of an opening that was computed before it.
//
// A target that is not ours is remembered before it is written: a removal that fails may
// leave nothing of ours to be seen there while it still lets packets in.
func (s *Rounds) round(ctx context.Context, target jit.ID, r *attempt) (Outcome, error) {
	var written plan.Changes
	var repaired []string
	var remembered bool
	var last error
	asked, urgency := s.shares(r)
	kind, err := s.Kinds.Of(target)
	if err != nil {
		return Outcome{}, err
	}
	ctx = network.WithPriority(ctx, urgency)
	work := begin(ctx, kind)
	defer func() { work.end() }()
	snap, fresh, err := s.known(work.ctx, target)
	if !fresh {
		asked = 0
	}
	for range store.Attempts {
		if errors.Is(err, store.ErrNotFound) {
			return Outcome{Target: target, At: s.now(), Gone: true}, nil
		}
		if err != nil {
			return Outcome{}, fmt.Errorf("read the rules of %s: %w", target.Name, err)
		}
		out, next, failed := s.take(ctx, kind, r, snap, work)
		if work = next; failed != nil {
			return Outcome{}, failed
		}
		if out.Plan.Changes.Empty() && !snap.Unconfirmed {
			if sharing := s.shut(target, r); asked < sharing { // it may have been written since by others
				asked = sharing
				snap, err = s.Read(work.ctx, target)
				continue
			}
			failed := s.note(work.ctx, out)
			if errors.Is(failed, store.ErrConflict) { // another round has noted something else meanwhile
				last = failed
				snap, err = s.Read(work.ctx, target)
				continue
			}
			out.Written, out.Repaired, out.Remembered = written, repaired, remembered
			return out, failed
		}
		what := repairs(out, r.sweeping)
		if failed := s.logRepair(work.ctx, out, snap.Version, what); failed != nil {
			return Outcome{}, failed
		}
		if !out.State.Known && !remembered {
			if failed := s.Targets.Remember(work.ctx, target); failed != nil {
				return Outcome{}, fmt.Errorf("remember %s: %w", target.Name, failed)
			}
			remembered = true
		}
		answer, applied := s.write(work.ctx, kind, snap, out)
		work.held = false
		switch {
		case applied == nil:
			written, repaired = merge(written, out.Plan.Changes), append(repaired, what...)
			snap, asked = answer, s.shut(target, r)
			continue
		case !errors.Is(applied, store.ErrConflict) && !errors.Is(applied, store.ErrNotFound):
			return Outcome{}, fmt.Errorf("write the rules of %s: %w", target.Name, applied)
		}
		last = applied
		asked = s.shut(target, r)
		snap, err = s.Read(work.ctx, target)
	}
	return Outcome{}, &store.Unavailable{Dependency: "Azure Resource Manager", Err: fmt.Errorf("write the rules of %s, changed by others %d times in a row: %w", target.Name, store.Attempts, last)}
}

// stint is the context of a piece of work, and what ends it.
type stint struct {
	ctx  context.Context
	end  context.CancelFunc
	held bool // the place for a write is kept
}

// begin bounds a piece of work by the time that the target's kind allows for it.
func begin(ctx context.Context, kind network.TargetKind) stint {
	bounded, cancel := context.WithTimeout(ctx, kind.Round)
	return stint{ctx: bounded, end: cancel}
}

// take computes what the snapshot's target should be. Where that is a write, it waits for its turn and then
// looks at the state again, so that whatever falls due or is asked for meanwhile is in the same
// write. After it nobody is let into the round any more, where there is something to write.
func (s *Rounds) take(ctx context.Context, kind network.TargetKind, r *attempt, snap network.Snapshot, work stint) (Outcome, stint, error) {
	for {
		looked, urgency := s.shares(r)
		out, err := s.Compute(work.ctx, snap)
		if err != nil || out.Plan.Changes.Empty() && !snap.Unconfirmed {
			return out, work, err
		}
		waited := false
		if pacer, ok := kind.Rules.(network.Turns); ok && !work.held {
			work.end()
			if work, waited, err = s.turn(ctx, kind, r, pacer, snap, out.urgency(urgency)); err != nil {
				return out, work, fmt.Errorf("wait for the turn to write %s: %w", snap.Target.Name, err)
			}
			if !work.held { // something more urgent came
				continue
			}
		}
		if sharing := s.shut(snap.Target, r); !waited && looked == sharing {
			return out, work, nil
		}
	}
}

// turn waits for the place of a write. It gives none where something more urgent came meanwhile.
func (s *Rounds) turn(ctx context.Context, kind network.TargetKind, r *attempt, pacer network.Turns, snap network.Snapshot, u network.Priority) (stint, bool, error) {
	place, leave := context.WithTimeout(ctx, turnTimeout)
	s.rounds.mu.Lock()
	if r.urgency.Before(u) {
		u = r.urgency
	}
	wait, hurry := context.WithCancel(network.WithPriority(place, u))
	r.hurry = hurry
	s.rounds.mu.Unlock()
	held, waited, err := pacer.Turn(wait, snap)
	s.rounds.mu.Lock()
	r.hurry = nil
	s.rounds.mu.Unlock()
	hurried := wait.Err() != nil && place.Err() == nil // also where it was too late, and the place is given back
	if err != nil || hurried {
		hurry()
		leave()
		if hurried {
			err = nil
		}
		return begin(ctx, kind), waited, err
	}
	bounded, cancel := context.WithTimeout(held, kind.Round)
	return stint{ctx: bounded, end: func() { cancel(); hurry(); leave() }, held: true}, waited, nil
}

// urgency gives the more urgent of u and what the round is about to do.
func (out Outcome) urgency(u network.Priority) network.Priority {
	allow := func(r jit.Rule) bool { return r.Access == jit.Allow }
	if !slices.ContainsFunc(out.Plan.Changes.Delete, allow) && !slices.ContainsFunc(out.Plan.Changes.Update, allow) {
		return u
	}
	own := network.Priority{Closing: true}
	for _, o := range out.State.Openings {
		if since, due := o.Grant.DueSince(out.At); due && (own.Since.IsZero() || since.Before(own.Since)) {
			own.Since = since
		}
	}
	if own.Before(u) {
		return own
	}
	return u
}

func merge(a, b plan.Changes) plan.Changes {
	return plan.Changes{Create: slices.Concat(a.Create, b.Create), Update: slices.Concat(a.Update, b.Update), Delete: slices.Concat(a.Delete, b.Delete)}
}

func (s *Rounds) Compute(ctx context.Context, snap network.Snapshot) (Outcome, error) {
	kind, err := s.Kinds.Of(snap.Target)
	if err != nil {
		return Outcome{}, err
	}
	state, err := s.Targets.State(ctx, snap.Target)
	if err != nil {
		return Outcome{}, fmt.Errorf("read what is stored of %s: %w", snap.Target.Name, err)
	}
	out := Outcome{Target: snap.Target, At: s.now(), State: state, Current: snap.Rules}
	out.Plan = kind.Compute(plan.Input{State: state, Current: snap.Rules, Public: snap.Addresses, Now: out.At})
	return out, nil
}

// ReconcileAll reconciles targets side by side. It gives the outcomes of all,
// or the joined errors.
func (s *Rounds) ReconcileAll(ctx context.Context, targets []jit.ID, sweeping bool) ([]Outcome, error) {
	outs := make([]Outcome, len(targets))
	err := parallel.AtOnce(targets, func(i int, t jit.ID) (err error) {
		outs[i], err = s.Reconcile(ctx, t, sweeping)
		return err
	})
	return outs, err
}

// Forget makes a target not ours once a round has left no rule of ours there, if
// nothing is stored of it. Who forgot it earlier would leave the denies that another
// verb is about to remove to a target that nobody knows. One that was only remembered is
// forgotten once what it shows is confirmed: if rules of ours still stand there, they show.
func (s *Rounds) Forget(ctx context.Context, out Outcome) error {
	if known := out.State.Known; !out.Gone && (known && len(out.Plan.Rules) > 0 || !known && !out.Remembered) {
		return nil
	}
	err := s.Targets.Forget(ctx, out.Target, func(ctx context.Context) (bool, error) {
		snap, err := s.Shown(ctx, out.Target)
		if errors.Is(err, store.ErrNotFound) {
			return true, nil
		}
		return err == nil && !snap.Unconfirmed && (!out.State.Known || !HoldsOurs(snap.Rules)), err
	})
	if err != nil {
		return fmt.Errorf("forget %s: %w", out.Target.Name, err)
	}
	return nil
}

func HoldsOurs(rules []jit.Rule) bool {
	return slices.ContainsFunc(rules, func(r jit.Rule) bool { return plan.Owned(r.Name) })
}
