package coretest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// ListGrants implements store.History.
func (m *Memory) ListGrants(_ context.Context, f store.GrantFilter, cursor string, limit int) ([]jit.Grant, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []placed[jit.Grant]
	for _, grants := range []map[string]store.GrantRecord{m.open, m.closed} {
		for _, g := range grants {
			if g := cloneGrant(g).Grant; matchesGrant(f, g) {
				found = append(found, placed[jit.Grant]{g.Start, g.ID, g})
			}
		}
	}
	return pageOf(found, cursor, limit)
}

func matchesGrant(f store.GrantFilter, g jit.Grant) bool {
	behind := f.VM == "" || slices.ContainsFunc(g.VMs, func(vm jit.GrantVM) bool { return vm.VM.Key() == strings.ToLower(f.VM) })
	return behind && (f.Status == "" || f.Status == g.Status().String()) && (f.Requestor == "" || store.FoldName(f.Requestor) == store.FoldName(g.Requestor)) &&
		(f.Object == "" || strings.EqualFold(f.Object, jit.Caller{ID: g.RequestorID}.Actor().Object)) &&
		within(g.Start, f.From, f.To)
}

func within(t, from, to time.Time) bool {
	return (from.IsZero() || !t.Before(from)) && (to.IsZero() || t.Before(to))
}

// Append implements store.Activity.
func (m *Memory) Append(_ context.Context, entries ...store.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range entries {
		if _, told := m.entries[e.ID]; !told {
			m.entries[e.ID] = cloneEntry(e)
			m.appended = append(m.appended, e.ID)
		}
	}
	return nil
}

// Entries implements store.Activity.
func (m *Memory) Entries(_ context.Context, f store.EntryFilter, cursor string, limit int) ([]store.Entry, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []placed[store.Entry]
	for _, e := range m.entries {
		if matchesEntry(f, e) {
			found = append(found, placed[store.Entry]{e.Time, e.ID, cloneEntry(e)})
		}
	}
	if at, given := m.continuations[cursor]; given {
		cursor = at
	}
	page, at, err := pageOf(found, cursor, limit)
	if at == "" {
		return page, "", err
	}
	// An entry's id holds that of its machine, and a continuation names no row by it.
	next := fmt.Sprintf("%x", sha256.Sum256([]byte(at)))
	m.continuations[next] = at
	return page, next, err
}

func matchesEntry(f store.EntryFilter, e store.Entry) bool {
	subscription := cmp.Or(e.VM.Subscription, e.Target.Subscription)
	return (!f.Located || subscription != "") && (f.Subscription == "" || strings.EqualFold(f.Subscription, subscription)) &&
		(f.VM == "" || !e.VM.IsZero() && strings.ToLower(f.VM) == e.VM.Key()) &&
		(f.Requestor == "" || store.FoldName(f.Requestor) == store.FoldName(e.Requestor)) && (f.Object == "" || strings.EqualFold(f.Object, e.Actor.Object)) && (f.Operation == "" || f.Operation == e.Operation) && (f.Result == "" || f.Result == e.Result) && within(e.Time, f.From, f.To)
}

// PutSweep implements store.Sweeps.
func (m *Memory) PutSweep(_ context.Context, r store.SweepRecord) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r.Findings = slices.Clone(r.Findings)
	m.sweep = &r
	return nil
}

// LastSweep implements store.Sweeps.
func (m *Memory) LastSweep(context.Context) (store.SweepRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sweep == nil {
		return store.SweepRecord{}, store.ErrNotFound
	}
	r := *m.sweep
	r.Findings = slices.Clone(r.Findings)
	return r, nil
}

// placed is an item with its position in a list: newest first, then by name.
type placed[T any] struct {
	time time.Time
	name string
	item T
}

func (p placed[T]) compare(o placed[T]) int {
	return cmp.Or(o.time.Compare(p.time), cmp.Compare(p.name, o.name))
}

// pageOf returns the items after the cursor, at most limit of them (1 to 1,000).
func pageOf[T any](found []placed[T], cursor string, limit int) ([]T, string, error) {
	slices.SortFunc(found, placed[T].compare)
	if cursor != "" {
		after, err := parseCursor[T](cursor)
		if err != nil {
			return nil, "", err
		}
		found = slices.DeleteFunc(found, func(p placed[T]) bool { return p.compare(after) <= 0 })
	}
	next := ""
	if limit = max(1, min(limit, 1000)); len(found) > limit {
		found = found[:limit]
		last := found[limit-1]
		next = base64.RawURLEncoding.EncodeToString([]byte(last.time.UTC().Format(time.RFC3339Nano) + " " + last.name))
	}
	var out []T
	for _, p := range found {
		out = append(out, p.item)
	}
	return out, next, nil
}

func parseCursor[T any](cursor string) (placed[T], error) {
	bad := &jit.Error{Code: "InvalidSkipToken", Target: "$skipToken", Message: "this is not a continuation that the list has given; start again without it"}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return placed[T]{}, bad
	}
	stamp, name, ok := strings.Cut(string(text), " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil || !ok || name == "" {
		return placed[T]{}, bad
	}
	return placed[T]{time: at, name: name}, nil
}
