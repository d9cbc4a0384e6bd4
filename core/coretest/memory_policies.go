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
func (m *Memory) EachListed(ctx context.Context, f store.PolicyFilter, after store.PolicyName, head func(store.NamedRecord) error, give func(store.PolicyRecord) error) error {
	heads := m.heads(f, after)
	var listed []store.PolicyRecord
	_ = m.EachPolicy(ctx, func(r store.PolicyRecord) error {
		if n := r.Listing(); f.Matches(n) && (after == store.PolicyName{} || n.Key() > after.Key()) {
			r.Version = ""
			listed = append(listed, r)
		}
		return nil
	})
	slices.SortStableFunc(listed, func(a, b store.PolicyRecord) int { return cmp.Compare(a.Listing().Key(), b.Listing().Key()) })
	headsTo := func(key string) error { // gives those that come before the policies of a name
		for len(heads) > 0 && (key == "" || heads[0].Name.Key() <= key) {
			if err := head(heads[0]); err != nil {
				return err
			}
			heads = heads[1:]
		}
		return nil
	}
	for _, r := range listed {
		if err := headsTo(r.Listing().Key()); err != nil {
			return err
		}
		if err := give(r); err != nil {
			return err
		}
	}
	return headsTo("")
}

// heads returns the matching records of named policies, sorted by name.
func (m *Memory) heads(f store.PolicyFilter, after store.PolicyName) []store.NamedRecord {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []store.NamedRecord
	for _, key := range slices.Sorted(maps.Keys(m.named)) {
		if n := m.named[key]; f.Matches(n.Name) && (after == store.PolicyName{} || key > after.Key()) {
			n.Order = slices.Clone(n.Order)
			out = append(out, n)
		}
	}
	return out
}

// PutNamed implements store.Policies.
func (m *Memory) PutNamed(_ context.Context, n store.NamedRecord) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n.Order, n.Since = slices.Clone(n.Order), n.Since.UTC()
	m.named[n.Name.Key()] = n
	return nil
}

// DropNamed implements store.Policies.
func (m *Memory) DropNamed(_ context.Context, name store.PolicyName) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.named, name.Key())
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
