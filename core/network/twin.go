package network

import (
	"fmt"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// CodeSharedAddress: another machine has the same address behind the same security group (decision 030).
const CodeSharedAddress jit.Code = "SharedAddress"

// Apart refuses a machine that no rule of a security group can tell from another: to open its port would open the other's too, of which
// nobody was asked. The other is not named, since the caller may not be one who may know of it. at is the refusal's target.
func Apart(m Machine, at string) error {
	if len(m.Twins) == 0 {
		return nil
	}
	t := m.Twins[0]
	return &jit.Error{Code: CodeSharedAddress, Target: at,
		Message: fmt.Sprintf("another machine, in another network, has the address %s of %s behind %s too: a rule would open both. Give each network a security group of its own, and ask again", t.Address, m.VM.Name, t.Target.Name)}
}

// Shared returns the findings for the machines that no rule can tell from m.
func Shared(m Machine) []store.Finding {
	var out []store.Finding
	for _, t := range m.Twins {
		out = append(out, store.Finding{Kind: store.FindingShared, Target: t.Target, VM: m.VM,
			Message: fmt.Sprintf("%s and %s (%s) both have the address %s behind %s, in different networks: what closes or opens one does so to the other, and requests are refused. Give each network a security group of its own", m.VM.Name, t.VM.Name, t.VM, t.Address, t.Target.Name)})
	}
	return out
}
