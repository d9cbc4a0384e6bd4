package nsg_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
	"portcullis/infra/nsg"
	"portcullis/local/armsim"
)

const (
	hubSub   = "22222222-2222-2222-2222-22222222abcd"
	hubScope = "/subscriptions/" + hubSub + "/resourceGroups/hub/providers/Microsoft.Network/"
)

// hubs makes networks with firewalls: each network N has the addresses 10.N.0.0/16, a subnet for a firewall at 10.N.0.0/26 where
// it has one, and a subnet work.
type hubs struct {
	*rig
	t *testing.T
}

func (h hubs) network(scope string, n int, firewall bool, table string, peers ...string) string {
	h.t.Helper()
	id := fmt.Sprintf("%svirtualNetworks/v%d", scope, n)
	work := object{"addressPrefix": fmt.Sprintf("10.%d.1.0/24", n)}
	if table != "" {
		work["routeTable"] = ref(table)
	}
	subnets := []any{object{"name": "work", "properties": work}}
	if firewall {
		subnets = append(subnets, object{"name": "AzureFirewallSubnet", "properties": object{"addressPrefixes": []string{fmt.Sprintf("10.%d.0.0/26", n), "fd00::/64"}}})
	}
	var peerings []any
	for _, p := range peers {
		state := "Connected"
		if rest, half := strings.CutSuffix(p, "?"); half {
			p, state = rest, "Initiated"
		}
		peerings = append(peerings, object{"name": "p", "properties": object{"peeringState": state, "remoteVirtualNetwork": ref(p)}})
	}
	h.Put(h.t, id, object{"location": "westeurope", "properties": object{"addressSpace": object{"addressPrefixes": []string{fmt.Sprintf("10.%d.0.0/16", n)}}, "subnets": subnets, "virtualNetworkPeerings": peerings}})
	return id
}

func (h hubs) firewall(scope, network, private string, more object) string {
	h.t.Helper()
	id := scope + "azureFirewalls/fw-" + network[strings.LastIndex(network, "/")+1:]
	properties := object{"ipConfigurations": []any{object{"name": "c", "properties": object{"privateIPAddress": private, "subnet": ref(network + "/subnets/AzureFirewallSubnet")}}}}
	for k, v := range more {
		properties[k] = v
	}
	h.Put(h.t, id, object{"location": "westeurope", "properties": properties})
	return id
}

// table makes a route table; routes are a prefix, a kind of hop, and its address.
func (h hubs) table(name string, routes ...string) string {
	h.t.Helper()
	var list []any
	for i := 0; i+2 < len(routes); i += 3 {
		properties := object{"addressPrefix": routes[i], "nextHopType": routes[i+1]}
		if routes[i+2] != "" {
			properties["nextHopIpAddress"] = routes[i+2]
		}
		list = append(list, object{"name": fmt.Sprint("r", i), "properties": properties})
	}
	h.Put(h.t, scope+"routeTables/"+name, object{"location": "westeurope", "properties": object{"routes": list}})
	return scope + "routeTables/" + name
}

func (h hubs) machine(name, network, address string) jit.ID {
	h.t.Helper()
	vm, _ := h.Machine(h.t, name, oneNIC(network+"/subnets/work", address))
	return vm
}

// placed gives the placements of a machine at firewalls.
func placed(m network.Machine) string {
	var out []string
	for _, p := range m.Placements {
		if strings.EqualFold(p.Target.Type, jit.TypeFirewall) {
			out = append(out, fmt.Sprint(p.Target.Name, " ", p.Addresses, " from ", p.Inside))
		}
	}
	return strings.Join(out, ", ")
}

// TestWhichFirewall: routes decide, and where there are none the firewall in the same network.
func TestWhichFirewall(t *testing.T) {
	const appliance = "VirtualAppliance"
	for _, tc := range []struct {
		name   string
		routes []string // nil: no table
		peers  bool
		want   string
	}{
		{"no routes, in the network", nil, false, "fw-v1 [10.1.1.4] from [10.1.0.0/26]"},
		{"a table that says nothing of the Internet", []string{"10.9.0.0/16", appliance, "10.9.0.4"}, false, "fw-v1 [10.1.1.4] from [10.1.0.0/26]"},
		{"to the firewall in the network", []string{"0.0.0.0/0", appliance, "10.1.0.4"}, false, "fw-v1 [10.1.1.4] from [10.1.0.0/26]"},
		{"to one in a peered network", []string{"0.0.0.0/0", appliance, "10.2.0.4"}, true, "fw-v2 [10.1.1.4] from [10.2.0.0/26]"},
		{"to one in a network that is not peered", []string{"0.0.0.0/0", appliance, "10.2.0.4"}, false, ""},
		{"by two halves", []string{"0.0.0.0/1", appliance, "10.1.0.4", "128.0.0.0/1", appliance, "10.1.0.4"}, false, "fw-v1 [10.1.1.4] from [10.1.0.0/26]"},
		{"by halves, which go before the default route", []string{"0.0.0.0/0", "Internet", "", "0.0.0.0/1", appliance, "10.1.0.4", "128.0.0.0/1", appliance, "10.1.0.4"}, false, "fw-v1 [10.1.1.4] from [10.1.0.0/26]"},
		{"by halves that part ways", []string{"0.0.0.0/0", appliance, "10.1.0.4", "0.0.0.0/1", "Internet", ""}, false, ""},
		{"to the Internet", []string{"0.0.0.0/0", "Internet", ""}, false, ""},
		{"nowhere", []string{"0.0.0.0/0", "None", ""}, false, ""},
		{"to an appliance that is no firewall", []string{"0.0.0.0/0", appliance, "10.1.1.99"}, false, ""},
		{"to an appliance without an address", []string{"0.0.0.0/0", appliance, ""}, false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := hubs{newRig(t, armsim.Knobs{PageSize: 1}), t}
			table := ""
			if tc.routes != nil {
				table = h.table("t", tc.routes...)
			}
			hub := h.network(scope, 2, true, "")
			var peers []string
			if tc.peers {
				peers = []string{hub}
			}
			own := h.network(scope, 1, true, table, append(peers, scope+"virtualNetworks/v3?")...)
			h.network(scope, 3, true, "")
			h.firewall(scope, own, "10.1.0.4", nil)
			h.firewall(scope, hub, "10.2.0.4", nil)
			vm := h.machine("vm", own, "10.1.1.4")
			found, err := h.Locate(t.Context(), []jit.ID{vm})
			if err != nil {
				t.Fatal(err)
			}
			if got := placed(found[vm.Key()]); got != tc.want {
				t.Errorf("located behind %q, want %q", got, tc.want)
			}
			survey, err := h.Survey(t.Context(), sub)
			if err != nil || len(survey.Machines) != 1 {
				t.Fatal(survey, err)
			}
			if diff := cmp.Diff(fmt.Sprint(found[vm.Key()]), fmt.Sprint(survey.Machines[0])); diff != "" {
				t.Errorf("the survey has another machine:\n%s", diff)
			}
			if _, behind := survey.Behind[vm.Key()]; behind != (tc.want != "") {
				t.Errorf("behind %t", behind)
			}
		})
	}
}

// TestManagedFirewall is no target: rules of ours would not count there.
func TestManagedFirewall(t *testing.T) {
	for name, more := range map[string]object{"policy": {"firewallPolicy": object{"id": "/p"}}, "hub": {"virtualHub": object{"id": "/h"}}} {
		h := hubs{newRig(t, armsim.Knobs{}), t}
		own := h.network(scope, 1, true, "")
		h.firewall(scope, own, "10.1.0.4", more)
		vm := h.machine("vm", own, "10.1.1.4")
		survey, err := h.Survey(t.Context(), sub)
		if err != nil {
			t.Fatal(err)
		}
		if got := placed(survey.Machines[0]); got != "" || !survey.Behind[vm.Key()] {
			t.Errorf("%s: placed %q, behind %v", name, got, survey.Behind)
		}
	}
}

// TestFirewallOfAnotherSubscription: a hub is often in one of its own. It is used where that one is managed too.
func TestFirewallOfAnotherSubscription(t *testing.T) {
	for _, managed := range []bool{true, false} {
		h := hubs{newRig(t, armsim.Knobs{}), t}
		if managed {
			h.Client = h.client(t, func(cfg *nsg.Config) { cfg.Subscriptions = []string{sub, strings.ToUpper(hubSub)} })
		}
		hub := h.network(hubScope, 2, true, "")
		own := h.network(scope, 1, false, h.table("t", "0.0.0.0/0", "VirtualAppliance", "10.2.0.4"), hub)
		h.network(scope, 4, false, "", hub)
		h.firewall(hubScope, hub, "10.2.0.4", nil)
		vm := h.machine("vm", own, "10.1.1.4")
		beside := h.machine("beside", scope+"virtualNetworks/v4", "10.4.1.4")
		want, reads := "", 3
		if managed {
			want, reads = "fw-v2 [10.1.1.4] from [10.2.0.0/26]", 6
		}
		h.ARM.Reset()
		found, err := h.Locate(t.Context(), []jit.ID{vm})
		if err != nil {
			t.Fatal(err)
		}
		if got, n := placed(found[vm.Key()]), h.ARM.Counts().Reads; got != want || n != reads {
			t.Errorf("managed %t: placed %q with %d reads, want %q with %d", managed, got, n, want, reads)
		}
		h.ARM.Reset()
		if found, err := h.Locate(t.Context(), []jit.ID{beside}); err != nil || placed(found[beside.Key()]) != "" || h.ARM.Counts().Reads != 3 {
			t.Errorf("managed %t: without a route: %v, %v, %d reads", managed, found, err, h.ARM.Counts().Reads)
		}
	}
}

// TestReadsForFirewalls: what no firewall can stand before costs no read more.
func TestReadsForFirewalls(t *testing.T) {
	h := hubs{newRig(t, armsim.Knobs{}), t}
	plain := h.machine("plain", h.network(scope, 1, false, h.table("t", "0.0.0.0/0", "VirtualAppliance", "10.9.0.4")), "10.1.1.4")
	count := func(what string, want int, call func() error) {
		t.Helper()
		h.ARM.Reset()
		if err := call(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got := h.ARM.Counts().Reads; got != want {
			t.Errorf("%s: %d reads, want %d", what, got, want)
		}
	}
	machines := func() error { _, err := h.Machines(t.Context(), sub); return err }
	locate := func(vm jit.ID) func() error {
		return func() error { _, err := h.Locate(t.Context(), []jit.ID{vm}); return err }
	}
	survey := func() error { _, err := h.Survey(t.Context(), sub); return err }
	count("machines, no firewall anywhere", 3, machines)
	count("a survey, no firewall anywhere", 5, survey) // two are of machines among all resources: classic ones, and tags
	hub := h.network(scope, 2, true, "")
	h.firewall(scope, hub, "10.2.0.4", nil)
	inHub := h.machine("in-hub", hub, "10.2.1.4")
	count("a machine far from the firewall", 3, locate(plain))
	count("a machine beside it, without routes", 4, locate(inHub))
	count("all machines", 4, machines)
	h.network(scope, 1, false, scope+"routeTables/t", hub)
	count("a machine with routes, peered", 5, locate(plain))
	count("all machines, with routes", 5, machines)
	count("a survey", 7, survey)
}

// TestFirewallsThatMayNotBeRead: which firewall stands before a machine would not be known, so it is an error, for those
// who act; people see the machine without one.
func TestFirewallsThatMayNotBeRead(t *testing.T) {
	for _, action := range []string{"azureFirewalls", "routeTables"} {
		h := hubs{newRig(t, armsim.Knobs{}), t}
		own := h.network(scope, 1, true, h.table("t", "0.0.0.0/0", "VirtualAppliance", "10.1.0.4"))
		h.firewall(scope, own, "10.1.0.4", nil)
		vm, plain := h.machine("vm", own, "10.1.1.4"), h.machine("plain", h.network(scope, 2, false, ""), "10.2.1.4")
		h.Tune(t, func(k *armsim.Knobs) { k.Denied = []armsim.Denied{{Action: "Microsoft.Network/" + action + "/read"}} })
		if _, err := h.Locate(t.Context(), []jit.ID{vm}); !errors.Is(err, store.ErrForbidden) || !strings.Contains(err.Error(), action) {
			t.Errorf("%s: Locate: %v", action, err)
		}
		if _, err := h.Machines(t.Context(), sub); !errors.Is(err, store.ErrForbidden) {
			t.Errorf("%s: Machines: %v", action, err)
		}
		if found, err := h.Locate(t.Context(), []jit.ID{plain}); err != nil || len(found) != 1 {
			t.Errorf("%s: Locate of a machine elsewhere: %v", action, err)
		}
		if s, err := h.Survey(t.Context(), sub); err != nil || len(s.Machines) != 2 || len(s.Behind) != 0 {
			t.Errorf("%s: Survey: %d machines behind %v, %v", action, len(s.Machines), s.Behind, err)
		}
	}
}

// TestFirewallLeadsToThePrimaryAddress: what is opened at a firewall leads to the first address, which is the primary one. It
// translates no IPv6.
func TestFirewallLeadsToThePrimaryAddress(t *testing.T) {
	h := hubs{newRig(t, armsim.Knobs{}), t}
	own := h.network(scope, 1, true, "")
	h.firewall(scope, own, "10.1.0.4", nil)
	at := func(primary bool, address string) coretest.Config {
		return coretest.Config{Primary: primary, Subnet: own + "/subnets/work", Private: netip.MustParseAddr(address)}
	}
	vm, _ := h.Machine(t, "vm",
		coretest.Interface{Configs: []coretest.Config{at(true, "10.1.1.2")}},
		coretest.Interface{Primary: true, Configs: []coretest.Config{at(false, "10.1.1.4"), at(true, "10.1.1.9"), at(false, "fd00::9")}})
	found, err := h.Locate(t.Context(), []jit.ID{vm})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := placed(found[vm.Key()]), "fw-v1 [10.1.1.9 10.1.1.4 10.1.1.2] from [10.1.0.0/26]"; got != want {
		t.Errorf("placed %q, want %q", got, want)
	}
}
