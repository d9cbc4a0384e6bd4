package nsg

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/infra/arm"
)

// front is a firewall that may stand before machines.
type front struct {
	target  jit.ID
	managed bool // Firewall Manager runs it: it takes its rules from a policy, or is in a hub
	network string
	subnet  string // its own, in lower case as all ids here
	private netip.Addr
	inside  []netip.Prefix // of its subnet
}

const firewallSubnet = "azurefirewallsubnet"

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
func (c *Client) fronts(ctx context.Context, doing, subscription string, inv *inventory, wanted func(key string) bool) error {
	subnets := inv.subnetsOf(wanted)
	subscriptions, tables := c.frontsIn(subscription, inv, subnets)
	if len(subscriptions) == 0 {
		return nil
	}
	found := make([][]front, len(subscriptions))
	var routes map[string]hop
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
	inv.fronts = map[string]*front{}
	all := slices.Concat(found...)
	for _, id := range subnets {
		f, err := inv.frontOf(id, all, routes)
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		if f == nil {
			continue
		}
		if err := c.inside(ctx, doing, inv, f); err != nil {
			return err
		}
		inv.fronts[id] = f
	}
	return nil
}

// subnetsOf gives the subnets in which wanted machines have addresses.
func (inv inventory) subnetsOf(wanted func(key string) bool) []string {
	var out []string
	for _, nic := range inv.interfaces {
		if vm, ok := machineOf(nic); ok && wanted(vm.Key()) {
			for _, config := range configurations(nic) {
				if config.Subnet != nil {
					out = append(out, lower(config.Subnet.ID))
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// frontsIn gives the subscriptions that can hold a firewall before the subnets, and whether the subnets' routes decide.
func (c *Client) frontsIn(subscription string, inv *inventory, subnets []string) (subscriptions []string, tables bool) {
	for _, id := range subnets {
		s := inv.subnets[id]
		for _, network := range append([]string{s.network}, inv.peers[s.network]...) {
			sub := subscriptionOf(network)
			_, has := inv.subnets[network+"/subnets/"+firewallSubnet]
			// Of a network in another subscription nothing is known yet. Only a route leads there.
			elsewhere := sub != strings.ToLower(subscription) && s.table != "" && slices.ContainsFunc(c.cfg.Subscriptions, func(m string) bool { return strings.EqualFold(m, sub) })
			if has || elsewhere {
				subscriptions, tables = append(subscriptions, sub), tables || s.table != ""
			}
		}
	}
	slices.Sort(subscriptions)
	return slices.Compact(subscriptions), tables
}

// subscriptionOf gives the subscription of an id in lower case.
func subscriptionOf(id string) string {
	rest, _ := strings.CutPrefix(id, "/subscriptions/")
	sub, _, _ := strings.Cut(rest, "/")
	return sub
}

// listFronts lists the firewalls of a subscription.
func (c *Client) listFronts(ctx context.Context, doing, subscription string) ([]front, error) {
	s, err := c.subscription(subscription)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	var out []front
	err = pages(ctx, s.firewalls.NewListAllPager(nil), func(p armnetwork.AzureFirewallsClientListAllResponse) {
		for _, fw := range p.Value {
			out = append(out, frontsAt(fw)...)
		}
	})
	if err != nil {
		return nil, arm.Translate(ctx, doing, subscription, err)
	}
	return out, nil
}

// frontsAt gives a firewall at each of its private addresses; none where it has none, as one that is deallocated.
func frontsAt(fw *armnetwork.AzureFirewall) []front {
	if fw == nil || fw.Properties == nil {
		return nil
	}
	target, err := jit.ParseID(text(fw.ID))
	if err != nil {
		return nil
	}
	target.Type = jit.TypeFirewall
	var out []front
	for _, config := range fw.Properties.IPConfigurations {
		if config == nil || config.Properties == nil || config.Properties.Subnet == nil {
			continue
		}
		private, _ := netip.ParseAddr(text(config.Properties.PrivateIPAddress))
		subnet := lower(config.Properties.Subnet.ID)
		network, _, _ := strings.Cut(subnet, "/subnets/")
		out = append(out, front{target: target, managed: fw.Properties.FirewallPolicy != nil || fw.Properties.VirtualHub != nil, network: network, subnet: subnet, private: private})
	}
	return out
}

// hop is where a route table sends what is for the Internet. The zero value is that it does not say.
type hop struct {
	said      bool
	appliance netip.Addr // valid where it is a virtual appliance
}

// listRoutes lists the route tables of a subscription, by id.
func (c *Client) listRoutes(ctx context.Context, doing, subscription string) (map[string]hop, error) {
	s, err := c.subscription(subscription)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	out := map[string]hop{}
	err = pages(ctx, s.routes.NewListAllPager(nil), func(p armnetwork.RouteTablesClientListAllResponse) {
		for _, table := range p.Value {
			if table != nil {
				out[lower(table.ID)] = hopOf(table)
			}
		}
	})
	if err != nil {
		return nil, arm.Translate(ctx, doing, subscription, err)
	}
	return out, nil
}

// hopOf reads where a table sends what is for the Internet: by its default route, or by one for each half of all
// addresses, which goes before it. Halves that part ways lead to no one firewall.
func hopOf(table *armnetwork.RouteTable) hop {
	if table.Properties == nil {
		return hop{}
	}
	var hops [2]hop
	for i, half := range []string{"0.0.0.0/1", "128.0.0.0/1"} {
		for _, prefix := range []string{"0.0.0.0/0", half} {
			for _, r := range table.Properties.Routes {
				if r == nil || r.Properties == nil || !samePrefix(text(r.Properties.AddressPrefix), prefix) {
					continue
				}
				hops[i] = hop{said: true}
				if t := r.Properties.NextHopType; t != nil && *t == armnetwork.RouteNextHopTypeVirtualAppliance {
					hops[i].appliance, _ = netip.ParseAddr(text(r.Properties.NextHopIPAddress))
				}
			}
		}
	}
	if hops[0] != hops[1] {
		return hop{said: true}
	}
	return hops[0]
}

func samePrefix(text, prefix string) bool {
	p, err := netip.ParsePrefix(text)
	return err == nil && p.Masked() == netip.MustParsePrefix(prefix)
}

// frontOf gives the firewall before a subnet; nil for none.
func (inv *inventory) frontOf(id string, fronts []front, routes map[string]hop) (*front, error) {
	s, ok := inv.subnets[id]
	if !ok {
		return nil, nil // attach has the error for that
	}
	to := hop{}
	near := []string{s.network}
	if s.table != "" && routes != nil {
		if to, ok = routes[s.table]; !ok {
			return nil, fmt.Errorf("%w: the subnet %s has the route table %s, which is not listed; Microsoft.Network/routeTables/read may be missing", store.ErrForbidden, id, s.table)
		}
	}
	if to.said {
		if !to.appliance.IsValid() {
			return nil, nil
		}
		near = append(near, inv.peers[s.network]...)
	}
	for i := range fronts {
		if f := &fronts[i]; slices.Contains(near, f.network) && (!to.said || f.private == to.appliance) {
			return f, nil
		}
	}
	return nil, nil
}

// inside finds what packets come from that the firewall has let through: the prefixes of its subnet. Its virtual network is read
// where it is in another subscription.
func (c *Client) inside(ctx context.Context, doing string, inv *inventory, f *front) error {
	if f.managed || len(f.inside) > 0 {
		return nil
	}
	if _, listed := inv.subnets[f.subnet]; !listed {
		s, err := c.subscription(subscriptionOf(f.network))
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		at := strings.Split(f.network, "/")
		if len(at) != 9 {
			return fmt.Errorf("%s: %q is not the id of a virtual network", doing, f.network)
		}
		got, err := s.networks.Get(ctx, at[4], at[8], nil)
		if err != nil {
			return arm.Translate(ctx, doing, f.network, err)
		}
		inv.addSubnets(&got.VirtualNetwork)
	}
	for _, p := range inv.subnets[f.subnet].prefixes {
		if p.Addr().Is4() { // it translates no IPv6
			f.inside = append(f.inside, p)
		}
	}
	if len(f.inside) == 0 {
		return fmt.Errorf("%s: the subnet %s of the firewall %s has no prefix", doing, f.subnet, f.target.Name)
	}
	slices.SortFunc(f.inside, jit.ComparePrefix)
	return nil
}
