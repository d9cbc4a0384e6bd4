package access

import (
	"context"
	"slices"
	"time"

	"portcullis/core/jit"
	"portcullis/core/narrow"
	"portcullis/core/parallel"
	"portcullis/core/roster"
	"portcullis/core/round"
	"portcullis/core/store"
)

// PreviewDisable tells what [Service.Disable] would do: the windows on the machines that it would close, and the changes
// of the rules. It refuses what Disable refuses, and writes nothing.
func (s *Service) PreviewDisable(ctx context.Context, vms []jit.ID) (narrow.Ends, []TargetChange, error) {
	vms, records, err := s.disabling(ctx, vms)
	if err != nil {
		return narrow.Ends{}, nil, err
	}
	ended := s.without(vms)
	narrowed, targets, err := s.previewNarrow(ctx, ended)
	if err != nil {
		return narrowed, nil, err
	}
	for _, rec := range records {
		targets = append(targets, store.TargetsOf(rec.Placements)...)
	}
	changes, err := s.standing(ctx, store.Distinct(targets), func(state *roster.State) {
		state.Policies = keep(state.Policies, func(p roster.Protected) bool { return !slices.ContainsFunc(vms, p.Policy.VM.Equal) })
		for i := range state.Openings {
			state.Openings[i].Grant, _ = ended(state.Openings[i].Grant)
		}
	})
	return narrowed, changes, err
}

// PreviewRevoke tells what [Service.Revoke] would do: the grant as it would be, and the changes of the rules. A grant that is
// closed already stays as it is. It writes nothing.
func (s *Service) PreviewRevoke(ctx context.Context, id string) (store.GrantRecord, []TargetChange, error) {
	rec, err := s.Find(ctx, id)
	if err != nil || rec.Grant.Closed() {
		return rec, nil, err
	}
	return s.previewChanged(ctx, rec, rec.Grant.Revoke(s.now(), jit.UserRequested))
}

// PreviewExtend tells what [Service.Extend] would do: the grant as it would be, and the changes of the rules. It refuses
// what Extend refuses, and writes nothing.
func (s *Service) PreviewExtend(ctx context.Context, id string, duration time.Duration, end time.Time) (store.GrantRecord, []TargetChange, error) {
	rec, err := s.Find(ctx, id)
	if err != nil {
		return rec, nil, err
	}
	policy, err := s.policiesOf(ctx, rec.Grant)
	if err != nil {
		return rec, nil, err
	}
	after, err := rec.Grant.Extend(policy, s.Floor, duration, end, s.now())
	if err == nil {
		err = s.together(ctx, rec, after, policy)
	}
	if err != nil {
		return store.GrantRecord{}, nil, err
	}
	return s.previewChanged(ctx, rec, after)
}

// previewChanged tells what the rules would be if a stored grant was changed.
func (s *Service) previewChanged(ctx context.Context, rec store.GrantRecord, after jit.Grant) (store.GrantRecord, []TargetChange, error) {
	changes, err := s.standing(ctx, rec.Targets(), func(state *roster.State) {
		for i := range state.Openings {
			if state.Openings[i].Grant.ID == after.ID {
				state.Openings[i].Grant = after
			}
		}
	})
	rec.Grant = after
	return rec, changes, err
}

// standing is [round.Rounds.Project] of the targets that still exist: what is gone needs no change.
func (s *Service) standing(ctx context.Context, targets []jit.ID, change func(*roster.State)) ([]TargetChange, error) {
	found := make([][]round.Outcome, len(targets))
	err := parallel.Each(targets, func(i int, t jit.ID) error {
		outs, err := s.Rounds.Project(ctx, []jit.ID{t}, func(_ jit.ID, state *roster.State) { change(state) })
		if refused := jit.Refused(err); refused != nil && refused.Code == round.CodeTargetGone {
			return nil
		}
		found[i] = outs
		return err
	})
	if err != nil {
		return nil, err
	}
	return changesOf(slices.Concat(found...)), nil
}
