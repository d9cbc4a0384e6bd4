package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCleanSource checks that the same commit gives the same bytes, whatever lies about untracked, and that a changed tracked file shows in the version.
func TestCleanSource(t *testing.T) {
	t.Parallel()
	script, err := filepath.Abs("clean-source")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := func(in string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		var stderr bytes.Buffer
		cmd.Dir, cmd.Stderr = in, &stderr
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, &stderr)
		}
		return strings.TrimSpace(string(out))
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := func() (source, version string, text []byte) {
		t.Helper()
		source = run(dir, script, "dist/source")
		out := filepath.Join(t.TempDir(), "app")
		run(source, "go", "build", "-buildvcs=true", "-trimpath", "-ldflags", "-s -w", "-o", out, ".")
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return source, run(source, out), text
	}
	const program = "package main\n\nimport \"runtime/debug\"\n\nfunc main() {\n\ti, _ := debug.ReadBuildInfo()\n\tprint2(i.Main.Version)\n}\n"
	write("go.mod", "module example.com/app\n\ngo 1.26\n")
	write("main.go", program)
	write("print.go", "package main\n\nimport \"fmt\"\n\nfunc print2(s string) { fmt.Println(s) }\n")
	write(".gitignore", "/dist/\n")
	run(dir, "git", "init", "--quiet")
	run(dir, "git", "add", ".")
	run(dir, "git", "-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "--quiet", "-m", "first")

	_, clean, want := build()
	if clean == "" || strings.Contains(clean, "dirty") {
		t.Fatalf("the commit alone gives the version %q", clean)
	}
	write("notes.txt", "untracked")
	write("more.go", "package main\n\nfunc init() { panic(\"untracked\") }\n")
	if source, version, got := build(); version != clean || !bytes.Equal(got, want) || source == dir {
		t.Errorf("with untracked files: version %q from %s, same bytes %v, want %q and the same", version, source, bytes.Equal(got, want), clean)
	}
	if err := os.Remove(filepath.Join(dir, "more.go")); err != nil {
		t.Fatal(err)
	}
	write("main.go", program+"\n// changed\n")
	if _, version, _ := build(); version != clean+"+dirty" {
		t.Errorf("with a changed file: version %q, want %q", version, clean+"+dirty")
	}
}
