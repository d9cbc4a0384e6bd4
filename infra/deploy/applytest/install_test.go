package applytest

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"portcullis/local/deploysim"
)

// The tools of a newcomer who has no azd. az answers for its sign-in and for what register asks of Microsoft Graph, one application at most;
// make leaves an empty package; terraform is the real one, whose init would ask a registry for the provider that is built here.
const (
	newcomersAz = `echo "az $*" >>"$SAID"
case "$1 $2" in
"cloud show") echo AzureCloud ;;
"account show") echo ` + tenant + ` ;;
"rest --method")
  what="$3 $5"
  case $what in
  "post "*/applications) echo '{"id":"o1","appId":"` + newcomersClient + `","displayName":"portcullis"}' | tee "$STATE/application" ;;
  "get "*/applications\?*) if [ -e "$STATE/application" ]; then echo "{\"value\":[$(cat "$STATE/application")]}"; else echo '{"value":[]}'; fi ;;
  "get "*) echo '{"value":[]}' ;;
  "post "*) echo '{"id":"o2"}' ;;
  esac ;;
"functionapp deployment") while [ $# -gt 0 ]; do case $1 in --src) [ -f "$2" ] ;; esac; shift; done ;;
*) echo "az $* is not known here" >&2; exit 1 ;;
esac
`
	newcomersMake      = "echo \"make $*\" >>\"$SAID\"\nmkdir -p dist && : >dist/portcullis-linux-amd64.zip\n"
	newcomersTerraform = "echo \"terraform $*\" >>\"$SAID\"\nexec \"$TERRAFORM\" \"${@/#init/get}\"\n"
	newcomersClient    = "aaaaaaaa-0000-0000-0000-000000000001"
	newcomersRoot      = "infra/deploy/examples/two-subscriptions"
)

// TestInstall follows docs/install.md as a newcomer does who has the tools but azd: the blocks of the steps that it sends the reader to,
// in their order, line by line, with the example as the root. What a block needs stands in its first line; the
// first that needs the app in Azure is where this ends.
func TestInstall(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("NOT RUN: jq is not installed")
	}
	r := newRig(t, "examples/two-subscriptions", "")
	r.newcomersRoot()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "infra"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(filepath.Dir(r.root)), filepath.Join(dir, "infra", "deploy")); err != nil {
		t.Fatal(err)
	}
	said := filepath.Join(t.TempDir(), "said")
	bin := t.TempDir()
	for name, script := range map[string]string{"az": newcomersAz, "make": newcomersMake, "terraform": newcomersTerraform} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/usr/bin/env bash\nset -eu\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	real, err := exec.LookPath(*program)
	if err != nil {
		t.Fatal(err)
	}
	env := append(slices.Clone(r.env), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "SAID="+said, "STATE="+t.TempDir(), "TERRAFORM="+real,
		"TF_CLI_ARGS_apply=-auto-approve -no-color -parallelism=30") // the newcomer says yes
	do := func(line string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", line)
		c.Dir, c.Env = dir, env
		var out, told bytes.Buffer
		c.Stdout, c.Stderr = &out, &told
		if err := c.Run(); err != nil {
			t.Fatalf("%s: %v\n%s%s", line, err, out.String(), told.String())
		}
		return strings.TrimSpace(out.String())
	}

	ran, left := 0, []string{}
	for _, document := range []string{"README.md", "../../docs/install.md"} { // the second sends the reader to the first, and goes on when that is done
		for _, block := range blocksOf(t, document) {
			needs, lines, _ := strings.Cut(strings.TrimPrefix(block, "# needs: "), "\n")
			if has := strings.Split(needs, "; "); slices.Contains(has, "azd") || slices.Contains(has, "the app in Azure") {
				left = append(left, needs)
				continue
			}
			if slices.Contains(left, "Azure CLI, signed in; the app in Azure") {
				t.Errorf("a block comes after one that needs the app in Azure: %s", block)
			}
			for _, line := range strings.Split(strings.ReplaceAll(strings.TrimSpace(lines), "\\\n", " "), "\n") {
				out := do(r.fill(line))
				if strings.HasPrefix(line, "infra/deploy/register") && out != newcomersClient {
					t.Fatalf("register prints %q, want the client id", out)
				}
				ran++
			}
			if ran == 1 { // what the first step printed goes into the root
				r.replace("main.tf", client, newcomersClient)
			}
		}
	}
	if want := []string{"azd; Go; Terraform; Azure CLI, signed in", "azd", "Azure CLI, signed in; the app in Azure"}; ran != 5 || !slices.Equal(left, want) {
		t.Errorf("%d lines were run, want 5; left were %q, want %q", ran, left, want)
	}

	called, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	site := r.id("sites")
	if name := site[strings.LastIndex(site, "/")+1:]; !strings.Contains(string(called), "az functionapp deployment source config-zip -g operations -n "+name+" --src dist/portcullis-linux-amd64.zip") {
		t.Errorf("the package was not deployed to %s:\n%s", name, called)
	}
	principal, _ := field(r.sim.Show(r.id("userAssignedIdentities")), "properties.principalId").(string)
	if principal == "" || !strings.Contains(string(called), principal) {
		t.Errorf("the registration was not told of the identity %q:\n%s", principal, called)
	}
	if got := r.settings(r.sent("/sites/" + r.stem()))["PORTCULLIS_AUDIENCE"]; !strings.Contains(got, newcomersClient) {
		t.Errorf("the app takes tokens for %q", got)
	}
	r.unchanged("the steps")
}

// newcomersRoot puts the newcomer's subscriptions into the example, and makes what it takes for granted.
func (r *rig) newcomersRoot() {
	r.t.Helper()
	r.replace("main.tf", "44444444-4444-4444-4444-444444444444", home)
	for _, id := range []string{first + "/resourceGroups/operations", home + "/resourceGroups/bench", home + "/resourceGroups/field"} {
		r.sim.Put("/subscriptions/"+id, deploysim.Document{"location": "westeurope"})
	}
}

func (r *rig) replace(file, old, new string) {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.root, file))
	if err != nil {
		r.t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(old)) {
		r.t.Fatalf("%s has no %s", file, old)
	}
	r.write(file, bytes.ReplaceAll(text, []byte(old), []byte(new)))
}

// fill puts in the place of each <name> what a reader has by then: what was printed, and what the root gives.
func (r *rig) fill(line string) string {
	r.t.Helper()
	return regexp.MustCompile(`<[a-z_ ]+>`).ReplaceAllStringFunc(line, func(name string) string {
		switch name {
		case "<your root>":
			return newcomersRoot
		case "<client_id>":
			return newcomersClient
		case "<group>":
			return r.output("resource_group").(string)
		case "<function_app_name>":
			return r.output("function_app_name").(string)
		case "<principal_id>":
			return field(r.output("registration"), "federated_credential.subject").(string)
		case "<redirect_uri>":
			return field(r.output("registration"), "redirect_uri").(string)
		}
		r.t.Fatalf("nobody says what a reader puts for %s", name)
		return ""
	})
}

// output gives an output of the root.
func (r *rig) output(name string) any {
	r.t.Helper()
	text := r.must("output", "-json", "-no-color")
	var all map[string]struct{ Value any }
	if err := json.Unmarshal([]byte(text[strings.Index(text, "{"):]), &all); err != nil {
		r.t.Fatal(err)
	}
	out, given := all[name]
	if !given {
		r.t.Fatalf("the root gives no %s", name)
	}
	return out.Value
}

// blocksOf gives the shell blocks of a document, seen from infra/deploy.
func blocksOf(t *testing.T, document string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", document))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```$").FindAllStringSubmatch(string(text), -1) {
		out = append(out, m[1])
	}
	if len(out) == 0 {
		t.Fatalf("%s has no blocks", document)
	}
	return out
}
