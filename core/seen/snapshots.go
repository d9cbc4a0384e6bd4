package seen

import (
	"container/list"
	"sync"

	"portcullis/core/jit"
	"portcullis/core/network"
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
