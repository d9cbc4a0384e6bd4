package openssh_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/openssh"
	"portcullis/cmd/portcullis/reach"
)

// program puts an ssh that is a script of the shell in front of the path.
func program(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// TestTargetRefused: what would be an option to ssh, or something else to a shell in somebody's configuration, never reaches ssh.
func TestTargetRefused(t *testing.T) {
	program(t, "echo it was started >&2; exit 1")
	for _, typed := range []string{"-oProxyCommand=true", "alice@-oProxyCommand=true", "-x@web", "a b@web", "$(id)@web", "a'b@web", `a"b@web`, "%h@web", "@web", "a;b@web", "a\nb@web"} {
		if got, err := openssh.NewTarget(typed, nil); exit.Of(err) != exit.Usage {
			t.Errorf("%q: %+v, %v", typed, got, err)
		}
	}
	for _, name := range []string{"", "-x", "a b", "a;b", "a'b", `a"b`, "%h", "$HOME", "a/b", "a\nb", "alice@web"} {
		target := openssh.Target{Program: "ssh", Name: name}
		if _, err := target.Config(t.Context()); exit.Of(err) != exit.Usage || strings.Contains(err.Error(), "started") {
			t.Errorf("%q: %v", name, err)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := openssh.NewTarget("web", nil); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "no ssh on this machine") {
		t.Errorf("without ssh: %v", err)
	}
}

// TestLine: ours come before the host, the person's after it, each an argument of its own.
func TestLine(t *testing.T) {
	program(t, "")
	target, err := openssh.NewTarget("alice@contoso.example@web", []string{"-L", "8080:localhost:80", "echo 'a b'"})
	if err != nil {
		t.Fatal(err)
	}
	got := target.Line(reach.Place{Host: "2001:db8::1", Port: 22}, "web.demo.portcullis")
	want := []string{"-o", "HostName=2001:db8::1", "-p", "22", "-o", "HostKeyAlias=web.demo.portcullis", "alice@contoso.example@web", "-L", "8080:localhost:80", "echo 'a b'"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestConfig: what ssh says of the host is taken as it says it.
func TestConfig(t *testing.T) {
	for _, row := range []struct {
		says    string
		want    openssh.Config
		refused string
	}{
		{"echo user alice; echo port 2222; echo hostkeyalias w", openssh.Config{Port: 2222, KeyAlias: "w"}, ""},
		{"echo port 22", openssh.Config{Port: 22}, ""},
		{"echo hostname web", openssh.Config{}, "ssh -G names no port"},
		{"echo port 0", openssh.Config{}, "ssh -G names no port"},
		{"echo port x", openssh.Config{}, `ssh -G: the port is "x"`},
		{"echo unknown option >&2; exit 255", openssh.Config{}, "ssh does not take its arguments: unknown option"},
	} {
		program(t, row.says)
		target, err := openssh.NewTarget("web", []string{"-v"})
		if err != nil {
			t.Fatal(err)
		}
		got, err := target.Config(t.Context())
		if err == nil && got != row.want || (err == nil) != (row.refused == "") || err != nil && err.Error() != row.refused {
			t.Errorf("%s: %+v, %v", row.says, got, err)
		}
	}
}

// TestStart: the exit code is ssh's, that of a signal as shells have it, and a signal is handed on.
func TestStart(t *testing.T) {
	for _, row := range []struct {
		script string
		signal os.Signal
		want   int
	}{
		{"exit 0", nil, 0}, {"exit 7", nil, 7}, {"exit 255", nil, 255}, {"kill -TERM $$", nil, 143},
		{"trap 'exit 3' INT; while :; do echo ready; read x || :; done", os.Interrupt, 3},
	} {
		program(t, row.script)
		target, err := openssh.NewTarget("web", nil)
		if err != nil {
			t.Fatal(err)
		}
		signals := make(chan os.Signal, 1)
		out := writer(func() {
			if row.signal != nil {
				select {
				case signals <- row.signal:
				default:
				}
			}
		})
		if got, err := target.Start(nil, openssh.Run{Out: out, Err: out, Signals: signals}); err != nil || got != row.want {
			t.Errorf("%s: %d, %v", row.script, got, err)
		}
	}
}

// writer calls a function at each write.
type writer func()

func (w writer) Write(p []byte) (int, error) { w(); return len(p), nil }
