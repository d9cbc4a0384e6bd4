package portal_test

import (
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
)

// TestProgress: the panel of an opening says which targets have confirmed it, and which it waits for.
func TestProgress(t *testing.T) {
	s := newSite(t)
	s.enable()
	r := jit.Request{Justification: "why"}
	for _, id := range []string{web, app1} {
		r.VMs = append(r.VMs, jit.RequestVM{VM: vm(t, id), Ports: []jit.RequestPort{{Number: 22, Duration: time.Hour, Sources: jit.AnySource()}}})
	}
	rec, _, err := s.app.Access.Request(t.Context(), caller("alice"), r, "")
	if err != nil {
		t.Fatal(err)
	}
	const waits, done = "Waiting until network security group <strong>%s</strong>", "Confirmed by network security group <strong>%s</strong>"
	path := "requests/" + rec.Grant.ID
	s.get(path).holds(t, strings.Replace(waits, "%s", "web-nsg", 1), strings.Replace(waits, "%s", "apps-nsg", 1))
	for i := range rec.Placements {
		rec.Placements[i].Confirmed = rec.Placements[i].Target.Name == "web-nsg"
	}
	if _, err := s.store.UpdateGrants(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	p := s.get(path)
	p.holds(t, strings.Replace(done, "%s", "web-nsg", 1), strings.Replace(waits, "%s", "apps-nsg", 1), "Opening ports")
	p.lacks(t, strings.Replace(waits, "%s", "web-nsg", 1), "Ports are open")
}
