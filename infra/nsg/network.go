package nsg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
	"portcullis/infra/arm"
	"portcullis/infra/nsg/topology"
)

// Machines gives every machine of a subscription that a network interface names. It
// lists interfaces, virtual networks and public addresses, once each, and where a firewall may stand before
// machines also firewalls and route tables (see [store.Placement]). Instances of
// uniform scale sets are not among them: ARM does not list their interfaces here.
//
// An interface of a machine in a subnet that ARM does not list is an error
// ([store.ErrForbidden], most likely): its guard would not be known.
func (c *Client) Machines(ctx context.Context, subscription string) ([]network.Machine, error) {
	found, err := c.machines(ctx, subscription, func(string) bool { return true })
	if err != nil {
		return nil, err
	}
	out := make([]network.Machine, 0, len(found))
	for _, key := range slices.Sorted(maps.Keys(found)) {
		out = append(out, found[key])
	}
	return out, nil
}

// Locate gives the named machines, by [jit.ID.Key]. It costs as much as [Client.Machines]
// for each of their subscriptions, however few they are: an interface is found by its
// machine only in the list. Who asks at the same time shares a list that begins after all of them asked.
func (c *Client) Locate(ctx context.Context, vms []jit.ID) (map[string]network.Machine, error) {
	wanted := map[string]bool{}
	subscriptions := map[string]bool{}
	for _, vm := range vms {
		wanted[vm.Key()] = true
		subscriptions[strings.ToLower(vm.Subscription)] = true
	}
	out := map[string]network.Machine{}
	for _, sub := range slices.Sorted(maps.Keys(subscriptions)) {
		found, err := c.machines(ctx, sub, func(key string) bool { return wanted[key] })
		if errors.Is(err, store.ErrNotFound) {
			continue // a subscription that is not there holds no machine
		}
		if err != nil {
			return nil, err
		}
		maps.Copy(out, found)
	}
	return out, nil
}

// machines gives the wanted machines. Callers at the same time share the lists, so that many requests for machines that are not known
// cost no more reads than two.
func (c *Client) machines(ctx context.Context, subscription string, wanted func(key string) bool) (map[string]network.Machine, error) {
	doing := "locate machines of subscription " + subscription
	s, err := c.subscription(subscription)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	listed, err := s.listed.Do(ctx, func(ctx context.Context) (listed, error) { return c.list(ctx, s, doing, subscription) })
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("%s: %w", doing, err)
	case errors.Is(err, context.DeadlineExceeded): // the list's own
		return nil, arm.Translate(ctx, doing, subscription, err)
	case err != nil:
		return nil, err
	}
	inv := listed.inv
	if !listed.unfronted {
		inv = inv.Own()
		if err := c.fronts(ctx, doing, subscription, &inv, wanted); err != nil {
			return nil, err
		}
	}
	found, err := inv.Machines(wanted)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	if !listed.unfronted {
		c.homes.learn(inv, listed.pages, listed.began, wanted)
	}
	return found, nil
}

// listed is what one listing of a subscription gave. Callers share it, and change nothing in it.
type listed struct {
	inv       topology.Lists
	pages     int
	began     time.Time
	unfronted bool // no firewall can stand before any of the machines
}

// list makes the three lists. Where no firewall can stand before a machine, it remembers where all of them are, so that the next request
// for one of them costs one read; else only its caller knows what stands before those that it wants.
func (c *Client) list(ctx context.Context, s *clients, doing, subscription string) (listed, error) {
	out := listed{began: time.Now()}
	var err error
	out.inv, out.pages, err = s.lists(ctx, doing, subscription, func(ctx context.Context) func(listing) error {
		return func(l listing) error { return l.whole().rest(ctx) }
	})
	if err != nil {
		return out, err
	}
	all := func(string) bool { return true }
	if subs, _ := out.inv.FrontsIn(subscription, c.cfg.Subscriptions, out.inv.SubnetsOf(all)); len(subs) == 0 {
		out.unfronted = true
		c.homes.learn(out.inv, out.pages, out.began, all)
	}
	return out, nil
}

func pages[T any](ctx context.Context, pager *runtime.Pager[T], add func(T)) error {
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return err
		}
		add(page)
	}
	return nil
}
