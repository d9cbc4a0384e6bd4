package portal_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"portcullis/core/area"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/lockdown"
	"portcullis/core/permit"
	"portcullis/handlers/portal"
)

// TestLockedDownStandsOnEveryPage: every whole page says what is locked down, who may lift it reads by whom and why, and nobody else does; a part of a page
// does not repeat it.
func TestLockedDownStandsOnEveryPage(t *testing.T) {
	s := newSite(t)
	s.enable()
	id := s.opened("alice", "work", time.Hour, 22)
	if _, err := s.app.Lockdown.Begin(t.Context(), caller("alice"), lockdown.Order{Scope: area.Scope{VM: vm(t, web)}, Reason: "the disk is being copied", Hold: true}); err != nil {
		t.Fatal(err)
	}
	pages := 0
	for _, pattern := range portal.Patterns() {
		path, found := strings.CutPrefix(pattern, "GET /")
		if !found || strings.Contains(path, "rdp") {
			continue
		}
		path = strings.NewReplacer("{$}", "", "{id}", id).Replace(path)
		if strings.HasPrefix(path, "machine") || path == "request" || path == "configure" {
			path += "?vm=" + web
		}
		p := s.get(path)
		if pages++; strings.Count(p.text, "Locked down.") != 1 || !strings.Contains(p.text, "the machine web") || !strings.Contains(strings.ToLower(p.text), "the disk is being copied") {
			t.Errorf("%s (%d) does not say it once:\n%s", path, p.status, p.text)
		}
		if p := s.get(path, "HX-Request", "true"); strings.Contains(p.text, "Locked down.") {
			t.Errorf("%s says it in a part too", path)
		}
	}
	if p := s.get("nothing"); p.status != http.StatusNotFound || !strings.Contains(p.text, "Locked down.") {
		t.Errorf("a page that is not there: %d", p.status)
	}
	if pages < 8 {
		t.Errorf("only %d pages", pages)
	}
	s.may = func(_ jit.Caller, _ string, action string) bool { return action == permit.ActionRead }
	if p := s.get(""); !strings.Contains(p.text, "Locked down.") || strings.Contains(strings.ToLower(p.text), "disk") {
		t.Errorf("a reader sees\n%s", p.text)
	}
	s.may = func(jit.Caller, string, string) bool { return false }
	if p := s.get(""); strings.Contains(p.text, "Locked down.") {
		t.Errorf("a stranger sees\n%s", p.text)
	}
	s.may = func(jit.Caller, string, string) bool { return true }
	s.store.Fault = func(_ context.Context, st coretest.Step) error {
		if st.Op == "Holds" {
			return errors.New("down")
		}
		return nil
	}
	if p := s.get("findings"); p.status != http.StatusOK || !strings.Contains(p.text, "It cannot be read whether openings are held.") {
		t.Errorf("while it cannot be read: %d\n%s", p.status, p.text)
	}
}
