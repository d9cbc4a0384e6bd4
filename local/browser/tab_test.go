package browser_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// tab is a tab of the browser, with nothing kept from any other.
type tab struct {
	*machine
	ctx context.Context

	scriptless bool // the page's own scripts do not run
	clicks     int

	mu    sync.Mutex
	wrong []string // what the console said that it should not
}

// programs are the names that Chromium is installed under.
var programs = []string{"chromium", "chromium-browser", "google-chrome", "chrome", "headless_shell"}

func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range programs {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("there is no Chromium; local/need-chromium installs Debian's")
	return ""
}

// shared is the one Chromium of all tests, started by the first that wants it: to start is the dearest
// thing that it does. Each tab is in a browser context of its own, which shares nothing with another's.
var shared struct {
	once   sync.Once
	ctx    context.Context
	cancel context.CancelFunc
	dir    string
	err    error
}

func browser(t *testing.T) context.Context {
	t.Helper()
	program := chromium(t)
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "portcullis-chromium"); shared.err != nil {
			return
		}
		options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(program), chromedp.UserDataDir(shared.dir), chromedp.WindowSize(1280, 900), chromedp.WSURLReadTimeout(patience),
			chromedp.Flag("force-color-profile", "srgb")}
		for _, flag := range []string{"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-component-update",
			"disable-sync", "disable-dev-shm-usage", "disable-default-apps", "disable-extensions", "hide-scrollbars", "mute-audio",
			// No tab waits because another is in front of it.
			"disable-background-timer-throttling", "disable-backgrounding-occluded-windows", "disable-renderer-backgrounding"} {
			options = append(options, chromedp.Flag(flag, true))
		}
		options = append(options, chromedp.Flag("disable-features", "SpareRendererForSitePerProcess")) // one process more for each page
		ctx, cancelAll := chromedp.NewExecAllocator(context.Background(), options...)
		ctx, cancelTab := chromedp.NewContext(ctx)
		shared.ctx, shared.cancel = ctx, func() { cancelTab(); cancelAll() }
		shared.err = chromedp.Do(ctx) // starts the browser, which lives as long as this call's context
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.ctx
}

// closeBrowser ends the browser, if there is one.
func closeBrowser() {
	if shared.cancel != nil {
		shared.cancel()
	}
	if shared.dir != "" {
		os.RemoveAll(shared.dir)
	}
}

// open returns a tab that sees the machine.
func (m *machine) open() *tab {
	t := m.t
	t.Helper()
	b := &tab{machine: m}
	ctx, cancel := chromedp.NewContext(browser(t), chromedp.WithNewBrowserContext(), chromedp.WithListener(b.heard))
	b.ctx = ctx
	t.Cleanup(func() {
		if t.Failed() {
			b.picture("failed-" + t.Name())
		}
		cancel()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, w := range b.wrong {
			t.Errorf("the browser's console: %s", w)
		}
	})
	// The first call makes the tab, which lives as long as that call's context.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	b.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		if _, err := cdp.Call(ctx, t, runtime.Enable, cdp.Empty{}); err != nil {
			return chromedp.Void{}, err
		}
		if _, err := cdp.Call(ctx, t, cdplog.Enable, cdp.Empty{}); err != nil {
			return chromedp.Void{}, err
		}
		// Each page is in front for who looks at it, whatever the others do.
		_, err := cdp.Call(ctx, t, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
		return chromedp.Void{}, err
	})
	b.screen(1280, 900, "light")
	return b
}

// heard keeps what went wrong in the page. A refusal's status is the browser's to
// mention and no error of the page.
func (b *tab) heard(event any) {
	said := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		said = "exception: " + e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			said += " " + e.ExceptionDetails.Exception.Description
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" {
			said = "console:"
			for _, arg := range e.Args {
				said += " " + string(arg.Value) + arg.Description
			}
		}
	case *cdplog.EventEntryAdded:
		refusal := e.Entry.Source == "network" && strings.Contains(e.Entry.Text, "responded with a status of 4")
		if (e.Entry.Level == "error" || e.Entry.Level == "warning") && !refusal {
			said = string(e.Entry.Source) + ": " + e.Entry.Text + " " + e.Entry.URL
		}
	case *page.EventJavascriptDialogOpening:
		said = "a dialog opened: " + e.Message
	}
	if said != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.wrong = append(b.wrong, said)
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.fail("%v", err)
	}
}

// fail ends the test with what the page shows; a screenshot of it is taken when the test ends.
func (b *tab) fail(format string, args ...any) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
	defer cancel()
	page, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText.trim()`))
	if err != nil {
		page = "nothing: " + err.Error()
	}
	b.t.Fatalf("%s\nthe page shows:\n%s", fmt.Sprintf(format, args...), page)
}

// eventually waits until it is so on the page.
func (b *tab) eventually(what string, so func() bool) {
	b.t.Helper()
	if !until(so) {
		b.fail("not within %v: %s", patience, what)
	}
}

// gone are the errors of a script whose page was left meanwhile.
var gone = []string{"context was destroyed", "Cannot find context", "navigated or closed", "Promise was collected", "Cannot find default execution context"}

func wasLeft(err error) bool {
	return slices.ContainsFunc(gone, func(text string) bool { return strings.Contains(err.Error(), text) })
}

// script runs a script and returns its value, also one that is promised. Where the page is
// left meanwhile it runs on the next one.
func script[T any](b *tab, text string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](text, chromedp.EvalAwaitPromise))
	for err != nil && wasLeft(err) && ctx.Err() == nil {
		v, err = chromedp.Run(ctx, chromedp.Evaluate[T](text, chromedp.EvalAwaitPromise))
	}
	if err != nil {
		b.fail("%.200s: %v", text, err)
	}
	return v
}

// text returns what can be read in the elements, "" where there is none.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return script[string](b, fmt.Sprintf(`Array.from(document.querySelectorAll(%q), e => e.innerText ?? e.textContent).join("\n")`, selector))
}

func (b *tab) count(selector string) int {
	b.t.Helper()
	return script[int](b, fmt.Sprintf(`document.querySelectorAll(%q).length`, selector))
}

// visit goes to a part of the page.
func (b *tab) visit(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.url + "/api/portal/" + path))
	b.loaded()
}

// loaded waits until the page and its scripts are there: before that a click leads to a page of
// its own, as it does where scripts do not run.
func (b *tab) loaded() {
	b.t.Helper()
	b.eventually("the page is loaded", func() bool {
		return script[bool](b, fmt.Sprintf(`document.readyState === "complete" && (%t || document.documentElement.classList.contains("scripted"))`, b.scriptless))
	})
}

// closePane closes the pane, and waits until what that asks for is there.
func (b *tab) closePane() {
	b.t.Helper()
	script[bool](b, `(window.paneClosed = 0, document.getElementById("pane").addEventListener("close", () => { window.paneClosed = 1 }, {once: true}), true)`)
	b.click("#pane .x")
	b.eventually("the pane is closed", func() bool { return script[int](b, `window.paneClosed`) == 1 })
	b.calm()
}

// calm waits until nothing is asked for any more.
func (b *tab) calm() {
	b.t.Helper()
	b.eventually("nothing is under way", func() bool { return b.count(".htmx-request") == 0 })
}

// signIn signs in by the page's own link.
func (b *tab) signIn(name string) {
	b.t.Helper()
	b.visit("")
	if b.count("nav[aria-label=Pages]") > 0 { // somebody else is signed in
		b.click(".who a")
	}
	b.click(`a[href*="as=` + name + `"]`)
	b.says(".who", name)
}

// click clicks what is there. Where the page moves it or puts a new element in its place
// meanwhile, so that the click does not get to it, it clicks once more, as people do.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.loaded()
	on := chromedp.CSS(selector)
	var err error
	for range 10 {
		b.expectClick(selector)
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		err = chromedp.Do(ctx, chromedp.WaitVisible(on), chromedp.ScrollIntoView(on), chromedp.Click(on))
		cancel()
		switch {
		case err == nil && b.clicked():
			return
		case err == nil:
			err = errors.New("it did not get the click")
		case !strings.Contains(err.Error(), "node"):
			b.fail("click %s: %v", selector, err)
		}
	}
	b.fail("click %s: %v", selector, err)
}

// expectClick makes the page remember whether an element of the selector gets the next click.
func (b *tab) expectClick(selector string) {
	b.t.Helper()
	b.clicks++
	script[bool](b, fmt.Sprintf(`(() => { const c = window.expected = {n: %d, got: false};
		document.addEventListener("click", e => { if (window.expected === c && e.target.closest(%q)) c.got = true; }, true); return true })()`, b.clicks, selector))
}

// clicked reports whether the click got there. A page that knows of none is another one, to
// which the click has led; where scripts do not run nothing moves.
func (b *tab) clicked() bool {
	b.t.Helper()
	return b.scriptless || script[bool](b, fmt.Sprintf(`window.expected?.n !== %d || window.expected.got`, b.clicks))
}

// fill writes over what a field holds, as somebody who types does.
func (b *tab) fill(selector, text string) {
	b.t.Helper()
	b.loaded()
	for range 10 {
		b.do(chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.ScrollIntoView(chromedp.CSS(selector)))
		script[bool](b, fmt.Sprintf(`(e => { e?.focus(); e?.select(); return true })(document.querySelector(%q))`, selector))
		b.do(chromedp.SendKeys(chromedp.CSS(selector), text))
		if script[string](b, fmt.Sprintf(`document.querySelector(%q)?.value ?? ""`, selector)) == text {
			return
		}
	}
	b.fail("%s does not hold what is typed into it", selector)
}

// says waits until an element's text holds what is wanted.
func (b *tab) says(selector, want string) {
	b.t.Helper()
	b.eventually(fmt.Sprintf("%s says %q", selector, want), func() bool { return strings.Contains(b.text(selector), want) })
}

// screen sets the size and the theme, with nothing moving.
func (b *tab) screen(width, height int64, theme string) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height), func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
		return chromedp.Void{}, err
	})
}

// screenshots is the folder that git ignores.
var screenshots = filepath.Join("..", "..", "screenshots")

// sizeOf returns the bytes of a screenshot.
func sizeOf(t *testing.T, name string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(screenshots, name+".png"))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

var shots = flag.Bool("shots", false, "leave a screenshot of every step in screenshots/, and not only of what the README shows and of what failed")

// shot writes a screenshot of what is to be seen, if all are wanted.
func (b *tab) shot(name string) {
	b.t.Helper()
	if *shots {
		b.picture(name)
	}
}

// picture writes a screenshot of what is to be seen into the folder that git ignores.
func (b *tab) picture(name string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Logf("no screenshot %s: %v", name, err)
		return
	}
	dir := screenshots
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, "/", "-")+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
