package browser_test

import "testing"

// TestReadme takes the two pictures of the README: `make pictures` puts them into docs/images.
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
	for _, name := range []string{"readme-machines", "readme-request"} {
		if size := sizeOf(t, name); size == 0 || size > 200<<10 {
			t.Errorf("%s has %d bytes, want at most 200 KiB", name, size)
		}
	}
}
