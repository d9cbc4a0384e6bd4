package handlers_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// TestFullReplace: a PUT makes the policy list what it names and nothing else.
func TestFullReplace(t *testing.T) {
	a := newCompat(t)
	a.put(web, app1)
	a.call("POST", policy+"/initiate"+version, initiate(web, `{"number":22,"duration":"PT1H"}`)).wants(t, 202, "")
	a.call("POST", policy+"/initiate"+version, initiate(app1, `{"number":22,"duration":"PT1H"}`)).wants(t, 202, "")
	r := a.call("PUT", policy+version, putBody(app1, app2))
	if r.wants(t, 200, ""); r.lists() != "app1 app2" {
		t.Errorf("lists %q", r.lists())
	}
	if a.allows("web-nsg") != 0 || a.allows("apps-nsg") != 1 {
		t.Errorf("%d and %d windows stand, want those of the machine that went closed and the other open", a.allows("web-nsg"), a.allows("apps-nsg"))
	}
	if rules := a.cloud.Standing(jit.ID{Subscription: sub, ResourceGroup: "demo", Type: jit.TypeNSG, Name: "web-nsg"}); len(rules) != 0 {
		t.Errorf("%d rules are left of the machine that went", len(rules))
	}
	if r := a.call("PUT", policy+version, `{"properties":{"virtualMachines":[]}}`); r.status != 200 || r.lists() != "" {
		t.Errorf("%d %s", r.status, r.text)
	}
	// An empty policy is there until it is deleted.
	for _, path := range []string{policy, strings.TrimSuffix(policy, "/default")} {
		if r := a.call("GET", path+version, ""); r.status != 200 || strings.Count(r.text, `"virtualMachines":[],"requests":[]`) != 1 {
			t.Errorf("%s: %d %s", path, r.status, r.text)
		}
	}
	for _, want := range []int{200, 204} {
		if r := a.call("DELETE", policy+version, ""); r.status != want {
			t.Errorf("%d %s", r.status, r.text)
		}
	}
	a.call("GET", policy+version, "").wants(t, 404, "PolicyNotFound")
}

// TestOneStore: what one face does the other one shows.
func TestOneStore(t *testing.T) {
	a := newCompat(t)
	body := `{"virtualMachines":[{"id":"` + web + `","existingRules":"respect","ports":[{"number":22,"protocol":"TCP"}]},{"id":"` + north + `"}]}`
	a.call("POST", "/api/enable", body).wants(t, 200, "")
	if r := a.call("GET", policy+version, ""); r.lists() != "web" {
		t.Errorf("default of demo: %d %s", r.status, r.text)
	}
	elsewhere := strings.NewReplacer("/demo/", "/other/", "westeurope", "northeurope").Replace(policy)
	if r := a.call("GET", elsewhere+version, ""); r.lists() != "north" {
		t.Errorf("default of other: %d %s", r.status, r.text)
	}
	// existingRules cannot be said here, and stays.
	a.put(web)
	all, err := store.AllPolicies(t.Context(), a.store)
	if err != nil || all[0].Policy.ExistingRules != jit.Respect || all[0].Policy.Ports[0].Protocol != jit.AnyProtocol {
		t.Errorf("%+v, %v", all, err)
	}
	// Enabling again through the plain face leaves the machine in the policy that lists it.
	named := strings.Replace(policy, "/default", "/Night", 1)
	a.call("PUT", named+version, putBody(app1)).wants(t, 200, "")
	a.call("POST", "/api/enable", `{"virtualMachines":[{"id":"`+app1+`"}]}`).wants(t, 200, "")
	if r := a.call("GET", named+version, ""); r.lists() != "app1" || !strings.Contains(r.text, `"number":5986`) {
		t.Errorf("%d %s", r.status, r.text)
	}
	a.call("POST", "/api/disable", `{"virtualMachines":[{"id":"`+app1+`"}]}`).wants(t, 200, "")
	if r := a.call("GET", named+version, ""); r.status != 200 || r.lists() != "" {
		t.Errorf("%d %s", r.status, r.text)
	}
}

// TestOtherPolicy: a machine is in one policy only.
func TestOtherPolicy(t *testing.T) {
	a := newCompat(t)
	a.put(web)
	named := strings.Replace(policy, "/default", "/mine", 1)
	r := a.call("PUT", named+version, putBody(app1, web))
	r.wants(t, 409, "VirtualMachineInOtherPolicy")
	if _, target := r.code(); target != "properties.virtualMachines[1].id" {
		t.Errorf("target %q", target)
	}
	a.call("GET", named+version, "").wants(t, 404, "PolicyNotFound")
	// A policy may list machines of other groups and regions.
	if r := a.call("PUT", named+version, putBody(north, app1)); r.lists() != "north app1" {
		t.Errorf("%d %s", r.status, r.text)
	}
	if r := a.call("GET", named+version, ""); r.lists() != "north app1" {
		t.Errorf("%d %s", r.status, r.text)
	}
}

func TestPreconditions(t *testing.T) {
	for _, tc := range []struct {
		name, method, header, value string // {etag} is the policy's, {old} that of before
		exists                      bool
		status                      int
	}{
		{"the current one", "PUT", "If-Match", `{etag}`, true, 200},
		{"one of several", "PUT", "If-Match", `"x", {etag}`, true, 200},
		{"any", "PUT", "If-Match", `*`, true, 200},
		{"a stale one", "PUT", "If-Match", `{old}`, true, 412},
		{"a weak one", "PUT", "If-Match", `W/{etag}`, true, 412},
		{"without quotes", "PUT", "If-Match", `x`, true, 412},
		{"empty", "PUT", "If-Match", ``, true, 412},
		{"any, of none", "PUT", "If-Match", `*`, false, 412},
		{"a stale one, of none", "PUT", "If-Match", `{old}`, false, 412},
		{"only if there is none", "PUT", "If-None-Match", `*`, false, 200},
		{"only if there is none, and there is", "PUT", "If-None-Match", `*`, true, 412},
		{"delete the current one", "DELETE", "If-Match", `{etag}`, true, 200},
		{"delete a stale one", "DELETE", "If-Match", `{old}`, true, 412},
		{"delete any, of none", "DELETE", "If-Match", `*`, false, 412},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newCompat(t)
			old := a.put(web)
			etag := a.put(web, app1)
			if old == etag {
				t.Fatal("the ETag did not change")
			}
			before := "web app1"
			if !tc.exists {
				if r := a.call("DELETE", policy+version, ""); r.status != 200 {
					t.Fatal(r.status)
				}
				before = ""
			}
			value := strings.NewReplacer("{etag}", etag, "{old}", old).Replace(tc.value)
			r := a.call(tc.method, policy+version, putBody(app2), tc.header, value)
			if r.status != tc.status {
				t.Fatalf("%d %s, want %d", r.status, r.text, tc.status)
			}
			if tc.status == 412 {
				r.wants(t, 412, "PreconditionFailed")
				if got := a.call("GET", policy+version, "").lists(); got != before {
					t.Errorf("a refused change left %q, want %q", got, before)
				}
			}
		})
	}
}

// TestETag: it is the same for the same content, and for a request or a sweep in between.
func TestETag(t *testing.T) {
	a := newCompat(t)
	etag := a.put(web, app1)
	a.call("POST", policy+"/initiate"+version, initiate(web, `{"number":22,"duration":"PT1H"}`)).wants(t, 202, "")
	a.sweeps().wants(t, 200, "")
	for name, got := range map[string]string{"GET": a.call("GET", policy+version, "").header.Get("ETag"), "PUT of the same": a.put(app1, web), "and back": func() string { a.put(web); return a.put(web, app1) }()} {
		if got != etag {
			t.Errorf("%s: %s, want %s", name, got, etag)
		}
	}
	for name, body := range map[string]string{
		"another port": strings.Replace(putBody(web, app1), `"number":22`, `"number":23`, 1), "another maximum": strings.Replace(putBody(web, app1), "PT3H", "PT2H", 1),
		"another source": strings.Replace(putBody(web, app1), `Prefix":"*"`, `Prefix":"192.0.2.0/24"`, 1), "another machine": putBody(web, app2),
	} {
		if got := a.call("PUT", policy+version, body); got.status != 200 || got.header.Get("ETag") == etag {
			t.Errorf("%s: %d, the ETag stays", name, got.status)
		}
	}
}

// TestTwoEditors: of editors at two instances who have read the same policy and each add a machine,
// one is answered and the others are refused; who reads again adds to what is there.
func TestTwoEditors(t *testing.T) {
	a := newCompat(t)
	for i := range 6 {
		a.place(fmt.Sprintf("%s/providers/Microsoft.Compute/virtualMachines/m%d", group, i), fmt.Sprintf("nsg%d", i), fmt.Sprintf("10.3.0.%d", i+1), "westeurope")
	}
	etag := a.put(web)
	instances := []http.Handler{a.Handler}
	a.log = &bytes.Buffer{} // each instance locks its own
	a.wire(func(*core.Ports) {})
	instances = append(instances, a.Handler)
	var calls atomic.Int64
	a.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // as a load balancer
		instances[calls.Add(1)%2].ServeHTTP(w, r)
	})
	var wg sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for i := range 6 {
		wg.Go(func() {
			mine := fmt.Sprintf("%s/providers/Microsoft.Compute/virtualMachines/m%d", group, i)
			r := a.call("PUT", policy+version, putBody(web, mine), "If-Match", etag)
			mu.Lock()
			defer mu.Unlock()
			statuses[r.status]++
		})
	}
	wg.Wait()
	if statuses[200] != 1 || statuses[412] != 5 {
		t.Errorf("answers %v, want one 200 and the rest 412", statuses)
	}
	if got := a.call("GET", policy+version, "").lists(); len(strings.Fields(got)) != 2 {
		t.Errorf("lists %q, want web and one more", got)
	}
}

// TestHistory: the last seven days, a hundred at most, newest first, and of each
// request the policy's own machines.
func TestHistory(t *testing.T) {
	a := newCompat(t)
	a.put(web, app1)
	named := strings.Replace(policy, "/default", "/other", 1)
	a.call("PUT", named+version, putBody(app2)).wants(t, 200, "")
	a.call("POST", policy+"/initiate"+version, initiate(web, `{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"192.0.2.1"}`)).wants(t, 202, "")
	a.leap(7*24*time.Hour + time.Second)
	both := `{"virtualMachines":[{"id":"` + app1 + `","ports":[{"number":22,"duration":"PT1H"}]},{"id":"` + app2 + `","ports":[{"number":22,"duration":"PT1H"}]}]}`
	a.call("POST", "/api/request", both).wants(t, 200, "")
	r := a.call("GET", policy+version, "")
	requests := r.body["properties"].(map[string]any)["requests"].([]any)
	if len(requests) != 1 || strings.Contains(r.text, "192.0.2.1") || strings.Contains(r.text, "app2") {
		t.Errorf("%s", r.text)
	}
	if r := a.call("GET", named+version, ""); !strings.Contains(r.text, `"requests":[{"virtualMachines":[{"id":"`+app2) || strings.Contains(r.text, "app1") {
		t.Errorf("%s", r.text)
	}
	for i := range 105 {
		g := jit.Grant{ID: a.ports.NewID(), Requestor: fmt.Sprintf("r%d", i), Start: a.now().Add(time.Duration(i) * time.Second), OpenBy: a.now().Add(time.Hour), Generation: 1,
			VMs: []jit.GrantVM{{VM: mustVM(t, web), Ports: []jit.Window{{Number: 22, Protocol: jit.TCP, Sources: jit.AnySource(), End: a.now().Add(time.Hour), Status: jit.Initiated}}}}}
		if _, err := a.store.InsertGrant(t.Context(), store.GrantRecord{Grant: g}, nil, a.now()); err != nil {
			t.Fatal(err)
		}
	}
	requests = a.call("GET", policy+version, "").body["properties"].(map[string]any)["requests"].([]any)
	if len(requests) != 100 || requests[0].(map[string]any)["requestor"] != "r104" || requests[99].(map[string]any)["requestor"] != "r5" {
		t.Errorf("%d requests", len(requests))
	}
}

func mustVM(t *testing.T, s string) jit.ID {
	t.Helper()
	id, err := jit.ParseVM(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestPutProtectsWhatItCan: a port that a foreign rule opens at 100 hinders neither the machine's other ports nor other
// machines, and the answer says so, also where the same body is sent again.
func TestPutProtectsWhatItCan(t *testing.T) {
	a := newCompat(t)
	nsg := jit.ID{Subscription: sub, ResourceGroup: "demo", Type: jit.TypeNSG, Name: "apps-nsg"}
	open := jit.Rule{Name: "AllowSSH", Priority: 100, Access: jit.Allow, Protocol: jit.TCP, Source: jit.AnyPeer(), Destination: jit.PeersOf(netip.MustParseAddr("10.0.1.4")), SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(22)}}
	a.cloud.SetRules(nsg, open)
	for range 2 {
		r := a.call("PUT", policy+version, putBody(app1, app2, web))
		if r.wants(t, 200, ""); r.lists() != "app1 app2 web" || strings.Count(r.text, `"provisioningState":"Succeeded"`) != 1 {
			t.Errorf("%s", r.text)
		}
		properties, _ := r.body["properties"].(map[string]any)
		warnings, _ := properties["warnings"].([]any)
		if len(warnings) != 1 {
			t.Fatalf("warnings %v", warnings)
		}
		w := warnings[0].(map[string]any)
		if w["code"] != "NoPriorityLeft" || w["target"] != app1 || !strings.Contains(fmt.Sprint(w["message"]), "port 22 of app1: the rule AllowSSH (priority 100)") {
			t.Errorf("warning %v", w)
		}
	}
	if rules := a.cloud.Standing(nsg); len(rules) != 2 || rules[0].Access == rules[1].Access {
		t.Errorf("rules %+v, want the foreign one and a deny", rules)
	}
	if r := a.call("GET", policy+version, ""); strings.Contains(r.text, "warnings") {
		t.Errorf("a reading knows no rules, and yet warns: %s", r.text)
	}
	enable := `{"virtualMachines":[{"id":"` + app1 + `","ports":[{"number":22}]%s}]}`
	a.call("POST", "/api/enable?dryRun=true", fmt.Sprintf(enable, "")).wants(t, 409, "NoPriorityLeft")
	if r := a.call("POST", "/api/enable", fmt.Sprintf(enable, `,"existingRules":"respect"`)); r.status != 200 || !strings.Contains(r.text, `"exposingRules":[{"rule":"AllowSSH","priority":100,"port":22}]`) {
		t.Errorf("%d %s", r.status, r.text)
	}
}
