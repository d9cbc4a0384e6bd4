package coretest

import (
	"context"

	"portcullis/core/store"
)

// OwedBy implements [store.Reviews].
func (f *Faulty) OwedBy(ctx context.Context, person string) (store.Review, error) {
	return step(ctx, f, "OwedBy", person, func() (store.Review, error) { return f.Store.OwedBy(ctx, person) })
}

// OwedReviews implements [store.Reviews].
func (f *Faulty) OwedReviews(ctx context.Context) ([]store.Review, error) {
	return step(ctx, f, "OwedReviews", "", func() ([]store.Review, error) { return f.Store.OwedReviews(ctx) })
}

// WrittenReview implements [store.Reviews].
func (f *Faulty) WrittenReview(ctx context.Context, grant string) (store.Review, error) {
	return step(ctx, f, "WrittenReview", grant, func() (store.Review, error) { return f.Store.WrittenReview(ctx, grant) })
}

// WriteReview implements [store.Reviews].
func (f *Faulty) WriteReview(ctx context.Context, r store.Review) error {
	_, err := step(ctx, f, "WriteReview", r.Grant, func() (struct{}, error) { return done(f.Store.WriteReview(ctx, r)) })
	return err
}

// DropReview implements [store.Reviews].
func (f *Faulty) DropReview(ctx context.Context, r store.Review) error {
	_, err := step(ctx, f, "DropReview", r.Grant, func() (struct{}, error) { return done(f.Store.DropReview(ctx, r)) })
	return err
}
