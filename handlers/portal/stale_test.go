package portal_test

import (
	"html"
	"regexp"
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/permit"
)

var seenField = regexp.MustCompile(`name="seen" value="([^"]*)"`)

// TestStaleForm: a form that was drawn before somebody else's change is not saved; it says what changed, keeps what was typed, and saves when it is sent again. A
// preview and a row added meanwhile do not make it fresh. The preview says which windows end.
func TestStaleForm(t *testing.T) {
	s := newSite(t)
	s.enable()
	drawn := s.get("configure?vm=" + web)
	field := seenField.FindStringSubmatch(drawn.text)
	if field == nil {
		t.Fatalf("the form does not say what it was drawn from: %s", drawn.text)
	}
	seen := html.UnescapeString(field[1])
	other := jit.Policy{VM: vm(t, web), Ports: jit.DefaultPorts()[:2]}
	if _, _, err := s.app.Access.Enable(t.Context(), jit.Caller{ID: "tid/bob", Name: "bob@example.com"}, []jit.Policy{other}, false); err != nil {
		t.Fatal(err)
	}
	form := []string{"vm", web, "number", "22", "protocol", "TCP", "sources", "198.51.100.0/24", "maximum", "45 min"}
	for _, intent := range []string{"add", "edit"} {
		if got := seenField.FindStringSubmatch(s.post("configure", append(form, "seen", seen, "intent", intent)...).text); got == nil || html.UnescapeString(got[1]) != seen {
			t.Errorf("after %s the form builds on %q, want %q", intent, got, seen)
		}
	}
	p := s.post("configure", append(form, "seen", seen, "intent", "save")...)
	p.holds(t, "Not saved.", "Somebody else has changed this", "bob@example.com changed the policy of web at ", `value="198.51.100.0/24"`, `value="45 min"`)
	now := seenField.FindStringSubmatch(p.text)
	if now == nil || html.UnescapeString(now[1]) == seen || p.status == 200 {
		t.Fatalf("%d, the form builds on %q", p.status, now)
	}
	if got := s.get("configure?vm=" + web); !strings.Contains(got.text, `value="3389"`) {
		t.Error("the stale form was saved")
	}
	s.post("configure", append(form, "seen", html.UnescapeString(now[1]), "intent", "save")...).holds(t, "Saved.")
}

// TestPreviewTellsWhatEnds: the form says before and after saving which windows a narrower policy ends.
func TestPreviewTellsWhatEnds(t *testing.T) {
	s := newSite(t)
	s.enable()
	s.opened("alice", "a test", time.Hour, 22)
	form := []string{"vm", web, "number", "3389", "protocol", "TCP", "sources", "any", "maximum", "3 h"}
	s.post("configure", append(form, "intent", "preview")...).holds(t, "Saving this ends open windows", "port 22 of web, which alice@example.com opened, closes")
	s.post("configure", append(form, "intent", "save")...).holds(t, "Saved.", "have ended", "port 22 of web, which alice@example.com opened, closes")
}

// TestUnseenPolicy: the form of somebody who may write a policy and not read it builds on nothing that it has shown, and is saved.
func TestUnseenPolicy(t *testing.T) {
	s := newSite(t)
	s.enable()
	s.may = func(who jit.Caller, _, action string) bool {
		return !strings.HasPrefix(who.Name, "writer") || action == permit.ActionWrite || action == permit.ActionWriteVM
	}
	as := []string{"X-Ms-Token-Aad-Id-Token", "writer"}
	drawn := s.get("configure?vm="+web, as...)
	field := seenField.FindStringSubmatch(drawn.text)
	if field == nil || field[1] != "" {
		t.Fatalf("%d, the form builds on %q", drawn.status, field)
	}
	form := "vm=" + web + "&number=22&protocol=TCP&sources=198.51.100.0%2F24&maximum=45+min&seen=&intent=save"
	s.send(s.ask("POST", "configure", form, as...)).holds(t, "Saved.")
	if got := s.get("configure?vm=" + web); !strings.Contains(got.text, "198.51.100.0/24") {
		t.Error("it is not stored")
	}
}
