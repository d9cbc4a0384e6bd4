package topology

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/infra/arm"
)

// Lists is what the lists of one subscription say, by lower-case id.
type Lists struct {
	Interfaces []*armnetwork.Interface
	subnets    map[string]subnet
	peers      map[string][]string // virtual networks that one is peered with
	public     map[string]netip.Addr
	fronts     map[string]*Front // firewall before a subnet, of those that machines are in
	spaces     map[string]reachable
	shared     map[string][]jit.ID // machines with one address behind one NSG; see Share
}

// subnet is what the list of virtual networks says of one.
type subnet struct {
	guard    string // NSG id, "" for none
	table    string // id of its route table, in lower case, "" for none
	network  string // id of its virtual network, in lower case
	prefixes []netip.Prefix
}

// New returns empty lists.
func New() Lists {
	return Lists{subnets: map[string]subnet{}, peers: map[string][]string{}, public: map[string]netip.Addr{}, fronts: map[string]*Front{}, spaces: map[string]reachable{}}
}

// Own returns lists to which networks and firewalls can be added, while others read these.
func (l Lists) Own() Lists {
	l.subnets, l.spaces, l.fronts, l.peers = maps.Clone(l.subnets), maps.Clone(l.spaces), maps.Clone(l.fronts), maps.Clone(l.peers)
	for network, peers := range l.peers {
		l.peers[network] = slices.Clip(peers)
	}
	return l
}

// ForgetNetworks leaves the virtual networks out again.
func (l *Lists) ForgetNetworks() { clear(l.subnets); clear(l.peers); clear(l.spaces) }

// ForgetAddresses leaves the public addresses out again.
func (l *Lists) ForgetAddresses() { clear(l.public) }

// Machines puts together what the lists say of each machine that is wanted.
func (l Lists) Machines(wanted func(key string) bool) (map[string]network.Machine, error) {
	found := map[string]*machine{}
	for _, nic := range l.Interfaces {
		vm, ok := MachineOf(nic)
		if !ok || !wanted(vm.Key()) {
			continue
		}
		if found[vm.Key()] == nil {
			found[vm.Key()] = newMachine(vm, arm.Value(nic.Location))
		}
		if err := found[vm.Key()].attach(nic, l); err != nil {
			return nil, err
		}
	}
	out := make(map[string]network.Machine, len(found))
	for key, m := range found {
		out[key] = m.located()
	}
	return out, nil
}

// Sort has each interface once, a machine's primary one first, then by id.
func (l *Lists) Sort() {
	slices.SortFunc(l.Interfaces, byPrimary)
	l.Interfaces = slices.CompactFunc(l.Interfaces, func(a, b *armnetwork.Interface) bool { return a != nil && b != nil && lower(a.ID) == lower(b.ID) })
}

func lower(s *string) string { return strings.ToLower(arm.Value(s)) }

func byPrimary(a, b *armnetwork.Interface) int {
	first := func(n *armnetwork.Interface) bool {
		return n != nil && n.Properties != nil && arm.Value(n.Properties.Primary)
	}
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

// AddNetwork adds a virtual network with its subnets and peerings.
func (l *Lists) AddNetwork(vnet *armnetwork.VirtualNetwork) {
	if vnet == nil || vnet.Properties == nil {
		return
	}
	l.spaces[lower(vnet.ID)] = reachableOf(vnet.Properties)
	for _, p := range vnet.Properties.VirtualNetworkPeerings {
		if p != nil && p.Properties != nil && p.Properties.RemoteVirtualNetwork != nil && connected(p.Properties.PeeringState) {
			l.peers[lower(vnet.ID)] = append(l.peers[lower(vnet.ID)], lower(p.Properties.RemoteVirtualNetwork.ID))
		}
	}
	for _, s := range vnet.Properties.Subnets {
		if s == nil {
			continue
		}
		out := subnet{}
		out.network, _, _ = strings.Cut(lower(s.ID), "/subnets/")
		if p := s.Properties; p != nil {
			if p.NetworkSecurityGroup != nil {
				out.guard = arm.Value(p.NetworkSecurityGroup.ID)
			}
			if p.RouteTable != nil {
				out.table = lower(p.RouteTable.ID)
			}
			for _, q := range append(slices.Clone(p.AddressPrefixes), p.AddressPrefix) {
				if parsed, err := netip.ParsePrefix(arm.Value(q)); err == nil && !slices.Contains(out.prefixes, parsed.Masked()) {
					out.prefixes = append(out.prefixes, parsed.Masked())
				}
			}
		}
		l.subnets[lower(s.ID)] = out
	}
}

// connected passes over peerings of which one half is missing.
func connected(state *armnetwork.VirtualNetworkPeeringState) bool {
	return state == nil || *state == armnetwork.VirtualNetworkPeeringStateConnected
}

// AddAddress adds a public address.
func (l *Lists) AddAddress(ip *armnetwork.PublicIPAddress) {
	if ip == nil || ip.Properties == nil {
		return
	}
	// One that has no address yet is left out.
	if a, err := netip.ParseAddr(arm.Value(ip.Properties.IPAddress)); err == nil {
		l.public[lower(ip.ID)] = a
	}
}

// MachineOf returns the machine that an interface belongs to; none for those that are free
// or belong to something else, such as a private endpoint.
func MachineOf(nic *armnetwork.Interface) (jit.ID, bool) {
	if nic == nil || nic.Properties == nil || nic.Properties.VirtualMachine == nil {
		return jit.ID{}, false
	}
	vm, err := jit.ParseVM(arm.Value(nic.Properties.VirtualMachine.ID))
	return vm, err == nil
}

// Complete reports whether all that the interfaces refer to was listed.
func (l Lists) Complete() bool {
	for _, nic := range l.Interfaces {
		for _, config := range configurations(nic) {
			if config.Subnet != nil {
				if _, ok := l.subnets[lower(config.Subnet.ID)]; !ok {
					return false
				}
			}
			if ref := config.PublicIPAddress; ref != nil {
				if _, ok := l.public[lower(ref.ID)]; !ok {
					return false
				}
			}
		}
	}
	return true
}
