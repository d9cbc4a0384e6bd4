package handlers_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// firewalled puts hub-fw in front of web.
func (a *app) firewalled() jit.ID {
	fw := jit.ID{Subscription: sub, ResourceGroup: "demo", Type: jit.TypeFirewall, Name: "hub-fw"}
	nsg := jit.ID{Subscription: sub, ResourceGroup: "demo", Type: jit.TypeNSG, Name: "web-nsg"}
	a.wire(func(p *core.Ports) {
		p.Kinds = network.KindsOf(network.SecurityGroups(a.cloud.Kind(jit.TypeNSG)), network.AzureFirewalls(a.cloud.Kind(jit.TypeFirewall)))
	})
	a.cloud.SetRules(fw)
	a.cloud.SetAddresses(fw, netip.MustParseAddr("203.0.113.20"))
	vm, err := jit.ParseVM(web)
	if err != nil {
		a.t.Fatal(err)
	}
	addrs := []netip.Addr{netip.MustParseAddr("10.0.0.4")}
	a.cloud.Place(network.Machine{VM: vm, Location: "westeurope", Private: addrs, Placements: []store.Placement{
		{Target: fw, Addresses: addrs, Inside: []netip.Prefix{netip.MustParsePrefix("10.0.9.0/26")}}, {Target: nsg, Addresses: addrs}}})
	return fw
}

// TestFirewall: the plain face pins where a firewall is dialled, refuses what it cannot map, and
// tells what to dial.
func TestFirewall(t *testing.T) {
	a := newApp(t)
	fw := a.firewalled()
	enable := func(public, mapped string) answer {
		return a.call("POST", "/api/enable", fmt.Sprintf(`{"virtualMachines":[{"id":%q,"publicIpAddress":%q,"ports":[{"number":22,"protocol":"TCP","mappedPort":%s}]}]}`, web, public, mapped))
	}
	for _, tc := range []struct{ public, mapped, code, target string }{
		{"", "64000", "InvalidMappedPort", "virtualMachines[0].ports[0].mappedPort"},
		{"2001:db8::1", "0", "InvalidPublicIpAddress", "virtualMachines[0].publicIpAddress"},
		{"hub", "0", "InvalidPublicIpAddress", "virtualMachines[0].publicIpAddress"},
	} {
		r := enable(tc.public, tc.mapped)
		if code, target := r.code(); r.status != 400 || code != tc.code || target != tc.target {
			t.Errorf("%s at %s: %d %s at %s", tc.mapped, tc.public, r.status, code, target)
		}
	}
	if r := enable("203.0.113.20", "2222"); r.status != 200 || !strings.Contains(r.text, `"mappedPort":2222`) || !strings.Contains(r.text, `"publicIpAddress":"203.0.113.20"`) {
		t.Fatalf("%d %s", r.status, r.text)
	}
	ask := fmt.Sprintf(`{"virtualMachines":[{"id":%q,"ports":[{"number":22,"duration":"PT1H"}]}]}`, web)
	if r := a.call("POST", "/api/request?dryRun=true", ask); !strings.Contains(r.text, `"translatedTo":"10.0.0.4:22"`) || len(a.cloud.Standing(fw)) != 0 {
		t.Errorf("a dry run: %d %s", r.status, r.text)
	}
	r := a.call("POST", "/api/request", ask)
	if r.status != 200 || !strings.Contains(r.text, `"mappedPort":2222`) || !strings.Contains(r.text, `"connect":[{"host":"203.0.113.20","port":2222}]`) {
		t.Fatalf("%d %s", r.status, r.text)
	}
	if m := a.call("GET", "/api/machines", ""); !strings.Contains(m.text, `"kind":"firewall","hosts":["203.0.113.20"],"public":true`) || !strings.Contains(m.text, `"connect":{"host":"203.0.113.20","port":2222}`) {
		t.Errorf("%d %s", m.status, m.text)
	}
	if r := a.call("POST", "/api/requests/"+r.body["id"].(string)+"/revoke", ""); r.status != 200 || len(a.cloud.Standing(fw)) != 0 {
		t.Errorf("%d %s, %v stands", r.status, r.text, a.cloud.Standing(fw))
	}
}

// TestCompatFirewall: Microsoft's contract has publicIpAddress in policies and mappedPort in
// requests; a pin, which it cannot say, stays when a policy is put again.
func TestCompatFirewall(t *testing.T) {
	a := newApp(t)
	a.firewalled()
	if r := a.call("POST", "/api/enable", fmt.Sprintf(`{"virtualMachines":[{"id":%q,"ports":[{"number":22,"protocol":"TCP","mappedPort":2222}]}]}`, web)); r.status != 200 {
		t.Fatal(r.text)
	}
	path := "/api/subscriptions/" + sub + "/resourceGroups/demo/providers/Microsoft.Security/locations/westeurope/jitNetworkAccessPolicies/default"
	body := fmt.Sprintf(`{"kind":"Basic","properties":{"virtualMachines":[{"id":%q,"publicIpAddress":"203.0.113.20","ports":[{"number":22,"protocol":"TCP","allowedSourceAddressPrefix":"*","maxRequestAccessDuration":"PT1H"}]}]}}`, web)
	put := a.call("PUT", path+"?api-version=2020-01-01", body)
	if put.status != 200 || !strings.Contains(put.text, `"publicIpAddress":"203.0.113.20"`) || strings.Contains(put.text, "mappedPort") {
		t.Fatalf("%d %s", put.status, put.text)
	}
	initiate := fmt.Sprintf(`{"virtualMachines":[{"id":%q,"ports":[{"number":22,"duration":"PT1H"}]}]}`, web)
	if r := a.call("POST", path+"/initiate?api-version=2020-01-01", initiate); r.status != 202 || !strings.Contains(r.text, `"mappedPort":2222`) {
		t.Errorf("%d %s", r.status, r.text)
	}
	bad := strings.Replace(body, "203.0.113.20", "nowhere", 1)
	if code, _ := a.call("PUT", path+"?api-version=2020-01-01", bad).code(); code != "InvalidPublicIpAddress" {
		t.Errorf("an address that is none: %s", code)
	}
}

// TestRevokeTakesMinutes: a closing that a firewall has not confirmed yet is answered 202, never as
// closed; it goes on by itself, and is looked at where the answer says.
func TestRevokeTakesMinutes(t *testing.T) {
	for name, then := range map[string]permit.Authority{
		"for who may ask still": anything{}, "for who lost the role": nothing{}, "while nobody knows what he may": nothing{&store.Unavailable{Dependency: "Azure Resource Manager", Err: errors.New("no answer")}},
	} {
		t.Run(name, func(t *testing.T) { revokeTakesMinutes(t, then) })
	}
}

// nothing permits nothing.
type nothing struct{ err error }

func (l nothing) Missing(_ context.Context, _ jit.Caller, _ string, actions ...string) (string, error) {
	return actions[0], l.err
}

func revokeTakesMinutes(t *testing.T, then permit.Authority) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t)
		fw := a.firewalled()
		if r := a.call("POST", "/api/enable", fmt.Sprintf(`{"virtualMachines":[{"id":%q}]}`, web)); r.status != 200 {
			t.Fatal(r.text)
		}
		asked := a.call("POST", "/api/request", fmt.Sprintf(`{"virtualMachines":[{"id":%q,"ports":[{"number":22,"duration":"PT1H"}]}]}`, web))
		id, _ := asked.body["id"].(string)
		a.cloud.Fault = func(_ context.Context, s coretest.Step) error {
			if s.Op == "Apply" && !s.After && s.Of == fw.Key() {
				time.Sleep(3 * time.Minute)
			}
			return nil
		}
		a.wire(func(p *core.Ports) { p.Authority = then })
		r := a.call("POST", "/api/requests/"+id+"/revoke", "")
		if r.status != 202 || r.body["status"] != "Initiated" || r.header.Get("Location") != "/api/requests/"+id {
			t.Errorf("%d %s at %q", r.status, r.text, r.header.Get("Location"))
		}
		if len(a.cloud.Standing(fw)) != 1 {
			t.Errorf("%v stands", a.cloud.Standing(fw))
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		a.wire(func(p *core.Ports) { p.Authority = anything{} })
		if r := a.call("GET", "/api/requests/"+id, ""); r.body["status"] != "Revoked" || len(a.cloud.Standing(fw)) != 0 {
			t.Errorf("%d %s, %v stands", r.status, r.text, a.cloud.Standing(fw))
		}
	})
}
