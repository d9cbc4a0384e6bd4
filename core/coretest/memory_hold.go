package coretest

import (
	"cmp"
	"context"
	"crypto/rand"
	"slices"

	"portcullis/core/store"
)

// heldAnew returns store.ErrHeldAnew unless each record was decided by the holds that stand, or by none; m.mu is held.
func (m *Memory) heldAnew(gs ...store.GrantRecord) error {
	for _, g := range gs {
		if g.Decided != "" && g.Decided != m.holds.Version {
			return store.ErrHeldAnew
		}
	}
	return nil
}

// Holds implements [store.Holds].
func (m *Memory) Holds(context.Context) (store.HoldSet, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.heldNow(), nil
}

func (m *Memory) heldNow() store.HoldSet {
	if m.holds.Version == "" {
		m.holds.Version = rand.Text()
	}
	return store.HoldSet{Version: m.holds.Version, Holds: slices.Clone(m.holds.Holds)}
}

// PutHolds implements [store.Holds].
func (m *Memory) PutHolds(_ context.Context, set store.HoldSet) (store.HoldSet, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if set.Version == "" || set.Version != m.holds.Version {
		return set, store.ErrConflict
	}
	holds := slices.Clone(set.Holds)
	for i := range holds {
		holds[i].At = holds[i].At.UTC()
	}
	m.holds = store.HoldSet{Version: rand.Text(), Holds: holds}
	return m.heldNow(), nil
}

// PutLockdown implements [store.Holds].
func (m *Memory) PutLockdown(_ context.Context, l store.Lockdown) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	l.At, l.Grants = l.At.UTC(), slices.Clone(l.Grants)
	m.lockdowns[l.ID] = l
	return nil
}

// Lockdowns implements [store.Holds].
func (m *Memory) Lockdowns(context.Context) (store.HoldSet, []store.Lockdown, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []store.Lockdown
	for _, l := range m.lockdowns {
		l.Grants = slices.Clone(l.Grants)
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b store.Lockdown) int { return cmp.Compare(a.ID, b.ID) })
	return m.heldNow(), out, nil
}

// DropLockdown implements [store.Holds].
func (m *Memory) DropLockdown(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.lockdowns, id)
	return nil
}
