package browser_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestPeople: each of the three personas can do what their role says, and is told
// by name what they lack.
func TestPeople(t *testing.T) {
	t.Parallel()
	m := start(t)
	b := m.open()
	m.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`web"},{"id":"`+demo+`app1"}]}`)

	b.signIn("reader")
	b.says("#list", "web")
	b.says("#list", "You may look at these machines, not ask for access to them: that takes a role with the permission Microsoft.Security/locations/jitNetworkAccessPolicies/initiate/action.")
	if n := b.count(`a[href*="request?vm="], a[href*="configure?vm="], input[name=vm]`); n != 0 {
		t.Errorf("a reader is offered %d things to do", n)
	}
	b.shot("reader")
	// Who takes the disabled button off all the same is refused, beside the machine.
	b.visit("request?vm=" + demo + "web")
	b.says(".panel .note", "You may look at this, not ask for access.")
	script[bool](b, `(document.querySelector(".panel footer button.primary").disabled = false, true)`)
	b.click(".panel footer button.primary")
	b.says(".panel .wrong", "reader@portcullis.example does not have the permission Microsoft.Security/locations/jitNetworkAccessPolicies/initiate/action")
	b.says(".panel [role=alert]", "Nothing was opened.")
	b.shot("reader-refused")

	b.signIn("requester")
	if n := b.count(`a[href*="configure?vm="]`); n != 0 {
		t.Errorf("a requester is offered %d things to edit", n)
	}
	b.visit("configure?vm=" + demo + "web")
	b.says(".panel .note", "That takes a role with the permission Microsoft.Security/locations/jitNetworkAccessPolicies/write")
	script[bool](b, `(document.querySelector(".panel button[value=save]").disabled = false, true)`)
	b.click(".panel button[value=save]")
	b.says(".panel [role=alert]", "does not have the permission Microsoft.Security/locations/jitNetworkAccessPolicies/write")
	b.visit("")
	b.click(`a.primary[href*="request?vm="][href$="web"]`)
	b.fill("#why", "restart the shop")
	b.click("#pane footer button.primary")
	b.says("#pane h2", "Ports are open")
	// Extended beyond the maximum, the refusal stands beside the field; within it, it is longer.
	b.fill("#extend-for", "4 h")
	b.click("#pane .extend button")
	b.says("#wrong-for", "is longer than the 3 h that the policy of web allows")
	if got := script[string](b, `document.activeElement.id`); got != "extend-for" {
		t.Errorf("the focus is on %q, want it on the field that is wrong", got)
	}
	b.fill("#extend-for", "2 h")
	b.click("#pane .extend button")
	b.says("#pane .big", "1:5") // a while ago it was 2:00:00
	b.closePane()
	b.says("#open", "restart the shop")

	b.signIn("admin")
	b.says("#open", "requester@portcullis.example")
	if b.count("#extend-for") != 0 {
		t.Error("another's request can be extended")
	}
	b.click(`#open button[id^=close-]`)
	b.says("#pane h2", "Ports are closed")
	b.says("#pane .note", "ended it early")
	b.closePane()
	b.eventually("nothing is open", func() bool { return b.count("#open li") == 0 })
}

// TestRefusedBesideItsField: what is refused is marked where it was typed, the rest is
// kept, and the focus is there.
func TestRefusedBesideItsField(t *testing.T) {
	t.Parallel()
	m := start(t)
	b := m.open()
	m.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`web","ports":[{"number":22,"protocol":"TCP","allowedSourceAddressPrefix":"203.0.113.0/24","maxRequestAccessDuration":"PT2H"}]}]}`)
	b.signIn("requester")
	b.click(`a.primary[href*="request?vm="]`)
	b.fill("#why", "keep these words")
	b.fill("#for-0-22", "5 h")
	b.click("#pane footer button.primary")
	b.says("#wrong-for-0-22", "5 h is longer than the 2 h that the policy of web allows for port 22")
	if got := script[string](b, `document.activeElement.id + " " + document.activeElement.getAttribute("aria-describedby") + " " + document.querySelector("#why").value`); got != "for-0-22 wrong-for-0-22 keep these words" {
		t.Errorf("after the refusal: %q", got)
	}
	b.shot("refused-beside-its-field")
	b.fill("#for-0-22", "20 min")
	b.click("#pane footer button.primary")
	b.says("#pane .choices .wrong", "127.0.0.1 is not inside 203.0.113.0/24")
	b.click("#source-other")
	b.fill("#other", "203.0.113.7")
	b.click("#pane footer button.primary")
	b.says("#pane h2", "Ports are open")

	// The slider is bound by the port's maximum, and writes what is sent.
	b.visit("request?vm=" + demo + "web")
	if got := script[string](b, `(s => { s.value = 999; s.dispatchEvent(new Event("input", {bubbles: true})); return s.max + " " + document.querySelector("#for-0-22").value })(document.querySelector("#slide-0-22"))`); got != "120 2 h" {
		t.Errorf("the slider at its end: %q", got)
	}
}

// TestConfigureByHand: rows are added and removed, and what will change follows what is typed.
func TestConfigureByHand(t *testing.T) {
	t.Parallel()
	b := start(t).open()
	b.signIn("admin")
	b.visit("?tab=notConfigured")
	b.click(`td a.button[href*="configure?vm="][href$="web"]`)
	b.says("#changes", "AllowSshAny (priority 300) for port 22 of web")
	b.shot("overridden")
	b.click("#respect")
	b.says("#changes", "Protected ports that other rules still open")
	b.click("#override")
	for left := 3; left > 0; left-- {
		b.calm()
		b.click(`#pane tbody tr:last-child button`)
		b.eventually(fmt.Sprintf("%d rows are left", left), func() bool { return b.count("#pane .rules tbody tr") == left })
	}
	b.click(`#pane button[value=add]`)
	b.eventually("a row is added", func() bool { return b.count("#pane .rules tbody tr") == 2 })
	// What would change is still asked for when somebody saves: saving comes first.
	b.next("/configure", `window.asked = true`)
	b.fill(`#pane tbody tr:last-child input[name=number]`, "8443")
	b.fill(`#pane tbody tr:last-child input[name=sources]`, "203.0.113.0/33")
	b.eventually("what would change is asked for", func() bool { return script[bool](b, `window.asked === true`) })
	b.click(`#pane button[value=save]`)
	b.says("#wrong-sources-1", "is not a prefix")
	b.fill(`#pane tbody tr:last-child input[name=sources]`, "203.0.113.0/24")
	b.click("#pane h2")
	b.says("#changes", "8443")
	b.click(`#pane button[value=save]`)
	b.says("#pane h2", "Protected")
	b.says("#changes", "Deny 22 SSH")
	b.closePane()
	b.eventually("the list follows", func() bool { return !strings.Contains(b.text("#list tbody"), "web") })
	if got := b.text(".tabs a:first-child .count"); got != "1" {
		t.Errorf("%s configured machines, want 1", got)
	}
}

// TestKeyboard: from the list into the pane and back without a mouse.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	m := start(t)
	b := m.open()
	m.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`web"}]}`)
	b.signIn("requester")
	b.do(chromedp.KeyEvent("\t"))
	if got := b.text(":focus"); got != "Skip to the content" {
		t.Errorf("the first stop is %q", got)
	}
	b.calm() // before the scripts are there the link is an ordinary one
	b.eventually("the scripts are there", func() bool { return script[bool](b, `document.readyState === "complete" && typeof htmx === "object"`) })
	script[bool](b, `(document.querySelector('a.primary[href*="request?vm="]').focus(), true)`)
	b.do(chromedp.KeyEvent("\r"))
	b.says("#pane h2", "Request access")
	if got := b.text(":focus"); got != "Request access" {
		t.Errorf("in the pane the focus is on %q", got)
	}
	b.do(chromedp.KeyEvent("\x1b"))
	b.eventually("Escape closes the pane", func() bool { return b.count("#pane[open]") == 0 })
	b.eventually("the focus comes back", func() bool {
		return script[bool](b, `document.activeElement.matches('a.primary[href*="request?vm="]')`)
	})
}

// TestMarkup: what people type is text, wherever it is shown, and nothing of it runs.
func TestMarkup(t *testing.T) {
	t.Parallel()
	const evil = `<img src=x onerror="window.bad=1"><script>window.bad=2</script>"'><svg onload=alert(3)>`
	m := start(t)
	b := m.open()
	m.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`web"}]}`)
	b.signIn("requester")
	b.click(`a.primary[href*="request?vm="]`)
	b.fill("#why", evil)
	b.fill("#for-0-22", `<script>window.bad=4</script>`)
	b.click("#pane footer button.primary")
	b.says("#wrong-for-0-22", `<script>window.bad=4</script>`)
	b.fill("#for-0-22", "10 min")
	b.click("#pane footer button.primary")
	b.says("#pane h2", "Ports are open")
	b.says("#pane header", evil)
	for _, path := range []string{"", "activity", "windows", "machine?vm=" + demo + "web"} {
		b.visit(path)
		if !strings.Contains(script[string](b, `document.body.textContent`), `<script>window.bad=2</script>`) {
			t.Errorf("%s does not show what was typed", path)
		}
	}
	for _, path := range []string{"?text=%22%3E%3Cscript%3Ewindow.bad%3D5%3C/script%3E", "?group=%3Cscript%3Ewindow.bad%3D6%3C/script%3E", "activity?vm=%22%3E%3Cimg%20src%3Dx%20onerror%3Dwindow.bad%3D7%3E"} {
		b.visit(path)
	}
	b.visit("")
	if got := script[string](b, `String(window.bad)`); got != "undefined" {
		t.Errorf("something ran: %s", got)
	}
	if n := b.count(`main script, main img, [onerror], [onload]`); n != 0 {
		t.Errorf("%d elements were made of text", n)
	}
}

// TestPolicy: the Content-Security-Policy holds against what would get past everything else.
func TestPolicy(t *testing.T) {
	t.Parallel()
	b := start(t).open()
	b.signIn("reader")
	script[bool](b, `(() => {
		const s = document.createElement("script"); s.textContent = "window.bad = 1"; document.body.append(s);
		const i = document.createElement("img"); i.setAttribute("onerror", "window.bad = 2"); i.src = "/api/portal/none"; document.body.append(i);
		return true })()`)
	if got := script[string](b, `new Promise(r => setTimeout(() => r(String(window.bad)), 300))`); got != "undefined" {
		t.Errorf("an inline script ran: %s", got)
	}
	b.eventually("the browser says of both that it kept them from running", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return strings.Count(strings.Join(b.wrong, " "), "Content Security Policy") >= 2
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrong = nil
}
