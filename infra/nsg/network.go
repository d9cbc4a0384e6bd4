package nsg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
	"portcullis/infra/arm"
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
// machine only in the list.
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

// inventory is what the lists of one subscription say, by lower-case id.
type inventory struct {
	interfaces []*armnetwork.Interface
	subnets    map[string]subnet
	peers      map[string][]string // virtual networks that one is peered with
	public     map[string]netip.Addr
	fronts     map[string]*front // firewall before a subnet, of those that machines are in
	reads      *atomic.Int32     // pages that it took
}

// subnet is what the list of virtual networks says of one.
type subnet struct {
	guard    string // NSG id, "" for none
	table    string // id of its route table, in lower case, "" for none
	network  string // id of its virtual network, in lower case
	prefixes []netip.Prefix
}

func newInventory() inventory {
	return inventory{subnets: map[string]subnet{}, peers: map[string][]string{}, public: map[string]netip.Addr{}, reads: new(atomic.Int32)}
}

func (c *Client) machines(ctx context.Context, subscription string, wanted func(key string) bool) (map[string]network.Machine, error) {
	doing := "locate machines of subscription " + subscription
	s, err := c.subscription(subscription)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	began := time.Now()
	inv, err := s.inventory(ctx, doing, subscription)
	if err != nil {
		return nil, err
	}
	if err := c.fronts(ctx, doing, subscription, &inv, wanted); err != nil {
		return nil, err
	}
	found, err := inv.machines(wanted)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	c.homes.learn(inv, began, wanted)
	return found, nil
}

// machines puts together what the lists say of each machine that is wanted.
func (inv inventory) machines(wanted func(key string) bool) (map[string]network.Machine, error) {
	found := map[string]*machine{}
	for _, nic := range inv.interfaces {
		vm, ok := machineOf(nic)
		if !ok || !wanted(vm.Key()) {
			continue
		}
		if found[vm.Key()] == nil {
			found[vm.Key()] = newMachine(vm, text(nic.Location))
		}
		if err := found[vm.Key()].attach(nic, inv); err != nil {
			return nil, err
		}
	}
	out := make(map[string]network.Machine, len(found))
	for key, m := range found {
		out[key] = m.located()
	}
	return out, nil
}

// inventory makes the three listings at the same time. The first failure ends the others.
func (s *clients) inventory(ctx context.Context, doing, subscription string) (inventory, error) {
	inv := newInventory()
	g, gctx := arm.NewGroup(ctx)
	g.Go(func() error {
		return pages(gctx, s.interfaces.NewListAllPager(nil), func(p armnetwork.InterfacesClientListAllResponse) {
			inv.reads.Add(1)
			inv.interfaces = append(inv.interfaces, p.Value...)
		})
	})
	g.Go(func() error {
		return pages(gctx, s.networks.NewListAllPager(nil), func(p armnetwork.VirtualNetworksClientListAllResponse) {
			inv.reads.Add(1)
			for _, vnet := range p.Value {
				inv.addSubnets(vnet)
			}
		})
	})
	g.Go(func() error {
		return pages(gctx, s.addresses.NewListAllPager(nil), func(p armnetwork.PublicIPAddressesClientListAllResponse) {
			inv.reads.Add(1)
			for _, ip := range p.Value {
				inv.addPublic(ip)
			}
		})
	})
	if err := g.Wait(); err != nil {
		return inventory{}, arm.Translate(ctx, doing, subscription, err)
	}
	inv.sort()
	return inv, nil
}

func (inv inventory) sort() { slices.SortFunc(inv.interfaces, byPrimary) }

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

// byPrimary orders interfaces: a machine's primary one first, then by id.
func byPrimary(a, b *armnetwork.Interface) int {
	first := func(n *armnetwork.Interface) bool { return n != nil && n.Properties != nil && is(n.Properties.Primary) }
	switch {
	case first(a) && !first(b):
		return -1
	case first(b) && !first(a):
		return 1
	case a == nil || b == nil:
		return 0
	}
	return strings.Compare(lower(a.ID), lower(b.ID))
}

func (inv *inventory) addSubnets(vnet *armnetwork.VirtualNetwork) {
	if vnet == nil || vnet.Properties == nil {
		return
	}
	for _, p := range vnet.Properties.VirtualNetworkPeerings {
		if p != nil && p.Properties != nil && p.Properties.RemoteVirtualNetwork != nil && connected(p.Properties.PeeringState) {
			inv.peers[lower(vnet.ID)] = append(inv.peers[lower(vnet.ID)], lower(p.Properties.RemoteVirtualNetwork.ID))
		}
	}
	for _, s := range vnet.Properties.Subnets {
		if s == nil {
			continue
		}
		out := subnet{network: networkOf(s)}
		if p := s.Properties; p != nil {
			if p.NetworkSecurityGroup != nil {
				out.guard = text(p.NetworkSecurityGroup.ID)
			}
			if p.RouteTable != nil {
				out.table = lower(p.RouteTable.ID)
			}
			for _, q := range append(slices.Clone(p.AddressPrefixes), p.AddressPrefix) {
				if parsed, err := netip.ParsePrefix(text(q)); err == nil && !slices.Contains(out.prefixes, parsed.Masked()) {
					out.prefixes = append(out.prefixes, parsed.Masked())
				}
			}
		}
		inv.subnets[lower(s.ID)] = out
	}
}

// connected passes over peerings of which one half is missing.
func connected(state *armnetwork.VirtualNetworkPeeringState) bool {
	return state == nil || *state == armnetwork.VirtualNetworkPeeringStateConnected
}

func (inv *inventory) addPublic(ip *armnetwork.PublicIPAddress) {
	if ip == nil || ip.Properties == nil {
		return
	}
	// One that has no address yet is left out.
	if a, err := netip.ParseAddr(text(ip.Properties.IPAddress)); err == nil {
		inv.public[lower(ip.ID)] = a
	}
}

// machineOf gives the machine that an interface belongs to; none for those that are free
// or belong to something else, such as a private endpoint.
func machineOf(nic *armnetwork.Interface) (jit.ID, bool) {
	if nic == nil || nic.Properties == nil || nic.Properties.VirtualMachine == nil {
		return jit.ID{}, false
	}
	vm, err := jit.ParseVM(text(nic.Properties.VirtualMachine.ID))
	return vm, err == nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func lower(s *string) string { return strings.ToLower(text(s)) }

func is(b *bool) bool { return b != nil && *b }
