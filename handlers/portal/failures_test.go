package portal_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"portcullis/core/coretest"
	"portcullis/core/store"
)

// TestClosingGoesOn: a closing that takes longer than the page waits is shown as one, not as a failure.
func TestClosingGoesOn(t *testing.T) {
	s := newSite(t)
	s.enable()
	id := s.opened("alice", "x", time.Hour, 22)
	s.cloud.Fault = func(_ context.Context, step coretest.Step) error {
		if step.Op == "Apply" {
			return &store.Unavailable{Dependency: "Azure Resource Manager", Err: errors.New("busy")}
		}
		return nil
	}
	s.clock.Set(noon.Add(time.Minute))
	if p := s.post("requests/" + id + "/close"); p.status != 303 {
		t.Errorf("%d %s", p.status, p.text)
	}
	s.get("requests/"+id).holds(t, "Closing ports", "Removing the rule from network security group <strong>web-nsg</strong>", `hx-trigger="every 1s"`)
	s.get("open").holds(t, "Closing", `hx-trigger="every 1s`)
	s.cloud.Fault = nil
	if p := s.post("requests/" + id + "/close"); p.status != 303 {
		t.Errorf("%d %s", p.status, p.text)
	}
	s.get("requests/"+id).lacks(t, "every 1s")
}

// TestOpeningFails: it says so, with why, and that nothing stays open.
func TestOpeningFails(t *testing.T) {
	s := newSite(t)
	s.enable()
	s.cloud.Fault = func(_ context.Context, step coretest.Step) error {
		if step.Op == "Apply" && !step.After {
			return store.ErrLocked
		}
		return nil
	}
	p := s.post("request", "intent", "open", "vm", web, "source", "mine", "mine", "203.0.113.7", "port-0-22", "on", "for-0-22", "1 h")
	id := strings.TrimPrefix(p.header.Get("Location"), "/api/portal/requests/")
	s.eventually("the opening is given up", func() bool {
		text := s.get("requests/" + id).text
		return strings.Contains(text, "The ports were not opened") || strings.Contains(text, "Closing ports")
	})
	s.get("requests/"+id).lacks(t, "Ports are open", "ssh user@")
	s.eventually("it says why", func() bool {
		return strings.Contains(s.get("requests/"+id).text, "A management lock forbids the write.")
	})
}

// TestStoreDown: the page says which dependency is down and nothing of its error.
func TestStoreDown(t *testing.T) {
	s := newSite(t)
	s.store.Fault = func(context.Context, coretest.Step) error { return errors.New("secret detail") }
	p := s.get("request?vm=" + web)
	if p.status != 500 {
		t.Errorf("status %d", p.status)
	}
	p.lacks(t, "secret detail")
	p.holds(t, "invocation-1", "This was not done")
	if !strings.Contains(s.log.String(), "secret detail") {
		t.Errorf("the log does not hold why: %s", s.log)
	}
}
