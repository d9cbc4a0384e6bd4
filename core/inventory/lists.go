package inventory

import (
	"context"
	"fmt"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// readsAbout reports whether the caller may read about a machine, or else about a target, or else about
// everything.
func (s *Inventory) readsAbout(ctx context.Context, who jit.Caller, vm, target jit.ID) (bool, error) {
	switch {
	case !vm.IsZero():
		return s.Permit.Reads(ctx, who, vm.String())
	case !target.IsZero():
		return s.Permit.Reads(ctx, who, target.String())
	}
	for _, sub := range s.Subscriptions {
		if ok, err := s.Permit.Reads(ctx, who, "/subscriptions/"+sub); !ok || err != nil {
			return false, err
		}
	}
	return len(s.Subscriptions) > 0, nil
}

// ListPolicies returns the policies of machines that the caller may read, sorted by machine.
func (s *Inventory) ListPolicies(ctx context.Context, who jit.Caller) ([]store.PolicyRecord, error) {
	all, err := store.AllPolicies(ctx, s.Policies)
	if err != nil {
		return nil, fmt.Errorf("read the policies: %w", err)
	}
	var out []store.PolicyRecord
	for _, rec := range all {
		ok, err := s.Permit.Reads(ctx, who, rec.Policy.VM.String())
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, rec)
		}
	}
	return out, nil
}
