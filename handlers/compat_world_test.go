package handlers_test

import (
	"net/netip"
	"strings"
	"testing"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/network"
	"portcullis/core/store"
)

// The compatible face's world: three machines of one group, one of another
// group and region.
const (
	group   = "/subscriptions/" + sub + "/resourceGroups/demo"
	policy  = "/api" + group + "/providers/Microsoft.Security/locations/westeurope/jitNetworkAccessPolicies/default"
	version = "?api-version=2020-01-01"
	app1    = group + "/providers/Microsoft.Compute/virtualMachines/app1"
	app2    = group + "/providers/Microsoft.Compute/virtualMachines/app2"
	north   = "/subscriptions/" + sub + "/resourceGroups/other/providers/Microsoft.Compute/virtualMachines/north"
)

// newCompat is an app with those machines.
func newCompat(t *testing.T) *app {
	a := newApp(t)
	for vm, place := range map[string][3]string{app1: {"apps-nsg", "10.0.1.4", "westeurope"}, app2: {"apps-nsg", "10.0.1.5", "westeurope"}, north: {"north-nsg", "10.1.0.4", "northeurope"}} {
		a.place(vm, place[0], place[1], place[2])
	}
	return a
}

// place puts a machine behind a security group, which it makes where it is new.
func (a *app) place(vm, nsg, addr, location string) {
	a.t.Helper()
	id, err := jit.ParseVM(vm)
	if err != nil {
		a.t.Fatal(err)
	}
	target := jit.ID{Subscription: sub, ResourceGroup: "demo", Type: jit.TypeNSG, Name: nsg}
	addrs := []netip.Addr{netip.MustParseAddr(addr)}
	a.cloud.SetRules(target)
	a.cloud.Place(network.Machine{VM: id, Location: location, Private: addrs, Placements: []store.Placement{{Target: target, Addresses: addrs}}})
}

// ssh is a machine of a policy with port 22.
func ssh(vm string) string {
	return `{"id":"` + vm + `","ports":[{"number":22,"protocol":"*","allowedSourceAddressPrefix":"*","maxRequestAccessDuration":"PT3H"}]}`
}

// putBody is a policy of machines with port 22.
func putBody(vms ...string) string {
	var list []string
	for _, vm := range vms {
		list = append(list, ssh(vm))
	}
	return `{"kind":"Basic","properties":{"virtualMachines":[` + strings.Join(list, ",") + `]}}`
}

// put stores the policy default with machines and gives its ETag.
func (a *app) put(vms ...string) string {
	a.t.Helper()
	r := a.call("PUT", policy+version, putBody(vms...))
	if r.status != 200 {
		a.t.Fatalf("put: %d %s", r.status, r.text)
	}
	return r.header.Get("ETag")
}

// lists gives the names of the machines in a policy's answer.
func (r answer) lists() string {
	properties, _ := r.body["properties"].(map[string]any)
	vms, _ := properties["virtualMachines"].([]any)
	var names []string
	for _, vm := range vms {
		id := vm.(map[string]any)["id"].(string)
		names = append(names, id[strings.LastIndex(id, "/")+1:])
	}
	return strings.Join(names, " ")
}

// wants compares an answer's status and code.
func (r answer) wants(t *testing.T, status int, code string) {
	t.Helper()
	if got, _ := r.code(); r.status != status || got != code || r.header.Get("x-ms-error-code") != code {
		t.Errorf("got %d %s, want %d %s: %s", r.status, got, status, code, r.text)
	}
}

// initiate is the body of an initiate of one machine.
func initiate(vm, port string) string {
	return `{"virtualMachines":[{"id":"` + vm + `","ports":[` + port + `]}]}`
}

// allows counts our rules on a security group that let somebody in.
func (a *app) allows(nsg string) int {
	n := 0
	for _, r := range a.cloud.Standing(jit.ID{Subscription: sub, ResourceGroup: "demo", Type: jit.TypeNSG, Name: nsg}) {
		if label.Owned(r.Name) && r.Access == jit.Allow {
			n++
		}
	}
	return n
}
