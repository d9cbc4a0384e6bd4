package handlers

import (
	"fmt"
	"net/http"

	"portcullis/core/jit"
	"portcullis/core/narrow"
	"portcullis/core/preview"
	"portcullis/core/protect"
	"portcullis/core/store"
	"portcullis/handlers/compat"
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
	seen, err := seenOf(r.Header, policies)
	if err != nil {
		return err
	}
	enabled, changes, err := s.app.Access.EnableIf(r.Context(), r.who, policies, seen, dryRun)
	if err != nil {
		return err
	}
	if len(enabled) == 1 && !dryRun {
		w.Header().Set("ETag", store.PolicyETag(enabled[0].Policy))
	}
	var narrowed narrow.Ends
	for _, e := range enabled {
		narrowed = narrowed.With(e.Narrowed)
	}
	wire.Write(w, http.StatusOK, wire.EnableAnswer{DryRun: dryRun, VirtualMachines: wire.ToEnabled(enabled), Changes: wire.ToChanges(changes), Windows: wire.ToEnded(narrowed)})
	return nil
}

// seenOf reads what the caller has seen of the policy that an edit replaces: If-Match with its entity tag, or If-None-Match: * of a machine without one.
func seenOf(h http.Header, policies []jit.Policy) (protect.Seen, error) {
	match, none := compat.ETags(h, "If-Match"), compat.ETags(h, "If-None-Match")
	refuse := func(header, message string) error {
		return &jit.Error{Code: wire.CodeInvalidContent, Target: header, Message: message}
	}
	switch {
	case match == nil && none == nil:
		return nil, nil
	case len(policies) != 1:
		return nil, refuse("If-Match", "If-Match and If-None-Match are about one policy; name one virtual machine in each call")
	case match != nil && none != nil:
		return nil, refuse("If-None-Match", "send either If-Match or If-None-Match")
	case none != nil && (len(none) != 1 || none[0] != "*"):
		return nil, refuse("If-None-Match", "If-None-Match takes * alone: the virtual machine must have no policy")
	case none != nil:
		match = []string{store.NoPolicy}
	}
	return protect.Seen{policies[0].VM.Key(): match}, nil
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
	var narrowed narrow.Ends
	var err error
	if answer.DryRun {
		var changes []preview.Change
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
