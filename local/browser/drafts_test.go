package browser_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// next makes the page's next request to a path end otherwise than by the app's answer; what is run has the request as this.
func (b *tab) next(path, what string) {
	b.t.Helper()
	script[bool](b, fmt.Sprintf(`(() => { const {open, send} = XMLHttpRequest.prototype; let taken = false;
		XMLHttpRequest.prototype.open = function (verb, url, ...rest) { this.to = url; return open.call(this, verb, url, ...rest) };
		XMLHttpRequest.prototype.send = function (body) { if (taken || !this.to.includes(%q)) return send.call(this, body); taken = true; setTimeout(() => { %s }, 0) };
		return true })()`, path, what))
}

// online sets what the browser says of its network.
func (b *tab) online(yes bool) {
	b.t.Helper()
	b.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: !yes, DownloadThroughput: -1, UploadThroughput: -1})
		return chromedp.Void{}, err
	})
}

// key makes the browser press a key as somebody does, who has used the page before.
func (b *tab) key(text string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(text))
}

// path is what stands in the address bar behind the root of the page.
func (b *tab) path() string {
	b.t.Helper()
	return script[string](b, `decodeURIComponent((location.pathname + location.search).replace("/api/portal/", ""))`)
}

// TestDraft: what is typed into a pane survives Esc, the backdrop, Back, a reload and a sign-in that has ended; who leaves is asked first,
// and what is discarded or sent is gone.
func TestDraft(t *testing.T) {
	t.Parallel()
	lib := axe(t)
	m := start(t)
	b := m.open()
	m.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`web"},{"id":"`+demo+`app1"}]}`)
	b.signIn("requester")
	ask := fmt.Sprintf(`a[id="ask-%sweb"]`, demo)
	holds := func(want string) {
		t.Helper()
		b.eventually("the form holds "+want, func() bool { return script[string](b, `document.querySelector("#why")?.value ?? ""`) == want })
	}
	asks := func(what string) {
		t.Helper()
		b.says("#pane .said", "Discard what you typed?")
		if got := b.text(":focus"); got != "Keep editing" {
			t.Errorf("%s: the focus is on %q", what, got)
		}
		b.click("#pane .said button:first-of-type")
		holds("restart the shop")
	}
	b.click(ask)
	b.says("#pane h2", "Request access")
	b.eventually("the address is the pane's", func() bool { return b.path() == "request?vm="+demo+"web" })
	if got := script[string](b, `document.title`); got != "Request access · Portcullis" {
		t.Errorf("the title is %q", got)
	}
	b.fill("#why", "restart the shop")
	b.fill("#for-0-22", "20 min")
	b.key("\x1b")
	asks("Esc")
	b.shot("draft")
	script[bool](b, `(document.getElementById("pane").dispatchEvent(new MouseEvent("click", {bubbles: true, cancelable: true})), true)`)
	asks("the backdrop")
	b.click("#pane footer a.button")
	asks("Cancel")
	script[bool](b, `(history.back(), true)`)
	asks("Back")
	if got := b.path(); got != "request?vm="+demo+"web" {
		t.Errorf("after Back and Keep editing the address is %q", got)
	}

	// A page of its own by the same address, with what was typed.
	b.do(chromedp.Reload())
	b.loaded()
	holds("restart the shop")
	b.says("footer .said", "What you typed before is kept.")
	if got := script[string](b, `document.querySelector("#for-0-22").value + " " + document.querySelector("#slide-0-22").value`); got != "20 min 20" {
		t.Errorf("the time is %q", got)
	}
	// The sign-in has ended: what is sent is not lost, and signing in leads back to it.
	b.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		return cdp.Call(ctx, t, network.ClearBrowserCookies, cdp.Empty{})
	})
	b.click("footer button.primary")
	b.says("footer .said", "You are signed out. What you typed is kept.")
	holds("restart the shop")
	b.shot("signed-out")
	b.check(lib, "signed out")
	b.click("footer .said a")
	b.says("h1", "Sign in")
	b.click(`a[href*="as=requester"]`)
	b.says("h2", "Request access")
	holds("restart the shop")
	// Sent, it is gone.
	b.click("footer button.primary")
	b.says("h2", "Ports are open")
	b.visit("request?vm=" + demo + "web")
	holds("")
	// Discarded, too; and nobody else gets it.
	b.fill("#why", "not for others")
	b.visit("")
	b.click(ask)
	holds("not for others")
	b.says("#pane footer .said", "What you typed before is kept.")
	b.check(lib, "a draft that is restored")
	b.key("\x1b")
	b.says("#pane .said", "Discard")
	b.shot("discard")
	b.check(lib, "asked before discarding")
	b.click("#pane .said button:last-of-type")
	b.eventually("the pane is closed", func() bool { return b.count("#pane[open]") == 0 })
	b.eventually("the address is the list's", func() bool { return b.path() == "" })
	b.click(ask)
	b.says("#pane h2", "Request access")
	holds("")
	b.fill("#why", "not for others")
	b.signIn("admin")
	if n := script[int](b, `Object.keys(sessionStorage).filter(k => sessionStorage[k].includes("not for others")).length`); n != 0 {
		t.Errorf("%d drafts of somebody else are kept", n)
	}

	// Rows that were added to a policy come back, too.
	b.visit("configure?vm=" + demo + "app1")
	b.click("button[value=add]")
	b.eventually("a row is added", func() bool { return b.count(".rules tbody tr") == 5 })
	b.fill(".rules tbody tr:last-child input[name=number]", "8443")
	b.do(chromedp.Reload())
	b.loaded()
	b.eventually("the row is back", func() bool {
		return script[string](b, `document.querySelector(".rules tbody tr:nth-child(5) input[name=number]")?.value ?? ""`) == "8443"
	})
}

// TestPaneHistory: the pane has a place in the history: Back closes it and Forward opens it again, and its address is a link to it.
func TestPaneHistory(t *testing.T) {
	t.Parallel()
	m := start(t)
	b := m.open()
	m.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`web"}]}`)
	b.signIn("requester")
	b.click(`a.vm[href$="web"]`)
	b.says("#pane h2", "web")
	script[bool](b, `(window.same = true, history.back(), true)`)
	b.eventually("Back closes the pane", func() bool { return b.count("#pane[open]") == 0 && b.path() == "" })
	script[bool](b, `(history.forward(), true)`)
	b.says("#pane h2", "web")
	if !script[bool](b, `window.same === true`) {
		t.Error("the page was loaded again")
	}
	b.click(`#pane footer a.primary`)
	b.says("#pane h2", "Request access")
	b.fill("#why", "restart the shop")
	b.click("#pane footer button.primary")
	b.says("#pane h2", "Ports are open")
	b.eventually("the title counts down", func() bool { return strings.HasPrefix(script[string](b, `document.title`), "59:") })
	if got := script[string](b, `document.title`); !strings.HasSuffix(got, " web · Portcullis") {
		t.Errorf("the title is %q", got)
	}
	link := b.path()
	if !strings.HasPrefix(link, "requests/") {
		t.Errorf("the address of the pane is %q", link)
	}
	b.closePane()
	b.eventually("the address is the list's", func() bool { return b.path() == "" })
	b.visit(link)
	b.says("h2", "Ports are open")
	// A link fills the form in and sends nothing.
	b.visit("request?vm=" + demo + "web&port=3389&for=45m&why=patch%2C+then+reboot")
	if got := script[string](b, `["port-0-22", "port-0-3389"].map(id => document.getElementById(id).checked).join() + " " + document.querySelector("#for-0-3389").value + " " + document.querySelector("#why").value`); got != "false,true 45 min patch, then reboot" {
		t.Errorf("the link fills in %q", got)
	}
	b.says("h2", "Request access")
}

// TestStatus: what became of a click is said where the click was made or in the footer that is always in view, with the fields kept: while
// it is under way, offline, when the platform answers in the app's place, when the app refuses, and when the sign-in has ended.
func TestStatus(t *testing.T) {
	t.Parallel()
	lib := axe(t)
	m := start(t)
	b := m.open()
	m.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`web"}]}`)
	b.signIn("requester")
	b.screen(1280, 500, "light")
	inView := func(selector string) {
		t.Helper()
		if !script[bool](b, fmt.Sprintf(`(e => { const r = e.getBoundingClientRect(), at = document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2); return r.top >= 0 && r.bottom <= innerHeight && (e.contains(at) || at.contains(e)) })(document.querySelector(%q))`, selector)) {
			t.Errorf("%s is not in view", selector)
		}
	}
	ask := fmt.Sprintf(`a[id="ask-%sweb"]`, demo)
	b.loaded()
	b.online(false)
	b.next("/request", `this.onerror()`)
	b.click(ask)
	b.says("#list .said", "You are offline. Nothing was sent.")
	inView("#list .said")
	b.shot("offline-row")
	b.check(lib, "offline beside a row")
	b.online(true)
	b.click("#list .said button")
	b.says("#pane h2", "Request access")
	b.fill("#why", "restart the shop")

	b.online(false)
	b.next("/request", `this.onerror()`)
	b.click("#pane footer button.primary")
	b.says("#pane footer .said", "You are offline. Nothing was sent.")
	inView("#pane footer .said")
	b.shot("offline-form")
	b.check(lib, "offline in the pane")
	b.online(true)

	// The platform, or the app, answers in another way than the form expects: as scripts of the page see it.
	const answer = `const fake = {status: %s, response: %[3]q, responseText: %[3]q, readyState: 4, responseURL: location.href, getResponseHeader: n => n === "Content-Type" ? "text/html" : n === "Portcullis-View" ? %[2]s : null, getAllResponseHeaders: () => ""};
		for (const k in fake) Object.defineProperty(this, k, {value: fake[k]});
		this.onload()`
	for _, row := range []struct{ status, view, text, want string }{
		{"503", "null", "<h1>Service Unavailable</h1>", "The app could not answer (503)."},
		{"503", `"refused"`, `<div role='alert'><p>Table Storage does not answer; try again.</p></div>`, "Table Storage does not answer; try again."},
		{"502", "null", "<h1>Bad gateway</h1>", "The app could not answer (502)."},
	} {
		b.next("/request", fmt.Sprintf(answer, row.status, row.view, row.text))
		b.click("#pane footer > button.primary")
		b.says("#pane footer .said", row.want)
		inView("#pane footer .said")
		if got := script[string](b, `document.querySelector("#why").value + "|" + document.activeElement.innerText`); got != "restart the shop|Try again" {
			t.Errorf("after %s: %q", row.want, got)
		}
	}
	for _, screen := range []struct {
		width, height int64
		theme         string
	}{{1440, 900, "light"}, {1440, 900, "dark"}, {1024, 768, "dark"}, {834, 1112, "light"}, {390, 844, "light"}, {390, 844, "dark"}, {1280, 500, "light"}} {
		b.screen(screen.width, screen.height, screen.theme)
		name := fmt.Sprintf("refused-form-%d-%s", screen.width, screen.theme)
		b.shot(name)
		b.check(lib, name)
		inView("#pane footer .said")
	}
	b.next("/request", `this.ontimeout()`)
	b.click("#pane footer > button.primary")
	b.says("#pane footer .said", "It may have been done all the same")

	// A refusal of the app's stands in the footer as well, however far the form is scrolled.
	b.fill("#for-0-22", "9 h")
	b.click("#pane footer > button.primary")
	b.says("#pane footer .said", "Nothing was opened.")
	inView("#pane footer .said")
	inView("#for-0-22")
	b.fill("#for-0-22", "30 min")
	// While it is under way the button says so, and is back after that.
	script[bool](b, `(window.saw = "", new MutationObserver(() => { window.saw += document.querySelector("#pane footer [aria-busy]")?.innerText ?? "" }).observe(document.getElementById("pane"), {subtree: true, childList: true, attributes: true}), true)`)
	b.click("#pane footer > button.primary")
	b.says("#pane h2", "Ports are open")
	if got := script[string](b, `window.saw`); !strings.Contains(got, "Opening…") {
		t.Errorf("while it was sent the button said %q", got)
	}
	// htmx tells the console of each request that failed, as it is meant to here.
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrong = slices.DeleteFunc(b.wrong, func(w string) bool {
		return strings.HasPrefix(w, `console: "htmx:sendError`) || strings.HasPrefix(w, `console: "htmx:timeout`) || strings.HasPrefix(w, `console: "htmx:afterRequest`)
	})
}
