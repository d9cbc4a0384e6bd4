package browser_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestLater: a request that begins later is marked where its start is wrong, waits in sight, and is cancelled; what is over is asked for again with one click, from
// its pane and from the list.
func TestLater(t *testing.T) {
	t.Parallel()
	lib := axe(t)
	m := start(t)
	b := m.open()
	m.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`web"}]}`)
	b.signIn("requester")
	b.click(`a.primary[href*="request?vm="][href$="web"]`)
	b.says("#pane h2", "Request access")
	b.fill("#why", "move the disk")
	b.click("#when-later")
	b.click("#pane footer button.primary")
	b.says("#wrong-start", "Say the day and the time")
	if got := script[string](b, `document.activeElement.id`); got != "start" {
		t.Errorf("the focus is on %q, want it on the field that is wrong", got)
	}
	b.look(lib, "later-wrong")
	// What its keys are depends on the language of the browser.
	script[bool](b, fmt.Sprintf(`(s => { s.value = %q; return s.dispatchEvent(new Event("input", {bubbles: true})) })(document.querySelector("#start"))`, time.Now().UTC().AddDate(0, 0, 1).Format("2006-01-02T15:04")))
	b.click("#pane footer button.primary")
	b.says("#pane h2", "Scheduled")
	b.says("#pane .note", "It opens by itself at")
	b.look(lib, "scheduled")
	b.closePane()
	b.says("#waiting", "Scheduled")
	b.look(lib, "scheduled-list")
	b.click(`#waiting button[id^=cancel-]`)
	b.says("#pane h2", "The ports were not opened")
	b.look(lib, "cancelled")
	b.click(`#pane form[action$="/again"] button`)
	b.says("#pane h2", "Ports are open")
	b.closePane()
	b.says("#open", "move the disk")
	b.click(`#open button[id^=close-]`)
	b.says("#pane h2", "Ports are closed")
	b.closePane()
	b.click("#last summary")
	b.says("#last", "port 22 SSH of web for 1 h")
	b.eventually("each is offered once", func() bool { return b.count(`#last button[id^=again-]`) == 1 })
	b.look(lib, "last")
	b.picture("last")
	b.click(`#last button[id^=again-]`)
	b.says("#pane h2", "Ports are open")
	b.closePane()
	b.visit("last")
	if text := b.text("main"); !strings.Contains(text, "Your last requests") {
		t.Errorf("a page of its own: %q", text)
	}
}
