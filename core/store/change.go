package store

import (
	"context"
	"errors"
	"fmt"

	"portcullis/core/jit"
)

// ChangeGrant stores what f makes of a grant. On a conflict it reads the grant again and calls f again. If f
// returns false, ChangeGrant stores nothing and returns the grant as it is; an error of f ends it. After
// [Attempts] conflicts the error is an [*Unavailable] that wraps [ErrConflict].
func ChangeGrant(ctx context.Context, grants Grants, rec GrantRecord, f func(GrantRecord) (GrantRecord, bool, error)) (GrantRecord, error) {
	return changeGrant(ctx, grants, rec, f, func(ctx context.Context, next GrantRecord) (GrantRecord, error) {
		updated, err := grants.UpdateGrants(ctx, next)
		if err != nil {
			return GrantRecord{}, err
		}
		return updated[0], nil
	})
}

// ChangeOrRefuse is ChangeGrant that refuses with [CodeConcurrent] where others are always first.
func ChangeOrRefuse(ctx context.Context, grants Grants, rec GrantRecord, f func(GrantRecord) (GrantRecord, bool, error)) (GrantRecord, error) {
	id := rec.Grant.ID
	rec, err := ChangeGrant(ctx, grants, rec, f)
	if errors.Is(err, ErrConflict) {
		return rec, &jit.Error{Code: CodeConcurrent, Target: id, Message: "the request is being changed by others; ask again"}
	}
	return rec, err
}

// NoteGrant is ChangeGrant with [Grants.NoteConfirmed] as its write.
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

// ChangedByOthers returns the error for a grant whose write lost [Attempts] conflicts.
func ChangedByOthers(rec GrantRecord, err error) error {
	return &Unavailable{Dependency: "Table Storage", Err: fmt.Errorf("grant %s was changed by others %d times in a row: %w", rec.Grant.ID, Attempts, err)}
}
