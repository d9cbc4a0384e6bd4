package show

import (
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers/portal/words"
)

// Window is a port of one machine that is open, opening or closing.
type Window struct {
	Grant     string // the id of its request
	Number    uint16
	Service   string
	State     string // opening, open or closing
	Requestor string
	Own       bool
	End       time.Time
	Badge     string // of a request that skipped the approval; "" for any other
}

// WindowsOf returns the windows of a machine among open grants, in their order, as they are shown to who at an instant. Each has the state
// that [GrantOf] shows of it.
func WindowsOf(vm jit.ID, open []store.GrantRecord, who jit.Caller, now time.Time) []Window {
	var out []Window
	for _, rec := range open {
		g := rec.Grant
		for _, on := range g.VMs {
			if !on.VM.Equal(vm) {
				continue
			}
			for _, w := range on.Ports {
				if w.Status == jit.Revoked {
					continue
				}
				out = append(out, Window{Grant: g.ID, Number: w.Number, Service: words.Service(w.Number), State: words.State(g, w, now), Requestor: g.Requestor, Own: g.SameRequestor(who.ID, who.Name), End: w.End, Badge: words.BreakGlass(g.BreakGlass)})
			}
		}
	}
	return out
}
