package store

import (
	"context"
	"slices"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/roster"
)

// Targets stores which targets are ours, and the policies and grants that affect each.
type Targets interface {
	// State returns what is stored for one target; State.Known is false if nothing is.
	State(ctx context.Context, target jit.ID) (roster.State, error)
	// States returns what is stored for each of many targets, as State does: each as it is at the call or later, and not
	// all as of one moment. Those that are neighbours by Order are read together.
	States(ctx context.Context, targets []jit.ID) ([]roster.State, error)
	// Order says where the target with this jit.ID.Key has its place among all others.
	Order(key string) string
	// Known returns every target that is ours or remembered, sorted.
	Known(ctx context.Context) ([]jit.ID, error)
	// Remember adds a target that is not ours to Known until it is forgotten, since a target that is about to be
	// written must be looked after. State.Known does not change. A Forget that began before a Remember does not undo
	// it.
	Remember(ctx context.Context, target jit.ID) error
	// Forget makes a target neither ours nor remembered if no policy and no grant has a part there and clear, which is
	// called last, returns true. If a policy or grant gets a part there, or the target is remembered, after the call
	// began, the target stays.
	Forget(ctx context.Context, target jit.ID, clear func(context.Context) (bool, error)) error
	// Confirm stores the names of our denies, sorted, that a round has seen confirmed on a target of ours. It replaces
	// was, which State returned. ErrConflict if something else is stored.
	Confirm(ctx context.Context, target jit.ID, was, denies []string) error
}

// TargetsOf returns the distinct targets of placements, sorted.
func TargetsOf(placements ...[]Placement) []jit.ID {
	var ids []jit.ID
	for _, list := range placements {
		for _, p := range list {
			ids = append(ids, p.Target)
		}
	}
	return Distinct(ids)
}

func Distinct(ids []jit.ID) []jit.ID {
	slices.SortFunc(ids, func(a, b jit.ID) int { return strings.Compare(a.Key(), b.Key()) })
	return slices.CompactFunc(ids, jit.ID.Equal)
}
