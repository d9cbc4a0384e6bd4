package topology

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
	"portcullis/infra/arm"
)

// machine collects one machine from its interfaces, the primary one first.
type machine struct {
	network.Machine
	behind map[string]*store.Placement // by jit.ID.Key of the target
}

func newMachine(vm jit.ID, location string) *machine {
	return &machine{
		Machine: network.Machine{VM: vm, Location: jit.Location(location)},
		behind:  map[string]*store.Placement{},
	}
}

// attach adds an interface: its addresses, and what guards each of them.
func (m *machine) attach(nic *armnetwork.Interface, l Lists) error {
	nicGuard := ""
	if g := nic.Properties.NetworkSecurityGroup; g != nil {
		nicGuard = arm.Value(g.ID)
	}
	m.Interfaces = append(m.Interfaces, identity(nic))
	unguarded := false
	for _, config := range configurations(nic) {
		subnetGuard, err := guardOf(nic, config, l)
		if err != nil {
			return err
		}
		unguarded = unguarded || nicGuard == "" && subnetGuard == ""
		if m.VirtualNetwork == "" && config.Subnet != nil {
			m.VirtualNetwork, _, _ = strings.Cut(lower(config.Subnet.ID), "/subnets/")
		}
		private, err := netip.ParseAddr(arm.Value(config.PrivateIPAddress))
		if err != nil {
			continue // no address yet: nothing to reach
		}
		m.Private = append(m.Private, private)
		for _, guard := range []string{nicGuard, subnetGuard} {
			if err := m.place(guard, private, config, l); err != nil {
				return err
			}
		}
		if f := l.before(config); f != nil && !f.managed && private.Is4() {
			m.placement(f.target).Inside = f.inside
			m.placement(f.target).Addresses = append(m.placement(f.target).Addresses, private)
		}
		if ref := config.PublicIPAddress; ref != nil {
			if a, ok := l.public[lower(ref.ID)]; ok {
				m.Public = append(m.Public, a)
			}
		}
	}
	if unguarded {
		m.Unguarded = append(m.Unguarded, arm.Value(nic.ID))
	}
	return nil
}

// identity names an interface for ever: by the GUID that Azure gives each, or by
// its ARM id where there is none. An interface made anew under an old name has another GUID.
func identity(nic *armnetwork.Interface) string {
	if guid := lower(nic.Properties.ResourceGUID); guid != "" {
		return guid
	}
	return lower(nic.ID)
}

// guardOf gives the id of the NSG of a configuration's subnet, "" for none.
func guardOf(nic *armnetwork.Interface, config *armnetwork.InterfaceIPConfigurationPropertiesFormat, l Lists) (string, error) {
	if config.Subnet == nil {
		return "", nil
	}
	s, ok := l.subnets[lower(config.Subnet.ID)]
	if !ok {
		return "", fmt.Errorf("%w: the interface %s is in the subnet %s, which is not listed; Microsoft.Network/virtualNetworks/read may be missing",
			store.ErrForbidden, arm.Value(nic.Name), arm.Value(config.Subnet.ID))
	}
	return s.guard, nil
}

// place puts an address behind an NSG.
func (m *machine) place(guard string, a netip.Addr, config *armnetwork.InterfaceIPConfigurationPropertiesFormat, l Lists) error {
	if guard == "" {
		return nil
	}
	target, err := ParseNSG(guard)
	if err != nil {
		return err
	}
	p := m.placement(target)
	p.Addresses = append(p.Addresses, a)
	if p.Site.Groups == nil {
		p.Site.Groups = map[netip.Addr][]string{}
	}
	p.Site.Groups[a] = groupsOf(config)
	if at := config.Subnet; at != nil {
		here := l.networkOf(l.subnets[lower(at.ID)])
		if len(p.Addresses) > 1 { // its subnets may have different routes
			here = here.Both(p.Site.Network)
		}
		p.Site.Network = here
	}
	for _, t := range l.twins(m.VM, target, a) {
		if !slices.Contains(m.Twins, t) {
			m.Twins = append(m.Twins, t)
		}
	}
	return nil
}

func (m *machine) placement(target jit.ID) *store.Placement {
	if m.behind[target.Key()] == nil {
		m.behind[target.Key()] = &store.Placement{Target: target}
	}
	return m.behind[target.Key()]
}

// located gives the machine with its placements sorted.
func (m *machine) located() network.Machine {
	for _, p := range m.behind {
		if len(p.Inside) == 0 { // behind a firewall the primary address stays the first
			slices.SortFunc(p.Addresses, netip.Addr.Compare)
		}
		p.Addresses = slices.Compact(p.Addresses)
		m.Placements = append(m.Placements, *p)
	}
	slices.SortFunc(m.Placements, func(a, b store.Placement) int { return cmp.Compare(a.Target.Key(), b.Target.Key()) })
	slices.Sort(m.Unguarded)
	slices.Sort(m.Interfaces)
	return m.Machine
}

// configurations gives an interface's IP configurations, the primary one first, then by name.
func configurations(nic *armnetwork.Interface) []*armnetwork.InterfaceIPConfigurationPropertiesFormat {
	list := slices.DeleteFunc(slices.Clone(nic.Properties.IPConfigurations), func(c *armnetwork.InterfaceIPConfiguration) bool {
		return c == nil || c.Properties == nil
	})
	slices.SortStableFunc(list, func(a, b *armnetwork.InterfaceIPConfiguration) int {
		switch first, second := arm.Value(a.Properties.Primary), arm.Value(b.Properties.Primary); {
		case first && !second:
			return -1
		case second && !first:
			return 1
		}
		return strings.Compare(lower(a.Name), lower(b.Name))
	})
	out := make([]*armnetwork.InterfaceIPConfigurationPropertiesFormat, 0, len(list))
	for _, c := range list {
		out = append(out, c.Properties)
	}
	return out
}

// ParseNSG reads the id of a network security group.
func ParseNSG(s string) (jit.ID, error) {
	id, err := jit.ParseID(s)
	if err != nil {
		return jit.ID{}, err
	}
	if !strings.EqualFold(id.Type, jit.TypeNSG) {
		return jit.ID{}, fmt.Errorf("%s is not a network security group", s)
	}
	id.Type = jit.TypeNSG
	return id, nil
}
