package portal_test

import (
	"strings"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/decide"
	"portcullis/core/jit"
)

// TestBreakGlassBadge: a request that skipped the approval has its badge where it is shown and among what is open, a drill says that it is one, and the
// log says so too.
func TestBreakGlassBadge(t *testing.T) {
	s := newSite(t)
	s.wire(func(p *core.Ports) { p.Reviews, p.BreakGlass = s.store, time.Hour })
	s.enable()
	ask := func(who string, kind jit.BreakGlass) string {
		by := jit.Caller{ID: "tid/" + who, Name: who + "@example.com", Kind: jit.Person}
		checked, err := decide.Validate(jit.Request{RequestorID: by.ID, Requestor: by.Name, Justification: "the shop is down", BreakGlass: kind,
			VMs: []jit.RequestVM{{VM: vm(t, web), Ports: []jit.RequestPort{{Number: 22, Duration: time.Hour, Sources: jit.AnySource()}}}}}, s.clock.Now(), decide.DefaultAhead)
		if err != nil {
			t.Fatal(err)
		}
		rec, _, err := s.app.Verbs.Request(t.Context(), by, checked, "")
		if err == nil {
			rec, err = s.app.Verbs.Open(t.Context(), by, rec)
		}
		if err != nil {
			t.Fatal(err)
		}
		return rec.Grant.ID
	}
	plain := ask("zoe", jit.NoBreakGlass)
	s.get("requests/"+plain).lacks(t, "Break-glass")
	s.get("").lacks(t, "Break-glass")
	broken, drill := ask("ann", jit.BreakGlassOpens), ask("bob", jit.BreakGlassDrill)
	s.get("requests/"+broken).holds(t, `<span class="tag bad">Break-glass</span>`)
	s.get("").holds(t, `<span class="tag bad">Break-glass</span>`)
	s.get("").holds(t, "<strong>Break-glass</strong> · 22 SSH")
	s.clock.Advance(time.Minute)
	s.get("windows").holds(t, "<title>Break-glass, ann@example.com: web", `ann@example.com <span class="tag bad">Break-glass</span>`)
	s.get("machine?vm="+web).holds(t, "<strong>Break-glass</strong> · 22 SSH")
	s.get("requests/"+drill).holds(t, `<span class="tag bad">Break-glass drill</span>`, "it was a drill, and nothing was opened")
	s.get("activity").holds(t, "Asked for without approval, in an emergency.", "It was a drill, and nothing was opened.")
}

// glassSite is a site where the glass may be broken by alice for half an hour, and ann may approve.
func glassSite(t *testing.T) *site {
	s := newSite(t)
	s.wire(func(p *core.Ports) { p.Reviews, p.BreakGlass = s.store, 30*time.Minute })
	s.roles = map[string]jit.Roles{"alice": {BreakGlass: true}, "ann": {Approver: true}}
	p := jit.Policy{VM: vm(t, web), Ports: jit.DefaultPorts(), Options: &jit.Options{Approvers: 1}}
	if _, _, err := s.app.Access.Enable(t.Context(), caller("alice"), []jit.Policy{p}, false); err != nil {
		t.Fatal(err)
	}
	return s
}

// asks is the form for port 22 of web with more fields.
func asks(why, length string, more ...string) []string {
	return append([]string{"intent", "open", "vm", web, "source", "mine", "mine", "203.0.113.7", "why", why, "port-0-22", "on", "for-0-22", length}, more...)
}

// TestBreakGlassIsRefused: each refusal stands beside its field, and who has not the role is not offered it.
func TestBreakGlassIsRefused(t *testing.T) {
	s := glassSite(t)
	s.getAs("zoe", "request?vm="+web).lacks(t, `name="breakglass"`)
	s.get("request?vm="+web).holds(t, `name="breakglass"`, "For 30 min at most")
	for name, tt := range map[string]struct {
		who   string
		form  []string
		holds []string
	}{
		"without the role":   {"zoe", asks("down", "20 min", "breakglass", "on"), []string{"does not have the app role Portcullis.BreakGlass"}},
		"a drill of nothing": {"alice", asks("down", "20 min", "drill", "on"), []string{`id="wrong-breakglass"`, `id="drill" checked`}},
		"without a reason":   {"alice", asks(" ", "20 min", "breakglass", "on"), []string{"break-glass needs a justification", `aria-invalid="true"`, `id="breakglass" checked`}},
		"too long":           {"alice", asks("down", "45 min", "breakglass", "on"), []string{"break-glass lasts 30 min at most", `id="wrong-for-0-22"`}},
	} {
		p := s.postAs(tt.who, "request", tt.form...)
		if p.status < 400 || p.status >= 500 {
			t.Errorf("%s: %d", name, p.status)
		}
		p.holds(t, tt.holds...)
	}
	if all, err := s.store.OpenGrants(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%v, %d grants", err, len(all))
	}
}

// TestBreakGlassOnThePage: it opens past the approval with its badge, owes a review that its requestor cannot write, which blocks the next one, and which who may
// approve writes once it is over.
func TestBreakGlassOnThePage(t *testing.T) {
	s := glassSite(t)
	drill := s.post("request", asks("exercise", "20 min", "breakglass", "on", "drill", "on")...)
	id := strings.TrimPrefix(drill.header.Get("Location"), "/api/portal/requests/")
	s.eventually("the drill is over", func() bool { return strings.Contains(s.get("requests/"+id).text, "Ports are closed") })
	s.get("requests/"+id).holds(t, "Break-glass drill", "Nobody has written it yet.")
	s.getAs("ann", "requests/"+id).holds(t, "Write the review")
	s.post("request", asks("down", "20 min", "breakglass", "on")...).holds(t, `id="wrong-breakglass"`, "has no review yet")
	if p := s.postAs("ann", "requests/"+id+"/review", "review", "went <well>"); p.status != 303 {
		t.Fatalf("%d %s", p.status, p.text)
	}
	s.get("requests/"+id).holds(t, "went &lt;well&gt;", "ann@example.com")

	broken := s.post("request", asks("down", "20 min", "breakglass", "on")...)
	id = strings.TrimPrefix(broken.header.Get("Location"), "/api/portal/requests/")
	s.eventually("it is open", func() bool { return strings.Contains(s.get("requests/"+id).text, "Ports are open") })
	s.getAs("ann", "requests/"+id).holds(t, `<span class="tag bad">Break-glass</span>`, "once every port is closed")
	s.getAs("ann", "requests/"+id).lacks(t, "Write the review")
	if p := s.postAs("ann", "requests/"+id+"/review", "review", "early"); p.status != 400 || !strings.Contains(p.text, "BreakGlassStillOpen") {
		t.Errorf("too early: %d %s", p.status, p.text)
	}
	if p := s.post("requests/" + id + "/close"); p.status != 303 {
		t.Fatalf("close: %d %s", p.status, p.text)
	}
	if p := s.post("requests/"+id+"/review", "review", "my own"); p.status != 400 || !strings.Contains(p.text, "OwnReview") {
		t.Errorf("one's own: %d %s", p.status, p.text)
	}
	s.postAs("ann", "requests/"+id+"/review", "review", " ").holds(t, `id="wrong-review"`, "Write what happened: why it was needed, and what was done.")
	long := strings.Repeat("x", jit.MaxReview+1)
	s.postAs("ann", "requests/"+id+"/review", "review", long).holds(t, `id="wrong-review"`, long)
	if p := s.postAs("ann", "requests/"+id+"/review", "review", "the disk was full"); p.status != 303 {
		t.Fatalf("%d %s", p.status, p.text)
	}
	s.get("requests/"+id).holds(t, "the disk was full")
	if p := s.postAs("ben", "requests/"+id+"/review", "review", "another"); p.status != 400 || !strings.Contains(p.text, "ReviewWritten") {
		t.Errorf("twice: %d %s", p.status, p.text)
	}
}
