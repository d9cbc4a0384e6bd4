package browser_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// mouse presses or releases the button over the middle of an element.
func (b *tab) mouse(what input.DispatchMouseEventType, selector string) {
	b.t.Helper()
	at := script[[]float64](b, fmt.Sprintf(`(r => [r.x + r.width / 2, r.y + r.height / 2])(document.querySelector(%q).getBoundingClientRect())`, selector))
	b.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: what, X: at[0], Y: at[1], Button: input.MouseButtonLeft, ClickCount: 1})
		return chromedp.Void{}, err
	})
}

// looksAgain waits until an element has looked again n times; what is run first may make it.
func (b *tab) looksAgain(selector, first string, n int) {
	b.t.Helper()
	script[bool](b, fmt.Sprintf(`new Promise(done => { let n = %d;
		document.body.addEventListener("htmx:afterOnLoad", e => { if (e.detail.requestConfig.elt.matches(%q) && --n === 0) done(true) }); %s })`, n, selector, first))
}

// TestClickWhileLooking: what looks again by itself and shows nothing new takes no click that is being made, and no focus.
func TestClickWhileLooking(t *testing.T) {
	t.Parallel()
	m := start(t)
	b := m.open()
	m.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`web"},{"id":"`+demo+`app1"}]}`)
	m.api("requester", "POST", "/api/request", `{"justification":"restart the shop","virtualMachines":[{"id":"`+demo+`web","ports":[{"number":22,"duration":"PT1H"}]}]}`)
	b.signIn("requester")
	b.says("#open", "restart the shop")
	b.loaded()
	const show = "#open a[id^=show-]"
	b.mouse(input.DispatchMouseEventTypeMousePressed, show)
	b.looksAgain("#open", `htmx.trigger(document.body, "windows-changed")`, 1)
	b.mouse(input.DispatchMouseEventTypeMouseReleased, show)
	b.says("#pane h2", "Ports are open")
	b.closePane()

	b.writing(8 * time.Second) // while it opens, its panel looks every second
	b.click(`a.primary[href*="request?vm="][href$="app1"]`)
	b.says("#pane h2", "Request access")
	b.click("#pane footer button.primary")
	b.says("#pane h2", "Opening ports")
	const closeNow = "#pane footer button.danger"
	script[bool](b, fmt.Sprintf(`(document.querySelector(%q).focus(), true)`, closeNow))
	b.mouse(input.DispatchMouseEventTypeMousePressed, closeNow)
	b.looksAgain("#pane .panel", "", 2)
	if got := script[bool](b, fmt.Sprintf(`document.activeElement === document.querySelector(%q)`, closeNow)); !got {
		t.Error("the panel that looks again has taken the focus from its button")
	}
	b.writing(0)
	b.mouse(input.DispatchMouseEventTypeMouseReleased, closeNow)
	b.says("#pane h2", "Ports are closed")
	b.says("#pane .note", "ended it early")
}
