package access

import (
	"context"
	"fmt"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// refused logs a request that was refused, one entry for each machine named. What
// was wrong is said in the entries of the machine that it concerns: who may read about one
// machine of a request must not learn of another there.
func (s *Service) LogRefusedRequest(ctx context.Context, who jit.Caller, r jit.Request, err error) error {
	why := jit.Refused(err)
	id := s.NewID()
	var entries []store.Entry
	for i, vm := range r.VMs {
		e := store.Entry{ID: id + "/" + vm.VM.Key(), Time: s.now(), Operation: store.OpRequest, Result: store.Refused, VM: vm.VM, Requestor: who.Name,
			Justification: r.Justification, Reason: string(why.Code), Message: why.Message, Correlation: who.Correlation}
		if len(r.VMs) > 1 && !concerns(why.Target, i, vm.VM) {
			e.Message = "the request was refused as a whole for what concerns another of its machines"
		}
		for _, p := range vm.Ports {
			e.Ports = append(e.Ports, p.Number)
			e.Sources = append(e.Sources, p.Sources.Strings()...)
		}
		entries = append(entries, e)
	}
	return s.Activity.Append(ctx, entries...)
}

// concerns reports whether the target of a refusal is the i-th machine of a request.
func concerns(target string, i int, vm jit.ID) bool {
	return strings.HasPrefix(target, fmt.Sprintf("virtualMachines[%d]", i)) || strings.EqualFold(target, vm.String())
}
