package coretest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"portcullis/core/store"
)

// InsertGrant implements store.Grants.
func (m *Memory) InsertGrant(_ context.Context, g store.GrantRecord, keys []store.Key, now time.Time) (store.GrantRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.open[g.Grant.ID]; ok || g.Version != "" {
		return g, store.ErrConflict
	}
	if err := errors.Join(m.heldAnew(g), addressed(g.Tell)); err != nil {
		return g, err
	}
	if g.Grant.Closed() {
		return g, errors.New("a new grant must have a window that is not closed")
	}
	for _, k := range keys {
		if old, ok := m.keys[[2]string{k.Requestor, k.Value}]; ok && now.Before(old.Expires) && old.Grant != k.Grant {
			return g, store.ErrConflict
		}
	}
	if err := m.owe(g); err != nil {
		return g, err
	}
	for _, k := range keys {
		m.keys[[2]string{k.Requestor, k.Value}] = k
	}
	return m.keep(g), nil
}

// keep stores a grant with a new version. A closed grant no longer affects any target.
func (m *Memory) keep(g store.GrantRecord) store.GrantRecord {
	g = cloneGrant(g)
	m.post(g.Tell)
	g.Version, g.Tell, g.Decided, g.Settles = m.version(), nil, "", ""
	m.open[g.Grant.ID] = g
	if g.Grant.Closed() {
		return cloneGrant(g)
	}
	for _, p := range g.Placements {
		m.mark(p.Target)
	}
	return cloneGrant(g)
}

// UpdateGrants implements store.Grants.
func (m *Memory) UpdateGrants(_ context.Context, gs ...store.GrantRecord) ([]store.GrantRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := map[string]bool{}
	for _, g := range gs {
		if seen[g.Grant.ID] {
			return nil, fmt.Errorf("grant %s stands twice", g.Grant.ID)
		}
		seen[g.Grant.ID] = true
		if old, ok := m.open[g.Grant.ID]; !ok || old.Version != g.Version {
			return nil, store.ErrConflict
		}
		if err := addressed(g.Tell); err != nil {
			return nil, err
		}
	}
	if err := m.heldAnew(gs...); err != nil {
		return nil, err
	}
	var out []store.GrantRecord
	for _, g := range gs {
		kept := m.keep(g)
		if g.Grant.Closed() {
			delete(m.open, g.Grant.ID)
			kept.Version = "closed"
			m.closed[g.Grant.ID] = cloneGrant(kept)
		}
		out = append(out, kept)
	}
	return out, nil
}

// NoteConfirmed implements store.Grants.
func (m *Memory) NoteConfirmed(_ context.Context, g store.GrantRecord) (store.GrantRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.open[g.Grant.ID]
	if !ok || old.Version != g.Version {
		return g, store.ErrConflict
	}
	old = cloneGrant(old)
	for i, p := range g.Placements {
		old.Placements[i].Confirmed = p.Confirmed
	}
	old.Version = m.version()
	m.open[g.Grant.ID] = old
	return cloneGrant(old), nil
}

// Grant implements store.Grants.
func (m *Memory) Grant(_ context.Context, id string) (store.GrantRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g, ok := m.open[id]
	if !ok {
		g, ok = m.closed[id]
	}
	if !ok {
		return g, store.ErrNotFound
	}
	return cloneGrant(g), nil
}

// OpenGrants implements store.Grants.
func (m *Memory) OpenGrants(context.Context) ([]store.GrantRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []store.GrantRecord
	for _, g := range m.open {
		out = append(out, cloneGrant(g))
	}
	slices.SortFunc(out, func(a, b store.GrantRecord) int {
		return cmp.Or(a.Grant.Start.Compare(b.Grant.Start), cmp.Compare(a.Grant.ID, b.Grant.ID))
	})
	return out, nil
}

// FindKey implements store.KeyStore.
func (m *Memory) FindKey(_ context.Context, requestor, value string, now time.Time) (store.Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.keys[[2]string{requestor, value}]
	if !ok || !now.Before(k.Expires) {
		return store.Key{}, store.ErrNotFound
	}
	return k, nil
}

// DropKeys implements store.KeyStore.
func (m *Memory) DropKeys(_ context.Context, expired time.Time, most int) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var gone [][2]string
	for at, k := range m.keys {
		if !expired.Before(k.Expires) {
			gone = append(gone, at)
		}
	}
	slices.SortFunc(gone, func(a, b [2]string) int {
		return cmp.Or(m.keys[a].Expires.Compare(m.keys[b].Expires), slices.Compare(a[:], b[:]))
	})
	gone = gone[:min(len(gone), most)]
	for _, at := range gone {
		delete(m.keys, at)
	}
	return len(gone), nil
}
