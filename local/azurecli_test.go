package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
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
	page, err := os.ReadFile(clientsGuide)
	if err != nil {
		t.Fatal(err)
	}
	block := blocks(t, string(page))
	requester := r.persona(t, "requester")
	env = append(env, "CLIENT="+requester, "SECRET=any", "TENANT="+issuer.DefaultTenant, "PATH="+filepath.Dir(*azureCLI)+":"+os.Getenv("PATH"))
	t.Log(execute(t, home, env, "bash", "-eu", "-o", "pipefail", "-c", block["az"]))
	r.eventually("the port is open", func() bool { return r.open("web-nsg") })
	newest := func() map[string]any {
		return r.must(200, "GET", "/api/requests?top=1", nil)["value"].([]any)[0].(map[string]any)
	}
	if got := newest(); got["requestor"] != "app:"+requester || got["justification"] != "look at the logs" {
		t.Errorf("the newest request is %v", got)
	}
	// It asks for the same again within seconds, which is answered with the same request, and revokes that.
	table := execute(t, home, env, "bash", "-eu", "-o", "pipefail", "-c", block["az-rest"])
	if got := newest(); got["status"] != "Revoked" || r.open("web-nsg") || !strings.Contains(table, "Requestor") || !strings.Contains(table, "app:"+requester) {
		t.Errorf("by az rest: %v\n%s", got, table)
	}
	accounts := az("account", "list").([]any)
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
