package access

import (
	"context"
	"fmt"
	"slices"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/roster"
	"portcullis/core/store"
)

// states is what is stored of targets, as it was read a moment ago.
type states struct {
	store.Targets
	read map[string]roster.State
}

// of returns what was read of a target, and reads what was not.
func (s states) of(ctx context.Context, target jit.ID) (roster.State, error) {
	if state, ok := s.read[target.Key()]; ok {
		return state, nil
	}
	return s.State(ctx, target)
}

// protecting returns the policies of machines. They are among what is stored of the machines' targets, which is read
// here since it is needed next; the policy of a machine that has moved since a sweep looked is read by itself.
func (s *Service) protecting(ctx context.Context, states *states, vms []jit.ID, machines map[string]network.Machine) (map[string]jit.Policy, error) {
	var placements [][]store.Placement
	for _, vm := range vms {
		placements = append(placements, machines[vm.Key()].Placements)
	}
	targets := store.TargetsOf(placements...)
	found, err := s.Targets.States(ctx, targets)
	if err != nil {
		return nil, fmt.Errorf("read what is stored of %d targets: %w", len(targets), err)
	}
	states.read = map[string]roster.State{}
	for i, t := range targets {
		states.read[t.Key()] = found[i]
	}
	return s.policiesAmong(ctx, vms, found)
}

// policiesAmong returns the policies of machines: those among what is stored of targets, and each other one as it is read by itself.
func (s *Service) policiesAmong(ctx context.Context, vms []jit.ID, stored []roster.State) (map[string]jit.Policy, error) {
	policies := map[string]jit.Policy{}
	for _, state := range stored {
		for _, p := range state.Policies {
			policies[p.Policy.VM.Key()] = p.Policy
		}
	}
	elsewhere, err := store.PolicyRecords(ctx, s.Policies, slices.DeleteFunc(slices.Clone(vms), func(vm jit.ID) bool { _, ok := policies[vm.Key()]; return ok }))
	for key, rec := range elsewhere {
		policies[key] = rec.Policy
	}
	return policies, err
}
