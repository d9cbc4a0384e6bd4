package portal_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
)

// TestLongRequestIsBrief: a request of 50 machines is one row of few lines, which counts what it leaves out; the request itself shows all.
func TestLongRequestIsBrief(t *testing.T) {
	s := newSite(t)
	asked := jit.Request{Justification: "patch them all"}
	var policies []jit.Policy
	for i := range 50 {
		id := fmt.Sprintf("%sm%02d", group, i)
		s.place(id, "farm-nsg", fmt.Sprintf("10.0.1.%d", i+4), "")
		policies = append(policies, jit.Policy{VM: vm(t, id), Ports: jit.DefaultPorts()[:1]})
		asked.VMs = append(asked.VMs, jit.RequestVM{VM: vm(t, id), Ports: []jit.RequestPort{{Number: 22, Duration: time.Hour, Sources: jit.SourcesOf(netip.MustParsePrefix("203.0.113.7/32"))}}})
	}
	if _, _, err := s.app.Access.Enable(t.Context(), caller("alice"), policies, false); err != nil {
		t.Fatal(err)
	}
	rec, _, err := s.app.Access.Request(t.Context(), caller("alice"), asked, "")
	if err == nil {
		rec, err = s.app.Access.Open(t.Context(), caller("alice"), rec)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := s.get("?text=m49")
	open, _, _ := strings.Cut(p.text, `id="results"`)
	for _, want := range []string{"<strong>m00, m01 and 48 more machines</strong>", "port 22 of m00 and port 22 of m01 and 48 more machines", "and 47 more</span>"} {
		if !strings.Contains(open, want) {
			t.Errorf("the row lacks %q: %s", want, open)
		}
	}
	if n := strings.Count(open, "data-copy"); n != 3 || strings.Contains(open, "m02") {
		t.Errorf("%d ways to connect in a row: %s", n, open)
	}
	if all := s.get("requests/" + rec.Grant.ID); strings.Count(all.text, "data-as") != 50 {
		t.Errorf("the request shows %d ways to connect", strings.Count(all.text, "data-as"))
	}
}

// TestExtendedTooLong: what is too long is said in whole minutes, though it is counted from an odd second.
func TestExtendedTooLong(t *testing.T) {
	s := newSite(t)
	s.enable()
	id := s.opened("alice", "logs", time.Hour, 22)
	s.clock.Set(noon.Add(19 * time.Second))
	s.post("requests/"+id+"/extend", "for", "9 h").holds(t, "9 h 1 min is longer than the 3 h that the policy of web allows for port 22.")
}
