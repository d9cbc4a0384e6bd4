package inventory

import (
	"context"
	"errors"
	"fmt"

	"portcullis/core/jit"
	"portcullis/core/parallel"
	"portcullis/core/store"
)

// SubscriptionsOf returns the ids of the managed subscriptions in which the caller may read something, in the order of
// the settings: see [Inventory.Sees].
func (s *Inventory) SubscriptionsOf(ctx context.Context, who jit.Caller) ([]string, error) {
	sees := make([]bool, len(s.Subscriptions))
	err := parallel.Each(s.Subscriptions, func(i int, sub string) (err error) {
		sees[i], err = s.Sees(ctx, who, sub)
		return err
	})
	out := []string{}
	for i, sub := range s.Subscriptions {
		if sees[i] {
			out = append(out, sub)
		}
	}
	return out, err
}

// Sees reports whether the caller may read something in a subscription: all of it, or a machine that has a policy. Of one
// that is not managed nobody sees anything, and nobody is asked. It asks nothing of the machines in Azure, so that who
// has no role costs no read there.
func (s *Inventory) Sees(ctx context.Context, who jit.Caller, sub string) (bool, error) {
	return s.SeesIn(ctx, who, "/subscriptions/"+sub, store.PolicyFilter{Subscription: sub})
}

// SeesIn is [Inventory.Sees] of a scope, the ARM id of a subscription or a resource group, whose policies f selects.
func (s *Inventory) SeesIn(ctx context.Context, who jit.Caller, scope string, f store.PolicyFilter) (bool, error) {
	if !s.Subscriptions.Within(scope) {
		return false, nil
	}
	if whole, err := s.Permit.Reads(ctx, who, scope); whole || err != nil {
		return whole, err
	}
	found := errors.New("something is readable")
	err := s.Policies.EachListed(ctx, f, store.PolicyName{}, func(store.NamedRecord) error { return nil },
		func(rec store.PolicyRecord) error {
			reads, err := s.Permit.Reads(ctx, who, rec.Policy.VM.String())
			if reads {
				return found
			}
			return err
		})
	if errors.Is(err, found) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("look what the caller may read in %s: %w", scope, err)
	}
	return false, nil
}
