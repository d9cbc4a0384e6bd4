package applytest

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"portcullis/local/deploysim"
)

var (
	program   = flag.String("terraform", "", "terraform or tofu")
	providers = flag.String("providers", "", "the folder that holds terraform-provider-azurerm")
	sentSite  = flag.String("sent", "", "a file to write the site to as it was sent, as a template, for others to look at")
)

const (
	tenant = "22222222-2222-2222-2222-222222222222"
	client = "33333333-3333-3333-3333-333333333333"
	home   = "88888888-1111-1111-1111-111111111111" // where everything is made
	first  = "11111111-1111-1111-1111-111111111111" // sorts before it
	group  = "/subscriptions/" + home + "/resourceGroups/rg"
)

// rig is one installation: a Resource Manager of its own and a copy of the module with a root.
type rig struct {
	t    *testing.T
	sim  *deploysim.Server
	root string
	env  []string
}

// newRig copies infra/deploy and starts a Resource Manager. root is a folder of the copy, made with
// the given main.tf where there is one.
func newRig(t *testing.T, root, main string) *rig {
	t.Helper()
	if *program == "" || *providers == "" {
		t.Skip("NOT RUN: needs -terraform and -providers; make check-infra has them")
	}
	sim, err := deploysim.New(tenant, home, first)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
		for _, what := range sim.Unknown() {
			t.Errorf("the stand-in does not understand %s", what)
		}
	})
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "deploy"), os.DirFS("..")); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, sim: sim, root: filepath.Join(dir, "deploy", root)}
	if main != "" {
		r.write("main.tf", []byte(main))
	}
	r.file(dir, "certificate.pem", sim.Certificate)
	r.file(dir, "cli.tfrc", fmt.Appendf(nil, "disable_checkpoint = true\nprovider_installation {\n  dev_overrides {\n    \"hashicorp/azurerm\" = %q\n  }\n}\n", *providers))
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		r.env = append(r.env, name+"="+os.Getenv(name))
	}
	r.env = append(r.env, sim.Environ(filepath.Join(dir, "certificate.pem"))...)
	r.env = append(r.env, "TF_CLI_CONFIG_FILE="+filepath.Join(dir, "cli.tfrc"), "TF_DATA_DIR="+filepath.Join(dir, "data"), "TF_IN_AUTOMATION=1", "TF_INPUT=0", "CHECKPOINT_DISABLE=1")
	r.must("get")
	return r
}

func (r *rig) file(dir, name string, content []byte) {
	r.t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) write(name string, content []byte) { r.t.Helper(); r.file(r.root, name, content) }

// vars writes the root's variables.
func (r *rig) vars(vars map[string]any) {
	r.t.Helper()
	text, err := json.Marshal(vars)
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("terraform.tfvars.json", text)
}

// run starts terraform in the root, and gives what it prints and its exit code.
func (r *rig) run(args ...string) (string, int) {
	r.t.Helper()
	c := exec.CommandContext(r.t.Context(), *program, args...)
	c.Dir, c.Env = r.root, r.env
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	return out.String(), c.ProcessState.ExitCode()
}

func (r *rig) must(args ...string) string {
	r.t.Helper()
	out, code := r.run(args...)
	if code != 0 {
		r.t.Fatalf("terraform %s: exit %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// fails runs what has to be refused, and gives the message with its lines joined.
func (r *rig) fails(args ...string) string {
	r.t.Helper()
	out, code := r.run(append(args, "-no-color")...)
	if code == 0 {
		r.t.Fatalf("terraform %s is not refused", strings.Join(args, " "))
	}
	return strings.Join(strings.Fields(strings.ReplaceAll(out, "│", "")), " ")
}

func (r *rig) apply() { r.t.Helper(); r.must("apply", "-auto-approve", "-no-color", "-parallelism=30") }

// plan gives what an apply would do: actions, joined by "+", by address. What it would only read is left out.
func (r *rig) plan(args ...string) map[string]string {
	r.t.Helper()
	r.must(append([]string{"plan", "-no-color", "-out=plan.out"}, args...)...)
	text := r.must("show", "-json", "plan.out")
	if i := strings.Index(text, "{\"format_version"); i > 0 {
		text = text[i:] // the warning that the provider is one of our own
	}
	var plan struct {
		Changes []struct {
			Address string `json:"address"`
			Change  struct {
				Actions []string `json:"actions"`
			} `json:"change"`
		} `json:"resource_changes"`
	}
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&plan); err != nil {
		r.t.Fatalf("%v\n%s", err, text)
	}
	out := map[string]string{}
	for _, c := range plan.Changes {
		if actions := strings.Join(c.Change.Actions, "+"); actions != "no-op" && actions != "read" {
			out[strings.TrimPrefix(c.Address, "module.portcullis.")] = actions
		}
	}
	return out
}

// unchanged holds that a plan has nothing to do.
func (r *rig) unchanged(after string) {
	r.t.Helper()
	if changes := r.plan(); len(changes) != 0 {
		r.t.Errorf("after %s a plan still changes:\n%s\n%s", after, lines(changes), r.must("show", "-no-color", "plan.out"))
	}
}

func lines(m map[string]string) string {
	var out strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&out, "%s %s\n", m[k], k)
	}
	return out.String()
}

// sent gives the last body sent for an id that ends like this, and fails where there is none.
func (r *rig) sent(end string) deploysim.Document {
	r.t.Helper()
	for _, c := range slices.Backward(r.sim.Calls()) {
		if strings.HasSuffix(strings.ToLower(c.ID), strings.ToLower(end)) && c.Body != nil && c.Status < 300 {
			return c.Body
		}
	}
	r.t.Fatalf("nothing was sent for %s", end)
	return nil
}

// field goes down a document by a path of names with dots between.
func field(d any, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		inner, ok := d.(map[string]any)
		if !ok {
			return nil
		}
		d = inner[name]
	}
	return d
}

// settings gives the app settings of a site's body by name.
func (r *rig) settings(site deploysim.Document) map[string]string {
	r.t.Helper()
	list, ok := field(site, "properties.siteConfig.appSettings").([]any)
	if !ok {
		r.t.Fatal("the site was sent without settings")
	}
	out := map[string]string{}
	for _, s := range list {
		name, value := field(s, "name").(string), field(s, "value").(string)
		if _, twice := out[name]; twice {
			r.t.Errorf("the setting %s was sent twice", name)
		}
		out[name] = value
	}
	return out
}
