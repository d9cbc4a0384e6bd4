package accesstest

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"portcullis/core/jit"
	"portcullis/core/plan"
	"portcullis/core/store"
)

// Store is every storage port. The suites of this file's neighbours take one.
type Store interface {
	store.Policies
	store.Grants
	store.KeyStore
	store.History
	store.Targets
	store.Activity
	store.Verifier
	store.Sweeps
	store.Pinger
}

// Memory is the reference of the storage ports: what they promise, in the
// fewest words, with nothing behind it. It is safe for concurrent use, every call is one
// step, and what it takes and gives shares no memory with the caller.
type Memory struct {
	mu       sync.Mutex
	writes   int
	policies map[string]store.PolicyRecord // by key of the machine
	open     map[string]store.GrantRecord
	closed   map[string]store.GrantRecord
	keys     map[[2]string]store.Key
	targets  map[string]mark
	entries  map[string]store.Entry
	sweep    *store.SweepRecord
}

// mark is what is stored of a target beside what bears on it.
type mark struct {
	id      jit.ID
	ours    bool     // or only remembered
	version string   // new with whatever comes to bear on it
	denies  []string // as last confirmed
}

// NewMemory gives an empty store.
func NewMemory() *Memory {
	return &Memory{policies: map[string]store.PolicyRecord{}, open: map[string]store.GrantRecord{}, closed: map[string]store.GrantRecord{},
		keys: map[[2]string]store.Key{}, targets: map[string]mark{}, entries: map[string]store.Entry{}}
}

// Ping always answers.
func (m *Memory) Ping(context.Context) error { return nil }

func (m *Memory) version() string {
	m.writes++
	return strconv.Itoa(m.writes)
}

// Policy implements access.Policies.
func (m *Memory) Policy(_ context.Context, vm jit.ID) (store.PolicyRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.policies[vm.Key()]
	if !ok {
		return store.PolicyRecord{}, store.ErrNotFound
	}
	return clonePolicy(p), nil
}

// EachPolicy implements access.Policies. It gives the policies that there were when it began.
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

// EachListed implements access.Policies, as EachPolicy.
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

// PutPolicy implements access.Policies.
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

// DeletePolicy implements access.Policies.
func (m *Memory) DeletePolicy(_ context.Context, p store.PolicyRecord) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.Version == "" || m.policies[p.Policy.VM.Key()].Version != p.Version {
		return store.ErrConflict
	}
	delete(m.policies, p.Policy.VM.Key())
	return nil
}

// InsertGrant implements access.Grants.
func (m *Memory) InsertGrant(_ context.Context, g store.GrantRecord, keys []store.Key, now time.Time) (store.GrantRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.open[g.Grant.ID]; ok || g.Version != "" {
		return g, store.ErrConflict
	}
	if g.Grant.Closed() {
		return g, errors.New("a new grant must have a window that is not closed")
	}
	for _, k := range keys {
		if old, ok := m.keys[[2]string{k.Requestor, k.Value}]; ok && now.Before(old.Expires) && old.Grant != k.Grant {
			return g, store.ErrConflict
		}
	}
	for _, k := range keys {
		m.keys[[2]string{k.Requestor, k.Value}] = k
	}
	return m.keep(g), nil
}

// keep stores a grant with a new version. One that is closed bears on no target any more.
func (m *Memory) keep(g store.GrantRecord) store.GrantRecord {
	g = cloneGrant(g)
	g.Version = m.version()
	m.open[g.Grant.ID] = g
	if g.Grant.Closed() {
		return cloneGrant(g)
	}
	for _, p := range g.Placements {
		m.mark(p.Target)
	}
	return cloneGrant(g)
}

// UpdateGrants implements access.Grants.
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

// NoteConfirmed implements access.Grants.
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

// Grant implements access.Grants.
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

// OpenGrants implements access.Grants.
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

// FindKey implements access.KeyStore.
func (m *Memory) FindKey(_ context.Context, requestor, value string, now time.Time) (store.Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.keys[[2]string{requestor, value}]
	if !ok || !now.Before(k.Expires) {
		return store.Key{}, store.ErrNotFound
	}
	return k, nil
}

// DropKeys implements access.KeyStore.
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

// ListGrants implements access.History.
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
	return behind && (f.Status == "" || f.Status == g.Status().String()) && (f.Requestor == "" || f.Requestor == g.Requestor) &&
		within(g.Start, f.From, f.To)
}

func within(t, from, to time.Time) bool {
	return (from.IsZero() || !t.Before(from)) && (to.IsZero() || t.Before(to))
}

// State implements access.Targets: what the policies and the open grants say of the target.
func (m *Memory) State(_ context.Context, target jit.ID) (plan.State, error) {
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

// StateOf gives what policies and open grants say of a target: what
// [store.Targets] must answer when they are all that is stored.
func StateOf(target jit.ID, known bool, policies []store.PolicyRecord, grants []store.GrantRecord) plan.State {
	s := plan.State{Known: known}
	for _, p := range policies {
		for _, at := range p.Placements {
			if at.Target.Equal(target) {
				s.Policies = append(s.Policies, plan.Protected{Policy: p.Policy, Addresses: at.Addresses})
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
				s.Openings = append(s.Openings, plan.Opening{Grant: part, Addresses: at.Addresses})
			}
		}
	}
	slices.SortFunc(s.Policies, func(a, b plan.Protected) int { return cmp.Compare(a.Policy.VM.Key(), b.Policy.VM.Key()) })
	slices.SortFunc(s.Openings, func(a, b plan.Opening) int {
		return cmp.Or(a.Grant.Start.Compare(b.Grant.Start), cmp.Compare(a.Grant.ID, b.Grant.ID))
	})
	return s
}

// Known implements access.Targets.
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

// Remember implements access.Targets.
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

// Forget implements access.Targets.
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

// Confirm implements access.Targets.
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

// Append implements access.Activity.
func (m *Memory) Append(_ context.Context, entries ...store.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range entries {
		if _, told := m.entries[e.ID]; !told {
			m.entries[e.ID] = cloneEntry(e)
		}
	}
	return nil
}

// Verify implements access.Verifier: what nobody else can write is whole. It keeps no
// hashes; the head is a name for what was appended so far.
func (m *Memory) Verify(_ context.Context, subscription string, day time.Time) (store.VerifyResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out store.VerifyResult
	for _, e := range m.entries {
		of := cmp.Or(e.VM.Subscription, e.Target.Subscription)
		if strings.EqualFold(of, subscription) && e.Time.UTC().Format(time.DateOnly) == day.UTC().Format(time.DateOnly) {
			out.Entries++
		}
	}
	if out.Entries > 0 {
		out.Head = fmt.Sprintf("%064x", out.Entries)
	}
	return out, nil
}

// Entries implements access.Activity.
func (m *Memory) Entries(_ context.Context, f store.EntryFilter, cursor string, limit int) ([]store.Entry, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []placed[store.Entry]
	for _, e := range m.entries {
		if matchesEntry(f, e) {
			found = append(found, placed[store.Entry]{e.Time, e.ID, cloneEntry(e)})
		}
	}
	return pageOf(found, cursor, limit)
}

func matchesEntry(f store.EntryFilter, e store.Entry) bool {
	subscription := cmp.Or(e.VM.Subscription, e.Target.Subscription)
	return (f.Subscription == "" || strings.EqualFold(f.Subscription, subscription)) &&
		(f.VM == "" || !e.VM.IsZero() && strings.ToLower(f.VM) == e.VM.Key()) &&
		(f.Requestor == "" || f.Requestor == e.Requestor) && (f.Operation == "" || f.Operation == e.Operation) && within(e.Time, f.From, f.To)
}

// PutSweep implements access.Sweeps.
func (m *Memory) PutSweep(_ context.Context, r store.SweepRecord) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r.Findings = slices.Clone(r.Findings)
	m.sweep = &r
	return nil
}

// LastSweep implements access.Sweeps.
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

// placed is an item with its place in a list: newest first, then by name.
type placed[T any] struct {
	time time.Time
	name string
	item T
}

func (p placed[T]) compare(o placed[T]) int {
	return cmp.Or(o.time.Compare(p.time), cmp.Compare(p.name, o.name))
}

// pageOf gives the items after the cursor, at most limit of them (1 to 1,000).
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
