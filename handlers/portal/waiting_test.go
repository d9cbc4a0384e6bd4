package portal_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// waits gives a site on which web asks for approvers, and the id of alice's request for port 22, which waits. ann and ben may write policies, rea may
// read alone, and sam may nothing.
func waits(t *testing.T, approvers int) (*site, string) {
	s := newSite(t)
	may := map[string][]string{"alice": {permit.ActionRead, permit.ActionInitiate, permit.ActionReadVM}, "ann": {permit.ActionRead, permit.ActionWrite}, "ben": {permit.ActionRead, permit.ActionWrite}, "rea": {permit.ActionRead}}
	s.enable()
	p := jit.Policy{VM: vm(t, web), Ports: jit.DefaultPorts(), Options: &jit.Options{Approvers: approvers}}
	if _, _, err := s.app.Access.Enable(t.Context(), caller("alice"), []jit.Policy{p}, false); err != nil {
		t.Fatal(err)
	}
	s.may = func(who jit.Caller, _, action string) bool {
		name, _, _ := strings.Cut(who.Name, "@")
		return slices.Contains(may[name], action)
	}
	sent := s.post("request", "intent", "open", "vm", web, "source", "mine", "mine", "203.0.113.7", "why", "restart the <shop>", "port-0-22", "on", "for-0-22", "45 min")
	id, ok := strings.CutPrefix(sent.header.Get("Location"), "/api/portal/requests/")
	if sent.status != 303 || !ok {
		t.Fatalf("%d %v %s", sent.status, sent.header, sent.text)
	}
	return s, id
}

func (s *site) grant(id string) store.GrantRecord {
	s.t.Helper()
	rec, err := s.store.Grant(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return rec
}

// TestWaits: what waits for approval says so wherever it is shown, is not among what is open, and is cancelled by who asked.
func TestWaits(t *testing.T) {
	s, id := waits(t, 2)
	if s.log.Len() != 0 {
		t.Errorf("log: %s", s.log)
	}
	shown := s.get("requests/" + id)
	shown.holds(t, "Waiting for approval", "Nothing is open yet.", "2 other people must approve until 23 Nov 2026, 13:00:00 UTC.", "for 45 min", "Cancel the request", `hx-trigger="windows-changed from:body, every 5s"`)
	shown.lacks(t, "Extend", "Close now", "/decide")
	for _, path := range []string{"", "open"} {
		p := s.get(path)
		p.holds(t, `<section id="waiting" class="card" aria-labelledby`, "restart the &lt;shop&gt;", "port 22 SSH from 203.0.113.7, for 45 min", "Cancelling…", `<section id="open" class="card" hidden`)
		p.lacks(t, "Close now", "/decide")
	}
	s.get("").holds(t, "22 SSH · <span class=\"short\" title=\"alice@example.com\">you</span> · Waiting for approval")
	s.get("open", "HX-Request", "true").holds(t, `<section id="waiting" class="card" hx-swap-oob="true"`)
	s.getAs("rea", "").holds(t, "restart the &lt;shop&gt;")
	s.getAs("rea", "").lacks(t, `id="cancel-`)
	s.getAs("sam", "").holds(t, `<section id="waiting" class="card" hidden`)
	s.getAs("sam", "").lacks(t, "shop")
	if p := s.post("requests/" + id + "/close"); p.status != 303 {
		t.Fatalf("cancel: %d %s", p.status, p.text)
	}
	s.get("requests/"+id).holds(t, "The ports were not opened", "It was cancelled before it was opened.")
	s.get("").holds(t, `<section id="waiting" class="card" hidden`)
}

// TestWaitsTooLong: who reads afterwards sees why it was not opened.
func TestWaitsTooLong(t *testing.T) {
	s, id := waits(t, 1)
	s.clock.Advance(time.Hour)
	if _, err := s.app.Sweeper.Sweep(t.Context(), jit.App()); err != nil {
		t.Fatal(err)
	}
	s.get("requests/"+id).holds(t, "The ports were not opened", "Too few had approved it in time.")
}

// TestOpensLater: what begins later says when.
func TestOpensLater(t *testing.T) {
	s := newSite(t)
	s.enable()
	rec, _, err := s.app.Access.Request(t.Context(), caller("alice"), jit.Request{Opens: noon.Add(3 * time.Hour), VMs: []jit.RequestVM{{VM: vm(t, web), Ports: []jit.RequestPort{{Number: 22, Duration: time.Hour, Sources: jit.AnySource()}}}}}, "")
	if err != nil {
		t.Fatal(err)
	}
	s.get("requests/"+rec.Grant.ID).holds(t, "Opens later", "It opens by itself at 23 Nov 2026, 15:00:00 UTC, and is decided again then.", "until 23 Nov 2026, 16:00:00 UTC", "Cancel the request")
	s.get("").holds(t, "Opens later", `<section id="open" class="card" hidden`)
}
