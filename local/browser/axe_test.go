package browser_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// axe returns axe-core.
func axe(t *testing.T) string {
	t.Helper()
	return installed(t, "axe", "axe-core/axe.min.js")
}

// installed returns a file of a package in the folder, as its package-lock.json pins it. It is installed once.
func installed(t *testing.T, folder, file string) string {
	t.Helper()
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Fatalf("npm is not installed; install Node.js 20 or later with npm, which make test needs for the browser's tests: %v", err)
	}
	want, err := os.ReadFile(filepath.Join(folder, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	stamp := filepath.Join(folder, "node_modules", ".made-from-package-lock.json")
	if have, err := os.ReadFile(stamp); err != nil || !bytes.Equal(have, want) {
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
		cmd.Dir = folder
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
		if err := os.WriteFile(stamp, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(folder, "node_modules", filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// barrier is something that axe found.
type barrier struct {
	Rule   string   `json:"rule"`
	Impact string   `json:"impact"`
	Help   string   `json:"help"`
	Nodes  []string `json:"nodes"`
}

// check looks for barriers on what is to be seen now.
func (b *tab) check(axe, what string) {
	b.t.Helper()
	b.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		return chromedp.Evaluate[chromedp.Void](axe+";undefined")(ctx, t)
	})
	text := script[string](b, `axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations.map(v => (
		{rule: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 4).map(n => n.html.slice(0, 160) + " | " + n.failureSummary)}))))`)
	var found []barrier
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		b.t.Fatal(err)
	}
	for _, f := range found {
		say := b.t.Logf
		if f.Impact == "serious" || f.Impact == "critical" {
			say = b.t.Errorf
		}
		say("%s: %s: %s (%s)\n%s", what, f.Impact, f.Help, f.Rule, fmt.Sprint(f.Nodes))
	}
}

// TestBarriers: axe finds nothing serious, in both themes and on a narrow screen, and
// nothing is wider than the screen.
func TestBarriers(t *testing.T) {
	t.Parallel()
	lib := axe(t)
	b := start(t).open()
	b.visit("")
	b.check(lib, "sign-in")
	b.signIn("admin")
	b.check(lib, "empty list")
	b.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`web","existingRules":"respect"},{"id":"`+demo+`app1"},{"id":"`+demo+`both"}]}`)
	b.api("requester", "POST", "/api/request", `{"justification":"restart the shop","virtualMachines":[{"id":"`+demo+`web","ports":[{"number":22,"duration":"PT1H"},{"number":3389,"duration":"PT2H"}]}]}`)
	b.api("admin", "POST", "/api/request", `{"justification":"look at the logs","virtualMachines":[{"id":"`+demo+`app1","ports":[{"number":22,"duration":"PT30M"}]}]}`)
	b.api("admin", "POST", "/api/sweep", "")
	for _, screen := range []struct {
		width, height int64
		theme         string
	}{{1280, 900, "light"}, {1280, 900, "dark"}, {390, 844, "light"}, {390, 844, "dark"}} {
		b.screen(screen.width, screen.height, screen.theme)
		name := func(what string) string { return fmt.Sprintf("%s-%d-%s", what, screen.width, screen.theme) }
		look := func(what string) {
			t.Helper()
			b.shot(name(what))
			b.check(lib, name(what))
			if wide := script[int](b, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
				t.Errorf("%s is %d pixels wider than the screen", name(what), wide)
			}
		}
		for path, what := range map[string]string{"": "machines", "?tab=notConfigured": "notconfigured", "?tab=unsupported": "unsupported", "activity": "log", "windows": "timeline", "windows?span=7d": "week", "findings": "findings", "nothing": "refused", "configure?vm=" + demo + "behindfw": "firewall"} {
			b.visit(path)
			look(what)
		}
		b.visit("")
		for _, pane := range []struct{ click, says, what string }{
			{`a.primary[href*="request?vm="]`, "Request access", "pane-request"},
			{`td a.button[href*="configure?vm="]`, "Edit just-in-time access", "pane-configure"},
			{`a.vm[href$="web"]`, "web", "pane-machine"},
			{`#open a[id^=show-]`, "Ports are open", "pane-open"},
		} {
			b.click(pane.click)
			b.says("#pane h2", pane.says)
			look(pane.what)
			b.closePane()
		}
	}
}
