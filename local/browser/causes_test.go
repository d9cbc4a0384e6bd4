package browser_test

import (
	"context"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestFindingsByCause: what one rule opens on several machines is one card, of which one button adds the ports to the policies, after a look at
// what that changes. Who may only look is offered nothing and is not told that it needs them.
func TestFindingsByCause(t *testing.T) {
	t.Parallel()
	lib := axe(t)
	m := start(t)
	b := m.open()
	m.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`web","ports":[{"number":8022,"protocol":"TCP","allowedSourceAddressPrefix":"*","maxRequestAccessDuration":"PT1H"}]}]}`)
	m.api("admin", "POST", "/api/sweep", "")
	b.signIn("reader")
	b.visit("findings")
	b.says(".cause", "Port 22 of web")
	if n := b.count(`a[href*="protect?cause="]`); n != 0 || strings.Contains(b.text("main"), "needs you") {
		t.Errorf("a reader is offered %d forms:\n%s", n, b.text("main"))
	}
	b.visit("")
	b.says("main .head", "none yours to act on")

	b.signIn("admin")
	b.says("main .head", "you")
	b.visit("findings")
	b.says(".cause", "through the rule AllowSshAny")
	b.fill("#find-finding", "WEB-nsg 22")
	b.click(`form[aria-label=Findings] button[type=submit]`)
	b.says("form[aria-label=Findings]", "Clear")
	b.loaded()
	b.says("#found-title", "1 cause, 1 finding")
	csv := script[string](b, `fetch(document.querySelector("a[download]").href).then(r => r.text())`)
	if !strings.HasPrefix(csv, "kind,severity,") || strings.Count(csv, "\n") != 2 {
		t.Errorf("the table of what is found:\n%s", csv)
	}
	for _, screen := range []struct {
		width int64
		theme string
	}{{1440, "light"}, {1024, "dark"}, {834, "light"}, {390, "dark"}, {390, "light"}} {
		b.screen(screen.width, 900, screen.theme)
		b.shot("causes-" + string(rune('0'+screen.width/300)) + screen.theme)
		b.check(lib, "causes")
	}
	b.click(`a[href*="protect?cause="]`)
	b.says("#pane h2", "Add ports to policies")
	b.says("#pane #changes", "Deny 22 SSH")
	b.shot("protect-390")
	b.check(lib, "the form that adds ports")
	b.screen(1280, 900, "dark")
	b.shot("protect-1280")
	b.check(lib, "the form that adds ports, dark")
	b.fill("#add-maximum", "30 h")
	b.click(`#pane button[value=save]`)
	b.says("#pane [role=alert]", "Not saved.")
	b.fill("#add-maximum", "2 h")
	b.click(`#pane button[value=save]`)
	b.says("#pane h2", "Ports are protected")
	b.shot("protect-saved")
	m.api("admin", "POST", "/api/sweep", "")
	b.visit("findings")
	if text := b.text("main"); strings.Contains(text, "AllowSshAny") {
		t.Errorf("it is still found:\n%s", text)
	}

	// Without scripts the form is a page of its own.
	m.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`web","ports":[{"number":8022,"protocol":"TCP","allowedSourceAddressPrefix":"*","maxRequestAccessDuration":"PT1H"}]}]}`)
	m.api("admin", "POST", "/api/sweep", "")
	b.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return chromedp.Void{}, err
	})
	b.scriptless = true
	b.visit("findings?text=AllowSshAny")
	b.click(`a[href*="protect?cause="]`)
	b.says("main #changes", "Deny 22 SSH")
	b.click(`main button[value=save]`)
	b.says("main h2", "Ports are protected")
}
