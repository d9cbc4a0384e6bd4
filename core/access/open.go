package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"portcullis/core/jit"
	"portcullis/core/limit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/round"
	"portcullis/core/store"
)

// Open opens what a grant says and reports it open once every target has
// confirmed it. Where that fails, what was opened is closed again and the error
// says why; where even that fails, [jit.OpeningTimeout] and the sweep do it.
func (s *Service) Open(ctx context.Context, who jit.Caller, rec store.GrantRecord) (store.GrantRecord, error) {
	rec, outs, err := s.openTargets(ctx, rec)
	if err == nil {
		err = refusedBy(outs, rec.Grant.ID)
	}
	if err == nil {
		err = s.stillWithin(ctx, rec.Grant, outs)
	}
	for _, out := range outs {
		if err == nil && out.Gone {
			err = &jit.Error{Code: round.CodeTargetGone, Target: out.Target.String(), Message: "the " + s.Kinds.Noun(out.Target) + " " + out.Target.Name + " was deleted while the port was being opened"}
		}
	}
	if err == nil {
		rec, err = s.confirm(ctx, who, rec, outs)
	}
	if err != nil {
		s.abandon(ctx, who, rec, err)
		return store.GrantRecord{}, err
	}
	return rec, nil
}

// stillWithin is [limit.Together] of what was stored when the targets were brought in order: of two requests that came at the same moment, at
// least one sees the other here.
func (s *Service) stillWithin(ctx context.Context, g jit.Grant, outs []round.Outcome) error {
	var states []plan.State
	for _, out := range outs {
		states = append(states, out.State)
	}
	policies, err := s.policiesAmong(ctx, g.Machines(), states)
	if err != nil {
		return err
	}
	demands := func(vm jit.ID) jit.Options { return policies[vm.Key()].InForce(s.Floor) }
	return limit.Together(g, demands, states, s.now(), limit.InRequest)
}

// confirm marks a grant open whose rules stand, and the windows that it
// supersedes as ending, in one step. Where the grant was changed meanwhile it is looked at again: a
// grant that was revoked while it was being opened is closed.
func (s *Service) confirm(ctx context.Context, who jit.Caller, rec store.GrantRecord, outs []round.Outcome) (store.GrantRecord, error) {
	confirmed := s.now()
	at := confirmed
	for _, out := range outs {
		if out.At.Before(at) {
			at = out.At
		}
	}
	err := store.Retry(func(first bool) error {
		if !first {
			again, err := s.Grants.Grant(ctx, rec.Grant.ID)
			if err != nil {
				return fmt.Errorf("read the grant again: %w", err)
			}
			rec = again
		}
		if !rec.Grant.AnyLive(s.now()) {
			return nil // it is closed below
		}
		changed := rec
		changed.Grant = opened(rec.Grant, outs, at)
		entries := store.OpenedEntries(who, rec.Grant, changed.Grant, confirmed)
		older, err := s.supersede(ctx, changed.Grant, outs, at)
		if err != nil {
			return err
		}
		// The log comes first: what cannot be logged is not reported open.
		if err := s.Activity.Append(ctx, entries...); err != nil {
			return fmt.Errorf("write the activity log: %w", err)
		}
		updated, err := s.Grants.UpdateGrants(ctx, append(older, changed)...)
		if err != nil {
			return fmt.Errorf("store the grant as open: %w", err)
		}
		last := len(updated) - 1
		// Their rules went in the write that opened this one; where this fails, the sweep settles them.
		s.Rounds.CloseAll(ctx, updated[:last], round.Want{}, func(int, store.GrantRecord, bool, error) {})
		rec = updated[last]
		return nil
	})
	if errors.Is(err, store.ErrConflict) {
		return rec, store.ChangedByOthers(rec, err)
	}
	if err != nil {
		return rec, err
	}
	return s.Rounds.Close(ctx, rec, round.Want{}) // a window that has ended meanwhile; it does nothing where none has
}

// opened returns a grant as open since then, but for windows whose place a newer request has taken meanwhile: their rules do not stand.
func opened(g jit.Grant, outs []round.Outcome, at time.Time) jit.Grant {
	g = g.Opened(at)
	for _, out := range outs {
		for _, o := range out.State.Openings {
			g, _ = g.Superseded(o.Grant, at)
		}
	}
	return g
}

// supersede returns the older grants on the same targets whose windows g takes the
// place of, with those windows asked to close.
func (s *Service) supersede(ctx context.Context, g jit.Grant, outs []round.Outcome, at time.Time) ([]store.GrantRecord, error) {
	var older []store.GrantRecord
	seen := map[string]bool{g.ID: true}
	for _, out := range outs {
		for _, o := range out.State.Openings {
			if _, found := o.Grant.Superseded(g, at); !found || seen[o.Grant.ID] {
				continue
			}
			seen[o.Grant.ID] = true
			rec, err := s.Grants.Grant(ctx, o.Grant.ID)
			if err != nil {
				return nil, fmt.Errorf("read grant %s: %w", o.Grant.ID, err)
			}
			if after, found := rec.Grant.Superseded(g, at); found {
				rec.Grant = after
				older = append(older, rec)
			}
		}
	}
	return older, nil
}

// abandon undoes an opening. It has its own time, since the caller's may be what
// ran out. Its own failure is not reported: the grant then ends by
// [jit.OpeningTimeout], and the sweep sees to it.
func (s *Service) abandon(ctx context.Context, who jit.Caller, rec store.GrantRecord, cause error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.abandonTimeout(rec.Targets()))
	defer cancel()
	targets := rec.Targets()
	rec, err := store.ChangeGrant(ctx, s.Grants, rec, func(g store.GrantRecord) (store.GrantRecord, bool, error) {
		if g.Grant.Closed() {
			return g, false, errClosed
		}
		now := s.now()
		g.Grant, g.Failed = g.Grant.Revoke(now, jit.OpeningFailed), store.Publicly(cause)
		return g.Intend(who, store.OpOpen, store.Failed, g.Failed, now), true, nil
	})
	if errors.Is(err, errClosed) { // by others, and what this opening wrote may have come after
		_, _ = s.Rounds.ReconcileAll(ctx, targets, round.Want{Grant: rec.Grant.ID})
		return
	}
	if err != nil {
		return
	}
	_, _ = s.Rounds.Close(ctx, rec, round.Want{})
}

// abandonTimeout bounds the undoing of an opening that failed: as little as half a round of the
// slowest kind concerned, since what it does not come to is the sweep's.
func (s *Service) abandonTimeout(targets []jit.ID) time.Duration {
	return max(time.Minute, s.Kinds.Slowest(targets, func(k network.TargetKind) time.Duration { return k.Round })/2)
}

// change applies f to a stored grant, starting again from what is stored when
// somebody else wrote first.
func (s *Service) change(ctx context.Context, rec store.GrantRecord, f func(jit.Grant) (jit.Grant, error)) (store.GrantRecord, error) {
	return s.changeRecord(ctx, rec, func(g store.GrantRecord) (next store.GrantRecord, changed bool, err error) {
		next = g
		next.Grant, err = f(g.Grant)
		return next, true, err
	})
}

// changeRecord is [store.ChangeGrant], with a refusal where others are always first.
func (s *Service) changeRecord(ctx context.Context, rec store.GrantRecord, f func(store.GrantRecord) (store.GrantRecord, bool, error)) (store.GrantRecord, error) {
	id := rec.Grant.ID
	rec, err := store.ChangeGrant(ctx, s.Grants, rec, f)
	if errors.Is(err, store.ErrConflict) {
		return rec, &jit.Error{Code: store.CodeConcurrent, Target: id, Message: "the request is being changed by others; ask again"}
	}
	return rec, err
}
