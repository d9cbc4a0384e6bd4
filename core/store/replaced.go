package store

import (
	"cmp"
	"slices"
	"time"

	"portcullis/core/jit"
	"portcullis/core/roster"
)

// Replaced is a window whose place a newer request of the same requestor, for the same port and sources, takes.
type Replaced struct {
	Grant string // the id of the older grant
	VM    jit.ID // a machine of both
	Port  uint16
	End   time.Time // until when it would have lasted
}

// Replaced returns the windows whose place the grant takes, or took: not those where its own could not be opened.
func (g GrantRecord) Replaced() []Replaced {
	return slices.DeleteFunc(slices.Clone(g.Replaces), func(r Replaced) bool {
		return !slices.ContainsFunc(g.Grant.VMs, func(vm jit.GrantVM) bool {
			return vm.VM.Equal(r.VM) && slices.ContainsFunc(vm.Ports, func(w jit.Window) bool { return w.Number == r.Port && w.Reason != jit.OpeningFailed })
		})
	})
}

// ReplacedBy returns the windows among the openings of states that a grant takes the place of although they end later, by machine, port and end. A window
// that ends no later than the new one loses nothing by it.
func ReplacedBy(g jit.Grant, states map[string]roster.State, now time.Time) []Replaced {
	var out []Replaced
	for _, s := range states {
		for _, o := range s.Openings {
			after, found := o.Grant.Superseded(g, now)
			if !found {
				continue
			}
			for i, vm := range o.Grant.VMs {
				for j, w := range vm.Ports {
					r := Replaced{Grant: o.Grant.ID, VM: vm.VM, Port: w.Number, End: w.End}
					if o.Grant.Live(w, now) && !after.Live(after.VMs[i].Ports[j], now) && w.End.After(endOf(g, vm.VM, w.Number)) && !slices.Contains(out, r) {
						out = append(out, r) // a machine behind two targets has it at both
					}
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b Replaced) int {
		return cmp.Or(cmp.Compare(a.VM.Key(), b.VM.Key()), cmp.Compare(a.Port, b.Port), a.End.Compare(b.End), cmp.Compare(a.Grant, b.Grant))
	})
	return out
}

// endOf gives the end of a grant's window at a port of a machine, the zero time where it has none.
func endOf(g jit.Grant, vm jit.ID, number uint16) time.Time {
	for _, v := range g.VMs {
		for _, w := range v.Ports {
			if v.VM.Equal(vm) && w.Number == number {
				return w.End
			}
		}
	}
	return time.Time{}
}
