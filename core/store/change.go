package store

import (
	"context"
	"errors"
	"fmt"
)

// ChangeGrant stores what f makes of a grant, and starts again from what is stored where somebody else wrote first. Where f says
// that nothing is to be stored the grant is given as it is; its error ends it. After [Attempts] writes that were lost the
// error is an [*Unavailable] and [ErrConflict].
func ChangeGrant(ctx context.Context, grants Grants, rec GrantRecord, f func(GrantRecord) (GrantRecord, bool, error)) (GrantRecord, error) {
	return changeGrant(ctx, grants, rec, f, func(ctx context.Context, next GrantRecord) (GrantRecord, error) {
		updated, err := grants.UpdateGrants(ctx, next)
		if err != nil {
			return GrantRecord{}, err
		}
		return updated[0], nil
	})
}

// NoteGrant is ChangeGrant by [Grants.NoteConfirmed].
func NoteGrant(ctx context.Context, grants Grants, rec GrantRecord, f func(GrantRecord) (GrantRecord, bool, error)) (GrantRecord, error) {
	return changeGrant(ctx, grants, rec, f, grants.NoteConfirmed)
}

func changeGrant(ctx context.Context, grants Grants, rec GrantRecord, f func(GrantRecord) (GrantRecord, bool, error), write func(context.Context, GrantRecord) (GrantRecord, error)) (GrantRecord, error) {
	err := Retry(func(first bool) error {
		if !first {
			again, err := grants.Grant(ctx, rec.Grant.ID)
			if err != nil {
				return fmt.Errorf("read grant %s again: %w", rec.Grant.ID, err)
			}
			rec = again
		}
		next, changed, err := f(rec)
		if err != nil || !changed {
			return err
		}
		updated, err := write(ctx, next)
		if err != nil {
			return fmt.Errorf("store grant %s: %w", rec.Grant.ID, err)
		}
		rec = updated
		return nil
	})
	if errors.Is(err, ErrConflict) {
		err = ChangedByOthers(rec, err)
	}
	return rec, err
}

// ChangedByOthers is the error of [Attempts] writes of a grant that were lost to others.
func ChangedByOthers(rec GrantRecord, err error) error {
	return &Unavailable{Dependency: "Table Storage", Err: fmt.Errorf("grant %s was changed by others %d times in a row: %w", rec.Grant.ID, Attempts, err)}
}
