package wire

import (
	"portcullis/core/access"
	"portcullis/core/jit"
	"portcullis/handlers/api"
)

// toApproval writes what a grant waits for, and who has decided it; nil for a grant that needs no approval.
func toApproval(g jit.Grant) *api.Approval {
	if g.Wait.Approvers == 0 && len(g.Wait.Approvals) == 0 && g.Wait.Denied.ID == "" {
		return nil
	}
	out := &api.Approval{Needed: g.Wait.Approvers, By: []api.Decision{}}
	if g.Status() == jit.AwaitingApproval {
		out.Until, out.Digest = Stamp(g.OpenBy), access.Digest(g)
	}
	for _, a := range g.Wait.Approvals {
		out.By = append(out.By, toDecision(a))
	}
	if d := g.Wait.Denied; d.ID != "" {
		denied := toDecision(d)
		out.Denied = &denied
	}
	return out
}

func toDecision(a jit.Approval) api.Decision {
	return api.Decision{Name: a.Name, ObjectID: jit.Caller{ID: a.ID}.Actor().Object, At: Stamp(a.At), Right: string(a.By), Justification: a.Reason}
}

// ToOpen writes who has windows open.
func ToOpen(list []access.Holder) []api.HeldWindow {
	var out []api.HeldWindow
	for _, h := range list {
		out = append(out, api.HeldWindow{Requestor: h.Requestor, ID: h.VM.String(), Number: h.Window.Number, Prefixes: h.Window.Sources.Strings(), End: Stamp(h.Window.End)})
	}
	return out
}
