package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/infra/arm"
)

// Front is a firewall that may stand before machines.
type Front struct {
	target  jit.ID
	managed bool // Firewall Manager runs it: it takes its rules from a policy, or is in a hub
	network string
	subnet  string // its own, in lower case as all ids here
	private netip.Addr
	inside  []netip.Prefix // of its subnet
}

const firewallSubnet = "azurefirewallsubnet"

// FrontsAt returns a firewall at each of its private addresses; none where it has none, as one that is deallocated.
func FrontsAt(fw *armnetwork.AzureFirewall) []Front {
	if fw == nil || fw.Properties == nil {
		return nil
	}
	target, err := jit.ParseID(arm.Value(fw.ID))
	if err != nil {
		return nil
	}
	target.Type = jit.TypeFirewall
	var out []Front
	for _, config := range fw.Properties.IPConfigurations {
		if config == nil || config.Properties == nil || config.Properties.Subnet == nil {
			continue
		}
		private, _ := netip.ParseAddr(arm.Value(config.Properties.PrivateIPAddress))
		subnet := lower(config.Properties.Subnet.ID)
		network, _, _ := strings.Cut(subnet, "/subnets/")
		out = append(out, Front{target: target, managed: fw.Properties.FirewallPolicy != nil || fw.Properties.VirtualHub != nil, network: network, subnet: subnet, private: private})
	}
	return out
}

// Hop is where a route table sends what is for the Internet. The zero value is that it does not say.
type Hop struct {
	said      bool
	appliance netip.Addr // valid where it is a virtual appliance
}

// SubnetsOf returns the subnets in which wanted machines have addresses.
func (l Lists) SubnetsOf(wanted func(key string) bool) []string {
	var out []string
	for _, nic := range l.Interfaces {
		if vm, ok := MachineOf(nic); ok && wanted(vm.Key()) {
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

// FrontsIn returns the subscriptions that can hold a firewall before the subnets, and whether the subnets' routes decide. A firewall
// may be in the subscription of the lists and in those that are managed.
func (l *Lists) FrontsIn(subscription string, managed, subnets []string) (subscriptions []string, tables bool) {
	for _, id := range subnets {
		s := l.subnets[id]
		for _, network := range append([]string{s.network}, l.peers[s.network]...) {
			sub := SubscriptionOf(network)
			_, has := l.subnets[network+"/subnets/"+firewallSubnet]
			// Of a network in another subscription nothing is known yet. Only a route leads there.
			elsewhere := sub != strings.ToLower(subscription) && s.table != "" && slices.ContainsFunc(managed, func(m string) bool { return strings.EqualFold(m, sub) })
			if has || elsewhere {
				subscriptions, tables = append(subscriptions, sub), tables || s.table != ""
			}
		}
	}
	slices.Sort(subscriptions)
	return slices.Compact(subscriptions), tables
}

// SubscriptionOf returns the subscription of an id in lower case.
func SubscriptionOf(id string) string {
	rest, _ := strings.CutPrefix(id, "/subscriptions/")
	sub, _, _ := strings.Cut(rest, "/")
	return sub
}

// HopOf reads where a table sends what is for the Internet: by its default route, or by one for each half of all
// addresses, which goes before it. Halves that part ways lead to no one firewall.
func HopOf(table *armnetwork.RouteTable) Hop {
	if table.Properties == nil {
		return Hop{}
	}
	var hops [2]Hop
	for i, half := range []string{"0.0.0.0/1", "128.0.0.0/1"} {
		for _, prefix := range []string{"0.0.0.0/0", half} {
			for _, r := range table.Properties.Routes {
				if r == nil || r.Properties == nil || !samePrefix(arm.Value(r.Properties.AddressPrefix), prefix) {
					continue
				}
				hops[i] = Hop{said: true}
				if t := r.Properties.NextHopType; t != nil && *t == armnetwork.RouteNextHopTypeVirtualAppliance {
					hops[i].appliance, _ = netip.ParseAddr(arm.Value(r.Properties.NextHopIPAddress))
				}
			}
		}
	}
	if hops[0] != hops[1] {
		return Hop{said: true}
	}
	return hops[0]
}

func samePrefix(text, prefix string) bool {
	p, err := netip.ParsePrefix(text)
	return err == nil && p.Masked() == netip.MustParsePrefix(prefix)
}

// FrontOf returns the firewall before a subnet; nil for none.
func (l *Lists) FrontOf(id string, fronts []Front, routes map[string]Hop) (*Front, error) {
	s, ok := l.subnets[id]
	if !ok {
		return nil, nil // attach has the error for that
	}
	to := Hop{}
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
		near = append(near, l.peers[s.network]...)
	}
	for i := range fronts {
		if f := &fronts[i]; slices.Contains(near, f.network) && (!to.said || f.private == to.appliance) {
			return f, nil
		}
	}
	return nil, nil
}

// NetworkToRead returns the virtual network, by its id in lower case, without which it is not known what a firewall lets through:
// one in another subscription. "" for none.
func (l *Lists) NetworkToRead(f *Front) string {
	if _, listed := l.subnets[f.subnet]; listed || f.managed || len(f.inside) > 0 {
		return ""
	}
	return f.network
}

// PutFront has a firewall stand before a subnet. What it has let through comes from the prefixes of its own subnet.
func (l *Lists) PutFront(subnet string, f *Front) error {
	l.fronts[subnet] = f
	if f.managed || len(f.inside) > 0 {
		return nil
	}
	for _, p := range l.subnets[f.subnet].prefixes {
		if p.Addr().Is4() { // it translates no IPv6
			f.inside = append(f.inside, p)
		}
	}
	if len(f.inside) == 0 {
		return fmt.Errorf("the subnet %s of the firewall %s has no prefix", f.subnet, f.target.Name)
	}
	slices.SortFunc(f.inside, jit.ComparePrefix)
	return nil
}

// Fronted returns the machines that have a firewall before them, by [jit.ID.Key], and whether Firewall Manager runs it.
func (l Lists) Fronted() map[string]bool {
	out := map[string]bool{}
	for _, nic := range l.Interfaces {
		if vm, ok := MachineOf(nic); ok {
			for _, config := range configurations(nic) {
				if f := l.before(config); f != nil {
					out[vm.Key()] = out[vm.Key()] || f.managed
				}
			}
		}
	}
	return out
}

// before returns the firewall before a configuration; nil for none.
func (l Lists) before(config *armnetwork.InterfaceIPConfigurationPropertiesFormat) *Front {
	if config.Subnet == nil {
		return nil
	}
	return l.fronts[lower(config.Subnet.ID)]
}
