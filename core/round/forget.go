package round

import (
	"context"
	"errors"
	"fmt"

	"portcullis/core/store"
)

// Forget forgets a target of ours where a round has left no rule of ours and of which nothing is stored. Not earlier:
// denies that another verb is about to remove would be left on a target that nobody looks at. A target that was
// only remembered is forgotten once what it shows is confirmed.
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
