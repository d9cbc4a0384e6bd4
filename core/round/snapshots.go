package round

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"portcullis/core/jit"
	"portcullis/core/memo"
	"portcullis/core/network"
	"portcullis/core/store"
)

// maxCacheBytes bounds what is remembered of targets, in bytes of their documents. Decoded rules take about as much again.
const maxCacheBytes = 64 << 20

// snapshots remembers the rules of targets as ARM last confirmed them, which spares a read after each write. What is
// remembered may be old. It may only be written from, since a write is conditional on the version. It is safe for
// concurrent use; its zero value is empty.
type snapshots struct {
	mu    sync.Mutex
	kept  map[string]*list.Element // of *entry, by jit.ID.Key
	order list.List                // the most recently used one is at the front
	bytes int
	moves uint64 // counts what was put or dropped
}

// entry is what is remembered of one target.
type entry struct {
	snap  network.Snapshot
	moved uint64
	stale bool // a write of others is under way or has failed: a write from this would be a conflict
}

// toWrite returns what is remembered of a target, where a write from it may pass.
func (s *snapshots) toWrite(target jit.ID) (network.Snapshot, bool) {
	if e, ok := s.find(target); ok && !e.stale {
		return e.snap, true
	}
	return network.Snapshot{}, false
}

// toLook returns what is remembered of a target, however old it is.
func (s *snapshots) toLook(target jit.ID) (network.Standing, bool) {
	e, ok := s.find(target)
	return e.snap.Standing, ok
}

func (s *snapshots) find(target jit.ID) (entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.kept[target.Key()]
	if e == nil {
		return entry{}, false
	}
	s.order.MoveToFront(e)
	return *e.Value.(*entry), true
}

// moment returns what to pass to put; call it before the read begins.
func (s *snapshots) moment() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.moves
}

// put remembers what a read returned that began at a moment, unless something newer was put since. An unconfirmed
// snapshot is not remembered: what stood before stays to be looked at.
func (s *snapshots) put(snap network.Snapshot, since uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := snap.Target.Key()
	if e := s.kept[key]; e != nil && e.Value.(*entry).moved > since {
		return
	}
	if snap.Unconfirmed && s.kept[key] != nil {
		s.markStale(key)
		return
	}
	s.remove(key)
	if snap.Unconfirmed || len(snap.Body) > maxCacheBytes/8 {
		return
	}
	if s.kept == nil {
		s.kept = map[string]*list.Element{}
	}
	s.moves++
	s.kept[key] = s.order.PushFront(&entry{snap: snap, moved: s.moves})
	for s.bytes += cost(snap); s.bytes > maxCacheBytes; {
		s.remove(s.order.Back().Value.(*entry).snap.Target.Key())
	}
}

// cost estimates the bytes that a snapshot takes.
func cost(snap network.Snapshot) int { return len(snap.Body) + 256 + 128*len(snap.Rules) }

// lost notes that a write from what is remembered was lost to others. It stays to look at: who wants to look
// would otherwise wait for the end of the others' writes, which may follow each other without a gap.
func (s *snapshots) lost(target jit.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.markStale(target.Key())
}

func (s *snapshots) markStale(key string) {
	if e := s.kept[key]; e != nil {
		e.Value.(*entry).stale = true
	}
}

func (s *snapshots) drop(target jit.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moves++
	s.remove(target.Key())
}

func (s *snapshots) remove(key string) {
	if e := s.kept[key]; e != nil {
		s.bytes -= cost(e.Value.(*entry).snap)
		s.order.Remove(e)
		delete(s.kept, key)
	}
}

// Read reads the rules of a target now, and remembers them.
func (s *Rounds) Read(ctx context.Context, p network.Priority, target jit.ID) (network.Snapshot, error) {
	kind, err := s.Kinds.Of(target)
	if err != nil {
		return network.Snapshot{}, err
	}
	since := s.seen.moment()
	snap, err := kind.Rules.Rules(ctx, p, target)
	if err != nil {
		if errors.Is(err, store.ErrNotFound) {
			s.seen.drop(target)
		}
		return snap, err
	}
	s.seen.put(snap, since)
	return snap, nil
}

// List reads the rules of all targets of a kind in a subscription as they are shown, and
// remembers them.
func (s *Rounds) List(ctx context.Context, p network.Priority, kind network.TargetKind, subscription string) ([]network.Standing, error) {
	since := s.seen.moment()
	snaps, err := kind.Rules.All(ctx, p, subscription)
	if err != nil {
		return nil, err
	}
	out := make([]network.Standing, len(snaps))
	for i, snap := range snaps {
		s.seen.put(snap, since)
		out[i] = snap.Standing
	}
	return out, nil
}

// maxSingleReads bounds how many targets of one subscription are read one by one at the same time. Listing more
// costs fewer calls.
const maxSingleReads = 25

// coldReads counts the reads under way of targets of which nothing is remembered.
type coldReads struct {
	mu      sync.Mutex
	reading map[string]int // by subscription and kind, in lower case
	lists   memo.Memo[struct{}]
}

// begin counts one more read, and reports whether there are so many that one listing is cheaper.
func (c *coldReads) begin(sub string) (many bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reading == nil {
		c.reading = map[string]int{}
	}
	c.reading[sub]++
	return c.reading[sub] > maxSingleReads
}

func (c *coldReads) end(sub string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reading[sub]--; c.reading[sub] == 0 {
		delete(c.reading, sub)
	}
}

// known returns what is remembered of a target. If nothing is, it reads the target, and
// fresh is true. If many have to be read at once, it lists their subscription instead.
func (s *Rounds) known(ctx context.Context, p network.Priority, target jit.ID) (snap network.Snapshot, fresh bool, err error) {
	if snap, ok := s.seen.toWrite(target); ok {
		return snap, false, nil
	}
	kind, err := s.Kinds.Of(target)
	if err != nil {
		return network.Snapshot{}, false, err
	}
	sub := strings.ToLower(target.Subscription + "/" + kind.Type)
	many := s.cold.begin(sub)
	defer s.cold.end(sub)
	if many { // if the listing fails, each target is read by itself
		_, _ = s.cold.lists.Get(ctx, sub, s.Now, memo.Always[struct{}](0), func(ctx context.Context, _ struct{}) (struct{}, error) {
			_, err := s.List(ctx, p, kind, target.Subscription)
			return struct{}{}, err
		})
		if snap, ok := s.seen.toWrite(target); ok {
			return snap, false, nil
		}
	}
	snap, err = s.Read(ctx, p, target)
	return snap, true, err
}

// Recall returns the rules of a target, which may be old.
func (s *Rounds) Recall(ctx context.Context, target jit.ID) (network.Standing, error) {
	if standing, ok := s.seen.toLook(target); ok {
		return standing, nil
	}
	if s.Kinds.Maps(target) {
		return s.Shown(ctx, target)
	}
	snap, _, err := s.known(ctx, network.Ordinary(), target)
	return snap.Standing, err
}

// write applies the changes, and remembers what ARM answered.
func (s *Rounds) write(ctx context.Context, p network.Priority, kind network.TargetKind, snap network.Snapshot, out Outcome) (network.Snapshot, error) {
	next, err := kind.Rules.Apply(ctx, p, snap, out.Plan.Changes)
	since := s.seen.moment()
	switch {
	case errors.Is(err, store.ErrConflict):
		s.seen.lost(snap.Target)
	case errors.Is(err, store.ErrNotFound):
		s.seen.drop(snap.Target)
	}
	if err != nil {
		return next, err
	}
	s.seen.put(next, since)
	return next, nil
}

// All reads every target of every kind in a subscription, sorted. It is complete or an error.
func (s *Rounds) All(ctx context.Context, subscription string) ([]network.Standing, error) {
	var out []network.Standing
	for _, k := range s.Kinds.Sorted() {
		snaps, err := s.List(ctx, network.Ordinary(), k, subscription)
		if err != nil {
			return nil, fmt.Errorf("list every %s: %w", k.Noun, err)
		}
		out = append(out, snaps...)
	}
	slices.SortFunc(out, func(a, b network.Standing) int { return strings.Compare(a.Target.Key(), b.Target.Key()) })
	return out, nil
}

// Shown reads one target as it is shown now. For kinds that map it does not wait for a write under way, which may
// take minutes.
func (s *Rounds) Shown(ctx context.Context, target jit.ID) (network.Standing, error) {
	return s.shown(ctx, network.Ordinary(), target)
}

func (s *Rounds) shown(ctx context.Context, p network.Priority, target jit.ID) (network.Standing, error) {
	k, err := s.Kinds.Of(target)
	if err != nil {
		return network.Standing{}, err
	}
	if !k.Maps {
		snap, err := s.Read(ctx, p, target)
		return snap.Standing, err
	}
	list, err := s.List(ctx, p, k, target.Subscription)
	if err != nil {
		return network.Standing{}, err
	}
	i := slices.IndexFunc(list, func(s network.Standing) bool { return s.Target.Equal(target) })
	if i < 0 {
		return network.Standing{}, fmt.Errorf("%s: %w", target.Name, store.ErrNotFound)
	}
	return list[i], nil
}
