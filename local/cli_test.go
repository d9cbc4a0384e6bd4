package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCommandLineConnects runs the block of docs/clients.md that connects, by OpenSSH's client, which reads its configuration where the block has it.
func TestCommandLineConnects(t *testing.T) {
	t.Parallel()
	block := clientBlocks(t)
	dir := t.TempDir()
	u := newTerminal(t, dir, filepath.Join(dir, "ssh", "config"))
	home := filepath.Join(dir, ".ssh")
	program, err := exec.LookPath("ssh")
	if err != nil {
		t.Fatal(err)
	}
	// ssh takes the home folder of the account, whatever the environment says.
	files := map[string]string{filepath.Join(home, "config"): "Include " + filepath.Join(home, "portcullis") + "\nInclude " + u.config + "\n",
		filepath.Join(dir, "bin", "ssh"): "#!/bin/sh\nexec " + program + " -F " + filepath.Join(home, "config") + ` -o BatchMode=yes "$@"` + "\n"}
	for name, text := range files {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	env := append(slices.Clone(u.env), "PATH="+filepath.Join(dir, "bin")+":"+filepath.Dir(u.program)+":"+os.Getenv("PATH"))
	out := execute(t, dir, env, "bash", "-eu", "-o", "pipefail", "-c", block["cli-ssh"])
	if strings.Count(out, "web\n") != 3 || !strings.Contains(out, "would open port 22 of web for 127.0.0.1") {
		t.Errorf("the block prints %q", out)
	}
	u.eventually("the port is closed", func() bool { return !u.open("web-nsg") })
}

// TestCommandLineDecides runs the block of docs/clients.md in which others decide.
func TestCommandLineDecides(t *testing.T) {
	t.Parallel()
	block := clientBlocks(t)
	dir := t.TempDir()
	program := portcullis(t)
	r := newRig(t, dir, nil)
	env := append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"), "PORTCULLIS_URL="+url(r.ports.Host), "PORTCULLIS_CONFIG="+filepath.Join(dir, "config.json"))
	as := `as() { PORTCULLIS_TOKEN_COMMAND='["curl","-sS","-X","POST","` + url(r.ports.ARM) + `/local/token?as='"$1"'"]' "${@:2}"; }` + "\n"
	out := execute(t, dir, env, "bash", "-eu", "-o", "pipefail", "-c", as+block["cli-decide"])
	for _, want := range []string{": AwaitingApproval, approved by 0 of 1", "dry run: nothing was written", ": Initiated, ends in ", "approved by 1 of 1 (approver@portcullis.example)",
		"would close everything of machine web: 1 request", "windows may open again: the hold on machine web is lifted"} {
		if !strings.Contains(out, want) {
			t.Errorf("the block does not print %q:\n%s", want, out)
		}
	}
	if r.open("web-nsg") {
		t.Errorf("after the block the rules are %q", r.rules("web-nsg"))
	}
}

// clientBlocks gives the blocks of the page of clients.
func clientBlocks(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile(clientsGuide)
	if err != nil {
		t.Fatal(err)
	}
	return blocks(t, string(page))
}

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
