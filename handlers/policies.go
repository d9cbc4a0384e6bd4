package handlers

import (
	"fmt"
	"net/http"

	"portcullis/core/jit"
)

// enable protects machines: POST /api/enable[?dryRun=true].
func (s *server) enable(w http.ResponseWriter, r call) error {
	dryRun := r.query.Flag("dryRun")
	var body enableBody
	if err := decode(r.Request, &body); err != nil {
		return err
	}
	policies, err := body.policies()
	if err != nil {
		return err
	}
	enabled, changes, err := s.app.Access.Enable(r.Context(), r.who, policies, dryRun)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, enableAnswer{DryRun: dryRun, VirtualMachines: toEnabled(enabled), Changes: toChanges(changes)})
	return nil
}

// disable ends protection: POST /api/disable[?dryRun=true].
func (s *server) disable(w http.ResponseWriter, r call) error {
	var body vmsBody
	if err := decode(r.Request, &body); err != nil {
		return err
	}
	var vms []jit.ID
	for i, vm := range body.VirtualMachines {
		id, err := jit.ParseVM(vm.ID)
		if err != nil {
			return below(err, fmt.Sprintf("virtualMachines[%d].id", i))
		}
		vms = append(vms, id)
	}
	answer := disableAnswer{VirtualMachines: body.VirtualMachines, DryRun: r.query.Flag("dryRun")}
	if answer.DryRun {
		closing, changes, err := s.app.Access.PreviewDisable(r.Context(), r.who, vms)
		if err != nil {
			return err
		}
		answer.Closes, answer.Changes = toClosed(closing), toChanges(changes)
	} else if err := s.app.Access.Disable(r.Context(), r.who, vms); err != nil {
		return err
	}
	write(w, http.StatusOK, answer)
	return nil
}
