package portal_test

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

var replaceField = regexp.MustCompile(`name="replace" value="([^"]*)"( checked)?`)

// TestAsksBeforeReplacing: a request that would take the place of a longer window of one's own opens nothing before that is agreed to, by a box in a form that works
// without a script and keeps what was typed. To agree to another window is not to agree to this one. Nobody is asked about anything else.
func TestAsksBeforeReplacing(t *testing.T) {
	s := newSite(t)
	s.enable()
	id := s.opened("alice", "first", 2*time.Hour, 22)
	s.opened("bob", "his", 2*time.Hour, 3389)
	s.clock.Set(noon.Add(time.Minute))
	form := []string{"vm", web, "intent", "open", "port-0-22", "on", "for-0-22", "25 min", "source", "mine", "mine", "203.0.113.7", "why", "a short look"}
	count := func() int {
		open, err := s.store.OpenGrants(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(open)
	}
	for what, sent := range map[string]string{"nothing": "", "yes, of nothing": "yes", "another request": "00000000-0000-7000-8000-000000000000"} {
		p := s.post("request", append(form, "replace", sent)...)
		p.holds(t, "Nothing was opened yet.", "port 22 of web, until 23 Nov 2026, 14:00:00 UTC", `value="25 min"`, "a short look", `name="port-0-22" data-port="22" checked`)
		if got := replaceField.FindStringSubmatch(p.text); p.status != 200 || got == nil || got[1] != id || got[2] != "" {
			t.Errorf("%s: %d, it asks about %v, want %s", what, p.status, got, id)
		}
		p.lacks(t, "bob@example.com", "Nothing was opened.<")
	}
	if n := count(); n != 2 {
		t.Fatalf("%d requests before it was agreed to", n)
	}
	done := s.post("request", append(form, "replace", id)...)
	if at := done.header.Get("Location"); done.status != 303 || !strings.HasPrefix(at, "/api/portal/requests/") {
		t.Fatalf("%d %s: %s", done.status, at, done.text)
	}
	s.eventually("the new request is open, and the first closed", func() bool {
		first, err := s.store.Grant(t.Context(), id)
		return err == nil && first.Grant.Closed()
	})
	for name, other := range map[string][]string{
		"longer":         {"port-0-22", "on", "for-0-22", "2 h", "mine", "203.0.113.7"},
		"another source": {"port-0-22", "on", "for-0-22", "10 min", "mine", "203.0.113.8"},
		"another port":   {"port-0-3389", "on", "for-0-3389", "10 min", "mine", "203.0.113.7"},
	} {
		if p := s.post("request", append([]string{"vm", web, "intent", "open", "source", "mine", "why", name}, other...)...); p.status != 303 {
			t.Errorf("%s: %d %s", name, p.status, p.text)
		}
	}
	refused := s.post("request", "vm", web, "intent", "open", "port-0-22", "on", "for-0-22", "4 h", "source", "mine", "mine", "203.0.113.7")
	refused.holds(t, "Nothing was opened.")
	refused.lacks(t, "Nothing was opened yet")
	s.eventually("what was asked for is open", func() bool {
		open, err := s.store.OpenGrants(t.Context())
		for _, g := range open {
			if g.Grant.Status().String() == "Initiating" {
				return false
			}
		}
		return err == nil
	})
}
