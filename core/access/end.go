package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"portcullis/core/decide"
	"portcullis/core/glass"
	"portcullis/core/jit"
	"portcullis/core/limit"
	"portcullis/core/narrow"
	"portcullis/core/network"
	"portcullis/core/roster"
	"portcullis/core/round"
	"portcullis/core/store"
)

// Find returns one grant, open or history, or refuses with [CodeRequestNotFound].
func (s *Service) Find(ctx context.Context, id string) (store.GrantRecord, error) {
	rec, err := s.Grants.Grant(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return rec, RequestNotFound()
	}
	if err != nil {
		return rec, fmt.Errorf("read the request: %w", err)
	}
	return rec, nil
}

// RequestNotFound is the refusal of a request that is not there, or not for who asks.
func RequestNotFound() error {
	return &jit.Error{Code: CodeRequestNotFound, Target: "id", Message: "there is no request with this id"}
}

// Revoke closes a grant's windows now, or ends its wait to be opened, whether or not the log can be written: who revoked it is stored in the write that marks it to close,
// and logged beside the closing or after. It ends when every target has confirmed it; an error leaves the windows marked to close, which the
// sweep completes. Where the targets have confirmed it and the log has not, the grant is given as it is stored, still to close, with its
// intents. A grant that is closed already is given as it is; one in which nothing is open any more is closed, and nobody has revoked it.
func (s *Service) Revoke(ctx context.Context, who jit.Caller, id string) (store.GrantRecord, error) {
	rec, err := s.Find(ctx, id)
	if err != nil || rec.Grant.Closed() {
		return rec, err
	}
	rec, err = store.ChangeOrRefuse(ctx, s.Grants, rec, func(g store.GrantRecord) (store.GrantRecord, bool, error) {
		now := s.now()
		if !g.Grant.AnyLive(now) && !g.Grant.Waits(now) {
			return g, false, nil
		}
		g.Grant = g.Grant.Revoke(now, jit.UserRequested)
		return g.Intend(who, store.OpRevoke, store.Succeeded, "", now), true, nil
	})
	if err != nil {
		return rec, err
	}
	rec, err = s.Rounds.Close(ctx, rec, round.Want{})
	if errors.Is(err, round.ErrNotLogged) && len(rec.Intents) > 0 {
		return rec, nil
	}
	return rec, err
}

// errClosed: others have closed the grant meanwhile.
var errClosed = errors.New("closed meanwhile")

// Extend moves the ends of a grant's live windows to the given end, or to
// duration from now, within what policies and installation demand now (see [decide.Extend]). The wake-ups for
// the new ends are scheduled before the ends move, so that no crash leaves a window without one.
func (s *Service) Extend(ctx context.Context, who jit.Caller, id string, duration time.Duration, end time.Time) (store.GrantRecord, error) {
	rec, err := s.Find(ctx, id)
	if err != nil {
		return rec, err
	}
	err = s.Holds.Proven(ctx, rec.Grant, func(decided string) (err error) {
		rec, err = s.lengthen(ctx, rec, decided, duration, end)
		return err
	})
	if jit.Refused(err) != nil {
		return rec, s.LogRefusedGrant(ctx, who, store.OpExtend, rec.Grant, err)
	}
	if err != nil {
		return rec, err
	}
	if err := s.Activity.Append(ctx, store.GrantEntries(who, store.OpExtend, store.Succeeded, rec.Grant, s.now())...); err != nil {
		return rec, fmt.Errorf("write the activity log: %w", err)
	}
	return rec, s.moveEnds(ctx, who, rec)
}

// lengthen stores a grant with its later ends, after their wake-ups.
func (s *Service) lengthen(ctx context.Context, rec store.GrantRecord, decided string, duration time.Duration, end time.Time) (store.GrantRecord, error) {
	found := rec
	return s.change(ctx, rec, decided, func(g jit.Grant) (jit.Grant, error) {
		at := found
		for at.Grant = g; ; {
			now := s.now()
			next, err := s.extended(ctx, at, duration, end, now)
			if err != nil {
				return g, err
			}
			if err := s.schedule(ctx, next); err != nil {
				return g, err
			}
			if g.Lasts(now, s.now()) {
				return next, nil
			}
			// Scheduling took so long that a window has ended meanwhile, and may be closed already.
		}
	})
}

// extended is [decide.Extend] of a grant by the policies as they are stored now, after the grant: a change of a policy that the grant does not
// show yet meets the write that extends it. It refuses what else a request is refused for that lets in the same.
func (s *Service) extended(ctx context.Context, rec store.GrantRecord, duration time.Duration, end, now time.Time) (jit.Grant, error) {
	if _, err := s.Holds.Refuses(ctx, rec.Grant.RequestorID, rec.Grant.Machines()); err != nil {
		return rec.Grant, err
	}
	policy, err := s.policiesOf(ctx, rec.Grant)
	if err != nil {
		return rec.Grant, err
	}
	after, err := s.Glass.Within(rec.Grant.BreakGlass, policy, func(policy glass.Policies) (jit.Grant, error) {
		return decide.Extend(rec.Grant, policy, s.Floor, duration, end, now)
	})
	if err == nil {
		err = s.apart(ctx, rec.Grant, after)
	}
	if err == nil {
		err = s.together(ctx, rec, after, policy)
	}
	return after, err
}

// apart refuses to have a window stand longer at a machine that no rule can tell from another by now (see [network.Apart]).
func (s *Service) apart(ctx context.Context, before, after jit.Grant) error {
	longer, _ := narrow.Differing(before, after, func(jit.ID) bool { return true })
	machines, err := s.recalled(ctx, longer.Machines())
	if err != nil {
		return fmt.Errorf("locate the virtual machines: %w", err)
	}
	for _, vm := range longer.Machines() {
		if err := network.Apart(machines[vm.Key()], "id"); err != nil {
			return err
		}
	}
	return nil
}

// moveEnds writes the ends of an extended grant. The rules stay; only the end in their descriptions moves. The sweep does it where this fails.
// Nobody waits for it where it takes minutes. A window whose rule is missing must not pass for open: that is refused.
func (s *Service) moveEnds(ctx context.Context, who jit.Caller, rec store.GrantRecord) error {
	want, targets := round.Want{Grant: rec.Grant.ID}, rec.Targets()
	for _, t := range targets {
		if s.Kinds.Maps(t) {
			s.Rounds.Begin(ctx, t, want)
		}
	}
	outs, err := s.Rounds.ReconcileAll(ctx, slices.DeleteFunc(targets, s.Kinds.Maps), want)
	if err == nil {
		err = refusedBy(outs, rec.Grant.ID)
	}
	if jit.Refused(err) == nil {
		return nil
	}
	return s.LogRefusedGrant(ctx, who, store.OpExtend, rec.Grant, err)
}

// together refuses an extension after which the grant, with what else its requestor has open, lets in more than is demanded. What is
// stored of its targets is read only where something is.
func (s *Service) together(ctx context.Context, rec store.GrantRecord, after jit.Grant, policy func(jit.ID) (jit.Policy, bool)) error {
	demands := func(vm jit.ID) jit.Options {
		p, _ := policy(vm)
		return p.InForce(s.Floor)
	}
	if !slices.ContainsFunc(after.Machines(), func(vm jit.ID) bool { return !demands(vm).Permit(jit.AnySource()) }) {
		return nil
	}
	var states []roster.State
	for _, t := range rec.Targets() {
		state, err := s.Targets.State(ctx, t)
		if err != nil {
			return fmt.Errorf("read what is stored of %s: %w", t.Name, err)
		}
		states = append(states, state)
	}
	return limit.Together(after, demands, states, s.now(), limit.InGrant)
}

// policiesOf reads the policies of a grant's machines.
func (s *Service) policiesOf(ctx context.Context, g jit.Grant) (func(jit.ID) (jit.Policy, bool), error) {
	policies := map[string]jit.Policy{}
	for _, vm := range g.VMs {
		p, err := s.Policies.Policy(ctx, vm.VM)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("read the policy of %s: %w", vm.VM.Name, err)
		}
		if err == nil {
			policies[vm.VM.Key()] = p.Policy
		}
	}
	return func(vm jit.ID) (jit.Policy, bool) { p, ok := policies[vm.Key()]; return p, ok }, nil
}
