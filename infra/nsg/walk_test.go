package nsg_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/reach"
	"portcullis/local/armsim"
)

// TestWalkAgainstMatcher: the stand-in's walk of a packet, which shares nothing with the matcher, and the matcher, by what is read from the
// stand-in, agree about every packet to a machine in two groups and one in none, over random rules with protocols, tags and groups.
func TestWalkAgainstMatcher(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	guard := r.Guard(t, "g")
	asg := func(name string) object { return object{"id": scope + "applicationSecurityGroups/" + name} }
	put := func(vm, address string, groups ...any) {
		r.Put(t, scope+"networkInterfaces/"+vm, object{"location": "westeurope", "properties": object{"virtualMachine": object{"id": vmID(vm).String()}, "networkSecurityGroup": object{"id": guard.String()},
			"ipConfigurations": []any{object{"name": "c", "properties": object{"privateIPAddress": address, "subnet": object{"id": scope + "virtualNetworks/v/subnets/s"}, "applicationSecurityGroups": groups}}}}})
	}
	r.Put(t, scope+"virtualNetworks/v", object{"location": "westeurope", "properties": object{"addressSpace": space("10.0.0.0/16", "203.0.113.0/25"), "subnets": []any{object{"name": "s", "properties": object{}}}}})
	put("web", "10.0.0.4", asg("web"), asg("all"))
	put("db", "10.0.0.5")
	machines := map[string]string{"10.0.0.4": "web", "10.0.0.5": "db"}
	found, err := r.Machines(t.Context(), sub)
	if err != nil || len(found) != 2 {
		t.Fatalf("%d machines and %v", len(found), err)
	}
	var known []reach.Located
	for _, m := range found {
		known = append(known, reach.Located{Addresses: m.Private, Site: m.Placements[0].Site})
	}
	names := reach.Names{}.At(known...)
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		rules := []any{}
		for i := range rapid.IntRange(0, 5).Draw(t, "rules") {
			p := object{"priority": 100 + i, "direction": "Inbound", "access": rapid.SampledFrom([]string{"Allow", "Deny"}).Draw(t, "access"), "protocol": rapid.SampledFrom([]string{"*", "Tcp", "Udp", "Icmp", "Esp", "Ah"}).Draw(t, "protocol"),
				"sourcePortRange": "*", "destinationPortRange": rapid.SampledFrom([]string{"*", "22", "20-30", "3389"}).Draw(t, "ports"),
				"sourceAddressPrefix": rapid.SampledFrom([]string{"*", "Internet", "VirtualNetwork", "AzureLoadBalancer", "203.0.113.0/24", "10.0.0.0/8"}).Draw(t, "source")}
			if g := rapid.SampledFrom([]string{"", "", "web", "all", "others"}).Draw(t, "group"); g != "" {
				p["destinationApplicationSecurityGroups"] = []any{asg(g)}
			} else {
				p["destinationAddressPrefix"] = rapid.SampledFrom([]string{"*", "VirtualNetwork", "10.0.0.4", "10.0.0.0/24"}).Draw(t, "destination")
			}
			rules = append(rules, object{"name": fmt.Sprint("r", i), "properties": p})
		}
		doc, err := json.Marshal(object{"location": "westeurope", "properties": object{"securityRules": rules}})
		if err == nil {
			err = r.ARM.Put(guard.String(), doc)
		}
		if err != nil {
			t.Fatal(err)
		}
		shown, err := r.Rules(ctx, network.Ordinary(), guard)
		if err != nil {
			t.Fatal(err)
		}
		for _, src := range []string{"10.0.9.9", "203.0.113.7", "203.0.113.200", "198.51.100.5", "168.63.129.16"} {
			for dst, vm := range machines {
				for _, protocol := range []jit.Protocol{jit.TCP, jit.UDP} {
					for _, port := range []uint16{22, 3389, 443} {
						from, to := netip.MustParseAddr(src), netip.MustParseAddr(dst)
						got := names.Evaluate(reach.Packet{Protocol: protocol, Source: from, SourcePort: 51000, Destination: to, DestinationPort: port}, reach.Guard{Rules: shown.Rules}).Allowed
						path := r.ARM.Walk(armsim.Packet{Source: from, Destination: netip.AddrPortFrom(to, port), Protocol: string(protocol)})
						if reaches := strings.EqualFold(path.Machine, vmID(vm).String()); got == reach.Maybe || (got == reach.Yes) != reaches {
							t.Fatalf("%s %s to %s:%d: the matcher says %s, the walk %v: %+v", protocol, src, dst, port, got, path, shown.Rules)
						}
					}
				}
			}
		}
	})
}
