package armsim

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// DemoSubscription is the subscription of the demo estate.
const DemoSubscription = "00000000-0000-0000-0000-00000000d3e0"

const (
	demoGroup   = "/subscriptions/" + DemoSubscription + "/resourceGroups/demo"
	demoNetwork = demoGroup + "/providers/Microsoft.Network/"
)

// Resource is a document and where it belongs.
type Resource struct {
	ID       string
	Document json.RawMessage
}

// Seed puts the demo estate into a server that holds nothing, and the demo's roles and role assignments into one that
// knows no roles, such as one that an earlier version made. It leaves any other as it is. What it puts is saved whole or not
// at all.
func Seed(s *Server) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var seeds []Resource
	if len(s.resources) == 0 {
		seeds = Demo()
	}
	roles := false
	for _, r := range s.resources {
		roles = roles || r.Type == definitionType
	}
	if !roles {
		seeds = append(seeds, DemoAccess()...)
	}
	for _, r := range seeds {
		typ, err := typeOf(r.ID)
		if err == nil {
			err = s.place(r.ID, typ, r.Document)
		}
		if err != nil {
			return fmt.Errorf("seed %s: %w", r.ID, err)
		}
	}
	return s.save()
}

// DemoFirewallWrite is how long a write of a firewall takes in the demo, so that it stays usable. A real one takes minutes.
const DemoFirewallWrite = 20 * time.Second

// DemoKnobs returns how the demo behaves: writes take up to two seconds, those of firewalls [DemoFirewallWrite], and ARM's
// limits hold.
func DemoKnobs() Knobs {
	return Knobs{
		Writes: Writes{LatencyMax: Duration(2 * time.Second), RetryAfter: Duration(time.Second)},
		Firewalls: Writes{LatencyMin: Duration(DemoFirewallWrite), LatencyMax: Duration(DemoFirewallWrite),
			RetryAfter: Duration(5 * time.Second), Concurrent: Reject},
		Throttle: true, ThrottleNetwork: true,
	}
}

// Demo returns the demo estate: one VM for each way in which a VM can be guarded or not. VMs are known by the network
// interfaces that name them; the classic one, and those with tags, are resources too, which only the list of all resources shows.
//
//	web        NIC NSG web-nsg with foreign rules for 443 and, from anywhere, 22; public address
//	app1 app2  share the subnet NSG apps-nsg; app1 has a public address
//	both       NIC NSG both-nsg and subnet NSG apps-nsg
//	dual       two NICs with an NSG each, in a subnet with a third; IPv4 and IPv6
//	behindfw   NSG behindfw-nsg; its subnet's route table leads to hub-fw, an Azure Firewall with classic rules of others
//	bare       no NSG and no firewall
//	managedfw  no NSG; its network holds managed-fw, an Azure Firewall under a firewall policy
//	old        a classic VM
func Demo() []Resource {
	var e estate
	e.main()
	e.dual()
	e.firewalls()
	e.tagged("web", object{"env": "prod", "team": "shop"})
	e.tagged("app1", object{"env": "test", "team": "apps"})
	e.tagged("app2", object{"env": "test", "team": "apps"})
	e.add(demoGroup+"/providers/Microsoft.ClassicCompute/virtualMachines/old", object{"location": DefaultLocation,
		"properties": object{"hardwareProfile": object{"size": "Standard_A1"}}})
	return e.resources
}

type object = map[string]any

type estate struct{ resources []Resource }

// main is the network that most VMs are in.
func (e *estate) main() {
	e.nsg("web-nsg", object{"env": "demo", "owner": "web-team"},
		allow("AllowWeb", "The shop", 200, "Internet", "443"),
		allow("AllowSshAny", "Left over from the first setup", 300, "*", "22"))
	e.nsg("apps-nsg", object{"env": "demo"}, allow("AllowHealthProbe", "Load balancer probes", 400, "AzureLoadBalancer", "8080"))
	e.nsg("both-nsg", nil)
	e.network("main-vnet", []string{"10.10.0.0/16"},
		subnet("web", "10.10.1.0/24", ""), subnet("apps", "10.10.2.0/24", "apps-nsg"), subnet("bare", "10.10.3.0/24", ""))
	e.publicAddress("web-ip", "203.0.113.10")
	e.publicAddress("app1-ip", "203.0.113.11")
	e.nic("web-nic", "web", "web-nsg", true, address("main-vnet/web", "10.10.1.4", "IPv4", "web-ip"))
	e.nic("app1-nic", "app1", "", true, address("main-vnet/apps", "10.10.2.4", "IPv4", "app1-ip"))
	e.nic("app2-nic", "app2", "", true, address("main-vnet/apps", "10.10.2.5", "IPv4", ""))
	e.nic("both-nic", "both", "both-nsg", true, address("main-vnet/apps", "10.10.2.6", "IPv4", ""))
	e.nic("bare-nic", "bare", "", true, address("main-vnet/bare", "10.10.3.4", "IPv4", ""))
}

func (e *estate) dual() {
	e.nsg("dual-front-nsg", nil)
	e.nsg("dual-back-nsg", nil)
	e.nsg("dual-subnet-nsg", nil)
	e.network("dual-vnet", []string{"10.20.0.0/16", "fd00:20::/48"}, object{"name": "dual", "properties": object{
		"addressPrefixes":      []string{"10.20.1.0/24", "fd00:20:0:1::/64"},
		"networkSecurityGroup": ref("networkSecurityGroups/dual-subnet-nsg"),
	}})
	e.publicAddress("dual-ip", "203.0.113.12")
	e.publicAddress("dual-ip6", "2001:db8:20::12")
	e.nic("dual-front-nic", "dual", "dual-front-nsg", true,
		address("dual-vnet/dual", "10.20.1.4", "IPv4", "dual-ip"), address("dual-vnet/dual", "fd00:20:0:1::4", "IPv6", "dual-ip6"))
	e.nic("dual-back-nic", "dual", "dual-back-nsg", false,
		address("dual-vnet/dual", "10.20.1.5", "IPv4", ""), address("dual-vnet/dual", "fd00:20:0:1::5", "IPv6", ""))
}

func (e *estate) firewalls() {
	e.nsg("behindfw-nsg", nil)
	e.network("hub-vnet", []string{"10.30.0.0/16"},
		subnet("AzureFirewallSubnet", "10.30.0.0/26", ""), routed(subnet("work", "10.30.1.0/24", ""), "hub-routes"))
	e.put("routeTables/hub-routes", object{"properties": object{"routes": []any{object{"name": "everything", "properties": object{
		"addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.30.0.4",
	}}}}})
	e.network("managed-vnet", []string{"10.40.0.0/16"},
		subnet("AzureFirewallSubnet", "10.40.0.0/26", ""), subnet("work", "10.40.1.0/24", ""))
	e.publicAddress("hub-fw-ip", "203.0.113.20")
	e.publicAddress("managed-fw-ip", "203.0.113.21")
	e.firewall("hub-fw", "hub-vnet", "10.30.0.4", "hub-fw-ip", "", object{"name": "published", "properties": object{
		"priority": 200, "action": object{"type": "Dnat"}, "rules": []any{object{
			"name": "shop", "description": "The shop's entrance", "protocols": []string{"TCP"}, "sourceAddresses": []string{"*"},
			"destinationAddresses": []string{"203.0.113.20"}, "destinationPorts": []string{"443"},
			"translatedAddress": "10.30.1.20", "translatedPort": "8443",
		}},
	}})
	e.firewall("managed-fw", "managed-vnet", "10.40.0.4", "managed-fw-ip", demoNetwork+"firewallPolicies/central")
	e.nic("behindfw-nic", "behindfw", "behindfw-nsg", true, address("hub-vnet/work", "10.30.1.4", "IPv4", ""))
	e.nic("managedfw-nic", "managedfw", "", true, address("managed-vnet/work", "10.40.1.4", "IPv4", ""))
}

func (e *estate) add(id string, document object) {
	text, err := json.Marshal(document)
	if err != nil {
		text = []byte(err.Error()) // cannot be: the estate holds strings, numbers, lists and objects; Put would refuse it
	}
	e.resources = append(e.resources, Resource{ID: id, Document: text})
}

// put adds a network resource in the demo's region.
func (e *estate) put(path string, document object) {
	document["location"] = DefaultLocation
	e.add(demoNetwork+path, document)
}

func ref(path string) object { return object{"id": demoNetwork + path} }

func (e *estate) nsg(name string, tags object, rules ...any) {
	document := object{"properties": object{"securityRules": append([]any{}, rules...)}}
	if tags != nil {
		document["tags"] = tags
	}
	e.put("networkSecurityGroups/"+name, document)
}

func allow(name, description string, priority int, source, port string) any {
	return object{"name": name, "properties": object{
		"description": description, "priority": priority, "direction": "Inbound", "access": "Allow", "protocol": "Tcp",
		"sourceAddressPrefix": source, "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": port,
	}}
}

func (e *estate) network(name string, prefixes []string, subnets ...any) {
	e.put("virtualNetworks/"+name, object{"properties": object{
		"addressSpace": object{"addressPrefixes": prefixes}, "subnets": subnets,
	}})
}

func subnet(name, prefix, nsg string) any {
	properties := object{"addressPrefix": prefix}
	if nsg != "" {
		properties["networkSecurityGroup"] = ref("networkSecurityGroups/" + nsg)
	}
	return object{"name": name, "properties": properties}
}

func (e *estate) publicAddress(name, address string) {
	version := "IPv4"
	if strings.Contains(address, ":") {
		version = "IPv6"
	}
	e.put("publicIPAddresses/"+name, object{"sku": object{"name": "Standard"}, "properties": object{
		"ipAddress": address, "publicIPAddressVersion": version, "publicIPAllocationMethod": "Static",
	}})
}

// address is an IP configuration; where is network/subnet.
func address(where, private, version, public string) object {
	network, name, _ := strings.Cut(where, "/")
	properties := object{
		"privateIPAddress": private, "privateIPAddressVersion": version, "privateIPAllocationMethod": "Static",
		"subnet": ref("virtualNetworks/" + network + "/subnets/" + name), "primary": version == "IPv4",
	}
	if public != "" {
		properties["publicIPAddress"] = ref("publicIPAddresses/" + public)
	}
	return object{"name": "ipconfig-" + version, "properties": properties}
}

// tagged is a machine with tags.
func (e *estate) tagged(vm string, tags object) {
	e.add(demoGroup+"/providers/Microsoft.Compute/virtualMachines/"+vm, object{"location": DefaultLocation, "tags": tags, "properties": object{}})
}

func (e *estate) nic(name, vm, nsg string, primary bool, configurations ...object) {
	properties := object{
		"primary": primary, "ipConfigurations": configurations,
		"virtualMachine": object{"id": demoGroup + "/providers/Microsoft.Compute/virtualMachines/" + vm},
	}
	if nsg != "" {
		properties["networkSecurityGroup"] = ref("networkSecurityGroups/" + nsg)
	}
	e.put("networkInterfaces/"+name, object{"properties": properties})
}

func routed(subnet any, table string) any {
	subnet.(object)["properties"].(object)["routeTable"] = ref("routeTables/" + table)
	return subnet
}

// firewall with a policy is run by Firewall Manager; without one it holds its own (classic) rules.
func (e *estate) firewall(name, network, private, public, policy string, nat ...any) {
	properties := object{
		"sku": object{"name": "AZFW_VNet", "tier": "Standard"}, "threatIntelMode": "Alert",
		"ipConfigurations": []any{object{"name": "configuration", "properties": object{
			"privateIPAddress": private, "subnet": ref("virtualNetworks/" + network + "/subnets/AzureFirewallSubnet"),
			"publicIPAddress": ref("publicIPAddresses/" + public),
		}}},
		"networkRuleCollections": []any{}, "applicationRuleCollections": []any{}, "natRuleCollections": append([]any{}, nat...),
	}
	if policy != "" {
		properties["firewallPolicy"] = object{"id": policy}
	}
	e.put("azureFirewalls/"+name, object{"properties": properties})
}
