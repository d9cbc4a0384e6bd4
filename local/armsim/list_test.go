package armsim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	"github.com/google/go-cmp/cmp"

	"portcullis/local/armsim"
)

// Every list is walked by the real pagers, page by page.
func TestPagers(t *testing.T) {
	r := newRig(t, armsim.Knobs{PageSize: 2})
	ctx := t.Context()
	r.put("/subscriptions/"+sub+"/resourceGroups/empty", `{"location":"westeurope"}`)
	var want []string
	for i := range 5 {
		name := fmt.Sprintf("x%d", i)
		for _, typ := range []string{"networkSecurityGroups", "networkInterfaces", "virtualNetworks", "publicIPAddresses", "azureFirewalls"} {
			r.put(scope+typ+"/"+name, `{"location":"westeurope"}`)
			r.put(strings.Replace(scope, "/rg/", "/rg2/", 1)+typ+"/"+name, `{"location":"westeurope"}`)
			r.put(strings.Replace(scope, sub, "22222222-2222-2222-2222-222222222222", 1)+typ+"/"+name, `{"location":"westeurope"}`)
		}
		want = append(want, name)
	}
	both := append(append([]string{}, want...), want...)
	nsgs, nics, vnets := r.net.NewSecurityGroupsClient(), r.net.NewInterfacesClient(), r.net.NewVirtualNetworksClient()
	ips, firewalls := r.net.NewPublicIPAddressesClient(), r.net.NewAzureFirewallsClient()
	type pages struct {
		more func() bool
		next func() ([]string, error)
	}
	nsgAll, nsgGroup, nsgEmpty := nsgs.NewListAllPager(nil), nsgs.NewListPager("RG", nil), nsgs.NewListPager("empty", nil)
	nicAll, nicGroup := nics.NewListAllPager(nil), nics.NewListPager("rg", nil)
	vnetAll, ipGroup, firewallAll := vnets.NewListAllPager(nil), ips.NewListPager("rg2", nil), firewalls.NewListAllPager(nil)
	for _, test := range []struct {
		name  string
		pages pages
		want  []string
	}{
		{"no NSGs in a group", pages{nsgEmpty.More, func() ([]string, error) { p, err := nsgEmpty.NextPage(ctx); return named(p.Value, err) }}, nil},
		{"NSGs of the subscription", pages{nsgAll.More, func() ([]string, error) { p, err := nsgAll.NextPage(ctx); return named(p.Value, err) }}, both},
		{"NSGs of a group", pages{nsgGroup.More, func() ([]string, error) { p, err := nsgGroup.NextPage(ctx); return named(p.Value, err) }}, want},
		{"NICs of the subscription", pages{nicAll.More, func() ([]string, error) { p, err := nicAll.NextPage(ctx); return named(p.Value, err) }}, both},
		{"NICs of a group", pages{nicGroup.More, func() ([]string, error) { p, err := nicGroup.NextPage(ctx); return named(p.Value, err) }}, want},
		{"networks", pages{vnetAll.More, func() ([]string, error) { p, err := vnetAll.NextPage(ctx); return named(p.Value, err) }}, both},
		{"addresses", pages{ipGroup.More, func() ([]string, error) { p, err := ipGroup.NextPage(ctx); return named(p.Value, err) }}, want},
		{"firewalls", pages{firewallAll.More, func() ([]string, error) { p, err := firewallAll.NextPage(ctx); return named(p.Value, err) }}, both},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for n := 0; test.pages.more() && n < 20; n++ {
				page, err := test.pages.next()
				if err != nil {
					t.Fatal(err)
				}
				if len(page) > 2 {
					t.Errorf("a page of %d", len(page))
				}
				got = append(got, page...)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// named returns the names of the resources of a page.
func named[T any](list []T, err error) ([]string, error) {
	var out []string
	for _, item := range list {
		text, merr := json.Marshal(item)
		if merr != nil {
			return nil, merr
		}
		var doc struct{ Name string }
		if merr := json.Unmarshal(text, &doc); merr != nil {
			return nil, merr
		}
		out = append(out, doc.Name)
	}
	return out, err
}

// What is added and removed between two pages neither repeats nor hides the others.
func TestPagesUnderChange(t *testing.T) {
	r := newRig(t, armsim.Knobs{PageSize: 2})
	r.put(nsgID, nsg(rule("b", 100), rule("D", 101), rule("a", 102), rule("c", 103)))
	_, first := r.want(200, "", "GET", nsgID+"/securityRules", "")
	if got := fmt.Sprint(at(first, "value", 0, "name"), at(first, "value", 1, "name")); got != "ab" {
		t.Fatalf("first page %s", got)
	}
	r.put(nsgID, nsg(rule("a0", 100), rule("c", 101), rule("D", 102)))
	_, second := r.want(200, "", "GET", at(first, "nextLink").(string), "")
	if got := fmt.Sprint(at(second, "value", 0, "name"), at(second, "value", 1, "name")); got != "cD" {
		t.Errorf("second page %s", got)
	}
	if second["nextLink"] != nil {
		t.Errorf("the last page goes on: %v", second["nextLink"])
	}
}

// Links lead where Config.URL says, for a server behind a prefix.
func TestLinksUseURL(t *testing.T) {
	c := &clock{}
	server, err := armsim.Open(armsim.Config{Verify: verify, Now: c.Now, URL: "https://arm.example", Knobs: armsim.Knobs{PageSize: 1}})
	if err != nil {
		t.Fatal(err)
	}
	r := serve(t, server, c)
	r.put(nsgID, nsg())
	r.put(nsgID+"2", nsg())
	_, page := r.want(200, "", "GET", scope+"networkSecurityGroups", "")
	put, _ := r.want(200, "", "PUT", nsgID, nsg())
	for _, link := range []string{at(page, "nextLink").(string), put.Header.Get("Azure-AsyncOperation")} {
		if !strings.HasPrefix(link, "https://arm.example/subscriptions/") {
			t.Errorf("link %s", link)
		}
	}
}

func TestResourceGroups(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	id := "/subscriptions/" + sub + "/resourceGroups/Mine"
	r.want(404, "ResourceGroupNotFound", "GET", id, "")
	r.want(400, "LocationRequired", "PUT", id, "{}")
	r.want(201, "", "PUT", id, `{"location":"westeurope"}`)
	r.want(200, "", "PUT", strings.ToLower(id), `{"location":"westeurope","tags":{"a":"b"}}`)
	r.want(405, "MethodNotAllowed", "POST", id, "")
	_, list := r.want(200, "", "GET", "/subscriptions/"+sub+"/resourcegroups", "")
	if l := at(list, "value").([]any); len(l) != 1 || at(l[0], "id") != id || at(l[0], "tags", "a") != "b" {
		t.Errorf("groups: %v", list)
	}
}

// TestAdminRules: what the knobs hold is listed by pages, of networks that exist, by POST only.
func TestAdminRules(t *testing.T) {
	r := newRig(t, armsim.Knobs{PageSize: 1})
	id := scope + "virtualNetworks/net"
	client := r.net.NewManagementClient()
	list := func(token *string) (armnetwork.ManagementClientListNetworkManagerEffectiveSecurityAdminRulesResponse, error) {
		return client.ListNetworkManagerEffectiveSecurityAdminRules(t.Context(), "rg", "net", armnetwork.QueryRequestOptions{SkipToken: token}, nil)
	}
	if _, err := list(nil); err == nil {
		t.Error("of a network that is not there: no error")
	}
	r.put(id, `{"location":"westeurope","properties":{}}`)
	err := r.arm.Tune(func(k *armsim.Knobs) {
		k.AdminRules = map[string][]map[string]any{id: {{"kind": "Custom", "id": "/a"}, {"kind": "Default", "id": "/b"}}}
	})
	if err != nil {
		t.Fatal(err)
	}
	first, err := list(nil)
	if err != nil || len(first.Value) != 1 || first.SkipToken == nil {
		t.Fatalf("first page %+v, %v", first, err)
	}
	second, err := list(first.SkipToken)
	if err != nil || len(second.Value) != 1 || second.SkipToken != nil || *second.Value[0].GetEffectiveBaseSecurityAdminRule().ID != "/b" {
		t.Errorf("second page %+v, %v", second, err)
	}
	if _, err := list(to.Ptr("-1")); err == nil {
		t.Error("a token that nobody gave: no error")
	}
}

// TestAListIsNeverOld checks that a list shows each NSG as a GET of it does, whatever changes between two lists.
func TestAListIsNeverOld(t *testing.T) {
	r := newRig(t, armsim.Knobs{Writes: armsim.Writes{LatencyMin: armsim.Duration(time.Minute), LatencyMax: armsim.Duration(time.Minute)}})
	r.put(nsgID, `{"location":"westeurope","properties":{"securityRules":[]}}`)
	r.put(scope+"networkSecurityGroups/other", `{"location":"westeurope"}`)
	get := func(path string) string {
		answer, body := r.do(http.MethodGet, path, "")
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("GET %s: %s %s", path, answer.Status, body)
		}
		return body
	}
	last := ""
	for _, step := range []struct {
		name   string
		change func()
	}{
		{"nothing", func() {}},
		{"a write begins", func() {
			r.do(http.MethodPut, nsgID, `{"location":"westeurope","tags":{"a":"b"},"properties":{"securityRules":[]}}`)
		}},
		{"it ends", func() { r.clock.Advance(time.Minute) }},
		{"an interface comes", func() {
			r.put(scope+"networkInterfaces/nic", `{"location":"westeurope","properties":{"networkSecurityGroup":{"id":"`+nsgID+`"}}}`)
		}},
		{"the interface goes", func() { r.put(scope+"networkInterfaces/nic", `{"location":"westeurope","properties":{}}`) }},
		{"it is put directly", func() { r.put(nsgID, `{"location":"westeurope","tags":{"c":"d"}}`) }},
	} {
		step.change()
		var page struct{ Value []json.RawMessage }
		if err := json.Unmarshal([]byte(get(scope+"networkSecurityGroups")), &page); err != nil || len(page.Value) != 2 {
			t.Fatalf("%s: %d groups, error %v", step.name, len(page.Value), err)
		}
		for i, id := range []string{nsgID, scope + "networkSecurityGroups/other"} {
			if diff := cmp.Diff(get(id), string(page.Value[i])); diff != "" {
				t.Errorf("%s: %s (-GET +list):\n%s", step.name, id, diff)
			}
		}
		if string(page.Value[0]) == last {
			t.Errorf("%s: the list shows no change", step.name)
		}
		last = string(page.Value[0])
	}
}
