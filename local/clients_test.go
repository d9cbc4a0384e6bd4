package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// clientsGuide is the page whose blocks are run.
const clientsGuide = "../docs/clients.md"

// blocks returns the fenced blocks of a Markdown text that carry a tag test=NAME, by that name.
func blocks(t *testing.T, text string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, m := range regexp.MustCompile("(?ms)^```\\w+ test=([\\w-]+)\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		if _, twice := out[m[1]]; twice {
			t.Errorf("two blocks are called %s", m[1])
		}
		out[m[1]] = m[2]
	}
	return out
}

// TestClients runs the blocks of docs/clients.md as they stand there, against the
// running app over TLS. Their parameters are the environment's, as the page says.
func TestClients(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(clientsGuide)
	if err != nil {
		t.Fatal(err)
	}
	block := blocks(t, string(page))
	var names []string
	for name, text := range block {
		if names = append(names, name); text == "" {
			t.Errorf("the block test=%s is empty", name)
		}
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"az", "az-rest", "azapi", "azapi-initiate", "cli", "cli-decide", "cli-local", "cli-script", "cli-ssh", "curl-close", "curl-open", "go", "local", "python"}, names); diff != "" {
		t.Fatalf("what is run here (-) and the tagged blocks of %s (+) differ:\n%s", clientsGuide, diff)
	}
	r := newRig(t, t.TempDir(), nil)
	r.must(200, "POST", "/api/enable", vms(web))
	env := r.environment(t)

	// standing checks that a block has opened the port, and for whom.
	standing := func(t *testing.T, source string) string {
		t.Helper()
		r.eventually("the port is open", func() bool { return r.open("web-nsg") })
		newest := r.must(200, "GET", "/api/requests?top=1", nil)["value"].([]any)[0].(map[string]any)
		port := newest["virtualMachines"].([]any)[0].(map[string]any)["ports"].([]any)[0].(map[string]any)
		if newest["requestor"] != "requester@portcullis.example" || port["number"] != 22.0 || port["allowedSourceAddressPrefix"] != source {
			t.Errorf("the newest request is %v", newest)
		}
		return newest["id"].(string)
	}
	// closing closes it by the page's own block, and checks that.
	closing := func(t *testing.T, id string) {
		t.Helper()
		execute(t, "", append(env, "ID="+id), "bash", "-eu", "-o", "pipefail", "-c", block["curl-close"])
		if r.open("web-nsg") {
			t.Errorf("after revoke the rules are %q", r.rules("web-nsg"))
		}
	}

	t.Run("curl", func(t *testing.T) {
		out := execute(t, "", env, "bash", "-eu", "-o", "pipefail", "-c", block["curl-open"])
		id := standing(t, "127.0.0.1")
		if out != "opened by request "+id+"\n" {
			t.Errorf("the block prints %q, the request is %s", out, id)
		}
		closing(t, id)
	})
	t.Run("curl refused", func(t *testing.T) {
		_, before := r.call("GET", "/api/requests?top=1000", nil)
		for name, row := range map[string]struct{ variable, says string }{
			"by the app":          {"TOKEN=none", `"code":"Unauthenticated"`},
			"nobody listens":      {"APP=https://127.0.0.1:1", "nothing was opened"},
			"no machine like it":  {"VM=" + web + "x", "nothing was opened"},
			"a shell without -eu": {"TOKEN=none", "nothing was opened"},
		} {
			flags := []string{"-eu", "-o", "pipefail", "-c", block["curl-open"]}
			if strings.HasPrefix(name, "a shell") {
				flags = flags[3:]
			}
			c := exec.CommandContext(t.Context(), "bash", flags...)
			c.Env = append(env, row.variable)
			out, err := c.CombinedOutput()
			if err == nil || !strings.Contains(string(out), row.says) || strings.Contains(string(out), "opened by") {
				t.Errorf("%s: %v %s", name, err, out)
			}
		}
		c := exec.CommandContext(t.Context(), "bash", "-c", block["curl-close"])
		c.Env = append(env, "ID=")
		if out, err := c.CombinedOutput(); err == nil {
			t.Errorf("a close of nothing: %s", out)
		}
		if _, after := r.call("GET", "/api/requests?top=1000", nil); len(after["value"].([]any)) != len(before["value"].([]any)) {
			t.Error("a refused block opened something")
		}
	})
	t.Run("local", func(t *testing.T) {
		here := strings.NewReplacer(":7073", fmt.Sprint(":", r.ports.Secure), ":7072", fmt.Sprint(":", r.ports.ARM), "$PWD/.local/tls/certificate.pem", r.trust).Replace(block["local"])
		plain := slices.DeleteFunc(slices.Clone(env), func(v string) bool {
			return slices.ContainsFunc([]string{"APP=", "AUDIENCE=", "VM=", "LOCATION=", "TOKEN=", "CURL_CA", "SSL_CERT", "REQUESTS_CA"}, func(name string) bool { return strings.HasPrefix(v, name) })
		})
		execute(t, "", plain, "bash", "-eu", "-o", "pipefail", "-c", here+block["curl-open"])
		closing(t, standing(t, "127.0.0.1"))
	})
	t.Run("portcullis", func(t *testing.T) { r.commandLine(t, block, env) })
	t.Run("go", func(t *testing.T) {
		// Inside this module, so that the clients are those of its go.mod; after an underscore, so
		// that no pattern such as ./... matches it meanwhile.
		dir, err := os.MkdirTemp(".", "_clients-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(block["go"]), 0o644); err != nil {
			t.Fatal(err)
		}
		binary := filepath.Join(t.TempDir(), "block")
		execute(t, dir, append(os.Environ(), "CGO_ENABLED=0"), "go", "build", "-trimpath", "-o", binary, ".")
		if got, want := execute(t, "", env, binary), "asked by requester@portcullis.example\n"; got != want {
			t.Errorf("the block prints %q, want %q", got, want)
		}
		closing(t, standing(t, "203.0.113.7"))
	})
	t.Run("python", func(t *testing.T) {
		if err := exec.CommandContext(t.Context(), "python3", "-c", "import azure.mgmt.security").Run(); err != nil {
			t.Logf("NOT RUN: the Python block of %s, since python3 cannot import azure.mgmt.security; pip install azure-mgmt-security", clientsGuide)
			return
		}
		if got, want := execute(t, "", env, "python3", "-c", block["python"]), "asked by requester@portcullis.example\n"; got != want {
			t.Errorf("the block prints %q, want %q", got, want)
		}
		closing(t, standing(t, "203.0.113.7"))
	})
}

// TestClientsGuideSays: before each block of the page a line says what runs it, which has to be so, or that nothing does, and why.
func TestClientsGuideSays(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(clientsGuide)
	if err != nil {
		t.Fatal(err)
	}
	parts := regexp.MustCompile("(?ms)^```(\\w.*?)$.*?^```$").FindAllStringSubmatchIndex(string(page), -1)
	if len(parts) < 14 {
		t.Fatalf("the page has %d blocks", len(parts))
	}
	from := 0
	for _, at := range parts {
		info, before := string(page[at[2]:at[3]]), strings.TrimSpace(string(page[from:at[0]]))
		from = at[1]
		_, name, run := strings.Cut(info, " test=")
		says := before[strings.LastIndex(before, "\n\n")+1:]
		by := map[bool]string{true: "make check-azapi", false: "make test"}[strings.HasPrefix(name, "azapi")]
		if name == "az" || name == "az-rest" {
			by = "make check-az"
		}
		if run && !strings.Contains(says, "Run by `"+by+"`") || !run && !regexp.MustCompile(`Not run(:|, for the same reason)`).MatchString(says) {
			t.Errorf("what stands before the block %q is %q", info, says)
		}
	}
}

// environment returns the parameters of the page's blocks for this machine. The app is
// called over https, and the variables by which each client is told whom to trust name the certificate, as make run prints them.
func (r *rig) environment(t *testing.T) []string {
	t.Helper()
	return append(os.Environ(), "APP="+secureURL(r.ports.Secure), "AUDIENCE=api://portcullis-local", "VM="+web, "LOCATION=westeurope",
		"TOKEN="+strings.TrimPrefix(r.as("requester").Get("Authorization"), "Bearer "),
		"CURL_CA_BUNDLE="+r.trust, "SSL_CERT_FILE="+r.trust, "REQUESTS_CA_BUNDLE="+r.trust, "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
}

// execute runs a command to its end and returns what it printed; one that fails ends the test.
func execute(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	c.Dir, c.Env, c.Stdout, c.Stderr = dir, env, &out, &errs
	if err := c.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", name, err, &out, &errs)
	}
	return out.String()
}
