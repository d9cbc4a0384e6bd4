package handlers

import (
	"fmt"
	"net/http"

	"portcullis/core/access"
	"portcullis/core/jit"
	"portcullis/handlers/wire"
)

// enable protects machines: POST /api/enable[?dryRun=true].
func (s *server) enable(w http.ResponseWriter, r call) error {
	dryRun := r.query.Flag("dryRun")
	var body wire.EnableBody
	if err := wire.Decode(r.Request, &body); err != nil {
		return err
	}
	policies, err := body.Policies()
	if err != nil {
		return err
	}
	enabled, changes, err := s.app.Access.Enable(r.Context(), r.who, policies, dryRun)
	if err != nil {
		return err
	}
	var narrowed access.Narrowed
	for _, e := range enabled {
		narrowed = narrowed.With(e.Narrowed)
	}
	wire.Write(w, http.StatusOK, wire.EnableAnswer{DryRun: dryRun, VirtualMachines: wire.ToEnabled(enabled), Changes: wire.ToChanges(changes), Windows: wire.ToEnded(narrowed)})
	return nil
}

// disable ends protection: POST /api/disable[?dryRun=true].
func (s *server) disable(w http.ResponseWriter, r call) error {
	var body wire.VmsBody
	if err := wire.Decode(r.Request, &body); err != nil {
		return err
	}
	var vms []jit.ID
	for i, vm := range body.VirtualMachines {
		id, err := jit.ParseVM(vm.ID)
		if err != nil {
			return wire.Below(err, fmt.Sprintf("virtualMachines[%d].id", i))
		}
		vms = append(vms, id)
	}
	answer := wire.DisableAnswer{VirtualMachines: body.VirtualMachines, DryRun: r.query.Flag("dryRun")}
	var narrowed access.Narrowed
	var err error
	if answer.DryRun {
		var changes []access.TargetChange
		narrowed, changes, err = s.app.Access.PreviewDisable(r.Context(), r.who, vms)
		answer.Changes = wire.ToChanges(changes)
	} else {
		narrowed, err = s.app.Access.Disable(r.Context(), r.who, vms)
	}
	if err != nil {
		return err
	}
	answer.Closes, answer.Hidden = wire.ToClosed(narrowed), narrowed.Hidden
	wire.Write(w, http.StatusOK, answer)
	return nil
}
