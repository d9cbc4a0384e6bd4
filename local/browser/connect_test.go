package browser_test

import (
	"strings"
	"testing"
)

// TestConnectAs: the name on the machines is asked for once, kept in the browser, and put into what is copied and downloaded; what is no name is
// put nowhere.
func TestConnectAs(t *testing.T) {
	t.Parallel()
	lib := axe(t)
	b := start(t).open()
	b.signIn("admin")
	b.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`web"},{"id":"`+demo+`app1"}]}`)
	b.api("admin", "POST", "/api/request", `{"virtualMachines":[{"id":"`+demo+`web","ports":[{"number":22,"duration":"PT1H"},{"number":3389,"duration":"PT1H"}]}]}`)
	b.visit("")
	b.click("#open li a[id^=show-]")
	b.says("#pane .dial", "ssh user@")
	b.fill("#connect-as", "-oProxyCommand=x")
	if text := b.text("#pane .ports"); strings.Contains(text, "Proxy") {
		t.Errorf("what is no name stands in a command:\n%s", text)
	}
	b.fill("#connect-as", "alice")
	b.says("#pane .dial", "ssh alice@")
	b.says("#pane .ports", "--local-user alice")
	copies := script[string](b, `document.querySelector("[data-copy-all]").dataset.copy`)
	if lines := strings.Split(copies, "\n"); len(lines) != 2 || !strings.HasPrefix(lines[0], "ssh alice@") || !strings.HasSuffix(lines[1], ":3389") {
		t.Errorf("all of it is %q", copies)
	}
	if file := script[string](b, `fetch(document.querySelector("#pane a[data-rdp]").href).then(r => r.text())`); !strings.Contains(file, "username:s:alice\r\n") {
		t.Errorf("the file for remote desktops: %q", file)
	}
	for _, screen := range []struct {
		width int64
		theme string
	}{{1440, "light"}, {390, "dark"}} {
		b.screen(screen.width, 900, screen.theme)
		b.shot("connect-" + screen.theme)
		b.check(lib, "a request with ways to connect")
	}
	b.visit("")
	b.says("#open .dial", "ssh alice@")
	b.click("#open li a[id^=show-]")
	b.eventually("the name is there", func() bool {
		return script[string](b, `document.querySelector("#connect-as")?.value ?? ""`) == "alice"
	})
}
