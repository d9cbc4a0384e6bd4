package browser_test

import (
	"strings"
	"testing"
)

// TestReadme takes the three pictures of the README: `make pictures` puts them into docs/images.
func TestReadme(t *testing.T) {
	t.Parallel()
	m := start(t)
	b := m.open()
	m.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`web"},{"id":"`+demo+`app1"},{"id":"`+demo+`app2"},{"id":"`+demo+`both"}]}`)
	m.api("requester", "POST", "/api/request", `{"justification":"restart the shop","virtualMachines":[{"id":"`+demo+`web","ports":[{"number":22,"duration":"PT45M"}]}]}`)
	m.api("admin", "POST", "/api/request", `{"justification":"look at the logs of last night","virtualMachines":[{"id":"`+demo+`app1","ports":[{"number":22,"duration":"PT2H"}]},{"id":"`+demo+`app2","ports":[{"number":3389,"duration":"PT2H"}]}]}`)
	m.api("admin", "POST", "/api/sweep", "")
	b.signIn("admin")
	b.screen(1280, 800, "light")
	b.visit("")
	b.says("#open", "restart the shop")
	b.says("#list", "both")
	b.picture("readme-machines")
	b.screen(1280, 900, "light")
	b.click(`a.primary[href*="request?vm="][href$="web"]`)
	b.says("#pane h2", "Request access")
	b.fill("#why", "update the certificates")
	b.picture("readme-request")
	m.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`both","options":{"approvers":1}}]}`)
	m.asks("requester", `{"justification":"move the database","virtualMachines":[{"id":"`+demo+`both","ports":[{"number":22,"duration":"PT1H"}]}]}`)
	b.signIn("approver")
	b.click(`#waiting a[id^=decide-]`)
	b.says("#pane h2", "Approve or deny")
	b.says("#changes", "Allow 22 SSH")
	b.screen(1280, 900, "light")
	b.picture("readme-decide")
	for _, name := range []string{"readme-machines", "readme-request", "readme-decide"} {
		if size := sizeOf(t, name); size == 0 || size > 200<<10 {
			t.Errorf("%s has %d bytes, want at most 200 KiB", name, size)
		}
	}
}

// asks asks for what waits for an approval.
func (m *machine) asks(as, body string) {
	m.t.Helper()
	if status, _, text := m.call(as, "POST", "/api/request", body); status != 202 || !strings.Contains(text, `"AwaitingApproval"`) {
		m.t.Fatalf("POST /api/request as %s: %d %s", as, status, text)
	}
}
