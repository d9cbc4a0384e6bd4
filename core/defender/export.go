package defender

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
)

// Export calls give for every named policy of the managed subscriptions, with the machines that the caller may
// read, in an order that depends only on the names. It stops at the first error of give, and holds one policy at a
// time. The filter may name a subscription, which must be managed, and a resource group in it. Policies of
// subscriptions that are no longer managed are left out: the app may not ask there what the caller may read.
func (s *Named) Export(ctx context.Context, who jit.Caller, f store.PolicyFilter, give func(NamedPolicy) error) error {
	subscriptions, err := s.exported(f)
	if err != nil {
		return err
	}
	for _, f.Subscription = range subscriptions {
		if err := s.eachReadable(ctx, who, f, store.PolicyName{}, give); err != nil {
			return fmt.Errorf("read the policies: %w", err)
		}
	}
	return nil
}

// exported returns the subscriptions that [Named.Export] covers, in lower case and sorted.
func (s *Named) exported(f store.PolicyFilter) ([]string, error) {
	if f.Subscription == "" {
		var all []string
		for _, sub := range s.Access.Subscriptions {
			all = append(all, strings.ToLower(sub))
		}
		slices.Sort(all)
		return slices.Compact(all), nil
	}
	if !s.Access.Subscriptions.Within("/subscriptions/" + f.Subscription) {
		return nil, &jit.Error{Code: network.CodeNotManaged, Target: "subscription", Message: "subscription " + f.Subscription + " is not one that this installation manages"}
	}
	return []string{strings.ToLower(f.Subscription)}, nil
}

// eachReadable calls give for the named policies that the filter selects, starting after the given name, with the
// machines that the caller may read. It skips a policy if the caller may read none of its machines.
func (s *Named) eachReadable(ctx context.Context, who jit.Caller, f store.PolicyFilter, after store.PolicyName, give func(NamedPolicy) error) error {
	var one []store.PolicyRecord // the records of the current name
	add := func() error {
		if len(one) == 0 {
			return nil
		}
		p := named(one)[0]
		one = nil
		var err error
		if p.Machines, err = s.readable(ctx, who, p.Machines); err != nil || len(p.Machines) == 0 {
			return err
		}
		return give(p)
	}
	err := s.Access.Policies.EachListed(ctx, f, after, func(rec store.PolicyRecord) error {
		if len(one) > 0 && one[0].Listing().Key() != rec.Listing().Key() {
			if err := add(); err != nil {
				return err
			}
		}
		one = append(one, rec)
		return nil
	})
	if err != nil {
		return err
	}
	return add()
}
