package decide

import (
	"fmt"

	"portcullis/core/jit"
)

// Again returns the request that asks once more for what a grant was asked for: the same ports of the same machines for the lengths that
// were granted at first, whatever became of the windows, with the same justification, from the given sources. Policies are not looked at:
// [Request] decides it like any other. It refuses with [jit.CodeLengthUnknown] a grant from before lengths were stored: the end of a window
// that was closed or extended does not tell them.
func Again(g jit.Grant, from jit.Sources) (jit.Request, error) {
	r := jit.Request{RequestorID: g.RequestorID, Requestor: g.Requestor, Justification: g.Justification}
	for i, vm := range g.VMs {
		asked := jit.RequestVM{VM: vm.VM}
		for j, w := range vm.Ports {
			if w.Length <= 0 {
				return jit.Request{}, refuse(jit.CodeLengthUnknown, fmt.Sprintf("virtualMachines[%d].ports[%d]", i, j), "for how long port %d of %s was asked for is not stored with this request; send a new one", w.Number, vm.VM.Name)
			}
			asked.Ports = append(asked.Ports, jit.RequestPort{Number: w.Number, Duration: w.Length, Sources: from})
		}
		r.VMs = append(r.VMs, asked)
	}
	return r, nil
}
