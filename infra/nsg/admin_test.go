package nsg_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/local/armsim"
)

func effective(kind, name, access, direction string, priority int, source, port string) object {
	return object{"kind": kind, "id": scope + "networkManagers/corp/securityAdminConfigurations/c/ruleCollections/r/rules/" + name,
		"properties": object{"access": access, "direction": direction, "priority": priority, "protocol": "Tcp",
			"sources":          []object{{"addressPrefix": source, "addressPrefixType": "IPPrefix"}},
			"destinations":     []object{{"addressPrefix": "*", "addressPrefixType": "IPPrefix"}},
			"sourcePortRanges": []string{"0-65535"}, "destinationPortRanges": []string{port}}}
}

func TestAdminRules(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	network := scope + "virtualNetworks/net"
	if _, err := r.AdminRules(t.Context(), network); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("of a network that is not there: %v", err)
	}
	for _, id := range []string{"", "net", scope + "networkSecurityGroups/net"} {
		if _, err := r.AdminRules(t.Context(), id); err == nil {
			t.Errorf("of %q: no error", id)
		}
	}
	vm, _ := r.Machine(t, "vm", oneNIC(r.Subnet(t, "s", r.Guard(t, "g")), "10.0.0.4"))
	found, err := r.Locate(t.Context(), []jit.ID{vm})
	if err != nil {
		t.Fatal(err)
	}
	network = found[vm.Key()].VirtualNetwork
	if !strings.Contains(network, "/virtualnetworks/") || strings.Contains(network, "/subnets") {
		t.Fatalf("the machine is in the network %q", network)
	}
	if rules, err := r.AdminRules(t.Context(), network); len(rules) != 0 || err != nil {
		t.Errorf("of a network without: %v, %v", rules, err)
	}
	r.Tune(t, func(k *armsim.Knobs) {
		k.PageSize = 2
		k.AdminRules = map[string][]map[string]any{network: {
			effective("Custom", "NoSsh", "Deny", "Inbound", 7, "203.0.113.0/24", "22"),
			effective("Custom", "Out", "Deny", "Outbound", 8, "*", "*"),
			effective("Default", "Bastion", "AlwaysAllow", "Inbound", 1, "VirtualNetwork", "20-30"),
			effective("Custom", "Odd", "Whatever", "Inbound", 9, "10.0.0.1-10.0.0.9", "*"),
			{"kind": "Custom", "id": "/x/networkManagers/corp/rules/Bare"},
		}}
	})
	rules, err := r.AdminRules(t.Context(), network)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range rules {
		got = append(got, fmt.Sprintf("%s/%s %d %s %s from %v%v%t :%v", x.Manager, x.Name, x.Priority, x.Action, x.Protocol, x.Source.Prefixes, x.Source.Tags, x.Source.Any, x.DestinationPorts))
	}
	want := []string{
		"corp/NoSsh 7 Deny TCP from [203.0.113.0/24][]false :[{22 22}]",
		"corp/Bastion 1 AlwaysAllow TCP from [][VirtualNetwork]false :[{20 30}]",
		"corp/Odd 9 Allow TCP from [][10.0.0.1-10.0.0.9]false :[{0 65535}]",
		"corp/Bare 0 Allow * from [][]true :[{0 65535}]",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	r.Tune(t, func(k *armsim.Knobs) {
		k.Denied = []armsim.Denied{{Action: "Microsoft.Network/virtualNetworks/listNetworkManagerEffectiveSecurityAdminRules/action"}}
	})
	if _, err := r.AdminRules(t.Context(), network); !errors.Is(err, store.ErrForbidden) {
		t.Errorf("without the permission: %v", err)
	}
	r.Tune(t, func(k *armsim.Knobs) { k.Denied, k.Down = nil, true })
	if _, ok := isUnavailable(errOf(r.AdminRules(t.Context(), network))); !ok {
		t.Error("down: want *store.Unavailable")
	}
}

func errOf[T any](_ T, err error) error { return err }
