package coretest

import (
	"cmp"
	"context"
	"slices"

	"portcullis/core/jit"
	"portcullis/core/roster"
	"portcullis/core/store"
)

// State implements store.Targets: what the policies and the open grants say about the target.
func (m *Memory) State(_ context.Context, target jit.ID) (roster.State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var policies []store.PolicyRecord
	for _, p := range m.policies {
		if policyAt(p, target) {
			policies = append(policies, clonePolicy(p))
		}
	}
	var grants []store.GrantRecord
	for _, g := range m.open {
		if grantAt(g, target) {
			grants = append(grants, cloneGrant(g))
		}
	}
	at := m.targets[target.Key()]
	state := StateOf(target, at.ours, policies, grants)
	state.Confirmed = slices.Clone(at.denies)
	return state, nil
}

// States implements store.Targets.
func (m *Memory) States(ctx context.Context, targets []jit.ID) ([]roster.State, error) {
	out := make([]roster.State, len(targets))
	for i, t := range targets {
		out[i], _ = m.State(ctx, t)
	}
	return out, nil
}

// Order implements store.Targets.
func (m *Memory) Order(key string) string { return key }

// StateOf returns what policies and open grants say about a target: what [store.Targets] must return if they are
// all that is stored.
func StateOf(target jit.ID, known bool, policies []store.PolicyRecord, grants []store.GrantRecord) roster.State {
	s := roster.State{Known: known}
	for _, p := range policies {
		for _, at := range p.Placements {
			if at.Target.Equal(target) {
				s.Policies = append(s.Policies, at.Protected(p.Policy))
			}
		}
	}
	for _, g := range grants {
		for _, at := range g.Placements {
			if at.Target.Equal(target) {
				part := g.Grant
				part.VMs = slices.DeleteFunc(slices.Clone(part.VMs), func(vm jit.GrantVM) bool {
					_, behind := at.Addresses[vm.VM.Key()]
					return !behind
				})
				s.Openings = append(s.Openings, roster.Opening{Grant: part, Addresses: at.Addresses})
			}
		}
	}
	slices.SortFunc(s.Policies, func(a, b roster.Protected) int { return cmp.Compare(a.Policy.VM.Key(), b.Policy.VM.Key()) })
	slices.SortFunc(s.Openings, func(a, b roster.Opening) int {
		return cmp.Or(a.Grant.Start.Compare(b.Grant.Start), cmp.Compare(a.Grant.ID, b.Grant.ID))
	})
	return s
}

// Known implements store.Targets.
func (m *Memory) Known(context.Context) ([]jit.ID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []jit.ID
	for _, t := range m.targets {
		out = append(out, t.id)
	}
	slices.SortFunc(out, func(a, b jit.ID) int { return cmp.Compare(a.Key(), b.Key()) })
	return out, nil
}

// Remember implements store.Targets.
func (m *Memory) Remember(_ context.Context, target jit.ID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.targets[target.Key()]
	at.id, at.version = target, m.version()
	m.targets[target.Key()] = at
	return nil
}

// mark makes a target ours. The caller holds the lock.
func (m *Memory) mark(target jit.ID) {
	at := m.targets[target.Key()]
	at.id, at.ours, at.version = target, true, m.version()
	m.targets[target.Key()] = at
}

// Forget implements store.Targets.
func (m *Memory) Forget(ctx context.Context, target jit.ID, clear func(context.Context) (bool, error)) error {
	m.mu.Lock()
	before := m.targets[target.Key()].version
	used := m.used(target)
	m.mu.Unlock()
	if used || before == "" {
		return nil
	}
	if ok, err := clear(ctx); !ok || err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.targets[target.Key()].version == before {
		delete(m.targets, target.Key())
	}
	return nil
}

// used reports whether a policy or an open grant has a part at the target.
func (m *Memory) used(target jit.ID) bool {
	for _, p := range m.policies {
		if policyAt(p, target) {
			return true
		}
	}
	for _, g := range m.open {
		if grantAt(g, target) {
			return true
		}
	}
	return false
}

func policyAt(p store.PolicyRecord, target jit.ID) bool {
	return slices.ContainsFunc(p.Placements, func(at store.Placement) bool { return at.Target.Equal(target) })
}

func grantAt(g store.GrantRecord, target jit.ID) bool {
	return slices.ContainsFunc(g.Placements, func(at store.GrantPlacement) bool { return at.Target.Equal(target) })
}

// Confirm implements store.Targets.
func (m *Memory) Confirm(_ context.Context, target jit.ID, was, denies []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, known := m.targets[target.Key()]
	if !slices.Equal(at.denies, was) {
		return store.ErrConflict
	}
	if at.denies = slices.Clone(denies); known {
		m.targets[target.Key()] = at
	}
	return nil
}
