package portal_test

import (
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
)

// TestAgain: who asked asks once more with one click, for what is over, for the same ports and lengths from where he is now. Another's is refused.
func TestAgain(t *testing.T) {
	s := newSite(t)
	s.enable()
	id := s.opened("alice", "restart the <shop>", 45*time.Minute, 22)
	s.get("requests/"+id).lacks(t, "Ask again")
	s.get("last").holds(t, "Nothing that you asked for in the last 7 days is over.")
	if p := s.post("requests/" + id + "/close"); p.status != 303 {
		t.Fatalf("close: %d %s", p.status, p.text)
	}
	s.get("requests/"+id).holds(t, "Ports are closed", "requests/"+id+"/again", "Ask again")
	s.get("last").holds(t, "port 22 SSH of web for 45 min", "restart the &lt;shop&gt;", `id="again-`+id)
	s.get("").holds(t, `<details id="last" class="card">`)
	s.get("last", "HX-Request", "true").lacks(t, "<h1>")
	s.getAs("bob", "requests/"+id).lacks(t, "Ask again")
	s.getAs("bob", "last").lacks(t, "restart")
	if p := s.postAs("bob", "requests/"+id+"/again"); p.status != 403 {
		t.Errorf("another's: %d %s", p.status, p.text)
	}
	for _, bad := range []string{"none", "00000000-0000-0000-0000-000000000000"} {
		if p := s.post("requests/" + bad + "/again"); p.status != 404 {
			t.Errorf("%s: %d", bad, p.status)
		}
	}
	p := s.post("requests/" + id + "/again")
	next, ok := strings.CutPrefix(p.header.Get("Location"), "/api/portal/requests/")
	if p.status != 303 || !ok || next == id {
		t.Fatalf("%d %v %s", p.status, p.header, p.text)
	}
	g := s.grant(next).Grant
	if w := g.VMs[0].Ports[0]; w.Number != 22 || w.Length != 45*time.Minute || g.Justification != "restart the <shop>" || w.Sources.Strings()[0] != "203.0.113.7" {
		t.Errorf("asked for %+v", g)
	}
}

// TestAgainIsNotAllowedAnyMore: what the policies of today do not allow is marked in the form that asks, filled in with the rest, and nothing is asked for.
func TestAgainIsNotAllowedAnyMore(t *testing.T) {
	s := newSite(t)
	s.enable()
	id := s.opened("alice", "restart the shop", 45*time.Minute, 22, 3389)
	s.post("requests/" + id + "/close")
	p := jit.Policy{VM: vm(t, web), Ports: jit.DefaultPorts()[:1]}
	p.Ports[0].Maximum = 30 * time.Minute
	if _, _, err := s.app.Access.Enable(t.Context(), caller("alice"), []jit.Policy{p}, false); err != nil {
		t.Fatal(err)
	}
	got := s.post("requests/" + id + "/again")
	if got.status != 400 {
		t.Errorf("status %d", got.status)
	}
	got.holds(t, "Nothing is opened yet.", "Port 3389 is in no policy of web any more.", `id="wrong-for-0-22">45 min is longer than the 30 min`, `data-port="22" checked`, ">restart the shop</textarea>", `action="/api/portal/request"`)
	s.get("").holds(t, `<section id="open" class="card" hidden`)
}

// TestLastEachOnce: the same request is offered once, and three at most.
func TestLastEachOnce(t *testing.T) {
	s := newSite(t)
	s.enable()
	for _, length := range []time.Duration{10, 10, 20, 30, 40} {
		s.post("requests/" + s.opened("alice", "restart the shop", length*time.Minute, 22) + "/close")
		s.clock.Advance(time.Minute)
	}
	p := s.get("last")
	p.holds(t, "for 40 min", "for 30 min", "for 20 min")
	p.lacks(t, "for 10 min")
	if n := strings.Count(p.text, `id="again-`); n != 3 {
		t.Errorf("%d requests are offered", n)
	}
}
