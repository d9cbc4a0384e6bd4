package deploy_test

import (
	"cmp"
	"io/fs"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// placeholders are what a reader puts in the place of <name> in the documents.
var placeholders = strings.NewReplacer(
	"<app>", "app.example", "<client_id>", "33333333-3333-3333-3333-333333333333", "<object_id>", "55555555-5555-5555-5555-555555555555", "<principal_id>", "44444444-4444-4444-4444-444444444444",
	"<redirect_uri>", "https://app.example/.auth/login/aad/callback", "<function_app_name>", "app", "<group>", "group", "<nsg>", "web-nsg", "<name>", "portcullis-allow-x",
	"<account>", "portcullislog", "<new_account>", "new", "<firewall>", "fw", "<your root>", "root", "<id>", "00000000-0000-0000-0000-00000000d3e0",
	"<assignment>", "/subscriptions/s/providers/Microsoft.Authorization/roleAssignments/a", "<user>", "ada@example.com", "<request>", "01a2096e-73ef-7d3d-a557-77b95e6aa284",
)

// recorder is a command that writes down how it was called, and where the files that it is told to read are missing, fails.
const recorder = `printf '%s %s\n' "${0##*/}" "$*" >>"$SAID"
while [ $# -gt 0 ]; do case $1 in
  --src|--definition) [ -f "$2" ] ;; -chdir=*) [ -d "${1#-chdir=}" ] ;; ./*) [ -d "$REPOSITORY/$1" ] ;; esac; shift; done
`

// fence is a fenced block: its language, the rest of its first line, and its text.
var fence = regexp.MustCompile("(?ms)^ *```([a-z]*)([^\n]*)\n(.*?)^ *```$")

// shellBlocks gives the blocks of a document that a reader pastes into a shell, but for those that carry a tag test=NAME, which a
// test of that document runs as they stand.
func shellBlocks(t *testing.T, text string) []string {
	t.Helper()
	all := fence.FindAllStringSubmatch(text, -1)
	if strings.Count(text, "```") != 2*len(all) {
		t.Fatalf("%d blocks are understood of %d marks", len(all), strings.Count(text, "```"))
	}
	var out []string
	for _, b := range all {
		if slices.Contains([]string{"sh", "bash", "shell", "console"}, b[1]) && !strings.Contains(b[2], "test=") {
			out = append(out, b[3])
		}
	}
	return out
}

// needs is what a reader has to have for a command, as the first line of a block says it.
var needs = []struct {
	command *regexp.Regexp
	has     []string
}{
	{regexp.MustCompile(`\bazd `), []string{"azd"}},
	{regexp.MustCompile(`\bmake package|\bgo (run|build|test)|\bazd up`), []string{"Go"}},
	{regexp.MustCompile(`\bterraform |\bazd up`), []string{"Terraform"}}, // azd calls it, and does not bring it
	{regexp.MustCompile(`\baz [a-z]|infra/deploy/register|\bazd up|live-check|copy-tables`), []string{"Azure CLI, signed in"}},
	{regexp.MustCompile(`\bjq |infra/deploy/register`), []string{"jq"}},
	{regexp.MustCompile(`AzAccount|AzAccessToken|\$env:`), []string{"Azure PowerShell, signed in"}},
	{regexp.MustCompile(`https://<app>|\$APP|\$env:APP`), []string{"the app in Azure"}},
	{regexp.MustCompile(`\$TRIGGER`), []string{"the workflow in Azure"}},
}

// TestBlocksSayWhatTheyNeed holds, of every document of the repository, that each block that a reader pastes somewhere
// says in its first line what it needs, no more and no less, or is run by a test as it stands.
func TestBlocksSayWhatTheyNeed(t *testing.T) {
	runs := map[string]string{"README.md": "console"} // local.TestReadmeSession runs the session on what make run starts
	marked := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2 || d.Name() == "node_modules" || d.Name() == "dist") {
			return cmp.Or(err, fs.SkipDir)
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(filepath.ToSlash(path), "../../")
		for _, b := range fence.FindAllStringSubmatch(string(text), -1) {
			language, first := b[1], strings.TrimSpace(strings.SplitN(b[3], "\n", 2)[0])
			var want []string
			for _, n := range needs {
				if n.command.MatchString(b[3]) {
					want = append(want, n.has...)
				}
			}
			said, says := strings.CutPrefix(first, "# needs: ")
			switch {
			case strings.Contains(b[2], "test=") || runs[name] == language:
			case slices.Contains([]string{"sh", "bash", "shell", "console", "powershell"}, language):
				marked++
				got := strings.Split(said, "; ")
				slices.Sort(got)
				slices.Sort(want)
				if !says || !slices.Equal(got, slices.Compact(want)) {
					t.Errorf("%s: the block that begins with %q needs %q", name, first, strings.Join(want, "; "))
				}
			case slices.Contains([]string{"go", "python"}, language):
				t.Errorf("%s: nobody runs the block that begins with %q", name, first)
			case language == "" && len(want) > 0:
				t.Errorf("%s: the block that begins with %q holds commands: say in which language, and what it needs", name, first)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if marked < 15 {
		t.Errorf("only %d blocks were found", marked)
	}
}

// TestBlocksShowEverything: what an operator concludes from in an emergency is not cut short without a word. The Azure CLI lists role assignments of
// one subscription, the current one unless another is named, and without --all none below its scope; it lists 50 entries of the
// activity log unless more are asked for. And health tells its version to who shows a token.
func TestBlocksShowEverything(t *testing.T) {
	text, err := os.ReadFile("../../docs/runbooks.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, block := range shellBlocks(t, string(text)) {
		for line := range strings.Lines(block) {
			for command, asks := range map[string][]string{
				"az role assignment list": {"--all", "--subscription"}, "az monitor activity-log list": {"--max-events"}, "https://<app>/api/": {"$TOKEN"},
			} {
				for _, ask := range asks {
					if strings.Contains(line, command) && !strings.Contains(line, ask) {
						t.Errorf("without %s it does not show everything: %s", ask, line)
					}
				}
				if strings.Contains(line, command) {
					seen++
				}
			}
		}
	}
	if seen < 15 {
		t.Errorf("only %d commands were found", seen)
	}
}

// TestTheOldIdentityStaysWithoutRoles: an apply gives roles that were taken away by hand again, so that the runbook for a compromised identity
// applies nothing before that identity is replaced.
func TestTheOldIdentityStaysWithoutRoles(t *testing.T) {
	text, err := os.ReadFile("../../docs/runbooks.md")
	if err != nil {
		t.Fatal(err)
	}
	_, runbook, _ := strings.Cut(string(text), "## The app's identity is compromised")
	runbook, _, _ = strings.Cut(runbook, "\n## ")
	before, _, replaced := strings.Cut(runbook, "terraform -chdir=<your root> apply -replace=module.portcullis.azurerm_user_assigned_identity.this")
	_, do, _ := strings.Cut(before, "**Do.**")
	if !replaced || strings.Contains(do, "and apply") || strings.Contains(do, "terraform -chdir") {
		t.Errorf("something is applied before the identity is replaced:\n%s", do)
	}
}

// TestBlocks runs every shell block of the documents that install, operate and call, in their order and as it stands but for the placeholders, in a
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
		"infra/deploy/README.md":            {"azd up", "make package", "terraform -chdir=root init", "terraform -chdir=root apply", "az functionapp deployment source config-zip", "az rest --method post"},
		"docs/install.md":                   {"curl -fsS https://app.example/api/health", "az account get-access-token --scope api://33333333-3333-3333-3333-333333333333/.default", "curl -fsS -H Authorization: Bearer TOKEN https://app.example/api/machines"},
		"docs/operations.md":                {"az network nsg rule list", "az network nsg rule delete", "az extension add --name azure-firewall", "az network firewall nat-rule collection list", "az network firewall nat-rule delete", "az account get-access-token --scope api://33333333-3333-3333-3333-333333333333/.default", "curl -fsS -H Authorization: Bearer TOKEN https://app.example/api/doctor", "az functionapp stop", "go run ./infra/deploy/copy-tables -from https://portcullislog.table.core.windows.net -to https://new.table.core.windows.net", "go run ./infra/deploy/live-check", "az network nsg list", "az network firewall list"},
		"docs/clients.md":                   {"install dist/cli/portcullis-linux-amd64", "portcullis login https://app.example", "az account get-access-token --scope api://33333333-3333-3333-3333-333333333333/.default"}, // local runs the other blocks
		"infra/deploy/logic-apps/README.md": {"az resource create -g GROUP -n teams", "az logic workflow create", "curl -fsS https://trigger.example"},
		"docs/runbooks.md": {"az account get-access-token", "az functionapp stop", "az role assignment delete", "terraform -chdir=root apply -replace=module.portcullis.azurerm_user_assigned_identity.this", "az functionapp start",
			"az ad user update --id ada@example.com", "curl -fsS -X POST -H Authorization: Bearer TOKEN https://app.example/api/requests/01a2096e-73ef-7d3d-a557-77b95e6aa284/revoke",
			"terraform -chdir=root state rm module.portcullis.azurerm_storage_account.this[0]", "az functionapp deployment source config-zip", "curl -fsS -H Authorization: Bearer TOKEN https://app.example/api/health", "terraform -chdir=root plan", "az network nsg list",
			"az network nsg rule delete", "curl -fsS -X POST -H Authorization: Bearer TOKEN https://app.example/api/sweep", "az lock list -g group --resource-name portcullislog"},
	}
	for document, calls := range want {
		t.Run(document, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(repository, document))
			if err != nil {
				t.Fatal(err)
			}
			blocks := shellBlocks(t, string(text))
			if len(blocks) == 0 {
				t.Fatal("it has no blocks")
			}
			g := &graph{lists: map[string][]map[string]any{"/applications": {{"id": "o1", "appId": "33333333-3333-3333-3333-333333333333", "displayName": "made by the first step"}}}}
			server := httptest.NewServer(g)
			defer server.Close()
			dir, bin := t.TempDir(), t.TempDir()
			for file, script := range map[string]string{
				"az":  "( " + recorder + ")\ncase $* in *https://app.example/api*) exit ;; esac\n" + strings.Replace(strings.Replace(az, "curl ", `"$REAL_CURL" `, 1), "*) echo", "'account get-access-token') echo TOKEN ;;\n*) exit 0; echo", 1),
				"azd": recorder, "terraform": recorder, "make": recorder, "go": recorder, "curl": recorder, "install": recorder, "portcullis": recorder,
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
				script.WriteString(placeholders.Replace(block) + "\n")
			}
			if left := regexp.MustCompile(`<[a-z_ ]+>`).FindString(script.String()); left != "" {
				t.Fatalf("nobody says what a reader puts for %s", left)
			}
			said := filepath.Join(t.TempDir(), "said")
			cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail")
			cmd.Dir, cmd.Stdin = dir, strings.NewReader(script.String())
			cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "SAID="+said, "REPOSITORY="+repository, "REAL_CURL="+curl, "GRAPH="+server.URL, "AZ_CLOUD=AzureCloud", "ID=ID", "CLIENT=CLIENT", "SECRET=SECRET", "TENANT=TENANT", "TRIGGER=https://trigger.example")
			if document == "infra/deploy/logic-apps/README.md" { // its steps begin beside the workflows
				cmd.Dir = filepath.Join(dir, "infra/deploy/logic-apps")
			}
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
