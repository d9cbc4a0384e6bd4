package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"portcullis/core/jit"
	"portcullis/core/plan"
)

// outcome is what a round found and left on one target.
type outcome struct {
	target  jit.ID
	at      time.Time // the time for which the rules were computed
	state   plan.State
	current []jit.Rule // the rules from which they were computed
	plan    plan.Plan
	gone    bool // the target does not exist (any more)

	written    plan.Changes // what the round wrote, all writes together
	repaired   []string     // what of that put right what others had changed, in words
	remembered bool         // the target is not ours, and the sweep goes on to look at it
}

// rounds is group commit: while one round on a target is under way, all who ask
// for another share the next one. Since a round works from what is stored, it does
// the work of all who stored their change before it began; so n changes of
// one target cost at most two rounds.
type rounds struct {
	mu      sync.Mutex
	waiting map[string]*round // the round that has not begun, by target
	running map[string]bool
}

type round struct {
	sweeping bool // for a sweep: what nobody asked for is a repair
	done     chan struct{}
	out      outcome
	err      error
}

// reconcile brings one target to what is stored, in a round that begins after
// the call. It ends when the round does or when ctx does; the round goes on.
func (s *Service) reconcile(ctx context.Context, target jit.ID, sweeping bool) (outcome, error) {
	key := target.Key()
	s.rounds.mu.Lock()
	if s.rounds.waiting == nil {
		s.rounds.waiting, s.rounds.running = map[string]*round{}, map[string]bool{}
	}
	r := s.rounds.waiting[key]
	if r == nil {
		r = &round{done: make(chan struct{})}
		s.rounds.waiting[key] = r
	}
	r.sweeping = r.sweeping || sweeping
	if !s.rounds.running[key] {
		s.rounds.running[key] = true
		go s.run(context.WithoutCancel(ctx), target)
	}
	s.rounds.mu.Unlock()
	select {
	case <-r.done:
		return r.out, r.err
	case <-ctx.Done():
		return outcome{}, fmt.Errorf("wait for the rules of %s: %w", target.Name, ctx.Err())
	}
}

// run does rounds on one target until nobody waits for another.
func (s *Service) run(ctx context.Context, target jit.ID) {
	key := target.Key()
	for {
		s.rounds.mu.Lock()
		r := s.rounds.waiting[key]
		delete(s.rounds.waiting, key)
		if r == nil {
			delete(s.rounds.running, key)
			s.rounds.mu.Unlock()
			return
		}
		s.rounds.mu.Unlock()
		r.out, r.err = s.bounded(ctx, target, r.sweeping)
		close(r.done)
	}
}

// bounded is round within the time that the target's kind allows for it.
func (s *Service) bounded(ctx context.Context, target jit.ID, sweeping bool) (outcome, error) {
	kind, err := s.kind(target)
	if err != nil {
		return outcome{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, kind.Round)
	defer cancel()
	return s.round(ctx, kind, target, sweeping)
}

// round reads, computes and writes until there is nothing left to write.
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
func (s *Service) round(ctx context.Context, kind Kind, target jit.ID, sweeping bool) (outcome, error) {
	var written plan.Changes
	var repaired []string
	var remembered bool
	var last error
	snap, err := kind.Firewall.Rules(ctx, target)
	for range attempts {
		if errors.Is(err, ErrNotFound) {
			return outcome{target: target, at: s.now(), gone: true}, nil
		}
		if err != nil {
			return outcome{}, fmt.Errorf("read the rules of %s: %w", target.Name, err)
		}
		out, failed := s.compute(ctx, snap)
		if failed != nil {
			return outcome{}, failed
		}
		if out.plan.Changes.Empty() && !snap.Unconfirmed {
			failed := s.note(ctx, out)
			if errors.Is(failed, ErrConflict) { // another round has noted something else meanwhile
				last = failed
				snap, err = kind.Firewall.Rules(ctx, target)
				continue
			}
			out.written, out.repaired, out.remembered = written, repaired, remembered
			return out, failed
		}
		what := repairs(out, sweeping)
		if failed := s.logRepair(ctx, out, snap.Version, what); failed != nil {
			return outcome{}, failed
		}
		if !out.state.Known && !remembered {
			if failed := s.Targets.Remember(ctx, target); failed != nil {
				return outcome{}, fmt.Errorf("remember %s: %w", target.Name, failed)
			}
			remembered = true
		}
		next, applied := kind.Firewall.Apply(ctx, snap, out.plan.Changes)
		switch {
		case applied == nil:
			written, repaired = merge(written, out.plan.Changes), append(repaired, what...)
			snap = next
			continue
		case !errors.Is(applied, ErrConflict) && !errors.Is(applied, ErrNotFound):
			return outcome{}, fmt.Errorf("write the rules of %s: %w", target.Name, applied)
		}
		last = applied
		snap, err = kind.Firewall.Rules(ctx, target)
	}
	return outcome{}, &Unavailable{Dependency: "Azure Resource Manager", Err: fmt.Errorf("write the rules of %s, changed by others %d times in a row: %w", target.Name, attempts, last)}
}

func merge(a, b plan.Changes) plan.Changes {
	return plan.Changes{Create: slices.Concat(a.Create, b.Create), Update: slices.Concat(a.Update, b.Update), Delete: slices.Concat(a.Delete, b.Delete)}
}

func (s *Service) compute(ctx context.Context, snap Snapshot) (outcome, error) {
	kind, err := s.kind(snap.Target)
	if err != nil {
		return outcome{}, err
	}
	state, err := s.Targets.State(ctx, snap.Target)
	if err != nil {
		return outcome{}, fmt.Errorf("read what is stored of %s: %w", snap.Target.Name, err)
	}
	out := outcome{target: snap.Target, at: s.now(), state: state, current: snap.Rules}
	out.plan = kind.Compute(plan.Input{State: state, Current: snap.Rules, Public: snap.Addresses, Now: out.at})
	return out, nil
}

// reconcileAll reconciles targets side by side. It gives the outcomes of all,
// or the joined errors.
func (s *Service) reconcileAll(ctx context.Context, targets []jit.ID, sweeping bool) ([]outcome, error) {
	outs := make([]outcome, len(targets))
	err := each(targets, func(i int, t jit.ID) (err error) {
		outs[i], err = s.reconcile(ctx, t, sweeping)
		return err
	})
	return outs, err
}

// preview computes what the targets would look like if their state were changed.
// Nothing is written.
func (s *Service) preview(ctx context.Context, targets []jit.ID, change func(jit.ID, *plan.State)) ([]outcome, error) {
	outs := make([]outcome, len(targets))
	err := each(targets, func(i int, t jit.ID) error {
		kind, err := s.kind(t)
		if err != nil {
			return err
		}
		snap, err := s.shown(ctx, t)
		if errors.Is(err, ErrNotFound) {
			return &jit.Error{Code: CodeTargetGone, Target: t.String(), Message: "the " + kind.Noun + " " + t.Name + " was deleted a moment ago; ask again"}
		}
		if err != nil {
			return fmt.Errorf("read the rules of %s: %w", t.Name, err)
		}
		state, err := s.Targets.State(ctx, t)
		if err != nil {
			return fmt.Errorf("read what is stored of %s: %w", t.Name, err)
		}
		change(t, &state)
		state.Known = true
		outs[i] = outcome{target: t, at: s.now(), state: state}
		outs[i].plan = kind.Compute(plan.Input{State: state, Current: snap.Rules, Public: snap.Addresses, Now: outs[i].at})
		outs[i].written = outs[i].plan.Changes // what would be
		return nil
	})
	return outs, err
}

// forget makes a target not ours once a round has left no rule of ours there, if
// nothing is stored of it. Who forgot it earlier would leave the denies that another
// verb is about to remove to a target that nobody knows. One that was only remembered is
// forgotten once what it shows is confirmed: if rules of ours still stand there, they show.
func (s *Service) forget(ctx context.Context, out outcome) error {
	if known := out.state.Known; !out.gone && (known && len(out.plan.Rules) > 0 || !known && !out.remembered) {
		return nil
	}
	err := s.Targets.Forget(ctx, out.target, func(ctx context.Context) (bool, error) {
		snap, err := s.shown(ctx, out.target)
		if errors.Is(err, ErrNotFound) {
			return true, nil
		}
		return err == nil && !snap.Unconfirmed && (!out.state.Known || !holdsOurs(snap.Rules)), err
	})
	if err != nil {
		return fmt.Errorf("forget %s: %w", out.target.Name, err)
	}
	return nil
}

func holdsOurs(rules []jit.Rule) bool {
	return slices.ContainsFunc(rules, func(r jit.Rule) bool { return plan.Owned(r.Name) })
}
