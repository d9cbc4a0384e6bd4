package nsg_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
	"portcullis/local/armsim"
)

func vmID(name string) jit.ID {
	return jit.ID{Subscription: sub, ResourceGroup: "rg", Type: jit.TypeVM, Name: name}
}

func oneNIC(subnet, private string) coretest.Interface {
	return coretest.Interface{Primary: true, Configs: []coretest.Config{{Primary: true, Subnet: subnet, Private: netip.MustParseAddr(private)}}}
}

// TestSubnetThatIsNotListed holds that a guard which cannot be known is an error, and only
// for those who ask for the machine behind it.
func TestSubnetThatIsNotListed(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	hidden, _ := r.Machine(t, "hidden", oneNIC(scope+"virtualNetworks/secret/subnets/s", "10.9.0.4"))
	plain, _ := r.Machine(t, "plain", oneNIC(r.Subnet(t, "s", r.Guard(t, "g")), "10.0.0.4"))
	_, err := r.Machines(t.Context(), sub)
	if !errors.Is(err, store.ErrForbidden) || !strings.Contains(err.Error(), "hidden-0") {
		t.Errorf("Machines: error %v, want one that names the interface", err)
	}
	if _, err := r.Locate(t.Context(), []jit.ID{plain, hidden}); !errors.Is(err, store.ErrForbidden) {
		t.Errorf("Locate of both: error %v, want %v", err, store.ErrForbidden)
	}
	found, err := r.Locate(t.Context(), []jit.ID{plain})
	if err != nil || len(found) != 1 {
		t.Errorf("Locate of the other: %d machines and %v", len(found), err)
	}
}

// TestInterfacesOfNoMachine holds that what is not a virtual machine's is passed over.
func TestInterfacesOfNoMachine(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	owners := map[string]any{
		"free":     nil,
		"instance": object{"id": "/subscriptions/" + sub + "/resourceGroups/rg/providers/Microsoft.Compute/virtualMachineScaleSets/set/virtualMachines/0"},
		"odd":      object{"id": "somewhere"},
		"nameless": object{},
	}
	for name, owner := range owners {
		r.Put(t, scope+"networkInterfaces/"+name, object{"location": "westeurope", "properties": object{"virtualMachine": owner}})
	}
	r.Put(t, scope+"virtualNetworks/empty", object{"location": "westeurope"})
	r.Put(t, scope+"publicIPAddresses/unassigned", object{"location": "westeurope", "properties": object{}})
	list, err := r.Machines(t.Context(), sub)
	if err != nil || len(list) != 0 {
		t.Errorf("Machines: %v and %v, want none", list, err)
	}
}

// TestAddressesToCome holds that a configuration without an address adds no placement,
// and does not count as unguarded where a group is there.
func TestAddressesToCome(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	vm, _ := r.Machine(t, "vm", coretest.Interface{Configs: []coretest.Config{{Subnet: r.Subnet(t, "s", r.Guard(t, "g"))}}})
	found, err := r.Locate(t.Context(), []jit.ID{vm})
	if err != nil {
		t.Fatal(err)
	}
	if m := found[vm.Key()]; len(m.Placements)+len(m.Private)+len(m.Public)+len(m.Unguarded) != 0 || m.Location != "westeurope" {
		t.Errorf("machine %+v, want nothing but a location", m)
	}
}

// TestDemo reads the demo estate as its description has it.
func TestDemo(t *testing.T) {
	r := newRig(t, armsim.Knobs{PageSize: 1})
	if err := armsim.Seed(r.ARM); err != nil {
		t.Fatal(err)
	}
	list, err := r.Machines(t.Context(), armsim.DemoSubscription)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, m := range list {
		var s []string
		for _, p := range m.Placements {
			s = append(s, p.Target.Name)
		}
		for _, a := range m.Public {
			s = append(s, a.String())
		}
		if len(m.Unguarded) > 0 {
			s = append(s, "unguarded")
		}
		got[m.VM.Name] = strings.Join(s, " ")
	}
	for name, want := range map[string]string{
		"web": "web-nsg 203.0.113.10", "app1": "apps-nsg 203.0.113.11", "app2": "apps-nsg", "both": "apps-nsg both-nsg", "bare": "unguarded",
	} {
		if diff := cmp.Diff(want, got[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if n := strings.Count(got["dual"], "-nsg"); n != 3 {
		t.Errorf("dual stands behind %q, want three groups", got["dual"])
	}
}

// TestOrderIsNotThatOfARM lists interfaces and configurations backwards.
func TestOrderIsNotThatOfARM(t *testing.T) {
	config := func(name, address string) string {
		return `{"name":"` + name + `","properties":{"privateIPAddress":"` + address + `","subnet":{"id":"/s"}}}`
	}
	nic := func(name string, configs ...string) string {
		return `{"id":"` + scope + `networkInterfaces/` + name + `","location":"westeurope","properties":{"virtualMachine":{"id":"` + vmID("vm").String() + `"},"ipConfigurations":[` + strings.Join(configs, ",") + `]}}`
	}
	lists := map[string]string{
		"networkInterfaces": nic("b", config("z", "10.0.0.6"), config("y", "10.0.0.5")) + "," + nic("a", config("d", "10.0.0.4"), config("C", "10.0.0.9")),
		"virtualNetworks":   `{"properties":{"subnets":[{"id":"/S","properties":{}}]}}`,
		"publicIPAddresses": "",
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(200, `{"value":[`+lists[r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]]+`]}`)(w, r)
	}))
	t.Cleanup(server.Close)
	list, err := client(t, server, nil).Machines(t.Context(), sub)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d machines and %v, want one", len(list), err)
	}
	want := "[10.0.0.9 10.0.0.4 10.0.0.5 10.0.0.6] [" + scope + "networkInterfaces/a " + scope + "networkInterfaces/b]"
	if got := fmt.Sprint(list[0].Private, list[0].Unguarded); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestLocateInASubscriptionThatIsGone(t *testing.T) {
	s := play(t, refusal(404, "SubscriptionNotFound", "no such"), refusal(404, "SubscriptionNotFound", "no such"), refusal(404, "SubscriptionNotFound", "no such"))
	found, err := client(t, s.Server, nil).Locate(t.Context(), []jit.ID{vmID("vm")})
	if err != nil || len(found) != 0 {
		t.Errorf("%d machines and %v, want none", len(found), err)
	}
}

// TestHalfAnAnswer holds that a listing which breaks off after its first page is an error.
func TestHalfAnAnswer(t *testing.T) {
	first := func(w http.ResponseWriter, r *http.Request) {
		answer(200, `{"value":[`+shown("v1", "Succeeded")+`],"nextLink":"http://`+r.Host+`/next"}`)(w, r)
	}
	for _, tc := range []struct {
		name string
		then []http.HandlerFunc
	}{
		{"refused", []http.HandlerFunc{refusal(403, "AuthorizationFailed", "no")}},
		{"cut off", []http.HandlerFunc{cut, cut, cut}},
		{"not JSON", []http.HandlerFunc{answer(200, "<html>")}},
		{"a group without rules", []http.HandlerFunc{answer(200, `{"value":[{"id":"`+nsgID("b").String()+`","etag":"v1"}]}`)}},
		{"a group without an id", []http.HandlerFunc{answer(200, `{"value":[{"etag":"v1","properties":{"securityRules":[]}}]}`)}},
		{"something else", []http.HandlerFunc{answer(200, `{"value":[{"id":"`+vmID("b").String()+`","etag":"v1","properties":{"securityRules":[]}}]}`)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := play(t, append([]http.HandlerFunc{first}, tc.then...)...)
			list, err := client(t, s.Server, nil).All(t.Context(), network.Ordinary(), sub)
			if err == nil || len(list) != 0 {
				t.Errorf("%d groups and %v, want an error alone", len(list), err)
			}
			s.Seen(t)
		})
	}
}
