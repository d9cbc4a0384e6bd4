package nsg_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/reach"
	"portcullis/local/armsim"
)

// site puts a machine into a network of its own and returns what is known of its address.
func (r *rig) site(t *testing.T, network, subnet, config object) reach.Site {
	t.Helper()
	guard := r.Guard(t, "g")
	id := scope + "virtualNetworks/v"
	subnets := []any{object{"name": "s", "properties": subnet}}
	if extra, ok := network["extra"]; ok {
		subnets = append(subnets, extra)
		delete(network, "extra")
	}
	network["subnets"] = subnets
	r.Put(t, id, object{"location": "westeurope", "properties": network})
	config["privateIPAddress"], config["subnet"] = "10.0.0.4", object{"id": id + "/subnets/s"}
	vm := vmID("vm")
	r.Put(t, scope+"networkInterfaces/vm", object{"location": "westeurope", "properties": object{"virtualMachine": object{"id": vm.String()}, "networkSecurityGroup": object{"id": guard.String()},
		"ipConfigurations": []any{object{"name": "c", "properties": config}}}})
	found, err := r.Locate(t.Context(), []jit.ID{vm})
	if err != nil || len(found[vm.Key()].Placements) != 1 {
		t.Fatalf("%+v and %v, want one placement", found, err)
	}
	return found[vm.Key()].Placements[0].Site
}

func space(prefixes ...string) object { return object{"addressPrefixes": prefixes} }

func peering(properties object) []any {
	properties["remoteVirtualNetwork"] = object{"id": scope + "virtualNetworks/remote"}
	if _, ok := properties["peeringState"]; !ok {
		properties["peeringState"] = "Connected"
	}
	return []any{object{"name": "p", "properties": properties}}
}

// TestNetworkOfAMachine: what VirtualNetwork surely holds, and whether it may hold more, by what the lists say.
func TestNetworkOfAMachine(t *testing.T) {
	remote := space("10.1.0.0/16")
	for name, tc := range map[string]struct {
		network, subnet object
		want            string
		whole           bool
	}{
		"alone":                     {object{}, object{}, "10.0.0.0/16", true},
		"several prefixes":          {object{"addressSpace": space("10.0.0.0/16", "fd00::/48", "203.0.113.0/24")}, object{}, "10.0.0.0/16 203.0.113.0/24 fd00::/48", true},
		"a peer":                    {object{"virtualNetworkPeerings": peering(object{"remoteAddressSpace": remote})}, object{}, "10.0.0.0/16 10.1.0.0/16", true},
		"a peer as it is now":       {object{"virtualNetworkPeerings": peering(object{"remoteAddressSpace": space("10.9.0.0/16"), "remoteVirtualNetworkAddressSpace": remote})}, object{}, "10.0.0.0/16 10.1.0.0/16", true},
		"a peer that is not listed": {object{"virtualNetworkPeerings": peering(object{})}, object{}, "10.0.0.0/16", false},
		"a peer that is not there":  {object{"virtualNetworkPeerings": peering(object{"remoteAddressSpace": remote, "peeringState": "Disconnected"})}, object{}, "10.0.0.0/16", false},
		"a peer that is blocked":    {object{"virtualNetworkPeerings": peering(object{"remoteAddressSpace": remote, "allowVirtualNetworkAccess": false})}, object{}, "10.0.0.0/16", false},
		"some subnets of a peer":    {object{"virtualNetworkPeerings": peering(object{"remoteAddressSpace": remote, "peerCompleteVnets": false})}, object{}, "10.0.0.0/16", false},
		"a peer's gateway":          {object{"virtualNetworkPeerings": peering(object{"remoteAddressSpace": remote, "useRemoteGateways": true})}, object{}, "10.0.0.0/16 10.1.0.0/16", false},
		"a gateway":                 {object{"extra": object{"name": "GatewaySubnet", "properties": object{}}}, object{}, "10.0.0.0/16", false},
		"a route server":            {object{"extra": object{"name": "RouteServerSubnet", "properties": object{}}}, object{}, "10.0.0.0/16", false},
		"another subnet":            {object{"extra": object{"name": "AzureBastionSubnet", "properties": object{}}}, object{}, "10.0.0.0/16", true},
		"routes":                    {object{}, object{"routeTable": object{"id": scope + "routeTables/rt"}}, "10.0.0.0/16", false},
		"no address space":          {object{"addressSpace": space()}, object{}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			if _, ok := tc.network["addressSpace"]; !ok {
				tc.network["addressSpace"] = space("10.0.0.0/16")
			}
			got := newRig(t, armsim.Knobs{}).site(t, tc.network, tc.subnet, object{}).Network
			text := ""
			for i, p := range got.Inside {
				if i > 0 {
					text += " "
				}
				text += p.String()
			}
			if text != tc.want || got.Whole != tc.whole {
				t.Errorf("%q, whole %t; want %q, %t", text, got.Whole, tc.want, tc.whole)
			}
		})
	}
}

// TestGroupsOfAnAddress: the groups that an interface names are known, and so is that it names none.
func TestGroupsOfAnAddress(t *testing.T) {
	group := func(name string) object { return object{"id": scope + "applicationSecurityGroups/" + name} }
	for name, tc := range map[string]struct {
		config object
		want   []string
	}{
		"none":         {object{}, []string{}},
		"an empty one": {object{"applicationSecurityGroups": []any{}}, []string{}},
		"two":          {object{"applicationSecurityGroups": []any{group("Web"), group("db")}}, []string{lowered("applicationSecurityGroups/db"), lowered("applicationSecurityGroups/web")}},
	} {
		t.Run(name, func(t *testing.T) {
			site := newRig(t, armsim.Knobs{}).site(t, object{"addressSpace": space("10.0.0.0/16")}, object{}, tc.config)
			if d := cmp.Diff(map[netip.Addr][]string{netip.MustParseAddr("10.0.0.4"): tc.want}, site.Groups, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestTwins: machines of two networks with one address behind one group know of each other, however they are found. The same address behind
// another group, and another address behind the same one, is no twin.
func TestTwins(t *testing.T) {
	r := newRig(t, armsim.Knobs{PageSize: 2})
	shared, own := r.Guard(t, "shared"), r.Guard(t, "own")
	a, b, c := r.Subnet(t, "a", shared), r.Subnet(t, "b", shared), r.Subnet(t, "c", own)
	web, _ := r.Machine(t, "web", oneNIC(a, "10.0.0.4"))
	twin, _ := r.Machine(t, "twin", oneNIC(b, "10.0.0.4"))
	near, _ := r.Machine(t, "near", oneNIC(a, "10.0.0.5"))
	apart, _ := r.Machine(t, "apart", oneNIC(c, "10.0.0.4"))
	all, err := r.Machines(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]network.Machine{}
	for _, m := range all {
		listed[m.VM.Key()] = m
	}
	one, err := r.Locate(t.Context(), []jit.ID{web})
	if err != nil {
		t.Fatal(err)
	}
	recalled, reads := r.recall(t, web)
	if reads != 1 {
		t.Errorf("%d reads, want 1", reads)
	}
	for name, m := range map[string]network.Machine{"listed": listed[web.Key()], "located": one[web.Key()], "recalled": recalled[web.Key()]} {
		if len(m.Twins) != 1 || !m.Twins[0].VM.Equal(twin) || !m.Twins[0].Target.Equal(shared) || m.Twins[0].Address != netip.MustParseAddr("10.0.0.4") {
			t.Errorf("%s: %+v, want twin at shared", name, m.Twins)
		}
	}
	for _, vm := range []jit.ID{near, apart} {
		if m := listed[vm.Key()]; len(m.Twins) != 0 {
			t.Errorf("%s has twins: %+v", vm.Name, m.Twins)
		}
	}
}

func lowered(name string) string { return strings.ToLower(scope + name) }
