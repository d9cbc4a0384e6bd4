package browser_test

import (
	"strings"
	"testing"
	"time"
)

const demo = "/subscriptions/00000000-0000-0000-0000-00000000d3e0/resourceGroups/demo/providers/Microsoft.Compute/virtualMachines/"

func box(vm string) string { return `tbody input[value="` + demo + vm + `"]` }

// tick ticks a machine of the list. A click that met the list just as it was drawn anew is given again, and must not take the tick away.
func (b *tab) tick(vm string) {
	b.t.Helper()
	b.eventually(vm+" is ticked", func() bool {
		if b.count(box(vm)+":checked") == 0 {
			b.click(box(vm))
		}
		return b.count(box(vm)+":checked") == 1
	})
}

// TestJourney is what a newcomer does: enable two machines together, open a
// port on both, watch it close, and find it in the log and in its CSV.
func TestJourney(t *testing.T) {
	t.Parallel()
	b := start(t).open()
	b.visit("")
	b.says("h1", "Sign in")
	b.shot("signin")
	b.signIn("admin")
	b.says("#list", "No machine is protected yet")
	b.shot("empty")
	b.click(`#list .empty a.primary`)
	b.says(".tabs a[aria-current]", "Not configured")
	b.tick("app1")
	b.tick("app2")
	b.says("[data-count]", "2 machines selected")
	b.shot("selection")
	b.click(`.selection button.primary`)
	b.says("#pane h2", "Enable just-in-time access")
	b.says("#changes", "Deny")
	b.shot("configure")
	b.click(`#pane button[value=save]`)
	b.says("#pane h2", "Protected")
	b.shot("saved")
	b.click(`#pane footer button.primary`)
	b.says("#pane h2", "Request access")
	b.shot("request")
	b.fill(`#for-0-22`, "1 h")
	b.fill(`#for-1-22`, "1 h")
	b.fill(`#why`, "look at the logs")
	b.writing(6 * time.Second) // long enough to be seen
	b.click(`#pane footer button.primary`)
	b.says("#pane .steps", "Waiting until network security group apps-nsg confirms the rule")
	b.shot("opening")
	b.says("#pane h2", "Ports are open")
	b.writing(0)
	b.shot("open")
	b.says("#pane code", "ssh user@203.0.113.11 -p 22")
	b.says("#pane code", "ssh user@10.10.2.5 -p 22")
	first := b.text("#pane .big")
	b.eventually("the countdown goes on", func() bool { return b.text("#pane .big") != first })
	// Another, for so long that it is seen open wherever this runs, and closes before the eyes of who looks.
	short := b.api("admin", "POST", "/api/request", `{"justification":"for a moment","virtualMachines":[{"id":"`+demo+`app1","ports":[{"number":3389,"duration":"PT10S"}]}]}`)
	_, id, _ := strings.Cut(short, `"id":"`)
	b.visit("requests/" + id[:36])
	b.says("main h2", "Ports are closed")
	b.says("main .note", "its time ran out")
	b.shot("closed")
	b.visit("activity")
	b.says("table", "look at the logs")
	for _, op := range []string{"Enable", "Request", "Open", "Close"} {
		b.says("tbody", op)
	}
	b.shot("activity")
	csv := script[string](b, `fetch(document.querySelector("a[download]").href).then(r => r.text())`)
	for _, want := range []string{"look at the logs", "Close", "app1", "app2"} {
		if !strings.Contains(csv, want) {
			t.Errorf("the CSV does not say %q:\n%s", want, csv)
		}
	}
	b.visit("windows")
	b.says("svg", "app1, port 22 SSH")
	b.shot("timeline")
	b.visit("?tab=unsupported")
	b.click(`a.vm[href*="ClassicCompute"]`)
	b.says("#pane h2", "old")
	b.says("#pane .note", "Move it to Azure Resource Manager")
}
