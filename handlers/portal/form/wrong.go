package form

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"portcullis/core/jit"
	"portcullis/handlers/portal/words"
)

// Wrongs are messages by the field that they stand beside. The empty field is
// the form as a whole.
type Wrongs map[string]string

// Any reports whether something is wrong.
func (w Wrongs) Any() bool { return len(w) > 0 }

// Put adds the message of an error for a field, the first one of each.
func (w Wrongs) Put(field string, err error) {
	if refused, ok := errors.AsType[*jit.Error](err); ok && w[field] == "" {
		w[field] = words.Sentence(refused.Message)
	}
}

// MachineField names the i-th machine of a form.
func MachineField(i int) string { return fmt.Sprintf("vm-%d", i) }

// place is where in a body of many machines a refusal points: the index of a machine
// and of one of its ports, -1 for none, and the field below it.
type place struct {
	vm, port int
	field    string
}

var target = regexp.MustCompile(`^virtualMachines\[(\d+)\](?:\.ports\[(\d+)\])?(?:\.options)?(?:\.([A-Za-z0-9]+))?$`)

// locate reads the target of a refusal: a path into the body, or the id of one of the machines.
func locate(at string, vms []jit.ID) place {
	if m := target.FindStringSubmatch(at); m != nil {
		p := place{vm: index(m[1]), port: index(m[2]), field: m[3]}
		if p.vm < len(vms) {
			return p
		}
	}
	if id, err := jit.ParseVM(at); err == nil {
		if i := slices.IndexFunc(vms, id.Equal); i >= 0 {
			return place{vm: i, port: -1, field: "id"}
		}
	}
	return place{vm: -1, port: -1, field: at}
}

func index(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return -1
	}
	return n
}
