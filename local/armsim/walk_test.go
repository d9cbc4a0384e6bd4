package armsim_test

import (
	"net/netip"
	"testing"

	"portcullis/local/armsim"
)

// Each row is a packet to an estate with a firewall, a machine behind it in its network, one in a peered network, and one
// with a public address of its own.
func TestWalk(t *testing.T) {
	r := newFirewallRig(t, armsim.Knobs{})
	vm := func(name, address, vnet, more string) {
		r.put(scope+"networkInterfaces/"+name, `{"location":"westeurope","properties":{"virtualMachine":{"id":"/vm/`+name+`"},"networkSecurityGroup":{"id":"`+scope+`networkSecurityGroups/`+name+`"},
			"ipConfigurations":[{"name":"c","properties":{"privateIPAddress":"`+address+`","subnet":{"id":"`+scope+`virtualNetworks/`+vnet+`/subnets/work"}`+more+`}}]}}`)
	}
	network := func(name, prefix, peer string) {
		r.put(scope+"virtualNetworks/"+name, `{"location":"westeurope","properties":{"addressSpace":{"addressPrefixes":["`+prefix+`"]},"subnets":[{"name":"work","properties":{}}],
			"virtualNetworkPeerings":[{"name":"p","properties":{"remoteVirtualNetwork":{"id":"`+scope+`virtualNetworks/`+peer+`"}}}]}}`)
	}
	group := func(name string, rules ...string) { r.put(scope+"networkSecurityGroups/"+name, nsg(rules...)) }
	network("v", "10.0.0.0/16", "spoke")
	network("spoke", "10.1.0.0/16", "v")
	network("far", "10.2.0.0/16", "nowhere")
	r.put(scope+"publicIPAddresses/own", `{"location":"westeurope","properties":{"ipAddress":"198.51.100.9"}}`)
	vm("near", "10.0.1.4", "v", "")
	vm("peered", "10.1.0.4", "spoke", "")
	vm("far", "10.2.0.4", "far", `,"publicIPAddress":{"id":"`+scope+`publicIPAddresses/own"}`)
	group("near", rule("caller", 100, "destinationAddressPrefix", `"10.0.1.4"`), rule("deny", 200, "access", `"Deny"`, "sourceAddressPrefix", `"*"`, "destinationAddressPrefix", `"*"`))
	group("peered")
	group("far", rule("ssh", 100, "sourceAddressPrefix", `"Internet"`, "destinationAddressPrefix", `"10.2.0.4"`))
	r.put(fwID, firewall(
		natCollection("second", 300, natRule("shadowed", "translatedAddress", `"10.1.0.4"`), natRule("peered", "destinationPorts", `["50023"]`, "translatedAddress", `"10.1.0.4"`)),
		natCollection("first", 200, natRule("near"), natRule("far", "destinationPorts", `["50024"]`, "translatedAddress", `"10.2.0.4"`)),
	))
	walk := func(from, to, protocol string) armsim.Path {
		return r.arm.Walk(armsim.Packet{Source: netip.MustParseAddr(from), Destination: netip.MustParseAddrPort(to), Protocol: protocol})
	}
	for _, tc := range []struct{ name, from, to, protocol, machine, at, dropped string }{
		{"to a port that no NAT rule has", "203.0.113.7", "198.51.100.1:22", "TCP", "", "", "the firewall fw has no NAT rule for it"},
		{"from elsewhere", "203.0.113.8", "198.51.100.1:50022", "TCP", "", "", "the firewall fw has no NAT rule for it"},
		{"by another protocol", "203.0.113.7", "198.51.100.1:50022", "UDP", "", "", "the firewall fw has no NAT rule for it"},
		{"through the firewall, where the group admits the caller alone", "203.0.113.7", "198.51.100.1:50022", "TCP", "", "", "rule deny of near denies it"},
		{"to a network that is not peered", "203.0.113.7", "198.51.100.1:50024", "TCP", "", "", "no interface has the address 10.2.0.4"},
		{"to a peered network, whose default rule lets networks in", "203.0.113.7", "198.51.100.1:50023", "TCP", "/vm/peered", "10.1.0.4:22", ""},
		{"to a public address of the machine", "203.0.113.7", "198.51.100.9:22", "TCP", "/vm/far", "10.2.0.4:22", ""},
		{"to a port that the default rules deny", "203.0.113.7", "198.51.100.9:23", "TCP", "", "", "rule DenyAllInBound of far denies it"},
		{"from the Internet to nobody", "203.0.113.7", "198.51.100.99:22", "TCP", "", "", "no interface has the address 198.51.100.99"},
		{"inside", "10.0.5.5", "10.0.1.4:22", "TCP", "", "", "rule deny of near denies it"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := walk(tc.from, tc.to, tc.protocol)
			var at netip.AddrPort
			if tc.at != "" {
				at = netip.MustParseAddrPort(tc.at)
			}
			if got.Machine != tc.machine || got.At != at || got.Dropped != tc.dropped {
				t.Errorf("got %+v", got)
			}
		})
	}
	// Once the group admits the firewall's subnet the packet arrives; a write under way lets nothing in yet.
	r.tune(func(k *armsim.Knobs) { k.Writes.LatencyMin = armsim.Duration(1e9) })
	r.want(200, "", "PUT", scope+"networkSecurityGroups/near", nsg(rule("inside", 100, "sourceAddressPrefix", `"10.0.0.0/26"`, "destinationAddressPrefix", `"10.0.1.4"`),
		rule("deny", 200, "access", `"Deny"`, "sourceAddressPrefix", `"*"`, "destinationAddressPrefix", `"*"`)))
	if got := walk("203.0.113.7", "198.51.100.1:50022", "TCP"); got.Machine != "" {
		t.Errorf("let in by a write under way: %+v", got)
	}
	r.clock.Advance(1e9)
	if got := walk("203.0.113.7", "198.51.100.1:50022", "TCP"); got.Machine != "/vm/near" || got.At.String() != "10.0.1.4:22" || len(got.Steps) != 3 {
		t.Errorf("not let in: %+v", got)
	}
	res, text := r.do("GET", "/local/walk?from=203.0.113.7&to=198.51.100.1:50022", "")
	if res.StatusCode != 200 || text == "" {
		t.Errorf("%d %s", res.StatusCode, text)
	}
	if res, _ := r.do("GET", "/local/walk?from=x", ""); res.StatusCode != 400 {
		t.Errorf("a bad walk: %d", res.StatusCode)
	}
}
