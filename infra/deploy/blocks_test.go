package deploy_test

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// placeholders are what a reader puts in the place of <name> in the documents.
var placeholders = strings.NewReplacer(
	"<app>", "app.example", "<client_id>", "33333333-3333-3333-3333-333333333333", "<principal_id>", "44444444-4444-4444-4444-444444444444",
	"<redirect_uri>", "https://app.example/.auth/login/aad/callback", "<function_app_name>", "app", "<group>", "group", "<nsg>", "web-nsg", "<name>", "portcullis-allow-x",
	"<firewall>", "fw", "<your root>", "root", "<id>", "00000000-0000-0000-0000-00000000d3e0",
)

// recorder is a command that writes down how it was called, and where the files that it is told to read are missing, fails.
const recorder = `printf '%s %s\n' "${0##*/}" "$*" >>"$SAID"
while [ $# -gt 0 ]; do case $1 in
  --src) [ -f "$2" ] ;; -chdir=*) [ -d "${1#-chdir=}" ] ;; ./*) [ -d "$REPOSITORY/$1" ] ;; esac; shift; done
`

// TestBlocks runs every shell block of the documents that install and operate, in their order and as it stands but for the placeholders, in a
// folder as a checkout is. az, azd, terraform, make, go and curl are stand-ins that record and answer: what is held is that the
// shell understands a block, that paths lead somewhere from where a reader stands, and that the steps go on to the end. That Azure's tools take
// these arguments is not.
func TestBlocks(t *testing.T) {
	needJQ(t)
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal(err)
	}
	repository, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{ // what has to have been called, in this order
		"infra/deploy/README.md": {"azd up", "make package", "terraform -chdir=root init", "terraform -chdir=root apply", "az functionapp deployment source config-zip", "az rest --method post"},
		"docs/install.md":        {"curl -fsS https://app.example/api/health", "az account get-access-token --scope api://33333333-3333-3333-3333-333333333333/.default", "curl -fsS -H Authorization: Bearer TOKEN https://app.example/api/machines"},
		"docs/operations.md":     {"az network nsg rule list", "az network nsg rule delete", "az extension add --name azure-firewall", "az network firewall nat-rule collection list", "az network firewall nat-rule delete", "go run ./infra/deploy/live-check", "az network nsg list", "az network firewall list"},
	}
	for document, calls := range want {
		t.Run(document, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(repository, document))
			if err != nil {
				t.Fatal(err)
			}
			blocks := regexp.MustCompile("(?ms)^ *```(?:sh|bash|shell|console)?\n(.*?)^ *```$").FindAllStringSubmatch(string(text), -1)
			if len(blocks) == 0 || strings.Count(string(text), "```") != 2*len(blocks) {
				t.Fatalf("%d blocks are understood of %d marks: give each block one of the shell's names, or teach this test", len(blocks), strings.Count(string(text), "```"))
			}
			g := &graph{lists: map[string][]map[string]any{"/applications": {{"id": "o1", "appId": "33333333-3333-3333-3333-333333333333", "displayName": "portcullis"}}}}
			server := httptest.NewServer(g)
			defer server.Close()
			dir, bin := t.TempDir(), t.TempDir()
			for file, script := range map[string]string{
				"az":  "( " + recorder + ")\n" + strings.Replace(strings.Replace(az, "curl ", `"$REAL_CURL" `, 1), "*) echo", "'account get-access-token') echo TOKEN ;;\n*) exit 0; echo", 1),
				"azd": recorder, "terraform": recorder, "make": recorder, "go": recorder, "curl": recorder,
			} {
				if err := os.WriteFile(filepath.Join(bin, file), []byte("#!/usr/bin/env bash\nset -eu\n"+script), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range []string{"root", "dist", "infra"} {
				if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, "dist/portcullis-linux-amd64.zip"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join(repository, "infra/deploy"), filepath.Join(dir, "infra/deploy")); err != nil {
				t.Fatal(err)
			}
			var script strings.Builder
			for _, block := range blocks {
				script.WriteString(placeholders.Replace(block[1]) + "\n")
			}
			if left := regexp.MustCompile(`<[a-z_ ]+>`).FindString(script.String()); left != "" {
				t.Fatalf("nobody says what a reader puts for %s", left)
			}
			said := filepath.Join(t.TempDir(), "said")
			cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail")
			cmd.Dir, cmd.Stdin = dir, strings.NewReader(script.String())
			cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "SAID="+said, "REPOSITORY="+repository, "REAL_CURL="+curl, "GRAPH="+server.URL, "AZ_CLOUD=AzureCloud")
			if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "command not found") {
				t.Fatalf("%v: %s\n%s", err, out, script.String())
			}
			calledText, err := os.ReadFile(said)
			if err != nil {
				t.Fatal(err)
			}
			rest := string(calledText)
			for _, call := range calls {
				_, after, found := strings.Cut(rest, call)
				if !found {
					t.Fatalf("%q was not called, or not in its turn:\n%s", call, calledText)
				}
				rest = after
			}
		})
	}
}
