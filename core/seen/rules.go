// Package seen reads the rules of targets and remembers them as they were last confirmed, which spares a read after each write.
//
// What is remembered may be old: it may be looked at, and it may be written from, since a write is conditional on the version. The package
// computes no rule and knows nothing of what is stored.
package seen

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/memo"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/store"
)

// Rules is the rules of targets. Its exported fields must be set; its methods are safe for concurrent use.
type Rules struct {
	Kinds network.Kinds
	Now   func() time.Time

	kept   snapshots // as they were last confirmed
	cold   coldReads
	shared sharedReads // of targets as they are shown
}

// Read reads the rules of a target now, and remembers them.
func (r *Rules) Read(ctx context.Context, p network.Priority, target jit.ID) (network.Snapshot, error) {
	kind, err := r.Kinds.Of(target)
	if err != nil {
		return network.Snapshot{}, err
	}
	since := r.kept.moment()
	snap, err := kind.Rules.Rules(ctx, p, target)
	if err != nil {
		if errors.Is(err, store.ErrNotFound) {
			r.kept.drop(target)
		}
		return snap, err
	}
	r.kept.put(snap, since)
	return snap, nil
}

// List reads the rules of all targets of a kind in a subscription as they are shown, and
// remembers them.
func (r *Rules) List(ctx context.Context, p network.Priority, kind network.TargetKind, subscription string) ([]network.Standing, error) {
	since := r.kept.moment()
	snaps, err := kind.Rules.All(ctx, p, subscription)
	if err != nil {
		return nil, err
	}
	out := make([]network.Standing, len(snaps))
	for i, snap := range snaps {
		r.kept.put(snap, since)
		out[i] = snap.Standing
	}
	return out, nil
}

// Known returns what is remembered of a target. If nothing is, it reads the target, and
// fresh is true. If many have to be read at once, it lists their subscription instead.
func (r *Rules) Known(ctx context.Context, p network.Priority, target jit.ID) (snap network.Snapshot, fresh bool, err error) {
	if snap, ok := r.kept.toWrite(target); ok {
		return snap, false, nil
	}
	kind, err := r.Kinds.Of(target)
	if err != nil {
		return network.Snapshot{}, false, err
	}
	sub := strings.ToLower(target.Subscription + "/" + kind.Type)
	many := r.cold.begin(sub)
	defer r.cold.end(sub)
	if many { // if the listing fails, each target is read by itself
		_, _ = r.cold.lists.Get(ctx, sub, r.Now, memo.Always[struct{}](0), func(ctx context.Context, _ struct{}) (struct{}, error) {
			_, err := r.List(ctx, p, kind, target.Subscription)
			return struct{}{}, err
		})
		if snap, ok := r.kept.toWrite(target); ok {
			return snap, false, nil
		}
	}
	snap, err = r.Read(ctx, p, target)
	return snap, true, err
}

// Recall returns the rules of a target, which may be old.
func (r *Rules) Recall(ctx context.Context, target jit.ID) (network.Standing, error) {
	if standing, ok := r.kept.toLook(target); ok {
		return standing, nil
	}
	if r.Kinds.Maps(target) {
		return r.Shown(ctx, target)
	}
	snap, _, err := r.Known(ctx, network.Ordinary(), target)
	return snap.Standing, err
}

// Write applies the changes, and remembers what ARM answered.
func (r *Rules) Write(ctx context.Context, p network.Priority, kind network.TargetKind, snap network.Snapshot, changes plan.Changes) (network.Snapshot, error) {
	next, err := kind.Rules.Apply(ctx, p, snap, changes)
	since := r.kept.moment()
	switch {
	case errors.Is(err, store.ErrConflict):
		r.kept.lost(snap.Target)
	case errors.Is(err, store.ErrNotFound):
		r.kept.drop(snap.Target)
	}
	if err != nil {
		return next, err
	}
	r.kept.put(next, since)
	return next, nil
}

// All reads every target of every kind in a subscription, sorted. It is complete or an error.
func (r *Rules) All(ctx context.Context, subscription string) ([]network.Standing, error) {
	var out []network.Standing
	for _, k := range r.Kinds.Sorted() {
		snaps, err := r.List(ctx, network.Ordinary(), k, subscription)
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
func (r *Rules) Shown(ctx context.Context, target jit.ID) (network.Standing, error) {
	return r.ShownTo(ctx, network.Ordinary(), target)
}

// ShownShared is Shown for callers of whom many may come at once: those of one moment share a read, which began after each of them called.
func (r *Rules) ShownShared(ctx context.Context, target jit.ID) (network.Standing, error) {
	return r.shared.get(ctx, target, func(ctx context.Context) (network.Standing, error) { return r.ShownTo(ctx, network.Ordinary(), target) })
}

// ShownTo is Shown for a caller of another priority than an ordinary one.
func (r *Rules) ShownTo(ctx context.Context, p network.Priority, target jit.ID) (network.Standing, error) {
	k, err := r.Kinds.Of(target)
	if err != nil {
		return network.Standing{}, err
	}
	if !k.Maps {
		snap, err := r.Read(ctx, p, target)
		return snap.Standing, err
	}
	list, err := r.List(ctx, p, k, target.Subscription)
	if err != nil {
		return network.Standing{}, err
	}
	i := slices.IndexFunc(list, func(s network.Standing) bool { return s.Target.Equal(target) })
	if i < 0 {
		return network.Standing{}, fmt.Errorf("%s: %w", target.Name, store.ErrNotFound)
	}
	return list[i], nil
}
