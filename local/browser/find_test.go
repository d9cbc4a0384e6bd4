package browser_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// typed types into what has the focus, one key after another, each after the list has answered to the one before: whatever an answer
// takes away or puts back, it does so while somebody types.
func (b *tab) typed(text string) {
	b.t.Helper()
	for i := range text {
		b.do(chromedp.KeyEvent(text[i : i+1]))
		so := strings.TrimSpace(text[:i+1])
		b.eventually("the list answers to "+so, func() bool {
			return script[string](b, `new URLSearchParams(location.search).get("text") ?? ""`) == so
		})
	}
}

// TestFind: what is typed into Find stays, with the focus, while the list answers; every word has to be found, a pasted id finds its
// machine, and machines that are ticked stay so, in view or not.
func TestFind(t *testing.T) {
	t.Parallel()
	b := start(t).open()
	b.signIn("admin")
	b.visit("?tab=notConfigured")
	b.tick("app1")
	b.tick("app2")
	// The key is taken: a browser then writes no character. What the tool sends comes with one of its own.
	const slash = `(e => { document.activeElement.dispatchEvent(e); return e.defaultPrevented + " " + document.activeElement.id })(new KeyboardEvent("keydown", {key: "/", bubbles: true, cancelable: true}))`
	if got := script[string](b, slash); got != "true text" {
		t.Fatalf("/ puts the focus on %q", got)
	}
	if got := script[string](b, slash); got != "false text" {
		t.Fatalf("within a field / is %q", got)
	}
	b.typed("demo app1")
	if got := script[string](b, `document.activeElement.id + " " + document.activeElement.value + " " + document.activeElement.selectionStart`); got != "text demo app1 9" {
		t.Errorf("after typing: %q", got)
	}
	if got := b.text("#results tbody .vm"); got != "app1" {
		t.Errorf("found: %q", got)
	}
	b.says("#announce", "1 machine found")
	b.says("[data-count]", "2 machines selected, 1 not in view")
	b.shot("find")
	b.click(`.selection button.primary`)
	b.says("#pane header", "app1, app2")
	b.closePane()

	for _, row := range []struct{ text, want string }{{demo + "app2", "app2"}, {"https://portal.example/#resource" + demo + "app2/overview", "app2"}, {"demo zzz", ""}} {
		b.fill("#text", row.text)
		b.eventually("found by "+row.text, func() bool { return b.text("#results tbody .vm") == row.want })
	}
	b.says("#results", "No machine matches")
	b.fill("#text", "app")
	b.says("[data-count]", "2 machines selected")
	if got := b.count(`tbody input[name=vm]:checked`); got != 2 {
		t.Errorf("%d machines are ticked, want 2", got)
	}
	// All at once, faster than the list answers: the last text counts.
	b.fill("#text", "prod-payment-sql-012")
	b.says("#results", "No machine matches")
	if got := script[string](b, `document.querySelector("#text").value`); got != "prod-payment-sql-012" {
		t.Errorf("typed in one go: %q", got)
	}
	b.click("#filters .clear")
	b.says("#results", "app1")

	b.screen(390, 844, "light")
	b.visit("")
	if got := script[string](b, `document.querySelector("main :is(input:not([type=hidden]), select, button, textarea)").id`); got != "text" {
		t.Errorf("the first control on a phone is %q", got)
	}
	if y := script[float64](b, `document.querySelector("#text").getBoundingClientRect().bottom`); y > 300 {
		t.Errorf("on a phone Find ends %v pixels below the top", y)
	}
	b.shot("find-phone")
}

// TestTicksEnd: what was done to machines takes their ticks away, and no others.
func TestTicksEnd(t *testing.T) {
	t.Parallel()
	b := start(t).open()
	b.signIn("admin")
	b.visit("?tab=notConfigured")
	b.tick("app1")
	b.tick("both")
	b.click(fmt.Sprintf(`a[id="edit-%sapp2"]`, demo))
	b.says("#pane header", "app2")
	b.click(`#pane button[value=save]`)
	b.says("#pane h2", "Protected")
	b.closePane()
	b.says("[data-count]", "2 machines selected")
	b.click(`.selection button.primary`)
	b.says("#pane header", "app1, both")
	b.click(`#pane button[value=save]`)
	b.says("#pane h2", "Protected")
	b.closePane()
	b.eventually("nothing is selected", func() bool { return b.count("tbody input[name=vm]:checked, [data-elsewhere]") == 0 })
}
