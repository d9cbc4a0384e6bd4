package side

import (
	"strings"

	"portcullis/core/jit"
)

// Hindered is what is wrong with the protection of machines, by their keys; nothing of a machine of which nothing is.
type Hindered map[string][]Hindrance

// Why returns the first reason why a machine cannot be protected, nil for none.
func (h Hindered) Why(vm jit.ID) error {
	for _, one := range h[vm.Key()] {
		return one.Err
	}
	return nil
}

// Says says on one line all that is wrong with the protection of a machine; "" for nothing.
func (h Hindered) Says(vm jit.ID) string {
	var says []string
	for _, one := range h[vm.Key()] {
		says = append(says, one.Err.Message)
	}
	return strings.Join(says, "; ")
}

// Bars is Why for who protects what can be protected: only of a deny that would not stand at all.
func (h Hindered) Bars(vm jit.ID) error {
	for _, one := range h[vm.Key()] {
		if one.Kind == Unplaced {
			return one.Err
		}
	}
	return nil
}
