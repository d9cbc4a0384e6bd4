package portal_test

import (
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/decide"
	"portcullis/core/jit"
)

// TestBreakGlassBadge: a request that skipped the approval has its badge where it is shown and among what is open, a drill says that it is one, and the
// log says so too.
func TestBreakGlassBadge(t *testing.T) {
	s := newSite(t)
	s.wire(func(p *core.Ports) { p.Reviews, p.BreakGlass = s.store, time.Hour })
	s.enable()
	ask := func(who string, kind jit.BreakGlass) string {
		by := jit.Caller{ID: "tid/" + who, Name: who + "@example.com", Kind: jit.Person}
		checked, err := decide.Validate(jit.Request{RequestorID: by.ID, Requestor: by.Name, Justification: "the shop is down", BreakGlass: kind,
			VMs: []jit.RequestVM{{VM: vm(t, web), Ports: []jit.RequestPort{{Number: 22, Duration: time.Hour, Sources: jit.AnySource()}}}}}, s.clock.Now(), decide.DefaultAhead)
		if err != nil {
			t.Fatal(err)
		}
		rec, _, err := s.app.Verbs.Request(t.Context(), by, checked, "")
		if err == nil {
			rec, err = s.app.Verbs.Open(t.Context(), by, rec)
		}
		if err != nil {
			t.Fatal(err)
		}
		return rec.Grant.ID
	}
	plain := ask("zoe", jit.NoBreakGlass)
	s.get("requests/"+plain).lacks(t, "Break-glass")
	s.get("").lacks(t, "Break-glass")
	broken, drill := ask("ann", jit.BreakGlassOpens), ask("bob", jit.BreakGlassDrill)
	s.get("requests/"+broken).holds(t, `<span class="tag bad">Break-glass</span>`)
	s.get("").holds(t, `<span class="tag bad">Break-glass</span>`)
	s.get("requests/"+drill).holds(t, `<span class="tag bad">Break-glass drill</span>`, "it was a drill, and nothing was opened")
	s.get("activity").holds(t, "Asked for without approval, in an emergency.", "It was a drill, and nothing was opened.")
}
