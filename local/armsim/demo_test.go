package armsim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/local/armsim"
)

const demo = "/subscriptions/" + armsim.DemoSubscription + "/resourceGroups/demo"

func TestSeedOnlyOnce(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	r.put(nsgID, nsg())
	if err := armsim.Seed(r.arm); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.arm.Get(demo); ok {
		t.Error("seeded over what was there")
	}
}

// The estate holds each VM with the NSGs that guard it, on its interfaces and on their subnets.
func TestDemo(t *testing.T) {
	r := newRig(t, armsim.DemoKnobs())
	if err := armsim.Seed(r.arm); err != nil {
		t.Fatal(err)
	}
	_, nics := r.want(200, "", "GET", demo+"/providers/Microsoft.Network/networkInterfaces", "")
	_, vnets := r.want(200, "", "GET", demo+"/providers/Microsoft.Network/virtualNetworks", "")
	subnetNSG := map[string]string{}
	for _, vnet := range at(vnets, "value").([]any) {
		for _, subnet := range at(vnet, "properties", "subnets").([]any) {
			id, _ := at(subnet, "properties", "networkSecurityGroup", "id").(string)
			subnetNSG[at(subnet, "id").(string)] = last(id)
		}
	}
	var got []string
	for _, nic := range at(nics, "value").([]any) {
		vm := last(at(nic, "properties", "virtualMachine", "id").(string))
		own, _ := at(nic, "properties", "networkSecurityGroup", "id").(string)
		for _, c := range at(nic, "properties", "ipConfigurations").([]any) {
			subnet := at(c, "properties", "subnet", "id").(string)
			public, _ := at(c, "properties", "publicIPAddress", "id").(string)
			if _, known := subnetNSG[subnet]; !known {
				t.Errorf("%s is in %s, which is not there", vm, subnet)
			}
			got = append(got, fmt.Sprintf("%s %v nic=%s subnet=%s public=%s", vm, at(c, "properties", "privateIPAddress"), last(own), subnetNSG[subnet], last(public)))
		}
	}
	slices.Sort(got)
	want := []string{
		"app1 10.10.2.4 nic= subnet=apps-nsg public=app1-ip",
		"app2 10.10.2.5 nic= subnet=apps-nsg public=",
		"bare 10.10.3.4 nic= subnet= public=",
		"behindfw 10.30.1.4 nic=behindfw-nsg subnet= public=",
		"both 10.10.2.6 nic=both-nsg subnet=apps-nsg public=",
		"dual 10.20.1.4 nic=dual-front-nsg subnet=dual-subnet-nsg public=dual-ip",
		"dual 10.20.1.5 nic=dual-back-nsg subnet=dual-subnet-nsg public=",
		"dual fd00:20:0:1::4 nic=dual-front-nsg subnet=dual-subnet-nsg public=dual-ip6",
		"dual fd00:20:0:1::5 nic=dual-back-nsg subnet=dual-subnet-nsg public=",
		"managedfw 10.40.1.4 nic= subnet= public=",
		"web 10.10.1.4 nic=web-nsg subnet= public=web-ip",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_, web := r.want(200, "", "GET", demo+"/providers/Microsoft.Network/networkSecurityGroups/web-nsg", "")
	if names(web) != "AllowWeb AllowSshAny" || at(web, "tags", "owner") != "web-team" || at(web, "properties", "flushConnection") != nil {
		t.Errorf("web-nsg: %v", web)
	}
	if at(web, "properties", "networkInterfaces", 0, "id") != demo+"/providers/Microsoft.Network/networkInterfaces/web-nic" {
		t.Errorf("web-nsg does not name its interface: %v", at(web, "properties", "networkInterfaces"))
	}
	apps := r.get(demo + "/providers/Microsoft.Network/networkSecurityGroups/apps-nsg")
	if at(apps, "properties", "subnets", 0, "id") != demo+"/providers/Microsoft.Network/virtualNetworks/main-vnet/subnets/apps" {
		t.Errorf("apps-nsg does not name its subnet: %v", at(apps, "properties", "subnets"))
	}
	_, firewalls := r.want(200, "", "GET", "/subscriptions/"+armsim.DemoSubscription+"/providers/Microsoft.Network/azureFirewalls", "")
	for i, want := range []string{"hub-fw <nil>", "managed-fw " + demo + "/providers/Microsoft.Network/firewallPolicies/central"} {
		f := at(firewalls, "value", i)
		if got := fmt.Sprint(at(f, "name"), " ", at(f, "properties", "firewallPolicy", "id")); got != want {
			t.Errorf("firewall %d: got %s, want %s", i, got, want)
		}
	}
	_, classic := r.want(200, "", "GET", "/subscriptions/"+armsim.DemoSubscription+
		"/resources?api-version=2021-04-01&$filter=resourceType%20eq%20%27Microsoft.ClassicCompute/virtualMachines%27", "")
	if l := at(classic, "value").([]any); len(l) != 1 || at(l[0], "name") != "old" {
		t.Errorf("classic VMs: %v", classic)
	}
	r.want(404, "InvalidResourceType", "GET", demo+"/providers/Microsoft.ClassicCompute/virtualMachines/old", "")
}

func last(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }
