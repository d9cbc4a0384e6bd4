package browser_test

import (
	"context"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// views are pages, each with a request of somebody else.
func (b *tab) views(id string) []string {
	return []string{"", "?tab=notConfigured", "?tab=unsupported", "activity", "windows", "report", "findings", "open", "nothing", "requests/" + id, "machine?vm=" + demo + "web", "request?vm=" + demo + "web&vm=" + demo + "app1", "configure?vm=" + demo + "web"}
}

// filled protects two machines and opens a port of one, and returns the id of the request.
func (b *tab) filled() string {
	b.t.Helper()
	b.signIn("admin")
	b.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`web","existingRules":"respect"},{"id":"`+demo+`app1"}]}`)
	id := requestID(b.api("requester", "POST", "/api/request", `{"justification":"restart the shop, whose process has taken all of the memory again since this morning","virtualMachines":[{"id":"`+demo+`web","ports":[{"number":22,"duration":"PT1H"}]}]}`))
	b.api("admin", "POST", "/api/sweep", "")
	return id
}

// TestReach: on every page headings go down one level at a time; on a phone what is touched is 44 pixels high and fields have 16 pixels; in a pane a
// line of the log is no higher than its text; colours that are forced and paper keep what is said.
func TestReach(t *testing.T) {
	t.Parallel()
	b := start(t).open()
	id := b.filled()
	b.screen(390, 844, "light")
	const headings = `Array.from(document.querySelectorAll("h1, h2, h3, h4")).filter(h => h.checkVisibility()).map(h => h.tagName[1]).join("")`
	const small = `Array.from(document.querySelectorAll("main button, main .button, main select, main summary, main input:not([type=hidden]), .tabs a, .bar nav a, td a, th a")).filter(e => e.checkVisibility()).map(e => e.matches("[type=checkbox], [type=radio]") ? e.closest("label, .choice, td") || e : e)
		.filter(e => e.getBoundingClientRect().height < 43.5).map(e => Math.round(e.getBoundingClientRect().height) + " " + e.outerHTML.slice(0, 110)).slice(0, 4).join("\n")`
	const zoomed = `Array.from(document.querySelectorAll("input:not([type=hidden], [type=checkbox], [type=radio], [type=range]), select, textarea")).filter(e => parseFloat(getComputedStyle(e).fontSize) < 16).length`
	for _, path := range b.views(id) {
		b.visit(path)
		levels := script[string](b, headings)
		for i, level := range levels {
			if i == 0 && level != '1' || i > 0 && level > rune(levels[i-1])+1 {
				t.Errorf("headings of %q: %s", path, levels)
				break
			}
		}
		if got := script[string](b, small); got != "" {
			t.Errorf("on a phone too low to touch on %q:\n%s", path, got)
		}
		if n := script[int](b, zoomed); n > 0 {
			t.Errorf("a phone zooms into %d fields of %q", n, path)
		}
	}
	b.screen(1440, 900, "light")
	b.visit("")
	b.click(`a.vm[href$="web"]`)
	b.says("#pane h2", "web")
	if high := script[int](b, `Math.round(Math.max(...Array.from(document.querySelectorAll("#pane section[aria-label='Activity of this machine'] tbody tr"), r => r.getBoundingClientRect().height)))`); high > 200 {
		t.Errorf("a line of the log in the pane of a machine is %d pixels high", high)
	}
	b.shot("pane-log")
	for _, path := range []string{"", "windows", "requests/" + id} {
		b.visit(path)
		b.media("", &emulation.MediaFeature{Name: "forced-colors", Value: "active"})
		if n := script[int](b, `Array.from(document.querySelectorAll(".tag, .count")).filter(e => parseFloat(getComputedStyle(e).borderTopWidth) < 1).length`); n > 0 {
			t.Errorf("%d tags of %q are told apart by their ground alone", n, path)
		}
		b.shot("forced-" + strings.ReplaceAll(path, "/", "-"))
		b.media("")
	}
	for _, path := range []string{"report", "activity"} {
		b.visit(path)
		b.media("print")
		if n := script[int](b, `Array.from(document.querySelectorAll("button, .button, .filters, nav")).filter(e => e.checkVisibility()).length`); n > 0 || script[string](b, `getComputedStyle(document.querySelector("tbody tr")).display`) != "table-row" {
			t.Errorf("%q on paper: %d things to press, or no table", path, n)
		}
		b.shot("print-" + path)
		b.media("")
	}
}

// media has the page drawn for a medium, with features.
func (b *tab) media(medium string, features ...*emulation.MediaFeature) {
	b.t.Helper()
	b.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: medium, Features: features})
		return chromedp.Void{}, err
	})
}
