package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// commandLine runs the blocks of the command line client against the running app, first as the page signs in to make run, and then as an
// application signs in at the token issuer, over TLS and by Microsoft's library.
func (r *rig) commandLine(t *testing.T, block map[string]string, env []string) {
	t.Helper()
	dir := t.TempDir()
	execute(t, "", append(os.Environ(), "CGO_ENABLED=0"), "go", "build", "-trimpath", "-o", filepath.Join(dir, "portcullis"), "portcullis/cmd/portcullis")
	env = append(slices.Clone(env), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+dir, "PORTCULLIS_CONFIG="+filepath.Join(dir, "config.json"))
	local := strings.NewReplacer(":7071", fmt.Sprint(":", r.ports.Host), ":7072", fmt.Sprint(":", r.ports.ARM)).Replace(block["cli-local"])

	out := execute(t, dir, env, "bash", "-eu", "-o", "pipefail", "-c", local+block["cli"])
	for _, want := range []string{
		"signed in as  requester@portcullis.example", "web   demo   westeurope  configured", "dry run: nothing was written", "requester@portcullis.example: Initiated, ends in ",
		": Revoked (UserRequested)", "look at the logs", "your address              127.0.0.1\n", "request ports of web      yes\n", "change the policy of web  no: ", "/api/portal/\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the block does not print %q:\n%s", want, out)
		}
	}
	if csv, err := os.ReadFile(filepath.Join(dir, "activity.csv")); err != nil || !strings.Contains(string(csv), "requester@portcullis.example") {
		t.Errorf("activity.csv: %v %s", err, csv)
	}
	if r.open("web-nsg") {
		t.Errorf("after the block the rules are %q", r.rules("web-nsg"))
	}
	if out := execute(t, dir, env, "bash", "-eu", "-o", "pipefail", "-c", local+block["cli-script"]); out != "refused\n" {
		t.Errorf("the block prints %q", out)
	}
	var closed struct{ Status, Justification string }
	text, err := os.ReadFile(filepath.Join(dir, "closed.json"))
	if err != nil || json.Unmarshal(text, &closed) != nil || closed.Status != "Revoked" || closed.Justification != "nightly job" {
		t.Errorf("closed.json: %v %s", err, text)
	}

	// Signed in by login, which the next call remembers.
	env = append(env, "AZURE_CLIENT_ID=00000000-0000-0000-0000-0000000000e2", "AZURE_CLIENT_SECRET=any", "AZURE_TENANT_ID=00000000-0000-0000-0000-00000000d1d0")
	if out := execute(t, dir, env, filepath.Join(dir, "portcullis"), "login", secureURL(r.ports.Secure), "--with", "environment", "--json"); !strings.Contains(out, `"audience": "api://portcullis-local"`) {
		t.Errorf("login prints %s", out)
	}
	if out := execute(t, dir, env, filepath.Join(dir, "portcullis"), "machines", "web"); !strings.Contains(out, "web   demo   westeurope  configured") {
		t.Errorf("after login: %s", out)
	}
	saved, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil || strings.Contains(string(saved), "any") || strings.Contains(string(saved), "eyJ") || !strings.Contains(string(saved), `"method": "environment"`) {
		t.Errorf("saved: %v %s", err, saved)
	}
}
