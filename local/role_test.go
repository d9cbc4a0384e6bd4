package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/local/armsim"
	"portcullis/local/issuer"
)

// actions returns what Azure RBAC asks of whoever makes a call: the provider and the
// types in the path, and the verb. A write of a security group carries the rules of
// others as they are, and where those name application security groups, RBAC also asks for the
// permission to join them (documented for portal and templates, not verified against
// the live service; the stand-in checks no permissions). In the same way a write of a
// firewall carries its public addresses and its subnet.
func actions(method, path string) []string {
	i := strings.LastIndex(strings.ToLower(path), "/providers/")
	rest := "Microsoft.Resources" + path // subscriptions and groups have no provider in their paths
	if i >= 0 {
		rest = path[i+len("/providers/"):]
	}
	segments := strings.Split(rest, "/")
	if len(segments) == 1 { // the provider itself
		return []string{"Microsoft.Resources/subscriptions/providers/read"}
	}
	types := segments[:1:1]
	for j := 1; j < len(segments); j += 2 {
		if strings.EqualFold(segments[j], "resourceGroups") { // the SDK has it in either case, and RBAC minds none
			segments[j] = "resourceGroups"
		}
		types = append(types, segments[j])
	}
	verb := map[string]string{http.MethodGet: "read", http.MethodPut: "write", http.MethodDelete: "delete", http.MethodPost: "action"}[method]
	out := []string{strings.Join(types, "/") + "/" + verb}
	if out[0] == "Microsoft.Network/azureFirewalls/write" {
		out = append(out, "Microsoft.Network/publicIPAddresses/join/action", "Microsoft.Network/virtualNetworks/subnets/join/action")
	}
	if out[0] == "Microsoft.Network/networkSecurityGroups/write" {
		out = append(out, "Microsoft.Network/applicationSecurityGroups/joinNetworkSecurityRule/action")
	}
	return out
}

func TestActions(t *testing.T) {
	for _, tt := range []struct{ method, path, want string }{
		{"GET", sub + "/providers/Microsoft.Network/networkInterfaces", "Microsoft.Network/networkInterfaces/read"},
		{"GET", nsgs + "a", "Microsoft.Network/networkSecurityGroups/read"},
		{"GET", sub + "/providers/Microsoft.Network", "Microsoft.Resources/subscriptions/providers/read"},
		{"GET", sub + "/resources", "Microsoft.Resources/subscriptions/resources/read"},
		{"DELETE", nsgs + "a/securityRules/b", "Microsoft.Network/networkSecurityGroups/securityRules/delete"},
		{"GET", sub + "/providers/Microsoft.Network/locations/westeurope/operations/x", "Microsoft.Network/locations/operations/read"},
		{"GET", web + "/providers/Microsoft.Authorization/roleAssignments", "Microsoft.Authorization/roleAssignments/read"},
	} {
		if got := actions(tt.method, tt.path); !cmp.Equal([]string{tt.want}, got) {
			t.Errorf("%s %s asks for %q, want %s", tt.method, tt.path, got, tt.want)
		}
	}
}

// TestRole checks that the role which the deployment gives the app is what the app
// calls, no more and no less: it does everything that the app can do once, and
// compares the calls that Resource Manager saw with infra/deploy/roles/app.json.
func TestRole(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), nil)
	knobs := armsim.DemoKnobs()
	// Writes that take a moment are polled; those of the other tests often end at once.
	knobs.Writes.LatencyMin, knobs.Writes.LatencyMax = armsim.Duration(100*time.Millisecond), armsim.Duration(200*time.Millisecond)
	knobs.PageSize = 1 // what is read otherwise where lists are long
	knobs.Firewalls = knobs.Writes
	if err := r.arm.SetKnobs(knobs); err != nil {
		t.Fatal(err)
	}
	r.must(200, "GET", "/api/health", nil)
	r.must(200, "POST", "/api/enable?dryRun=true", vms(web))
	r.must(200, "POST", "/api/enable", vms(web))
	grant := r.must(200, "POST", "/api/request", ask("PT1M", "to be extended and revoked"))["id"].(string)
	r.must(200, "POST", "/api/requests/"+grant+"/extend", map[string]any{"duration": "PT2M"})
	r.must(200, "GET", "/api"+sub+"/providers/Microsoft.Security/jitNetworkAccessPolicies?api-version=2020-01-01", nil)
	r.must(200, "POST", "/api/requests/"+grant+"/revoke", nil)
	r.must(200, "GET", "/api/activity", nil)
	r.must(200, "GET", "/api/machines", nil)
	r.must(200, "GET", "/api/doctor", nil)
	r.must(200, "POST", "/api/sweep", nil)
	r.must(200, "POST", "/api/disable", vms(web))
	r.must(200, "POST", "/api/enable", vms(behindfw))
	r.must(200, "POST", "/api/request", askOf(behindfw, "PT1M", "through the firewall"))
	if err := r.host.Fire(t.Context(), "sweep"); err != nil {
		t.Fatal(err)
	}

	// Asked only where tokens of several tenants are taken, which infra/rbac.TestTenantCalls holds.
	seen := map[string]bool{"Microsoft.Resources/subscriptions/read": true}
	for _, call := range r.arm.Requests() {
		if call.Principal != issuer.AppObjectID {
			continue
		}
		for _, a := range actions(call.Method, call.Path) {
			seen[a] = true
		}
	}
	text, err := os.ReadFile("../infra/deploy/roles/app.json")
	if err != nil {
		t.Fatal(err)
	}
	var role map[string][]string
	if err := json.Unmarshal(text, &role); err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(slices.Values(slices.Concat(role["read"], role["write"], role["firewall"])))
	if demo := demoRole(t); !cmp.Equal(want, demo) {
		t.Errorf("the app's role in infra/deploy (-) and in the demo (+) differ:\n%s", cmp.Diff(want, demo))
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(seen))); diff != "" {
		t.Errorf("the app's role in infra/deploy (-) and the calls that it made (+) differ:\n%s", diff)
	}

	// The alerts of the deployment look for this line.
	r.close()
	if !strings.Contains(r.log.String(), `\"msg\":\"sweep\"`) {
		t.Error("no sweep left its line in the log")
	}
}

// demoRole returns the actions of the app's role in the demo, sorted.
func demoRole(t *testing.T) []string {
	t.Helper()
	var role struct {
		Properties struct{ Permissions []struct{ Actions []string } }
	}
	for _, r := range armsim.DemoAccess() {
		if !strings.HasSuffix(r.ID, "/"+armsim.AppRole) {
			continue
		}
		if err := json.Unmarshal(r.Document, &role); err != nil || len(role.Properties.Permissions) != 1 {
			t.Fatalf("%s: %v", r.Document, err)
		}
	}
	return slices.Sorted(slices.Values(role.Properties.Permissions[0].Actions))
}
