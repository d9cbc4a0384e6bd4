package form

import (
	"fmt"

	"portcullis/core/jit"
)

// Again returns the form filled in with what was asked for before: its machines, ports, lengths and justification, from where the caller is now, as of
// [NewRequest]. What the policies do not allow any more is marked.
func Again(mine string, asked jit.Request, policies map[string]jit.Policy) Request {
	v := NewRequest(mine, asked.Machines(), policies)
	v.Why = asked.Justification
	for i := range v.VMs {
		lasts := map[uint16]string{}
		for _, p := range asked.VMs[i].Ports {
			lasts[p.Number] = jit.Length(p.Duration)
		}
		for j := range v.VMs[i].Ports {
			p := &v.VMs[i].Ports[j]
			length, was := lasts[p.Number]
			if p.On = was; was {
				v.last(p, length)
			}
			delete(lasts, p.Number)
		}
		for _, p := range asked.VMs[i].Ports {
			if _, gone := lasts[p.Number]; gone {
				v.Wrong.Put(MachineField(i), &jit.Error{Message: fmt.Sprintf("port %d is in no policy of %s any more", p.Number, v.VMs[i].Name)})
			}
		}
	}
	return v
}
