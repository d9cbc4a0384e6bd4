package coretest

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"

	"portcullis/core/jit"
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
	store.Chained
	store.Streams
	store.Sweeps
	store.Outbox
	store.Holds
	store.Reviews
	store.Pinger
}

// Memory is the reference implementation of the storage ports, as simple as possible and without a backend. It is
// safe for concurrent use, every call is atomic, and it shares no memory with the caller.
type Memory struct {
	mu        sync.Mutex
	writes    int
	policies  map[string]store.PolicyRecord // by key of the machine
	open      map[string]store.GrantRecord
	closed    map[string]store.GrantRecord
	keys      map[[2]string]store.Key
	targets   map[string]mark
	named     map[string]store.NamedRecord // by key of the name
	entries   map[string]store.Entry
	appended  []string // ids of entries, in the order in which they came
	stream    *store.StreamRecord
	sweep     *store.SweepRecord
	letters   map[[3]string]store.Letter // by channel, subject and number
	holds     store.HoldSet              // without a version until somebody asks
	lockdowns map[string]store.Lockdown
	owed      map[string]store.Review // by the requestor's id
	reviews   map[string]store.Review // those that are written, by grant

	continuations map[string]string // of the activity log, by what stands for them outside
}

// mark is what is stored of a target besides the policies and grants that affect it.
type mark struct {
	id      jit.ID
	ours    bool     // or only remembered
	version string   // changes when anything comes to affect the target
	denies  []string // as last confirmed
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{policies: map[string]store.PolicyRecord{}, open: map[string]store.GrantRecord{}, closed: map[string]store.GrantRecord{},
		keys: map[[2]string]store.Key{}, targets: map[string]mark{}, named: map[string]store.NamedRecord{}, entries: map[string]store.Entry{}, continuations: map[string]string{}, letters: map[[3]string]store.Letter{}, lockdowns: map[string]store.Lockdown{},
		owed: map[string]store.Review{}, reviews: map[string]store.Review{}}
}

// Ping always answers.
func (m *Memory) Ping(context.Context) error { return nil }

func (m *Memory) version() string {
	m.writes++
	return strconv.Itoa(m.writes)
}

// Copy returns a store with what this one holds now, such as a copy of the tables that is put back later.
func (m *Memory) Copy() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &Memory{writes: m.writes, policies: maps.Clone(m.policies), open: maps.Clone(m.open), closed: maps.Clone(m.closed), keys: maps.Clone(m.keys),
		targets: maps.Clone(m.targets), entries: maps.Clone(m.entries), appended: slices.Clone(m.appended), continuations: maps.Clone(m.continuations), letters: maps.Clone(m.letters), holds: m.holds, lockdowns: maps.Clone(m.lockdowns), owed: maps.Clone(m.owed), reviews: maps.Clone(m.reviews)}
	if m.sweep != nil {
		last := *m.sweep
		c.sweep = &last
	}
	if m.stream != nil {
		s := cloneStream(*m.stream)
		c.stream = &s
	}
	return c
}
