package coretest

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// owe stores the review that a new grant owes; m.mu is held.
func (m *Memory) owe(g store.GrantRecord) error {
	if g.Grant.BreakGlass == jit.NoBreakGlass {
		return nil
	}
	if m.owed[g.Grant.RequestorID].Version != g.Settles {
		return store.ErrConflict
	}
	r := store.ReviewOf(g.Grant)
	r.Version = m.version()
	m.owed[r.RequestorID] = r
	return nil
}

// OwedBy implements [store.Reviews].
func (m *Memory) OwedBy(_ context.Context, person string) (store.Review, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.owed[person]
	if !ok {
		return r, store.ErrNotFound
	}
	return r, nil
}

// OwedReviews implements [store.Reviews].
func (m *Memory) OwedReviews(context.Context) ([]store.Review, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []store.Review
	for _, r := range m.owed {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b store.Review) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Grant, b.Grant)) })
	return out, nil
}

// WrittenReview implements [store.Reviews].
func (m *Memory) WrittenReview(_ context.Context, grant string) (store.Review, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.reviews[grant]
	if !ok {
		return r, store.ErrNotFound
	}
	return r, nil
}

// WriteReview implements [store.Reviews].
func (m *Memory) WriteReview(_ context.Context, r store.Review) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.Owed() {
		return errors.New("store a review: it says nothing")
	}
	if err := m.settle(r); err != nil {
		return err
	}
	r.Version = ""
	m.reviews[r.Grant] = r
	return nil
}

// DropReview implements [store.Reviews].
func (m *Memory) DropReview(_ context.Context, r store.Review) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.settle(r)
}

// settle removes a review that is owed; m.mu is held.
func (m *Memory) settle(r store.Review) error {
	if old, ok := m.owed[r.RequestorID]; !ok || old.Version != r.Version || r.Version == "" {
		return store.ErrConflict
	}
	delete(m.owed, r.RequestorID)
	return nil
}
