package browser_test

import (
	"fmt"
	"testing"
)

// TestWidths: between a phone and a laptop, and at 200 % zoom (1280 pixels are then 640, 1920 are 960), nothing that can be done or
// read is off the screen: no region has to be scrolled sideways, and no control ends beside the screen.
func TestWidths(t *testing.T) {
	t.Parallel()
	b := start(t).open()
	b.signIn("admin")
	b.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`web","existingRules":"respect"},{"id":"`+demo+`app1"},{"id":"`+demo+`both"}]}`)
	b.api("requester", "POST", "/api/request", `{"justification":"restart the shop, whose process has taken all of the memory again since this morning","virtualMachines":[{"id":"`+demo+`web","ports":[{"number":22,"duration":"PT1H"},{"number":3389,"duration":"PT2H"}]}]}`)
	b.api("admin", "POST", "/api/sweep", "")
	const off = `Array.from(document.querySelectorAll("main a, main button, main input:not([type=hidden]), main select, main textarea, main th, main td, .scroll, .tabs, .panel *"))
		.filter(e => e.checkVisibility({visibilityProperty: true}) && !e.closest(".sr, thead, svg") && (e.getBoundingClientRect().right > innerWidth + 0.5 || e.matches(".scroll") && e.scrollWidth > e.clientWidth))
		.map(e => e.outerHTML.slice(0, 120)).slice(0, 3).join("\n")`
	ask := fmt.Sprintf(`a[id="ask-%sweb"]`, demo)
	look := func(what string) {
		t.Helper()
		for _, width := range []int64{390, 640, 641, 700, 768, 834, 900, 960, 961, 1024, 1149, 1150, 1280, 1440} {
			b.screen(width, 900, "light")
			if got := script[string](b, off); got != "" {
				t.Errorf("at %d pixels, off the screen of %s: %s", width, what, got)
			}
			if width == 390 || width == 834 || width == 1024 {
				b.shot(fmt.Sprintf("width-%d-%.8s", width, what))
			}
		}
	}
	for _, path := range []string{"?tab=notConfigured", "?tab=unsupported", "activity", "windows", "findings", "machine?vm=" + demo + "web", "request?vm=" + demo + "web&vm=" + demo + "app1", "configure?vm=" + demo + "behindfw", ""} {
		b.visit(path)
		look(path)
	}
	for _, width := range []int64{390, 641, 834, 960} {
		b.screen(width, 900, "light")
		if !script[bool](b, fmt.Sprintf(`(r => r.left >= 0 && r.right <= innerWidth && r.width > 0)(document.querySelector(%q).getBoundingClientRect())`, ask)) {
			t.Errorf("at %d pixels access cannot be asked for without scrolling sideways", width)
		}
	}
	b.click(ask)
	b.says("#pane h2", "Request access")
	look("pane")
}
