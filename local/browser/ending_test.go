package browser_test

import (
	"strings"
	"testing"
)

// TestEndTicked: what is done to ticked machines leads back to the list as it was looked for; machines whose policies differ keep what differs;
// the protection of several ends at once.
func TestEndTicked(t *testing.T) {
	t.Parallel()
	lib := axe(t)
	b := start(t).open()
	b.signIn("admin")
	b.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`web"},{"id":"`+demo+`app1"},{"id":"`+demo+`app2","ports":[{"number":22,"protocol":"TCP","allowedSourceAddressPrefix":"*","maxRequestAccessDuration":"PT1H"}],"options":{"requireJustification":true}}]}`)
	b.visit("")
	b.fill("#text", "app")
	b.eventually("the list is of what was looked for", func() bool {
		return script[string](b, "location.search") == "?text=app" && b.count("#results tbody tr") == 2
	})
	filtered := func(rows int) {
		t.Helper()
		b.eventually("the list that was looked for is back", func() bool {
			return script[string](b, "location.pathname + location.search") == "/api/portal/?text=app" && b.count("#pane .panel") == 0 && b.count("#results tbody tr") == rows
		})
	}
	b.click("[data-all]")
	b.click(`.selection button[formaction$="/configure"]`)
	b.says("#pane .note", "different policies")
	b.click("#pane details summary")
	for _, screen := range []struct {
		width int64
		theme string
	}{{1440, "light"}, {390, "dark"}} {
		b.screen(screen.width, 900, screen.theme)
		b.shot("bulk-" + screen.theme)
		b.check(lib, "the form for machines with different policies")
	}
	b.screen(1280, 900, "light")
	b.click(`#pane button[value=save]`)
	b.says("#pane footer", "Saved.")
	b.click("#pane footer a[data-close]")
	filtered(2)
	if text := b.api("admin", "GET", "/api/policies/export", ""); strings.Count(text, "requireJustification\":true") != 1 {
		t.Errorf("what differed was not left as it is: %s", text)
	}

	b.click("[data-all]")
	b.click(`.selection button[value=ask]`)
	b.says("#pane h2", "End protection of 2 machines")
	b.shot("ending")
	if at := script[string](b, "location.pathname"); at != "/api/portal/" {
		t.Errorf("the form that ends protection has an address: %s", at)
	}
	b.check(lib, "the form that ends protection")
	b.click(`#pane button[value=end]`)
	b.says("#pane [role=alert]", "Nothing was ended.")
	b.click(`#pane input[name=sure]`)
	b.click(`#pane button[value=end]`)
	b.says("#pane h2", "Protection has ended")
	b.click("#pane footer a[data-close]")
	filtered(0)
}
