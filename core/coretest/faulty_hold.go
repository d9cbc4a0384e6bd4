package coretest

import (
	"context"

	"portcullis/core/store"
)

// Holds implements [store.Holds].
func (f *Faulty) Holds(ctx context.Context) (store.HoldSet, error) {
	return step(ctx, f, "Holds", "", func() (store.HoldSet, error) { return f.Store.Holds(ctx) })
}

// PutHolds implements [store.Holds].
func (f *Faulty) PutHolds(ctx context.Context, set store.HoldSet) (store.HoldSet, error) {
	return step(ctx, f, "PutHolds", "", func() (store.HoldSet, error) { return f.Store.PutHolds(ctx, set) })
}

// PutLockdown implements [store.Holds].
func (f *Faulty) PutLockdown(ctx context.Context, l store.Lockdown) error {
	_, err := step(ctx, f, "PutLockdown", l.ID, func() (struct{}, error) { return done(f.Store.PutLockdown(ctx, l)) })
	return err
}

// Lockdowns implements [store.Holds].
func (f *Faulty) Lockdowns(ctx context.Context) (set store.HoldSet, list []store.Lockdown, err error) {
	_, err = step(ctx, f, "Lockdowns", "", func() (struct{}, error) {
		set, list, err = f.Store.Lockdowns(ctx)
		return done(err)
	})
	return set, list, err
}

// DropLockdown implements [store.Holds].
func (f *Faulty) DropLockdown(ctx context.Context, id string) error {
	_, err := step(ctx, f, "DropLockdown", id, func() (struct{}, error) { return done(f.Store.DropLockdown(ctx, id)) })
	return err
}
