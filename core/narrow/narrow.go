// Package narrow is what a change of policies ends: the windows that nobody could ask for any more, and those that are longer than anybody could
// have them (decision 039). It tells them; the verbs end them.
package narrow

import (
	"fmt"
	"slices"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// Ends is the windows that a change of policies ends, or ends earlier.
type Ends struct {
	// Grants are as they are then, each with only those windows: what ends now is to close or closed, anything else ends earlier.
	Grants []jit.Grant
	Hidden int                 // how many such windows more there are, at machines that the caller may not read; 0 before [Ends.Among]
	Marked []store.GrantRecord // the grants that have something to close, as they are stored
}

// At returns what concerns the machines of f.
func (n Ends) At(f func(vm jit.ID) bool) Ends {
	var out Ends
	for _, g := range n.Grants {
		if g.VMs = slices.DeleteFunc(slices.Clone(g.VMs), func(vm jit.GrantVM) bool { return !f(vm.VM) }); len(g.VMs) > 0 {
			out.Grants = append(out.Grants, g)
		}
	}
	return out
}

// Among leaves what may be shown, and counts the rest.
func (n Ends) Among(shown func(vm jit.ID) bool) Ends {
	out := n.At(shown)
	closed, shortened := n.Windows()
	here, earlier := out.Windows()
	out.Hidden = n.Hidden + closed + shortened - here - earlier
	return out
}

// Windows counts the windows that close, and those that end earlier.
func (n Ends) Windows() (closes, shortens int) {
	for _, g := range n.Grants {
		for _, vm := range g.VMs {
			for _, w := range vm.Ports {
				if w.Status == jit.Revoking || w.Status == jit.Revoked {
					closes++
				} else {
					shortens++
				}
			}
		}
	}
	return closes, shortens
}

// String says on one line what ends, such as "closes 2 windows"; "" for nothing.
func (n Ends) String() string {
	closes, shortens := n.Windows()
	var says []string
	for _, part := range []struct {
		verb  string
		count int
	}{{"closes", closes}, {"shortens", shortens}} {
		switch {
		case part.count == 1:
			says = append(says, part.verb+" 1 window")
		case part.count > 1:
			says = append(says, fmt.Sprintf("%s %d windows", part.verb, part.count))
		}
	}
	if n.Hidden > 0 {
		says = append(says, fmt.Sprintf("ends %d more, at machines that you may not read", n.Hidden))
	}
	return strings.Join(says, " and ")
}

// With joins what two changes end.
func (n Ends) With(o Ends) Ends {
	return Ends{Grants: slices.Concat(n.Grants, o.Grants), Hidden: n.Hidden + o.Hidden, Marked: slices.Concat(n.Marked, o.Marked)}
}

// Says says on one line what ends at a machine; "" for nothing.
func (n Ends) Says(vm jit.ID) string { return n.At(vm.Equal).String() }

// Differing returns the windows of after that are not as they are in before, for the machines among vms. Both are states of one grant.
func Differing(before, after jit.Grant, among func(vm jit.ID) bool) (jit.Grant, bool) {
	out := after
	out.VMs = nil
	for i, vm := range after.VMs {
		part := jit.GrantVM{VM: vm.VM}
		for j, w := range vm.Ports {
			if was := before.VMs[i].Ports[j]; among(vm.VM) && (w.Status != was.Status || !w.End.Equal(was.End)) {
				part.Ports = append(part.Ports, w)
			}
		}
		if len(part.Ports) > 0 {
			out.VMs = append(out.VMs, part)
		}
	}
	return out, len(out.VMs) > 0
}
