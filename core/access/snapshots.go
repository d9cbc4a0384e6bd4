package access

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
)

// What is remembered of targets at most, in bytes of their documents. Decoded rules take about as much again.
const mostRemembered = 64 << 20

// snapshots remembers the rules of targets as ARM last confirmed them, so that nobody
// reads what the last write's answer already gave. What is remembered may be old: a write from it is safe, since it
// is conditional on the version, and nothing else may be concluded from it. It is safe
// for concurrent use; its zero value is empty.
type snapshots struct {
	mu    sync.Mutex
	kept  map[string]*list.Element // of *shelf, by jit.ID.Key
	order list.List                // the one that was used last is at the front
	bytes int
	moves uint64 // how often anything was learnt
}

type shelf struct {
	snap  network.Snapshot
	moved uint64
}

func (s *snapshots) get(target jit.ID) (network.Snapshot, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.kept[target.Key()]
	if e == nil {
		return network.Snapshot{}, false
	}
	s.order.MoveToFront(e)
	return e.Value.(*shelf).snap, true
}

// moment is to be taken before a read begins, and given to put with what it gave.
func (s *snapshots) moment() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.moves
}

// put remembers what a read that began at a moment gave, unless something newer was
// learnt since. What is unconfirmed is not remembered.
func (s *snapshots) put(snap network.Snapshot, since uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := snap.Target.Key()
	if e := s.kept[key]; e != nil && e.Value.(*shelf).moved > since {
		return
	}
	s.remove(key)
	if snap.Unconfirmed || len(snap.Body) > mostRemembered/8 {
		return
	}
	if s.kept == nil {
		s.kept = map[string]*list.Element{}
	}
	s.moves++
	s.kept[key] = s.order.PushFront(&shelf{snap, s.moves})
	for s.bytes += cost(snap); s.bytes > mostRemembered; {
		s.remove(s.order.Back().Value.(*shelf).snap.Target.Key())
	}
}

// cost is roughly what a snapshot takes.
func cost(snap network.Snapshot) int { return len(snap.Body) + 256 + 128*len(snap.Rules) }

func (s *snapshots) drop(target jit.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moves++
	s.remove(target.Key())
}

func (s *snapshots) remove(key string) {
	if e := s.kept[key]; e != nil {
		s.bytes -= cost(e.Value.(*shelf).snap)
		s.order.Remove(e)
		delete(s.kept, key)
	}
}

// read reads the rules of a target now, and remembers them.
func (s *Service) read(ctx context.Context, target jit.ID) (network.Snapshot, error) {
	kind, err := s.Kinds.Of(target)
	if err != nil {
		return network.Snapshot{}, err
	}
	since := s.seen.moment()
	snap, err := kind.Rules.Rules(ctx, target)
	if err != nil {
		if errors.Is(err, store.ErrNotFound) {
			s.seen.drop(target)
		}
		return snap, err
	}
	s.seen.put(snap, since)
	return snap, nil
}

// list reads the rules of all targets of a kind in a subscription as they are shown, and
// remembers them.
func (s *Service) list(ctx context.Context, kind network.TargetKind, subscription string) ([]network.Snapshot, error) {
	since := s.seen.moment()
	snaps, err := kind.Rules.All(ctx, subscription)
	if err != nil {
		return nil, err
	}
	for _, snap := range snaps {
		s.seen.put(snap, since)
	}
	return snaps, nil
}

// fewCold is how many targets of one subscription are read one by one at the same
// time: above, one listing is less.
const fewCold = 25

// cold counts the targets that are being read for the first time, and lists them
// together where they are many.
type cold struct {
	mu      sync.Mutex
	reading map[string]int // by subscription and kind, in lower case
	lists   map[string]*flight[struct{}]
}

// known gives what is remembered of a target. Where nothing is it reads the target, and
// the flag says so; where many have to be read at once, one listing of their subscription stands for all.
func (s *Service) known(ctx context.Context, target jit.ID) (snap network.Snapshot, fresh bool, err error) {
	if snap, ok := s.seen.get(target); ok {
		return snap, false, nil
	}
	kind, err := s.Kinds.Of(target)
	if err != nil {
		return network.Snapshot{}, false, err
	}
	sub := strings.ToLower(target.Subscription + "/" + kind.Type)
	s.cold.mu.Lock()
	if s.cold.reading == nil {
		s.cold.reading, s.cold.lists = map[string]int{}, map[string]*flight[struct{}]{}
	}
	s.cold.reading[sub]++
	f := s.cold.lists[sub]
	if f == nil && s.cold.reading[sub] > fewCold {
		f = &flight[struct{}]{done: make(chan struct{})}
		s.cold.lists[sub] = f
		go s.warm(context.WithoutCancel(ctx), kind, sub, f)
	}
	s.cold.mu.Unlock()
	defer func() {
		s.cold.mu.Lock()
		defer s.cold.mu.Unlock()
		if s.cold.reading[sub]--; s.cold.reading[sub] == 0 {
			delete(s.cold.reading, sub)
		}
	}()
	if f != nil {
		select {
		case <-f.done:
		case <-ctx.Done():
			return network.Snapshot{}, false, fmt.Errorf("wait for the list of %s: %w", sub, ctx.Err())
		}
		if snap, ok := s.seen.get(target); ok {
			return snap, false, nil
		}
	}
	snap, err = s.read(ctx, target)
	return snap, true, err
}

// recall is [Service.known] for who only looks and does not mind how old it is.
func (s *Service) recall(ctx context.Context, target jit.ID) (network.Snapshot, error) {
	if snap, ok := s.seen.get(target); ok {
		return snap, nil
	}
	if s.Kinds.Maps(target) {
		return s.shown(ctx, target)
	}
	snap, _, err := s.known(ctx, target)
	return snap, err
}

func (s *Service) warm(ctx context.Context, kind network.TargetKind, sub string, f *flight[struct{}]) {
	bounded, cancel := context.WithTimeout(ctx, memoTimeout)
	defer cancel()
	subscription, _, _ := strings.Cut(sub, "/")
	_, f.err = s.list(bounded, kind, subscription) // where it fails each is read by itself
	s.cold.mu.Lock()
	delete(s.cold.lists, sub)
	s.cold.mu.Unlock()
	close(f.done)
}

// write applies the changes, and remembers what ARM answered.
func (s *Service) write(ctx context.Context, kind network.TargetKind, snap network.Snapshot, out outcome) (network.Snapshot, error) {
	next, err := kind.Rules.Apply(ctx, snap, out.plan.Changes)
	since := s.seen.moment()
	if err != nil {
		if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
			s.seen.drop(snap.Target)
		}
		return next, err
	}
	s.seen.put(next, since)
	return next, nil
}

// all reads every target of every kind in a subscription, sorted. It is complete or an error.
func (s *Service) all(ctx context.Context, subscription string) ([]network.Snapshot, error) {
	var out []network.Snapshot
	for _, k := range s.Kinds.Sorted() {
		snaps, err := s.list(ctx, k, subscription)
		if err != nil {
			return nil, fmt.Errorf("list every %s: %w", k.Noun, err)
		}
		out = append(out, snaps...)
	}
	slices.SortFunc(out, func(a, b network.Snapshot) int { return strings.Compare(a.Target.Key(), b.Target.Key()) })
	return out, nil
}

// shown reads one target as it is shown at the moment, for who only looks: a write that is
// under way, which may take minutes, is not waited for where the kind maps.
func (s *Service) shown(ctx context.Context, target jit.ID) (network.Snapshot, error) {
	k, err := s.Kinds.Of(target)
	if err != nil {
		return network.Snapshot{}, err
	}
	if !k.Maps {
		return s.read(ctx, target)
	}
	list, err := s.list(ctx, k, target.Subscription)
	if err != nil {
		return network.Snapshot{}, err
	}
	i := slices.IndexFunc(list, func(s network.Snapshot) bool { return s.Target.Equal(target) })
	if i < 0 {
		return network.Snapshot{}, fmt.Errorf("%s: %w", target.Name, store.ErrNotFound)
	}
	return list[i], nil
}
