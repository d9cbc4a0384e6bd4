package portal_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"portcullis/core/access"
	"portcullis/core/coretest"
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
	s.get("request?vm="+web).holds(t, "2 other people must approve this before anything opens.")
	s.get("request?vm="+app1).lacks(t, "must approve")
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
	s.get("requests/"+rec.Grant.ID).holds(t, "Scheduled", "It opens by itself at 23 Nov 2026, 15:00:00 UTC, and is decided again then.", "until 23 Nov 2026, 16:00:00 UTC", "Cancel the request")
	s.get("").holds(t, "Scheduled", `<section id="open" class="card" hidden`)
}

// TestDecideIsRefused: who may not decide is not offered it, and is refused when he sends it all the same; a denial says why, and what is approved is what was
// shown. Nothing is opened or ended by that.
func TestDecideIsRefused(t *testing.T) {
	s, id := waits(t, 1)
	digest := access.Digest(s.grant(id).Grant)
	for who, code := range map[string]string{"alice": "OwnRequest", "rea": string(permit.CodeForbidden), "sam": string(access.CodeRequestNotFound)} {
		for _, p := range []page{s.getAs(who, "requests/"+id+"/decide"), s.postAs(who, "requests/"+id+"/approve", "digest", digest), s.postAs(who, "requests/"+id+"/deny", "reason", "no")} {
			if p.status < 400 || p.status >= 500 || !strings.Contains(p.text, code) {
				t.Errorf("%s: %d %s", who, p.status, p.text)
			}
		}
		s.getAs(who, "").lacks(t, "/decide")
		s.getAs(who, "requests/"+id).lacks(t, "/decide")
	}
	if p := s.postAs("ann", "requests/"+id+"/approve", "digest", "0123"); p.status != 400 || !strings.Contains(p.text, "ContentChanged") {
		t.Errorf("another digest: %d %s", p.status, p.text)
	}
	if p := s.postAs("ann", "requests/"+id+"/approve"); p.status != 400 || !strings.Contains(p.text, "ContentChanged") {
		t.Errorf("no digest: %d %s", p.status, p.text)
	}
	p := s.postAs("ann", "requests/"+id+"/deny", "reason", "  ")
	p.holds(t, `id="wrong-reason"`, "Say why; who asked is told.", `aria-invalid="true"`)
	p = s.postAs("ann", "requests/"+id+"/deny", "reason", strings.Repeat("x", 1001))
	p.holds(t, `id="wrong-reason"`, strings.Repeat("x", 1001))
	if got := s.grant(id).Grant.Status(); got != jit.AwaitingApproval {
		t.Errorf("it is %s", got)
	}
}

// TestApproveOnThePage: who may approve sees the exact rules and who has access, approves, and cannot twice; with the last approval it opens.
func TestApproveOnThePage(t *testing.T) {
	s, id := waits(t, 2)
	s.getAs("ann", "").holds(t, `href="/api/portal/requests/`+id+`/decide"`)
	s.getAs("ann", "requests/"+id).holds(t, `href="/api/portal/requests/`+id+`/decide"`)
	digest := access.Digest(s.grant(id).Grant)
	p := s.getAs("ann", "requests/"+id+"/decide")
	p.holds(t, "restart the &lt;shop&gt;", "alice@example.com", "22 SSH", "from 203.0.113.7, for 45 min", "Allow 22 SSH (any protocol) from 203.0.113.7 to 10.0.0.4", "web-nsg", `value="`+digest+`"`, "Nobody.")
	if p := s.postAs("ann", "requests/"+id+"/approve", "digest", digest); p.status != 303 {
		t.Fatalf("%d %s", p.status, p.text)
	}
	s.get("requests/"+id).holds(t, "Waiting for approval", "Approved so far by ann@example.com.")
	p = s.getAs("ann", "requests/"+id+"/decide")
	p.holds(t, "It cannot be approved by you now.", "You have approved this already")
	p.lacks(t, ">Approve<")
	if p := s.postAs("ann", "requests/"+id+"/approve", "digest", digest); p.status != 400 || !strings.Contains(p.text, "AlreadyApproved") {
		t.Errorf("twice: %d %s", p.status, p.text)
	}
	if p := s.postAs("ben", "requests/"+id+"/approve", "digest", digest); p.status != 303 {
		t.Fatalf("%d %s", p.status, p.text)
	}
	s.eventually("open", func() bool { return strings.Contains(s.get("requests/"+id).text, "Ports are open") })
	if p := s.getAs("ben", "requests/"+id+"/decide"); p.status != 400 || !strings.Contains(p.text, "RequestNotWaiting") {
		t.Errorf("afterwards: %d %s", p.status, p.text)
	}
	sent := s.post("request", "intent", "open", "vm", web, "source", "other", "other", "203.0.113.8", "why", "once more", "port-0-22", "on", "for-0-22", "20 min")
	next, _ := strings.CutPrefix(sent.header.Get("Location"), "/api/portal/requests/")
	s.getAs("ann", "requests/"+next+"/decide").holds(t, "alice@example.com: port 22 of web from 203.0.113.7, until 23 Nov 2026, 12:45:00 UTC")
}

// TestDenyOnThePage: the reason is kept, and who asked reads by whom and why.
func TestDenyOnThePage(t *testing.T) {
	s, id := waits(t, 1)
	if p := s.postAs("ann", "requests/"+id+"/deny", "reason", "not <today>"); p.status != 303 {
		t.Fatalf("%d %s", p.status, p.text)
	}
	s.get("requests/"+id).holds(t, "The ports were not opened", "ann@example.com denied it: not &lt;today&gt;.")
	s.getAs("ann", "").lacks(t, "/decide")
}

// TestLookingAgainReadsNothingOfWhatWaits: every browser looks every few seconds. Where nothing is new, that reads no policy and no request of those that
// wait, of which each may name 200 machines.
func TestLookingAgainReadsNothingOfWhatWaits(t *testing.T) {
	s, id := waits(t, 1)
	p := s.getAs("ann", "open", "HX-Request", "true")
	p.holds(t, `id="decide-`+id)
	_, stamp, _ := strings.Cut(p.text, `{"shown":"`)
	stamp, _, _ = strings.Cut(stamp, `"`)
	var reads atomic.Int64
	s.store.Fault = func(_ context.Context, st coretest.Step) error {
		if st.Op == "Policy" || st.Op == "Grant" || st.Op == "EachPolicy" {
			reads.Add(1)
		}
		return nil
	}
	p = s.getAs("ann", "open?shown="+stamp, "HX-Request", "true")
	p.holds(t, "as it is shown")
	if n := reads.Load(); n != 0 {
		t.Errorf("%d reads", n)
	}
}
