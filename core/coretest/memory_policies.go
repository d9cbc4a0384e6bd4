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
			n.Order, n.Dropped = slices.Clone(n.Order), slices.Clone(n.Dropped)
			out = append(out, n)
		}
	}
	return out
}

// PutNamed implements store.Policies.
func (m *Memory) PutNamed(_ context.Context, n store.NamedRecord) (store.NamedRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.named[n.Name.Key()].Version != n.Version {
		return n, store.ErrConflict
	}
	return m.putNamed(n), nil
}

func (m *Memory) putNamed(n store.NamedRecord) store.NamedRecord {
	n.Order, n.Dropped, n.Since, n.Claim.Until = slices.Clone(n.Order), slices.Clone(n.Dropped), n.Since.UTC(), n.Claim.Until.UTC()
	n.Version = m.version()
	m.named[n.Name.Key()] = n
	n.Order, n.Dropped = slices.Clone(n.Order), slices.Clone(n.Dropped)
	return n
}

// DropNamed implements store.Policies.
func (m *Memory) DropNamed(_ context.Context, n store.NamedRecord) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n.Version == "" || m.named[n.Name.Key()].Version != n.Version {
		return store.ErrConflict
	}
	delete(m.named, n.Name.Key())
	return nil
}

// PutListed implements store.Policies.
func (m *Memory) PutListed(_ context.Context, n store.NamedRecord, p store.PolicyRecord) (store.NamedRecord, store.PolicyRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.named[n.Name.Key()].Version != n.Version || m.policies[p.Policy.VM.Key()].Version != p.Version {
		return n, p, store.ErrConflict
	}
	return m.putNamed(n), m.putPolicy(p), nil
}

// DropListed implements store.Policies.
func (m *Memory) DropListed(_ context.Context, n store.NamedRecord, p store.PolicyRecord) (store.NamedRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.named[n.Name.Key()].Version != n.Version || p.Version == "" || m.policies[p.Policy.VM.Key()].Version != p.Version {
		return n, store.ErrConflict
	}
	delete(m.policies, p.Policy.VM.Key())
	return m.putNamed(n), nil
}

// PutPolicy implements store.Policies.
func (m *Memory) PutPolicy(_ context.Context, p store.PolicyRecord) (store.PolicyRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.policies[p.Policy.VM.Key()].Version != p.Version {
		return p, store.ErrConflict
	}
	return m.putPolicy(p), nil
}

func (m *Memory) putPolicy(p store.PolicyRecord) store.PolicyRecord {
	p = clonePolicy(p)
	p.Version = m.version()
	m.policies[p.Policy.VM.Key()] = p
	for _, at := range p.Placements {
		m.mark(at.Target)
	}
	return clonePolicy(p)
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
