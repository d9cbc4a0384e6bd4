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
		if err := s.eachReadable(ctx, who, f, store.PolicyName{}, func(p NamedPolicy) error {
			if len(p.Machines) == 0 { // a document holds the policies of machines
				return nil
			}
			return give(p)
		}); err != nil {
			return fmt.Errorf("read the policies: %w", err)
		}
	}
	return nil
}

// exported returns the subscriptions that [Named.Export] covers, in lower case and sorted.
func (s *Named) exported(f store.PolicyFilter) ([]string, error) {
	if f.Subscription == "" {
		var all []string
		for _, sub := range s.Protection.Subscriptions {
			all = append(all, strings.ToLower(sub))
		}
		slices.Sort(all)
		return slices.Compact(all), nil
	}
	if !s.Protection.Subscriptions.Within("/subscriptions/" + f.Subscription) {
		return nil, &jit.Error{Code: network.CodeNotManaged, Target: "subscription", Message: "subscription " + f.Subscription + " is not one that this installation manages"}
	}
	return []string{strings.ToLower(f.Subscription)}, nil
}

// eachReadable calls give for the named policies that the filter selects, starting after the given name, with the
// machines that the caller may read. It skips a policy if the caller may read none of its machines, and one without
// machines if the caller may not read its resource group.
func (s *Named) eachReadable(ctx context.Context, who jit.Caller, f store.PolicyFilter, after store.PolicyName, give func(NamedPolicy) error) error {
	var p NamedPolicy // the current one
	done := func() error {
		one := p.sealed()
		p = NamedPolicy{}
		if !one.exists() {
			return nil
		}
		listed := len(one.Machines)
		var err error
		if one.Machines, err = s.readable(ctx, who, one.Machines); err != nil || len(one.Machines) == 0 && listed > 0 {
			return err
		}
		if listed == 0 {
			if ok, err := s.Permit.Reads(ctx, who, one.Name.Scope()); err != nil || !ok {
				return err
			}
		}
		return give(one)
	}
	begin := func(name store.PolicyName) error {
		if p.Name.Key() == name.Key() {
			return nil
		}
		err := done()
		p.Name = name
		return err
	}
	err := s.Protection.Policies.EachListed(ctx, f, after, func(n store.NamedRecord) error {
		if err := begin(n.Name); err != nil {
			return err
		}
		return p.withHead(n)
	}, func(rec store.PolicyRecord) error {
		err := begin(rec.Listing())
		p.Machines = append(p.Machines, rec)
		return err
	})
	if err != nil {
		return err
	}
	return done()
}
