package portal_test

import (
	"context"
	"errors"
	"html"
	"regexp"
	"strings"
	"testing"
	"time"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/permit"
)

var seenCounts = regexp.MustCompile(`name="seen" value="([^"]*)"`)

// TestLockdownIsRefused: what is wrong stands beside its field with what was typed, who may not is told what he lacks, and nothing is closed or held.
func TestLockdownIsRefused(t *testing.T) {
	s := newSite(t)
	s.enable()
	id := s.opened("alice", "work", time.Hour, 22)
	for name, tt := range map[string]struct {
		form  []string
		holds string
	}{
		"no machine":         {[]string{"scope", "machine", "reason", "r"}, "Say which one."},
		"no choice":          {[]string{"reason", "r"}, "Say which one."},
		"an unknown choice":  {[]string{"scope", "tag", "reason", "r"}, "Say which one."},
		"a name":             {[]string{"scope", "person", "person", "alice@example.com", "reason", "r"}, "A person is named by the object id, a GUID."},
		"a group's name":     {[]string{"scope", "group", "group", "demo", "reason", "r"}, "expected /subscriptions/{subscription}/resourceGroups/{group}"},
		"a subscription":     {[]string{"scope", "subscription", "subscription", "production", "reason", "r"}, "A subscription is named by its id, a GUID."},
		"of somebody else":   {[]string{"scope", "subscription", "subscription", "00000000-0000-0000-0000-000000000bad", "reason", "r"}, "Nothing was closed."},
		"no reason":          {[]string{"scope", "everything"}, `id="wrong-lock-reason"`},
		"a reason too long":  {[]string{"scope", "everything", "reason", strings.Repeat("x", 1001)}, `id="wrong-lock-reason"`},
		"another field said": {[]string{"scope", "person", "machine", web, "reason", "r"}, "Say which one."},
	} {
		for _, intent := range []string{"preview", "now"} {
			p := s.post("lockdown", append(tt.form, "intent", intent, "seen", "everything", "hold", "on")...)
			if p.status != 400 || !strings.Contains(p.text, tt.holds) {
				t.Errorf("%s, %s: %d %s", name, intent, p.status, p.text)
			}
		}
	}
	// Nothing is closed before its own counts were shown.
	for _, seen := range []string{"", "everything", "everything held x", "person 00000000-0000-0000-0000-0000000000e2 held"} {
		p := s.post("lockdown", "scope", "everything", "reason", "r", "hold", "on", "intent", "now", "seen", seen)
		p.holds(t, "Nothing is closed yet.", `value="everything held"`)
	}
	s.may = func(_ jit.Caller, _, action string) bool { return action == permit.ActionRead }
	s.get("lockdown").holds(t, "You may look at this, not lock down.", permit.ActionWrite, " disabled>")
	s.get("").lacks(t, `href="/api/portal/lockdown"`)
	s.get("machine?vm="+web).lacks(t, `/api/portal/lockdown?vm=`)
	p := s.post("lockdown", "scope", "everything", "reason", "r", "intent", "now", "seen", "everything")
	if p.status != 403 || !strings.Contains(p.text, "does not have the permission "+permit.ActionWrite) {
		t.Errorf("a reader: %d %s", p.status, p.text)
	}
	if rec := s.grant(id); rec.Grant.Status() != jit.Initiated {
		t.Errorf("it is %s", rec.Grant.Status())
	}
	s.may = func(jit.Caller, string, string) bool { return true }
	s.get("lockdown").holds(t, "Nothing is held")
	s.store.Fault = func(_ context.Context, st coretest.Step) error {
		if st.Op == "Holds" {
			return errors.New("down")
		}
		return nil
	}
	p = s.get("lockdown")
	p.holds(t, "It cannot be read whether openings are held.")
	p.lacks(t, "Nothing is held")
}

// TestLockdownOnThePage: the counts first, then it closes and holds, shows how far it is, and is lifted with a reason.
func TestLockdownOnThePage(t *testing.T) {
	s := newSite(t)
	s.enable()
	id := s.opened("bob", "work", time.Hour, 22)
	s.get("").holds(t, `href="/api/portal/lockdown"`)
	s.get("machine?vm="+web).holds(t, `href="/api/portal/lockdown?vm=`)
	s.get("lockdown?vm="+web).holds(t, `value="`+web+`"`, "Nothing is held", "Show what it closes")
	form := []string{"scope", "machine", "machine", web, "reason", "the disk is <copied>", "hold", "on"}
	p := s.post("lockdown", append(form, "intent", "preview")...)
	p.holds(t, "Nothing is closed yet.", "For the machine web it closes 1 request by writing to 1 security group or firewall.", "Nothing new opens there", "port 22 of web, which bob@example.com opened, closes", "the disk is &lt;copied&gt;", "Lock down now")
	if rec := s.grant(id); rec.Grant.Status() != jit.Initiated {
		t.Fatalf("a preview has made it %s", rec.Grant.Status())
	}
	seen := seenCounts.FindStringSubmatch(p.text)
	if seen == nil {
		t.Fatal(p.text)
	}
	p = s.post("lockdown", append(form, "intent", "now", "seen", html.UnescapeString(seen[1]))...)
	at, ok := strings.CutPrefix(p.header.Get("Location"), "/api/portal/")
	if p.status != 303 || !ok {
		t.Fatalf("%d %s", p.status, p.text)
	}
	s.eventually("all is closed", func() bool { return strings.Contains(s.get(at).text, "All that was open is confirmed closed.") })
	s.get(at).holds(t, "1 request", "yes: nothing new opens there until it is lifted")
	s.get("requests/"+id).holds(t, "Ports are closed", "it was locked down")
	if p := s.post("request", "intent", "open", "vm", web, "source", "mine", "mine", "203.0.113.7", "why", "x", "port-0-22", "on", "for-0-22", "45 min"); p.status != 400 {
		t.Errorf("it opens again: %d", p.status)
	}
	hold := strings.TrimPrefix(at, "lockdown/")
	s.get("lockdown").holds(t, "the machine web", "/api/portal/lockdown/"+hold+"/lift")
	s.post("lockdown/"+hold+"/lift", "reason", " ").holds(t, `id="wrong-lift"`, "Say why, in a sentence that others can read.")
	s.get("").holds(t, "Locked down.")
	if p := s.post("lockdown/"+hold+"/lift", "reason", "copied"); p.status != 303 {
		t.Errorf("lift: %d %s", p.status, p.text)
	}
	s.get("").lacks(t, "Locked down.")
	if p := s.post("lockdown/"+hold+"/lift", "reason", "twice"); p.status != 400 || !strings.Contains(p.text, "HoldNotFound") {
		t.Errorf("lifted twice: %d %s", p.status, p.text)
	}
}
