package bussim_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"portcullis/local/bussim"
)

// TestJavaScriptClient runs js/client.test.mjs: a second client, written by
// Microsoft on a second AMQP implementation. Its packages are installed once,
// as package-lock.json pins them.
func TestJavaScriptClient(t *testing.T) {
	t.Parallel() // it waits
	node, npm := program(t, "node"), program(t, "npm")
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
	defer cancel()
	install(ctx, t, npm)
	conn := os.Getenv("SB_CONN")
	if conn == "" {
		conn = serve(t, func(c *bussim.Config) {
			c.Now = time.Now // its timers have to fire by themselves
			for i := range c.Queues {
				c.Queues[i].LockDuration = 4 * time.Second // a slow machine settles within it
			}
		}).connectionString()
	}
	out, err := command(ctx, []string{"SB_CONN=" + conn}, node, "--test", "--test-reporter=tap", "client.test.mjs")
	if err != nil {
		t.Fatalf("node --test: %v\n%s", err, out)
	}
	if passed, all := summary(out, "pass"), summary(out, "tests"); passed != all || all < 10 {
		t.Fatalf("%d of %d tests passed, want all of at least 10\n%s", passed, all, out)
	}
}

func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed; install Node.js 20 or later with npm, which make test needs to run Microsoft's JavaScript client: %v", name, err)
	}
	return path
}

// install fills js/node_modules unless it was made from the same lock file.
func install(ctx context.Context, t *testing.T, npm string) {
	t.Helper()
	want, err := os.ReadFile(filepath.Join("js", "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	stamp := filepath.Join("js", "node_modules", ".made-from-package-lock.json")
	if have, err := os.ReadFile(stamp); err == nil && bytes.Equal(have, want) {
		return
	}
	if out, err := command(ctx, nil, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	if err := os.WriteFile(stamp, want, 0o644); err != nil {
		t.Fatal(err)
	}
}

// command runs a program in js. An interrupt lets node end its children.
func command(ctx context.Context, env []string, name string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = "js"
	c.Env = append(os.Environ(), env...)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = time.Minute
	out, err := c.CombinedOutput()
	return string(out), err
}

// summary reads a count like "# pass 9" from TAP output, -1 when absent.
func summary(out, what string) int {
	m := regexp.MustCompile(`(?m)^# ` + what + ` (\d+)$`).FindStringSubmatch(out)
	if m == nil {
		return -1
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return -1
	}
	return n
}
