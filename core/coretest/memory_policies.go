package coretest

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// Policy implements store.Policies.
func (m *Memory) Policy(_ context.Context, vm jit.ID) (store.PolicyRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.policies[vm.Key()]
	if !ok {
		return store.PolicyRecord{}, store.ErrNotFound
	}
	return clonePolicy(p), nil
}

// EachPolicy implements store.Policies. It passes the policies that existed when it began.
func (m *Memory) EachPolicy(_ context.Context, f func(store.PolicyRecord) error) error {
	m.mu.Lock()
	var all []store.PolicyRecord
	for _, key := range slices.Sorted(maps.Keys(m.policies)) {
		all = append(all, clonePolicy(m.policies[key]))
	}
	m.mu.Unlock() // f may write
	for _, p := range all {
		if err := f(p); err != nil {
			return err
		}
	}
	return nil
}

// EachListed implements store.Policies, as EachPolicy.
func (m *Memory) EachListed(ctx context.Context, f store.PolicyFilter, after store.PolicyName, give func(store.PolicyRecord) error) error {
	var listed []store.PolicyRecord
	_ = m.EachPolicy(ctx, func(r store.PolicyRecord) error {
		if n := r.Listing(); f.Matches(n) && (after == store.PolicyName{} || n.Key() > after.Key()) {
			r.Version = ""
			listed = append(listed, r)
		}
		return nil
	})
	slices.SortStableFunc(listed, func(a, b store.PolicyRecord) int { return cmp.Compare(a.Listing().Key(), b.Listing().Key()) })
	for _, r := range listed {
		if err := give(r); err != nil {
			return err
		}
	}
	return nil
}

// PutPolicy implements store.Policies.
func (m *Memory) PutPolicy(_ context.Context, p store.PolicyRecord) (store.PolicyRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.policies[p.Policy.VM.Key()].Version != p.Version {
		return p, store.ErrConflict
	}
	p = clonePolicy(p)
	p.Version = m.version()
	m.policies[p.Policy.VM.Key()] = p
	for _, at := range p.Placements {
		m.mark(at.Target)
	}
	return clonePolicy(p), nil
}

// DeletePolicy implements store.Policies.
func (m *Memory) DeletePolicy(_ context.Context, p store.PolicyRecord) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.Version == "" || m.policies[p.Policy.VM.Key()].Version != p.Version {
		return store.ErrConflict
	}
	delete(m.policies, p.Policy.VM.Key())
	return nil
}
