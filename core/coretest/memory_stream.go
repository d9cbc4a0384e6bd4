package coretest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"portcullis/core/store"
)

// chain returns the entries of a chain in the order in which they came, each with a hash of the ids up to it. The caller holds the lock.
func (m *Memory) chain(subscription string, day time.Time) []store.Linked {
	var out []store.Linked
	hash := ""
	for _, id := range m.appended {
		e := m.entries[id]
		if strings.EqualFold(subscriptionOf(e), subscription) && e.Time.UTC().Format(time.DateOnly) == day.UTC().Format(time.DateOnly) {
			hash = fmt.Sprintf("%x", sha256.Sum256([]byte(hash+" "+id)))
			out = append(out, store.Linked{Entry: cloneEntry(e), Seq: len(out) + 1, Hash: hash})
		}
	}
	return out
}

func subscriptionOf(e store.Entry) string {
	return strings.ToLower(cmp.Or(e.VM.Subscription, e.Target.Subscription))
}

// Verify implements store.Verifier: nobody else can write, so the log is intact.
func (m *Memory) Verify(_ context.Context, subscription string, day time.Time, stated ...store.Head) (store.VerifyResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	chain := m.chain(subscription, day)
	out := store.VerifyResult{Entries: len(chain)}
	if len(chain) > 0 {
		out.Head = chain[len(chain)-1].Hash
	}
	for _, s := range stated {
		if s.Entries < 1 || s.Entries > len(chain) || chain[s.Entries-1].Hash != s.Hash {
			out.FirstBroken = &store.BrokenEntry{Seq: s.Entries, Break: store.BreakRewound}
		}
	}
	return out, nil
}

// Heads implements store.Heads.
func (m *Memory) Heads(_ context.Context, day time.Time) ([]store.ChainHead, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	subscriptions := map[string]bool{}
	for _, e := range m.entries {
		subscriptions[subscriptionOf(e)] = true
	}
	var out []store.ChainHead
	for _, sub := range slices.Sorted(maps.Keys(subscriptions)) {
		if chain := m.chain(sub, day); len(chain) > 0 {
			out = append(out, store.ChainHead{Subscription: sub, Head: store.Head{Entries: len(chain), Hash: chain[len(chain)-1].Hash}})
		}
	}
	return out, false, nil
}

// Follow implements store.Chained.
func (m *Memory) Follow(_ context.Context, subscription string, day time.Time, from store.Place, to, limit int) ([]store.Linked, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	chain := m.chain(subscription, day)
	first := max(1, from.Seq)
	last := min(to, first+limit-1, len(chain))
	if last < first {
		return nil, nil
	}
	return chain[first-1 : last], nil
}

// Stream implements store.Streams.
func (m *Memory) Stream(context.Context) (store.StreamRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stream == nil {
		return store.StreamRecord{}, store.ErrNotFound
	}
	return cloneStream(*m.stream), nil
}

// PutStream implements store.Streams.
func (m *Memory) PutStream(_ context.Context, r store.StreamRecord) (store.StreamRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stream == nil && r.Version != "" || m.stream != nil && r.Version != m.stream.Version {
		return r, store.ErrConflict
	}
	r = cloneStream(r)
	r.Version = m.version()
	m.stream = &r
	return cloneStream(r), nil
}

func cloneStream(r store.StreamRecord) store.StreamRecord {
	r.Days = slices.Clone(r.Days)
	for i := range r.Days {
		r.Days[i].Chains = slices.Clone(r.Days[i].Chains)
	}
	return r
}
