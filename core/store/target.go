package store

import (
	"context"
	"slices"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/plan"
)

// Targets stores which targets are ours and what bears on each.
type Targets interface {
	// State gives what is stored of one target; State.Known is false where nothing is.
	State(ctx context.Context, target jit.ID) (plan.State, error)
	// Known gives every target that is ours or remembered, sorted.
	Known(ctx context.Context) ([]jit.ID, error)
	// Remember has Known give a target that is not ours, until it is forgotten: what is about
	// to be written there has to be looked after. State.Known stays as it is. What is remembered
	// again is not forgotten by a Forget that began before.
	Remember(ctx context.Context, target jit.ID) error
	// Forget makes a target neither ours nor remembered, if no policy and no grant has a part
	// there and clear says so, which is asked last. Where anything comes to bear on the target, or it
	// is remembered, after the call began, it stays.
	Forget(ctx context.Context, target jit.ID, clear func(context.Context) (bool, error)) error
	// Confirm stores the names of our denies that a round has seen confirmed on a target of ours, sorted, in the
	// place of was, which State gave. ErrConflict where something else is stored.
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
