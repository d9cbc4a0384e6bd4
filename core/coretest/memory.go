package coretest

import (
	"context"
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

	continuations map[string]string // of the activity log, by what stands for them outside
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
		keys: map[[2]string]store.Key{}, targets: map[string]mark{}, entries: map[string]store.Entry{}, continuations: map[string]string{}}
}

// Ping always answers.
func (m *Memory) Ping(context.Context) error { return nil }

func (m *Memory) version() string {
	m.writes++
	return strconv.Itoa(m.writes)
}
