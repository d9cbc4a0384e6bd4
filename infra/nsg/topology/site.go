package topology

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/reach"
	"portcullis/infra/arm"
)

// mostInside bounds the prefixes of a network and its peers: they are stored with every policy. What is left out counts as
// not known.
const mostInside = 64

// reachable is what the list of virtual networks says of where traffic to and from one may come from.
type reachable struct {
	own   []netip.Prefix
	peers []peer
	open  bool // a gateway may bring in addresses that no list tells of
}

// peer is a network whose addresses are in the tag VirtualNetwork.
type peer struct {
	id    string         // in lower case
	space []netip.Prefix // as the peering has it; empty if it does not say
}

// Subnets whose gateway or route server learns routes of networks elsewhere.
var learning = []string{"gatewaysubnet", "routeserversubnet"}

// reachableOf reads a virtual network. A peering that is not connected, that blocks the remote network or that is for some of
// its subnets may or may not put addresses into the tag; one that uses the remote network's gateway puts in what that learns.
func reachableOf(p *armnetwork.VirtualNetworkPropertiesFormat) reachable {
	out := reachable{own: prefixesOf(p.AddressSpace)}
	for _, s := range p.Subnets {
		out.open = out.open || s != nil && slices.Contains(learning, lower(s.Name))
	}
	for _, q := range p.VirtualNetworkPeerings {
		if q == nil || q.Properties == nil || q.Properties.RemoteVirtualNetwork == nil {
			continue
		}
		r := q.Properties
		no := func(b *bool) bool { return b != nil && !*b }
		if !connected(r.PeeringState) || no(r.AllowVirtualNetworkAccess) || no(r.PeerCompleteVnets) {
			out.open = true
			continue
		}
		space := prefixesOf(r.RemoteVirtualNetworkAddressSpace)
		if len(space) == 0 {
			space = prefixesOf(r.RemoteAddressSpace)
		}
		out.open = out.open || arm.Value(r.UseRemoteGateways)
		out.peers = append(out.peers, peer{lower(r.RemoteVirtualNetwork.ID), space})
	}
	return out
}

func prefixesOf(s *armnetwork.AddressSpace) []netip.Prefix {
	if s == nil {
		return nil
	}
	var out []netip.Prefix
	for _, text := range s.AddressPrefixes {
		if p, err := netip.ParsePrefix(arm.Value(text)); err == nil {
			out = append(out, p.Masked())
		}
	}
	return out
}

// networkOf returns what VirtualNetwork holds in a subnet.
func (l Lists) networkOf(s subnet) reach.Network {
	r, listed := l.spaces[s.network]
	if !listed || len(r.own) == 0 {
		return reach.Network{}
	}
	out := reach.Network{Inside: slices.Clone(r.own), Whole: !r.open && s.table == ""}
	for _, p := range r.peers {
		space := p.space
		if len(space) == 0 {
			space = l.spaces[p.id].own
		}
		if len(space) == 0 || len(out.Inside)+len(space) > mostInside {
			out.Whole = false
			continue
		}
		out.Inside = append(out.Inside, space...)
	}
	if len(out.Inside) > mostInside {
		out.Inside, out.Whole = out.Inside[:mostInside], false
	}
	slices.SortFunc(out.Inside, jit.ComparePrefix)
	out.Inside = slices.Compact(out.Inside)
	return out
}

// groupsOf returns the ids of a configuration's application security groups, in lower case, sorted; an empty list for none.
func groupsOf(config *armnetwork.InterfaceIPConfigurationPropertiesFormat) []string {
	out := []string{}
	for _, g := range config.ApplicationSecurityGroups {
		if g != nil && lower(g.ID) != "" {
			out = append(out, lower(g.ID))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Share finds which machines of all that are listed have the same address behind the same security group.
func (l *Lists) Share() {
	l.shared = map[string][]jit.ID{}
	for _, nic := range l.Interfaces {
		vm, ok := MachineOf(nic)
		if !ok {
			continue
		}
		for _, config := range configurations(nic) {
			for _, key := range l.sharing(nic, config) {
				if !slices.ContainsFunc(l.shared[key], vm.Equal) {
					l.shared[key] = append(l.shared[key], vm)
				}
			}
		}
	}
	for key, vms := range l.shared {
		if len(vms) < 2 {
			delete(l.shared, key)
		}
	}
}

// sharing returns under which keys a configuration's address is among those that are shared.
func (l *Lists) sharing(nic *armnetwork.Interface, config *armnetwork.InterfaceIPConfigurationPropertiesFormat) []string {
	a, err := netip.ParseAddr(arm.Value(config.PrivateIPAddress))
	if err != nil {
		return nil
	}
	var out []string
	if g := nic.Properties.NetworkSecurityGroup; g != nil {
		out = append(out, sharedKey(lower(g.ID), a))
	}
	if config.Subnet != nil {
		if guard := l.subnets[lower(config.Subnet.ID)].guard; guard != "" {
			out = append(out, sharedKey(strings.ToLower(guard), a))
		}
	}
	return out
}

func sharedKey(guard string, a netip.Addr) string { return guard + " " + a.String() }

// twins returns the other machines that have an address behind a target.
func (l Lists) twins(vm, target jit.ID, a netip.Addr) []network.Twin {
	var out []network.Twin
	for _, other := range l.shared[sharedKey(strings.ToLower(target.String()), a)] {
		if !other.Equal(vm) {
			out = append(out, network.Twin{VM: other, Target: target, Address: a})
		}
	}
	return out
}
