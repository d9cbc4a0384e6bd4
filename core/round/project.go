package round

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"portcullis/core/gather"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/parallel"
	"portcullis/core/roster"
	"portcullis/core/store"
)

// CodeTargetGone heads the refusal where a target was deleted while a port was being opened.
const CodeTargetGone jit.Code = "SecurityGroupNotFound"

// Project computes the outcomes as if the stored state were changed. It writes nothing.
func (s *Rounds) Project(ctx context.Context, targets []jit.ID, change func(jit.ID, *roster.State)) ([]Outcome, error) {
	return s.ProjectFrom(ctx, s.Shown, s.Targets.State, targets, change)
}

// ProjectFrom is Project with the rules and the stored state that from and stored return.
func (s *Rounds) ProjectFrom(ctx context.Context, from func(context.Context, jit.ID) (network.Standing, error), stored func(context.Context, jit.ID) (roster.State, error), targets []jit.ID, change func(jit.ID, *roster.State)) ([]Outcome, error) {
	outs, ctx := make([]Outcome, len(targets)), gather.Many(ctx, len(targets))
	err := parallel.AtOnce(targets, func(i int, t jit.ID) error {
		kind, err := s.Kinds.Of(t)
		if err != nil {
			return err
		}
		snap, err := from(ctx, t)
		if errors.Is(err, store.ErrNotFound) {
			return &jit.Error{Code: CodeTargetGone, Target: t.String(), Message: "the " + kind.Noun + " " + t.Name + " was deleted a moment ago; ask again"}
		}
		if err != nil {
			return fmt.Errorf("read the rules of %s: %w", t.Name, err)
		}
		state, err := stored(ctx, t)
		if err != nil {
			return fmt.Errorf("read what is stored of %s: %w", t.Name, err)
		}
		behind := map[netip.Addr][]jit.ID{}
		state.Behind(behind)
		change(t, &state)
		state.Behind(behind)
		state.Known = true
		outs[i] = Outcome{Target: t, At: s.now(), State: state, Behind: behind}
		outs[i].Plan = kind.Compute(s.input(snap, state, outs[i].At))
		outs[i].Written = outs[i].Plan.Changes // what would be written
		return nil
	})
	return outs, err
}
