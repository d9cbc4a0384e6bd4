package nsg_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/local/armsim"
)

func TestFirewallConformance(t *testing.T) {
	for _, tc := range []struct {
		name  string
		knobs armsim.Knobs
	}{
		{"Updating", armsim.Knobs{PageSize: 2}},
		{"Succeeded", armsim.Knobs{PageSize: 2, Writes: armsim.Writes{Answer: armsim.AnswerSucceeded}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			coretest.TestFirewall(t, coretest.SecurityRules(), func(t *testing.T) (network.RuleStore, coretest.FirewallFixture) {
				r := newRig(t, tc.knobs)
				return r, r
			})
		})
	}
}

func TestNetworkConformance(t *testing.T) {
	coretest.TestNetwork(t, func(t *testing.T) (network.Network, coretest.NetworkFixture) {
		r := newRig(t, armsim.Knobs{PageSize: 2})
		return r, networkFixture{r}
	})
}

func (r *rig) Guard(t *testing.T, name string) jit.ID {
	t.Helper()
	r.Put(t, nsgID(name).String(), object{"location": "westeurope", "properties": object{"securityRules": []any{}}})
	return nsgID(name)
}

// ref refers to a resource by its id in capitals, as ARM sometimes does.
func ref(id string) object { return object{"id": strings.ToUpper(id)} }

func (r *rig) Subnet(t *testing.T, name string, guard jit.ID) string {
	t.Helper()
	properties := object{"addressPrefix": "10.0.0.0/16"}
	if !guard.IsZero() {
		properties["networkSecurityGroup"] = ref(guard.String())
	}
	id := scope + "virtualNetworks/vnet-" + name
	r.Put(t, id, object{"location": "westeurope", "properties": object{
		"addressSpace": object{"addressPrefixes": []string{"10.0.0.0/16"}},
		"subnets":      []any{object{"name": name, "properties": properties}},
	}})
	return id + "/subnets/" + name
}

func (r *rig) Machine(t *testing.T, name string, interfaces ...coretest.Interface) (jit.ID, []string) {
	t.Helper()
	vm := jit.ID{Subscription: sub, ResourceGroup: "rg", Type: jit.TypeVM, Name: name}
	var ids []string
	for i, in := range interfaces {
		properties := object{"primary": in.Primary, "virtualMachine": ref(vm.String())}
		if len(interfaces) > 1 { // one interface of several may be spelled as it is
			properties["virtualMachine"] = object{"id": vm.String()}
		}
		if !in.Guard.IsZero() {
			properties["networkSecurityGroup"] = ref(in.Guard.String())
		}
		var configs []any
		for j, c := range in.Configs {
			configs = append(configs, object{"name": fmt.Sprintf("config%d", j), "properties": r.config(t, c)})
		}
		slices.Reverse(configs) // their order is by name, not as ARM happens to list them
		properties["ipConfigurations"] = configs
		id := fmt.Sprintf("%snetworkInterfaces/%s-%d", scope, name, i)
		r.Put(t, id, object{"location": "West Europe", "properties": properties})
		ids = append(ids, id)
	}
	return vm, ids
}

func (r *rig) config(t *testing.T, c coretest.Config) object {
	t.Helper()
	p := object{"primary": c.Primary, "subnet": ref(c.Subnet), "privateIPAddressVersion": version(c.Private)}
	if c.Private.IsValid() {
		p["privateIPAddress"] = c.Private.String()
	}
	if c.Public.IsValid() {
		id := fmt.Sprintf("%spublicIPAddresses/ip-%d", scope, r.Next())
		r.Put(t, id, object{"location": "westeurope", "properties": object{"ipAddress": c.Public.String(), "publicIPAddressVersion": version(c.Public)}})
		p["publicIPAddress"] = ref(id)
	}
	return p
}

func version(a netip.Addr) string {
	if a.Is6() {
		return "IPv6"
	}
	return "IPv4"
}
