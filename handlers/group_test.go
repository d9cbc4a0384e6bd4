package handlers_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/store"
)

// groupCalls are the calls of a resource group on the paths of Azure clients, with what each is answered without a question about the group.
func groupCalls(name string) []struct {
	method, path, body, otherwise string
	status                        int
} {
	one := strings.Replace(policy, "/resourceGroups/demo/", "/resourceGroups/"+name+"/", 1)
	region := strings.TrimSuffix(one, "/default")
	return []struct {
		method, path, body, otherwise string
		status                        int
	}{
		{"GET", strings.Replace(region, "/locations/westeurope", "", 1), "", "", 200},
		{"GET", region, "", "", 200},
		{"GET", one, "", "PolicyNotFound", 404},
		{"DELETE", one, "", "", 204},
		{"POST", one + "/initiate", initiate(web, `{"number":22,"duration":"PT1H"}`), "PolicyNotFound", 404},
		{"PUT", one, putBody(web), "", 200},
		{"PUT", one, `{"properties":{"virtualMachines":[]}}`, "", 200},
	}
}

// TestResourceGroupGone: a resource group that is not there is answered as Resource Manager answers, by every operation, to who may read the
// subscription. Nobody else learns of it, and neither for him nor for a group that is there Azure is asked more than before.
func TestResourceGroupGone(t *testing.T) {
	asks := func(a *app) *int {
		n := 0
		a.cloud.Fault = func(_ context.Context, s coretest.Step) error {
			if s.Op == "HasGroup" {
				n++
			}
			return nil
		}
		return &n
	}
	a := newCompat(t)
	n := asks(a)
	for i, c := range groupCalls("nowhere") {
		a.call(c.method, c.path+version, c.body).wants(t, 404, "ResourceGroupNotFound")
		if *n != i+1 {
			t.Errorf("%s %s: the group was asked for %d times", c.method, c.path, *n-i)
		}
	}
	if got := a.call("GET", "/api/machines", "").text; !strings.Contains(got, `"configured":0`) {
		t.Errorf("something was enabled: %s", got)
	}
	all := "/api/subscriptions/" + sub + "/providers/Microsoft.Security/jitNetworkAccessPolicies"
	a.call("GET", all+version, "").wants(t, 200, "")

	a = newCompat(t)
	n = asks(a)
	a.put(web)
	a.call("GET", policy+version, "").wants(t, 200, "")
	a.call("GET", strings.TrimSuffix(policy, "/default")+version, "").wants(t, 200, "")
	if *n != 0 {
		t.Errorf("the group was asked for %d times where there is a policy", *n)
	}
	a.call("GET", strings.TrimSuffix(policy, "default")+"other"+version, "").wants(t, 404, "PolicyNotFound")

	for name, rights := range map[string]within{"no role": nil, "a role at a group": {"/subscriptions/" + sub + "/resourceGroups/demo"}} {
		for _, c := range groupCalls("nowhere") {
			b := newCompat(t)
			n := asks(b)
			b.wire(func(p *core.Ports) { p.Authority = rights })
			if r := b.call(c.method, c.path+version, c.body); strings.Contains(r.text, "ResourceGroupNotFound") || *n != 0 {
				t.Errorf("%s: %s %s: asked %d times, %d %s", name, c.method, c.path, *n, r.status, r.text)
			}
		}
	}
}

// TestResourceGroupUnknown: where Azure does not say whether a group is there, reads are answered as they are, and a policy is not written.
func TestResourceGroupUnknown(t *testing.T) {
	for _, c := range groupCalls("nowhere") {
		a := newCompat(t)
		a.cloud.Fault = func(_ context.Context, s coretest.Step) error {
			if s.Op == "HasGroup" {
				return &store.Unavailable{Dependency: "Azure Resource Manager", Err: errors.New("down")}
			}
			return nil
		}
		r := a.call(c.method, c.path+version, c.body)
		if c.method == "PUT" {
			r.wants(t, 503, "AzureResourceManagerUnavailable")
		} else {
			r.wants(t, c.status, c.otherwise)
		}
	}
}
