package limit

import (
	"fmt"
	"time"

	"portcullis/core/jit"
	"portcullis/core/roster"
)

// CodeQuota heads the refusal of a request that would take more of a shared target than one requestor may.
const CodeQuota jit.Code = "RequestorQuotaExceeded"

// Quota is how much of one target one requestor's live windows may take together, so that nobody can
// use up what a target takes at all: a network security group 1,000 rules and 4,000 addresses. 0 is no bound.
//
// Two requests that come at the same time do not know of each other: together they may exceed it by one of them.
type Quota struct {
	Windows   int // a port of a machine each
	Addresses int // source prefixes, of all windows together
}

// Allows refuses with [CodeQuota] a grant whose requestor would have more on a target than the quota. openings are those of
// the target, the grant among them; what the grant takes the place of does not count.
func (q Quota) Allows(target jit.ID, openings []roster.Opening, grant jit.Grant, now time.Time) error {
	if q == (Quota{}) {
		return nil
	}
	windows, addresses := 0, 0
	for _, o := range openings {
		g := o.Grant
		if !g.SameRequestor(grant.RequestorID, grant.Requestor) {
			continue
		}
		if g.ID != grant.ID {
			g, _ = g.Superseded(grant, now)
		}
		for _, vm := range g.VMs {
			if len(o.Addresses[vm.VM.Key()]) == 0 {
				continue // it stands elsewhere
			}
			for _, w := range vm.Ports {
				if g.Live(w, now) {
					windows, addresses = windows+1, addresses+max(1, len(w.Sources.Prefixes()))
				}
			}
		}
	}
	for _, of := range []struct {
		what      string
		have, may int
	}{{"open windows", windows, q.Windows}, {"source addresses", addresses, q.Addresses}} {
		if of.may > 0 && of.have > of.may {
			return &jit.Error{Code: CodeQuota, Target: target.String(),
				Message: fmt.Sprintf("with this request you would have %d %s at %s, which others share; one requestor may have %d. Close what you do not need, or ask whoever runs the app to raise it", of.have, of.what, target.Name, of.may)}
		}
	}
	return nil
}
