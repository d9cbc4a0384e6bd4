package browser_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// screens are the four on which each new state is looked at.
var screens = []struct {
	width, height int64
	theme         string
}{{1440, 900, "light"}, {1280, 900, "dark"}, {768, 1024, "light"}, {390, 844, "dark"}}

// look looks for barriers in a state on each screen, holds that it is no wider, and leaves pictures of it where all are wanted.
func (b *tab) look(lib, what string) {
	b.t.Helper()
	for _, s := range screens {
		b.screen(s.width, s.height, s.theme)
		name := fmt.Sprintf("%s-%d-%s", what, s.width, s.theme)
		b.shot(name)
		b.check(lib, name)
		if wide := script[int](b, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
			b.t.Errorf("%s is %d pixels wider than the screen", name, wide)
		}
	}
	b.screen(1280, 900, "light")
}

// told returns what people were told by now, as the inbox has it.
func (m *machine) told() string {
	m.t.Helper()
	res, err := http.Get(m.arm + "/local/inbox?as=json")
	if err != nil {
		m.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(text)
}

// asksForOne has web ask for one approver.
func (m *machine) asksForOne() {
	m.t.Helper()
	m.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`web","options":{"approvers":1}}]}`)
}

// TestSecondPerson: one asks, another sees what would change and approves it, the port opens and people are told; the first request is denied with a reason.
// Then the admin locks the machine down with the counts before, every page says so, and the hold is lifted.
func TestSecondPerson(t *testing.T) {
	t.Parallel()
	lib := axe(t)
	m := start(t)
	b := m.open()
	m.asksForOne()
	ask := func(why string) {
		t.Helper()
		b.signIn("requester")
		b.click(`a.primary[href*="request?vm="][href$="web"]`)
		b.fill("#why", why)
		b.click("#pane footer button.primary")
		b.says("#pane h2", "Waiting for approval")
	}
	ask("look at the logs")
	b.says("#pane .note", "1 other person must approve until")
	b.look(lib, "waiting-request")
	b.closePane()
	b.says("#waiting", "look at the logs")
	b.says("#results", "Waiting for approval")
	b.picture("waiting-list-asker")

	b.signIn("reader")
	b.says("#waiting", "look at the logs")
	if n := b.count(`#waiting a[id^=decide-], #waiting button[id^=cancel-]`); n != 0 {
		t.Errorf("a reader is offered %d things to decide", n)
	}

	b.signIn("approver")
	b.says("#waiting", "look at the logs")
	b.look(lib, "waiting-list")
	b.picture("waiting-list")
	b.click(`#waiting a[id^=decide-]`)
	b.says("#pane h2", "Approve or deny")
	b.says("#changes", "Allow 22 SSH (any protocol) from 127.0.0.1")
	b.says("#pane .body", "Who else has access now")
	b.look(lib, "decide")
	b.click("#pane .body button.danger")
	b.says("#wrong-reason", "Say why; who asked is told.")
	if got := script[string](b, `document.activeElement.id`); got != "reason" {
		t.Errorf("the focus is on %q, want it on the field that is wrong", got)
	}
	b.look(lib, "deny-without-reason")
	b.fill("#reason", "not during the backup")
	b.click("#pane .body button.danger")
	b.says("#pane .note", "approver@portcullis.example denied it: not during the backup.")
	b.look(lib, "denied")
	b.closePane()
	b.eventually("nothing waits", func() bool { return b.count("#waiting li") == 0 })

	ask("the backup is over")
	b.closePane()
	b.signIn("approver")
	b.click(`#waiting a[id^=decide-]`)
	b.says("#pane h2", "Approve or deny")
	b.click("#pane footer button.primary")
	b.says("#pane h2", "Ports are open")
	b.closePane()
	b.says("#open", "the backup is over")
	for _, want := range []string{"Waiting for approval: web port 22", "Denied: web port 22", "Approved: web port 22", "Open: web port 22"} {
		b.eventually("people are told: "+want, func() bool { return strings.Contains(m.told(), want) })
	}

	b.signIn("admin")
	b.click(`a.vm[href$="web"]`)
	b.says("#pane h2", "web")
	b.click(`#pane footer a[href*="lockdown?vm="]`)
	b.says("main", "Nothing is held")
	b.look(lib, "lockdown-form")
	b.click(".lock footer button.primary")
	b.says("#wrong-lock-reason", "Say why")
	b.look(lib, "lockdown-wrong")
	b.fill("#lock-reason", "the disk is being copied")
	b.click(".lock footer button.primary")
	b.says("#counts", "Nothing is closed yet. For the machine web it closes 1 request by writing to 1 security group or firewall.")
	b.look(lib, "lockdown-counts")
	b.says(".who", "admin")
	b.click(".lock footer button.danger")
	b.says("main .note.good", "All that was open is confirmed closed.")
	b.look(lib, "lockdown-done")
	b.visit("")
	b.says("main > .note.bad", "Locked down. Nothing new may open for the machine web since")
	b.says("main > .note.bad", "By admin@portcullis.example: The disk is being copied.")
	b.look(lib, "banner")
	b.picture("banner")
	b.eventually("nothing is open", func() bool { return b.count("#open li") == 0 })
	b.eventually("people are told of it", func() bool { return strings.Contains(m.told(), "LOCKED DOWN") })
	b.signIn("requester")
	b.says("main > .note.bad", "Locked down.")
	if strings.Contains(b.text("main > .note.bad"), "disk") {
		t.Error("who may not lift it reads why")
	}
	b.signIn("admin")
	b.click("main > .note.bad a")
	b.says("#held-title", "Held now")
	b.look(lib, "held")
	b.fill(`input[id^=lift-]`, "the copy is done")
	b.click(`form[action$="/lift"] button`)
	b.says("main", "Nothing is held")
	if n := b.count("main > .note.bad"); n != 1 { // that of a browser without a connection, which is hidden
		t.Errorf("%d notes stand after the hold was lifted", n)
	}
}

// TestBreakGlass: who has the role finds it in the form, opens past the approval with a badge, and somebody else writes what happened.
func TestBreakGlass(t *testing.T) {
	t.Parallel()
	lib := axe(t)
	m := start(t)
	b := m.open()
	m.asksForOne()
	b.signIn("admin")
	b.click(`a.primary[href*="request?vm="][href$="web"]`)
	b.says("#pane h2", "Request access")
	if b.count("#breakglass") != 0 {
		t.Error("who has not the role is offered to break the glass")
	}
	b.signIn("requester")
	b.click(`a.primary[href*="request?vm="][href$="web"]`)
	b.says("#pane h2", "Request access")
	b.click("#breakglass")
	b.click("#pane footer button.primary")
	b.says("#pane .wrong", "break-glass needs a justification")
	b.look(lib, "break-glass-form")
	b.fill("#why", "the shop is down")
	b.click("#pane footer button.primary")
	b.says("#pane h2", "Ports are open")
	b.says("#pane .tag.bad", "Break-glass")
	b.look(lib, "break-glass-open")
	b.closePane()
	b.says("#open .tag.bad", "Break-glass")
	b.picture("badge")
	b.click(`#open button[id^=close-]`)
	b.says("#pane h2", "Ports are closed")
	b.says("#pane .ports", "Nobody has written it yet.")
	at := script[string](b, `document.querySelector("#pane .panel").dataset.address`)
	b.signIn("approver")
	b.visit(strings.TrimPrefix(at, "/api/portal/"))
	b.look(lib, "review")
	b.click(`form[action$="/review"] button`)
	b.says("#wrong-review", "Write what happened")
	b.look(lib, "review-wrong")
	b.fill("#review", "The disk was full; old logs were deleted.")
	b.click(`form[action$="/review"] button`)
	b.says("#review-title", "What happened")
	b.says("main .ports", "The disk was full; old logs were deleted.")
	b.look(lib, "reviewed")
	b.eventually("everybody is told", func() bool { return strings.Contains(m.told(), "BREAK-GLASS: web port 22") })
}
