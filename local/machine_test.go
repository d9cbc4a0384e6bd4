package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// ssh gives OpenSSH's client on its way to the machine web, with the files that the demo made for it.
func (r *rig) ssh(dir string, args ...string) *exec.Cmd {
	r.t.Helper()
	client, err := exec.LookPath("ssh")
	if err != nil {
		r.t.Skip("NOT RUN: OpenSSH's client is not installed; Debian has it as openssh-client")
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	r.t.Cleanup(cancel)
	args = append([]string{"-F", filepath.Join(dir, "ssh", "config"), "-o", "BatchMode=yes", "-o", "HostName=127.0.0.1", "-p", fmt.Sprint(r.ports.Machine), "web"}, args...)
	return exec.CommandContext(ctx, client, args...)
}

// exited gives the exit code of a command that has ended.
func exited(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return e.ExitCode()
	}
	return -1
}

// TestMachine: OpenSSH's client comes to the machine web while the security group lets it, for it alone, and a session that stands is cut with its window.
func TestMachine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newRig(t, dir, nil)
	out, err := r.ssh(dir, "hostname").Output() // while somebody's old rule lets everybody in
	if err != nil || string(out) != "web\n" {
		t.Fatalf("before anything is closed: %q, %v", out, err)
	}
	r.must(200, "POST", "/api/enable", vms(web))
	refused := func(when string) {
		t.Helper()
		if out, err := r.ssh(dir, "hostname").CombinedOutput(); exited(err) != 255 || strings.Contains(string(out), "web\n") {
			t.Errorf("%s: %q, %v", when, out, err)
		}
	}
	refused("once the port is closed")
	ask := func(source string) string {
		t.Helper()
		return r.must(200, "POST", "/api/request", map[string]any{"virtualMachines": []any{map[string]any{"id": web,
			"ports": []any{map[string]any{"number": 22, "duration": "PT10M", "allowedSourceAddressPrefix": source}}}}})["id"].(string)
	}
	ask("203.0.113.7")
	refused("while it is open for somebody else")
	id := ask("127.0.0.1")

	var errs bytes.Buffer
	session := r.ssh(dir)
	in, err := session.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	session.Stderr = &errs
	if err := session.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(in, "whoami")
	answer := make([]byte, len("demo\n"))
	if _, err := io.ReadFull(said, answer); err != nil || string(answer) != "demo\n" {
		t.Fatalf("%q, %v, %s", answer, err, &errs)
	}
	r.must(200, "POST", "/api/requests/"+id+"/revoke", nil)
	rest, _ := io.ReadAll(said)
	if err := session.Wait(); exited(err) != 255 || len(rest) > 0 {
		t.Errorf("the session that stood: %q, %v, %s", rest, err, &errs)
	}
	refused("after it was closed")
}

// TestMachineIsWhere: the demo estate has the machine that can be dialled, at the address that the app names.
func TestMachineIsWhere(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), nil)
	r.must(200, "POST", "/api/enable", vms(web))
	port := r.must(200, "POST", "/api/request", map[string]any{"virtualMachines": []any{map[string]any{"id": web,
		"ports": []any{map[string]any{"number": 22, "duration": "PT1M"}}}}})["virtualMachines"].([]any)[0].(map[string]any)["ports"].([]any)[0].(map[string]any)
	connect := port["connect"].([]any)[0].(map[string]any)
	if got := netip.MustParseAddrPort(fmt.Sprintf("%v:%v", connect["host"], connect["port"])); got != machineAt || !strings.EqualFold(machineID, web) {
		t.Errorf("the app says to dial %v", got)
	}
}
