package nsg

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"portcullis/infra/arm"
	"portcullis/infra/nsg/topology"
)

// fronts finds which firewall stands before each subnet that wanted machines are in:
//
//	the subnet's routes lead to the Internet by | the firewall is
//	--------------------------------------------+-----------------------------------------------------------
//	a virtual appliance                         | the one with that private address, in the subnet's own virtual
//	                                            | network or in one that it is peered with
//	anything else that a route names            | none
//	no route                                    | the one in the subnet's own virtual network
//
// Where no virtual network that these machines are in, or that theirs is peered with, has a subnet for a firewall,
// nothing is asked of ARM. Otherwise it is one list of firewalls, in each managed subscription that can hold one, and one of route tables
// if the machines' subnets have any.
func (c *Client) fronts(ctx context.Context, doing, subscription string, inv *topology.Lists, wanted func(key string) bool) error {
	subnets := inv.SubnetsOf(wanted)
	subscriptions, tables := inv.FrontsIn(subscription, c.cfg.Subscriptions, subnets)
	if len(subscriptions) == 0 {
		return nil
	}
	found := make([][]topology.Front, len(subscriptions))
	var routes map[string]topology.Hop
	g, gctx := arm.NewGroup(ctx)
	for i, sub := range subscriptions {
		g.Go(func() (err error) { found[i], err = c.listFronts(gctx, doing, sub); return err })
	}
	if tables {
		g.Go(func() (err error) { routes, err = c.listRoutes(gctx, doing, subscription); return err })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	all := slices.Concat(found...)
	for _, id := range subnets {
		f, err := inv.FrontOf(id, all, routes)
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		if f == nil {
			continue
		}
		if err := c.place(ctx, doing, inv, id, f); err != nil {
			return err
		}
	}
	return nil
}

// listFronts lists the firewalls of a subscription.
func (c *Client) listFronts(ctx context.Context, doing, subscription string) ([]topology.Front, error) {
	s, err := c.subscription(subscription)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	var out []topology.Front
	err = pages(ctx, s.firewalls.NewListAllPager(nil), func(p armnetwork.AzureFirewallsClientListAllResponse) {
		for _, fw := range p.Value {
			out = append(out, topology.FrontsAt(fw)...)
		}
	})
	if err != nil {
		return nil, arm.Translate(ctx, doing, subscription, err)
	}
	return out, nil
}

// listRoutes lists the route tables of a subscription, by id.
func (c *Client) listRoutes(ctx context.Context, doing, subscription string) (map[string]topology.Hop, error) {
	s, err := c.subscription(subscription)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	out := map[string]topology.Hop{}
	err = pages(ctx, s.routes.NewListAllPager(nil), func(p armnetwork.RouteTablesClientListAllResponse) {
		for _, table := range p.Value {
			if table != nil {
				out[strings.ToLower(arm.Value(table.ID))] = topology.HopOf(table)
			}
		}
	})
	if err != nil {
		return nil, arm.Translate(ctx, doing, subscription, err)
	}
	return out, nil
}

// place has a firewall stand before a subnet, and reads its virtual network where that is in another subscription.
func (c *Client) place(ctx context.Context, doing string, inv *topology.Lists, subnet string, f *topology.Front) error {
	if id := inv.NetworkToRead(f); id != "" {
		s, err := c.subscription(topology.SubscriptionOf(id))
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		at := strings.Split(id, "/")
		if len(at) != 9 {
			return fmt.Errorf("%s: %q is not the id of a virtual network", doing, id)
		}
		got, err := s.networks.Get(ctx, at[4], at[8], nil)
		if err != nil {
			return arm.Translate(ctx, doing, id, err)
		}
		inv.AddNetwork(&got.VirtualNetwork)
	}
	if err := inv.PutFront(subnet, f); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
