package browser_test

import (
	"context"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestWithoutScript: without JavaScript everything can be read, and the forms
// work as pages of their own.
func TestWithoutScript(t *testing.T) {
	t.Parallel()
	m := start(t)
	b := m.open()
	m.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`web"}]}`)
	b.signIn("requester")
	b.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return chromedp.Void{}, err
	})
	b.scriptless = true
	b.visit("?tab=unsupported")
	b.says("#list", "Classic virtual machine")
	b.visit("")
	if b.count("html.scripted") != 0 {
		t.Fatal("scripts still run")
	}
	b.tick("web")
	b.click(".selection button.primary")
	b.says("main h2", "Request access")
	b.fill("#why", "by hand")
	b.shot("without-script")
	b.click("main footer button.primary")
	b.says("main h2", "port")
	b.eventually("the port is open", func() bool {
		b.do(chromedp.Reload())
		return b.text("main h2") == "Ports are open"
	})
	b.says("main code", "ssh user@203.0.113.10 -p 22")
	b.click("main button.danger")
	b.says("main h2", "Ports are closed")
	b.visit("activity")
	b.says("tbody", "by hand")
}
