package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"portcullis/core/decide"
	"portcullis/core/jit"
	"portcullis/core/limit"
	"portcullis/core/roster"
	"portcullis/core/round"
	"portcullis/core/store"
)

// Open opens what a grant says and reports it open once every target has
// confirmed it. Where that fails, what was opened is closed again and the error
// says why; where even that fails, [jit.OpeningTimeout] and the sweep do it.
//
// A repetition undoes nothing: of several tries of one grant, the last one in the process that stored it undoes it, unless one of them, of
// whatever process, has been confirmed meanwhile. The grant is then given as that one has stored it.
func (s *Service) Open(ctx context.Context, who jit.Caller, rec store.GrantRecord) (store.GrantRecord, error) {
	ours, after := s.tries.begin(rec.Grant.ID), rec
	err := s.Rounds.Recovered("the opening of grant "+rec.Grant.ID, func() (err error) {
		if !ours { // who has stored it may have died before it asked for its wake-ups
			err = s.schedule(ctx, rec.Grant)
		}
		if err == nil {
			err = s.stillFree(ctx, rec.Grant, ours)
		}
		if err == nil {
			after, err = s.try(ctx, who, rec)
		}
		return err
	})
	switch last := s.tries.end(rec.Grant.ID, err == nil); {
	case err == nil:
		return after, nil
	case last:
		return s.abandon(ctx, who, after, err)
	}
	after, err = s.completed(ctx, rec.Grant.ID, err)
	if jit.Refused(err) != nil {
		err = s.LogRefusedGrant(ctx, who, store.OpRequest, rec.Grant, err)
	}
	return after, err
}

// stillFree refuses a grant that is held by now. Where this process has just stored it, that write has proven what is remembered of holds; of any
// other grant it may be long ago, and the holds are read.
func (s *Service) stillFree(ctx context.Context, g jit.Grant, ours bool) (err error) {
	if ours {
		_, err = s.Holds.Refuses(ctx, g.RequestorID, g.Machines())
	} else {
		_, err = s.Holds.RefusesNow(ctx, g.RequestorID, g.Machines())
	}
	return err
}

// try is one try to open a grant. With an error it gives the grant as it was last seen.
func (s *Service) try(ctx context.Context, who jit.Caller, rec store.GrantRecord) (store.GrantRecord, error) {
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
	if err != nil {
		return rec, err
	}
	return s.confirm(ctx, who, rec, outs)
}

// stillWithin refuses a grant that the policies, as they are stored now, do not allow, and is [limit.Together] of what was stored when the targets
// were brought in order: of two requests, or a request and a change of a policy, that came at the same moment, at least one sees the other.
func (s *Service) stillWithin(ctx context.Context, g jit.Grant, outs []round.Outcome) error {
	var states []roster.State
	for _, out := range outs {
		states = append(states, out.State)
	}
	policies, err := s.policiesAmong(ctx, g.Machines(), states)
	if err != nil {
		return err
	}
	for _, vm := range g.Machines() {
		if !g.LiveAt(vm, s.now()) {
			continue // its windows have ended while the grant waited, and stay so
		}
		p, ok := policies[vm.Key()]
		if _, narrows := decide.Narrow(g, p, s.Floor, s.now()); !ok || narrows {
			return &jit.Error{Code: CodePolicyChanged, Target: vm.String(), Message: "the policy of " + vm.Name + " was changed while the port was being opened, and does not allow it any more; look at it, and ask again"}
		}
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
		updated, err := s.storeOpen(ctx, changed, older)
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

// storeOpen stores a grant as open, or to be opened, unless it is held by now, with older ones as they end, in one step. The grant is the last of those that it returns.
func (s *Service) storeOpen(ctx context.Context, rec store.GrantRecord, older []store.GrantRecord) (updated []store.GrantRecord, err error) {
	err = s.Holds.Proven(ctx, rec.Grant, func(version string) (err error) {
		rec.Decided = version
		updated, err = s.Grants.UpdateGrants(ctx, append(older, rec)...)
		return err
	})
	return updated, err
}

// opened returns a grant as open since then, but for windows whose place a newer request has taken meanwhile: their rules do not stand. A request that was
// left out takes nobody's place.
func opened(g jit.Grant, outs []round.Outcome, at time.Time) jit.Grant {
	g = g.Opened(at)
	for _, out := range outs {
		for _, o := range out.State.Openings {
			if refusedBy(outs, o.Grant.ID) == nil {
				g, _ = g.Superseded(o.Grant, at)
			}
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

// change applies f to a stored grant, starting again from what is stored when
// somebody else wrote first. decided is the version of the holds by which f decides.
func (s *Service) change(ctx context.Context, rec store.GrantRecord, decided string, f func(jit.Grant) (jit.Grant, error)) (store.GrantRecord, error) {
	return store.ChangeOrRefuse(ctx, s.Grants, rec, func(g store.GrantRecord) (next store.GrantRecord, changed bool, err error) {
		next = g
		next.Decided = decided
		next.Grant, err = f(g.Grant)
		return next, true, err
	})
}
