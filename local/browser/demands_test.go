package browser_test

import (
	"testing"
)

// TestDemands: what a request must meet is set in one pane, said in the other and refused beside its
// field; a port of several machines is chosen at once, each as long as it allows.
func TestDemands(t *testing.T) {
	t.Parallel()
	m := start(t)
	b := m.open()
	m.api("admin", "POST", "/api/enable", `{"virtualMachines":[{"id":"`+demo+`app2","ports":[{"number":22,"maxRequestAccessDuration":"PT30M"}]}]}`)
	b.signIn("admin")
	b.visit("configure?vm=" + demo + "web")
	b.click("#noany")
	b.click("#needwhy")
	b.fill("#widest4", "/24")
	b.click("button[value=save]")
	b.says("#wrong-widest6", "Name the widest prefix of IPv6 too")
	if got := script[string](b, `document.activeElement.id`); got != "widest6" {
		t.Errorf("the focus is on %q", got)
	}
	b.shot("demands-refused")
	b.fill("#widest6", "/64")
	b.click("button[value=save]")
	b.says("#pane-title", "Protected")

	b.visit("request?vm=" + demo + "web&vm=" + demo + "app2")
	b.says(".needed", "required")
	b.says("#other-hint", "Only ranges no wider than /24 (IPv4) or /64 (IPv6). Not every address at once.")
	b.click("#port-1-22")
	b.fill("#every-for-22", "2 h")
	if got := script[string](b, `["port-0-22", "port-1-22", "port-0-3389"].map(id => document.getElementById(id).checked).join() + " " + ["for-0-22", "for-1-22"].map(id => document.getElementById(id).value).join()`); got != "true,true,false 2 h,30 min" {
		t.Errorf("all at once gives %s", got)
	}
	b.shot("all-at-once")
	b.click("footer button.primary")
	b.says(".field .wrong", "Say why access is needed")
	b.shot("justification-required")
	b.fill("#why", "look at the logs")
	b.click("#source-other")
	b.fill("#other", "203.0.112.0/23")
	b.click("footer button.primary")
	b.says(".choices .wrong", "203.0.112.0/23 is wider than /24 of IPv4 or /64 of IPv6")
	b.fill("#other", "203.0.113.0/24")
	b.click("footer button.primary")
	b.says("#pane-title", "Ports are open")
}
