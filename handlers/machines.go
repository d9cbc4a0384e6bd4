package handlers

import (
	"net/http"
	"strings"

	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/handlers/query"
	"portcullis/handlers/wire"
)

// machines lists machines, protected or not: GET /api/machines.
func (s *server) machines(w http.ResponseWriter, r call) error {
	q := r.query
	ask := inventory.MachineQuery{State: inventory.MachineState(q["state"]), Text: q["q"], ResourceGroup: q["resourceGroup"],
		Subscription: q["subscription"], Cursor: q["cursor"]}
	sort, descending := strings.CutPrefix(q["sort"], "-")
	ask.Sort, ask.Descending = inventory.MachineSort(sort), descending
	if ask.Subscription != "" && !jit.ValidGUID(ask.Subscription) {
		return &jit.Error{Code: query.CodeInvalid, Target: "subscription", Message: "subscription is not a GUID"}
	}
	var err error
	if ask.VM, err = q.VM(); err != nil {
		return err
	}
	if ask.Limit, err = q.Limit(); err != nil {
		return err
	}
	page, err := s.app.Inventory.Machines(r.Context(), r.who, ask)
	if err != nil {
		return err
	}
	out := wire.MachinesAnswer{Value: []wire.Machine{}, ResourceGroups: page.ResourceGroups, Subscriptions: page.Subscriptions, Incomplete: page.Incomplete,
		RequestsCut: page.RequestsCut, NextLink: q.Next(r.URL.Path, page.Next),
		Counts: wire.MachineCounts{Configured: page.Counts[inventory.MachineConfigured], NotConfigured: page.Counts[inventory.MachineNotConfigured], Unsupported: page.Counts[inventory.MachineUnsupported]}}
	for _, m := range page.Machines {
		out.Value = append(out.Value, wire.ToMachine(m))
	}
	wire.Write(w, http.StatusOK, out)
	return nil
}
