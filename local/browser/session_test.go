package browser_test

import "testing"

// TestTokenEnds: when the token ends within the session, what looks by itself, a form and a page that is opened go on as if it had not, and
// what was typed is sent. Once the session has ended nothing does.
func TestTokenEnds(t *testing.T) {
	t.Parallel()
	m := start(t)
	b := m.open()
	m.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`web"},{"id":"`+demo+`app1"}]}`)
	b.signIn("requester")
	ends := func() {
		t.Helper()
		if got := script[int](b, `fetch("/.auth/local/expire", { method: "POST" }).then(r => r.status)`); got != 200 {
			t.Fatalf("the token does not end: %d", got)
		}
		if got := script[int](b, `fetch("`+"/api/portal/activity"+`").then(r => r.status)`); got != 401 {
			t.Fatalf("with a token that has ended the app answers %d", got)
		}
	}
	b.click(`a.primary[href*="request?vm="][href$="app1"]`)
	b.says("#pane h2", "Request access")
	ends()
	b.click("#pane footer button.primary")
	b.says("#pane h2", "Ports are open")
	b.closePane()
	ends()
	b.looksAgain("#open", `htmx.trigger(document.body, "windows-changed")`, 2)
	if got := script[bool](b, `document.getElementById("offline").hidden`); !got {
		t.Error("who is signed in is told to be signed out")
	}
	ends()
	script[bool](b, `(location.assign("/api/portal/activity"), true)`)
	b.says("h1", "Activity")
}
