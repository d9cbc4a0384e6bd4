package show

import (
	"time"

	"portcullis/core/jit"
	"portcullis/handlers/portal/words"
)

// Last is a request that is over, and may be asked for again.
type Last struct {
	ID, Why string
	Ports   []string // such as "port 22 SSH of web for 45 min"
	Start   time.Time
}

// LastOf gives a request that is over; false for one whose lengths are not known, or that has nothing left that the caller may see.
func LastOf(g jit.Grant) (Last, bool) {
	r := Last{ID: g.ID, Why: g.Justification, Start: g.Start}
	for _, vm := range g.VMs {
		for _, w := range vm.Ports {
			if w.Length <= 0 {
				return r, false
			}
			r.Ports = append(r.Ports, words.Asked(vm.VM, w))
		}
	}
	return r, len(r.Ports) > 0
}
