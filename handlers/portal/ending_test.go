package portal_test

import (
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
)

// TestEndSeveral: the protection of all ticked machines ends after a look at what that changes and a tick; who may not end that of one ends
// that of none. It leads back to the list that it came from, and nowhere else.
func TestEndSeveral(t *testing.T) {
	s := newSite(t)
	s.enable()
	s.opened("alice", "a test", time.Hour, 22)
	both := []string{"vm", web, "vm", app1, "list", "/api/portal/?text=demo&size=200"}
	protected := func(want bool, what string) {
		t.Helper()
		for _, id := range []string{web, app1} {
			if _, err := s.store.Policy(t.Context(), vm(t, id)); (err == nil) != want {
				t.Errorf("%s: %s: %v", what, id, err)
			}
		}
	}
	all := s.may
	s.may = func(_ jit.Caller, scope, action string) bool {
		return !strings.HasSuffix(scope, "/app1") || !strings.HasSuffix(action, "/delete")
	}
	for _, intent := range []string{"ask", "end"} {
		if p := s.post("disable", append(both, "intent", intent, "sure", "yes")...); p.status != 403 {
			t.Errorf("%s without the permission: %d", intent, p.status)
		}
	}
	protected(true, "without the permission")
	s.may = all
	s.get("").holds(t, "End protection…", `name="list" value="/api/portal/"`)
	ask := s.post("disable", append(both, "intent", "ask")...)
	ask.holds(t, "End protection of 2 machines", "What is open closes:", "port 22 of web", "Remove", "web-nsg", `href="/api/portal/?size=200&amp;text=demo"`)
	protected(true, "after a look")
	if p := s.post("disable", append(both, "intent", "end")...); p.status != 400 || !strings.Contains(p.text, "Nothing was ended.") {
		t.Errorf("without the tick: %d", p.status)
	}
	if p := s.post("disable", append(both, "intent", "other", "sure", "yes")...); !strings.Contains(p.text, "End protection of 2 machines") {
		t.Errorf("another intent: %d", p.status)
	}
	if p := s.post("disable", both...); p.status != 400 {
		t.Errorf("without an intent: %d", p.status)
	}
	protected(true, "without the tick")
	for _, evil := range []string{"https://evil.example/?text=x", "javascript:alert(1)", "//evil.example", "\x01"} {
		p := s.post("disable", "vm", web, "list", evil, "intent", "ask")
		if strings.Contains(p.text, "evil.example") || strings.Contains(p.text, "javascript:") {
			t.Errorf("%q is followed", evil)
		}
	}
	done := s.post("disable", append(both, "intent", "end", "sure", "yes")...)
	done.holds(t, "Protection has ended", "2 machines are not protected any more", `data-did="`+web, "data-changed")
	protected(false, "after the tick")
}

// TestDoneLeadsBack: a form that was opened from a list leads back to it, without scripts too.
func TestDoneLeadsBack(t *testing.T) {
	s := newSite(t)
	p := s.post("configure", "vm", web, "list", "/api/portal/?tab=notConfigured&text=web")
	p.holds(t, `name="list" value="/api/portal/?tab=notConfigured&amp;text=web"`, `href="/api/portal/?tab=notConfigured&amp;text=web" data-close>Cancel`)
	s.post("configure", "vm", web, "number", "22", "protocol", "TCP", "sources", "any", "maximum", "1 h", "list", "/api/portal/?tab=notConfigured&text=web", "intent", "save").holds(t, `href="/api/portal/?tab=notConfigured&amp;text=web" data-close>Done`)
}
