package portal_test

import (
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/permit"
)

// TestNotOffered: what somebody may not do is not offered, and a form that they come to all the same
// says which permission is missing and cannot be sent. What is sent is refused as before.
func TestNotOffered(t *testing.T) {
	s := newSite(t)
	s.enable()
	id := s.opened("alice", "why", time.Hour, 22)
	actions := map[string][]string{
		"reader":    {permit.ActionRead},
		"requester": {permit.ActionRead, permit.ActionInitiate, permit.ActionReadVM},
		"editor":    {permit.ActionRead, permit.ActionWrite, permit.ActionWriteVM},
	}
	s.may = func(who jit.Caller, _, action string) bool {
		name, _, _ := strings.Cut(who.Name, "@")
		for _, a := range actions[name] {
			if a == action {
				return true
			}
		}
		return name == "alice"
	}
	as := func(who, path string) page { return s.get(path, "X-Ms-Token-Aad-Id-Token", who) }
	const request, edit, disable, close = `href="/api/portal/request?`, `href="/api/portal/configure?`, "End protection of", "Close now"
	for who, want := range map[string][]string{"alice": {request, edit, disable, close}, "reader": nil, "requester": {request}, "editor": {edit, close}} {
		for _, what := range []string{request, edit, disable, close} {
			offered := false
			for _, w := range want {
				offered = offered || w == what
			}
			for _, path := range []string{"", "machine?vm=" + web, "requests/" + id} {
				onPage := map[string]bool{request: path != "requests/"+id, edit: path != "requests/"+id, disable: strings.HasPrefix(path, "machine"), close: !strings.HasPrefix(path, "machine")}[what]
				if got := strings.Contains(as(who, path).text, what); got != (offered && onPage) {
					t.Errorf("%s on %q: %s is shown: %v", who, path, what, got)
				}
			}
		}
	}
	as("reader", "").lacks(t, `name="vm"`, `class="selection"`)
	as("reader", "").holds(t, "not ask for access to them", permit.ActionInitiate)
	as("requester", "").lacks(t, "You may look")
	as("requester", "?tab=notConfigured").lacks(t, `name="vm"`, "You may look") // no machine is left there
	for path, action := range map[string]string{"request?vm=" + web: permit.ActionInitiate, "configure?vm=" + web: permit.ActionWrite} {
		p := as("reader", path)
		p.holds(t, "You may look at this", action, " disabled>")
	}
	r := s.ask("POST", "request", "intent=open&vm="+web+"&source=mine&mine=203.0.113.7&port-0-22=on&for-0-22=45+min", "X-Ms-Token-Aad-Id-Token", "reader")
	if p := s.send(r); p.status != 403 {
		t.Errorf("sent all the same: %d", p.status)
	}
}

// TestAllAtOnce: a port that several machines have is offered once for all of them.
func TestAllAtOnce(t *testing.T) {
	s := newSite(t)
	s.enable()
	s.get("request?vm="+web).lacks(t, "All machines at once")
	p := s.get("request?vm=" + web + "&vm=" + app1)
	p.holds(t, "All machines at once", `data-every="22"`, "on 2 machines", `data-every-for="3389"`)
	p.holds(t, `data-every="22" checked`, `data-every="3389">`) // as it is proposed below
	if got := strings.Count(p.text, `data-port="22"`); got != 2 {
		t.Errorf("%d ports follow", got)
	}
}
