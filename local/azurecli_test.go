package main

import (
	"encoding/json"
	"flag"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/local/issuer"
)

// azureCLI is the real az, which make check-az installs: it is 700 MB, and not for every run.
var azureCLI = flag.String("az", "", "path of the Azure CLI to run TestAzureCLI with; empty: it is not run")

// TestAzureCLI has the real az find out about this app, sign in as an application, read policies and open a port. Its commands are
// those of docs/clients.md: the app tells where to sign in.
func TestAzureCLI(t *testing.T) {
	if *azureCLI == "" {
		t.Skip("NOT RUN: the Azure CLI against this app; make check-az installs it from PyPI and runs this")
	}
	t.Parallel()
	r := newRig(t, t.TempDir(), nil)
	r.must(200, "POST", "/api/enable", vms(web))
	home := t.TempDir()
	env := append(r.environment(t), "HOME="+home, "AZURE_CONFIG_DIR="+filepath.Join(home, "az"), "AZURE_CORE_INSTANCE_DISCOVERY=false", "AZURE_CORE_COLLECT_TELEMETRY=false", "AZURE_CORE_NO_COLOR=true")
	app := env[slices.IndexFunc(env, func(v string) bool { return strings.HasPrefix(v, "APP=") })][len("APP="):]
	az := func(args ...string) any {
		t.Helper()
		out := execute(t, home, env, *azureCLI, append(args, "--output", "json")...)
		var doc any
		if err := json.Unmarshal([]byte(out), &doc); out != "" && err != nil {
			t.Fatalf("az %s: %v: %s", strings.Join(args, " "), err, out)
		}
		t.Logf("az %s", strings.Join(args, " "))
		return doc
	}
	az("cloud", "register", "--name", "Portcullis", "--endpoint-resource-manager", app+"/api")
	az("cloud", "set", "--name", "Portcullis")

	requester := r.persona(t, "requester")
	accounts := az("login", "--service-principal", "--username", requester, "--password", "any", "--tenant", issuer.DefaultTenant).([]any)
	if len(accounts) != 1 || "/subscriptions/"+accounts[0].(map[string]any)["id"].(string) != sub || accounts[0].(map[string]any)["tenantId"] != issuer.DefaultTenant || accounts[0].(map[string]any)["state"] != "Enabled" {
		t.Fatalf("the accounts are %v", accounts)
	}
	const policy = policies + "/default"
	listed := az("security", "jit-policy", "list").([]any)
	if len(listed) != 1 || listed[0].(map[string]any)["id"] != policy {
		t.Errorf("list: %v", listed)
	}
	shown := az("security", "jit-policy", "show", "--resource-group", "demo", "--location", "westeurope", "--name", "default").(map[string]any)
	if diff := cmp.Diff(listed[0].(map[string]any)["virtualMachines"], shown["virtualMachines"]); diff != "" || shown["id"] != policy {
		t.Errorf("show: %v\n%s", shown, diff)
	}
	asked := az("resource", "invoke-action", "--action", "initiate", "--ids", policy, "--api-version", "2020-01-01", "--request-body",
		`{"virtualMachines":[{"id":"`+web+`","ports":[{"number":22,"duration":"PT30M","allowedSourceAddressPrefix":"203.0.113.7"}]}],"justification":"by az"}`)
	t.Logf("initiate answers %v", asked)
	r.eventually("the port is open", func() bool { return r.open("web-nsg") })
	newest := r.must(200, "GET", "/api/requests?top=1", nil)["value"].([]any)[0].(map[string]any)
	if newest["requestor"] != "app:"+requester || newest["justification"] != "by az" {
		t.Errorf("the newest request is %v", newest)
	}
}

// persona returns the object id of a persona.
func (r *rig) persona(t *testing.T, name string) string {
	t.Helper()
	for _, p := range issuer.Personas() {
		if p.Name == name {
			return p.ObjectID
		}
	}
	t.Fatalf("there is no persona %s", name)
	return ""
}
