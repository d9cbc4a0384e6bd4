package portal_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/jit"
	"portcullis/core/permit"
)

// later is a form that asks for port 22 of web, to begin at a time.
func later(start string, more ...string) []string {
	return append([]string{"intent", "open", "vm", web, "source", "mine", "mine", "203.0.113.7", "why", "move the disk", "port-0-22", "on", "for-0-22", "45 min", "when", "later", "start", start}, more...)
}

// TestAsksForLater: a start that cannot be is marked beside its field and keeps what was typed; one that can be waits for it, can be cancelled, and opens nothing before.
func TestAsksForLater(t *testing.T) {
	s := newSite(t)
	s.enable()
	s.get("request?vm="+web).holds(t, `id="when-now" checked`, "At most 14 days ahead.", "now it is 23 Nov 2026, 12:00:00 UTC")
	for start, want := range map[string]string{
		"":                     "Say the day and the time at which it begins, in UTC.",
		"tomorrow":             "This is not a time; write it like 2026-01-02 15:04.",
		"2026-11-23T11:00":     "has passed",
		"2026-12-23T11:00":     "is too far ahead",
		"2026-11-23T11:57:59Z": "has passed",
	} {
		p := s.post("request", later(start)...)
		if p.status < 400 {
			t.Errorf("%q: status %d", start, p.status)
		}
		p.holds(t, `id="wrong-start">`, want, `id="when-later" checked`, `name="start" id="start" value="`+start+`"`, ">move the disk</textarea>", "Nothing was opened.")
	}
	s.post("request", append(later("2026-11-24T12:00"), "when", "someday")...).lacks(t, "Choose at once or later") // the first of two
	bad := later("2026-11-24T12:00")
	bad[slices.Index(bad, "later")] = "someday"
	s.post("request", bad...).holds(t, "Choose at once or later.")
}

// TestScheduled: what begins later waits in sight of those who may see it, is cancelled by who asked, and denied by who may approve, though nobody has to.
func TestScheduled(t *testing.T) {
	s := newSite(t)
	s.enable()
	writes := s.cloud.Writes()
	ask := func() string {
		t.Helper()
		sent := s.post("request", later("2026-11-24T07:30")...)
		id, ok := strings.CutPrefix(sent.header.Get("Location"), "/api/portal/requests/")
		if sent.status != 303 || !ok {
			t.Fatalf("%d %v %s", sent.status, sent.header, sent.text)
		}
		return id
	}
	id := ask()
	s.get("requests/"+id).holds(t, "Scheduled", "It opens by itself at 24 Nov 2026, 07:30:00 UTC, and is decided again then.", "until 24 Nov 2026, 08:15:00 UTC", "Cancel the request")
	s.get("").holds(t, `id="waiting-title">Waiting`, "Scheduled", `id="cancel-`+id, `<section id="open" class="card" hidden`)
	if p := s.post("requests/" + id + "/close"); p.status != 303 || s.grant(id).Grant.Status() != jit.Revoked {
		t.Fatalf("cancel: %d, %s", p.status, s.grant(id).Grant.Status())
	}
	p := s.get("requests/" + id)
	p.holds(t, "It was cancelled before it was opened.")
	p.lacks(t, "closed early")
	s.get("windows").holds(t, "Nothing was open")
	id = ask()
	s.may = func(who jit.Caller, _, action string) bool {
		return strings.HasPrefix(who.Name, "ann") && slices.Contains([]string{permit.ActionRead, permit.ActionWrite}, action)
	}
	s.getAs("ann", "").holds(t, `id="decide-`+id)
	p = s.getAs("ann", "requests/"+id+"/decide")
	p.holds(t, "Deny before it opens", "It opens by itself at 24 Nov 2026, 07:30:00 UTC")
	p.lacks(t, "/approve", "cannot be approved")
	if p := s.postAs("ann", "requests/"+id+"/deny", "reason", "not during the backup"); p.status != 303 || s.grant(id).Grant.Reason() != jit.Denied {
		t.Errorf("deny: %d, %s", p.status, s.grant(id).Grant.Reason())
	}
	if s.cloud.Writes() != writes {
		t.Error("what was to begin later has been opened")
	}
}

// TestNothingLater: where the installation lets nothing begin later the form does not offer it, and a start that is sent all the same is refused.
func TestNothingLater(t *testing.T) {
	s := newSite(t)
	s.wire(func(p *core.Ports) { p.Ahead = 0 })
	s.enable()
	s.get("request?vm="+web).lacks(t, `name="when"`, `name="start"`)
	s.post("request", later("2026-11-23T13:00")...).holds(t, "is too far ahead")
}

// TestLinkNamesStart: a link fills the start in, and asks for nothing.
func TestLinkNamesStart(t *testing.T) {
	s := newSite(t)
	s.enable()
	s.get("request?vm="+web+"&start=2026-11-24T07:30").holds(t, `id="when-later" checked`, `value="2026-11-24T07:30"`)
	s.get("request?vm="+web+"&start=soon").holds(t, `id="wrong-start">`, "Nothing is opened yet.")
}

// TestBreakGlassIsNow: break-glass that is to begin later is refused beside it.
func TestBreakGlassIsNow(t *testing.T) {
	s := newSite(t)
	s.wire(func(p *core.Ports) { p.Reviews, p.BreakGlass = s.store, time.Hour })
	s.enable()
	s.post("request", later("2026-11-24T07:30", "breakglass", "on")...).holds(t, "Nothing was opened.", `id="when-later" checked`)
}

// TestTimelineBeginsAtOpening: what has waited is drawn from when it was opened, and not from when it was asked for.
func TestTimelineBeginsAtOpening(t *testing.T) {
	s, id := waits(t, 1)
	s.clock.Advance(20 * time.Minute)
	drawn := s.getAs("ann", "requests/"+id+"/decide").text
	_, digest, _ := strings.Cut(drawn, `name="digest" value="`)
	digest, _, _ = strings.Cut(digest, `"`)
	if p := s.postAs("ann", "requests/"+id+"/approve", "digest", digest); p.status != 303 {
		t.Fatalf("approve: %d %s", p.status, p.text)
	}
	s.clock.Advance(time.Minute)
	s.get("windows").holds(t, "web port 22 SSH, 23 Nov 2026, 12:20:00 UTC to 23 Nov 2026, 13:05:00 UTC")
}

// TestTimelineOfWhatWasAskedForLongAgo: what was asked for days before it began is drawn while it is open and once it is closed, for those who may see it.
func TestTimelineOfWhatWasAskedForLongAgo(t *testing.T) {
	s := newSite(t)
	s.enable()
	sent := s.post("request", later("2026-12-02T12:00")...)
	id, ok := strings.CutPrefix(sent.header.Get("Location"), "/api/portal/requests/")
	if !ok {
		t.Fatalf("%d %v", sent.status, sent.header)
	}
	s.clock.Set(noon.AddDate(0, 0, 9))
	rec, err := s.app.Desk.Release(t.Context(), s.grant(id))
	if err == nil {
		rec, err = s.app.Desk.Open(t.Context(), rec)
	}
	if err != nil || rec.Grant.Status() != jit.Initiated {
		t.Fatal(rec.Grant.Status(), err)
	}
	s.clock.Advance(time.Minute)
	const drawn = "web port 22 SSH, 2 Dec 2026, 12:00:00 UTC to 2 Dec 2026, 12:45:00 UTC"
	for _, page := range []string{"windows", "windows?vm=" + web, "machine?vm=" + web} {
		s.get(page).holds(t, drawn, "bar-open")
	}
	s.get("windows?vm="+app1).lacks(t, drawn)
	if p := s.post("requests/" + id + "/close"); p.status != 303 {
		t.Fatalf("close: %d", p.status)
	}
	s.clock.Advance(time.Minute)
	s.get("windows").holds(t, "web port 22 SSH, 2 Dec 2026, 12:00:00 UTC to 2 Dec 2026, 12:01:00 UTC", `class="bar-closed"`)
	s.may = func(jit.Caller, string, string) bool { return false }
	s.getAs("sam", "windows").lacks(t, "web port 22")
}
