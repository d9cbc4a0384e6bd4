package store

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"portcullis/core/jit"
)

// Publicly describes an error for the activity log without internal detail: a refusal in full; for anything else
// only its kind or the dependency.
func Publicly(err error) string {
	if refused := jit.Refused(err); refused != nil {
		return string(refused.Code) + ": " + refused.Message
	}
	if down, ok := errors.AsType[*Unavailable](err); ok {
		return down.Dependency + " is unavailable"
	}
	switch {
	case errors.Is(err, ErrConflict):
		return "changed by somebody else"
	case errors.Is(err, ErrLocked):
		return "a management lock forbids the write"
	case errors.Is(err, ErrForbidden):
		return "the app lacks a permission"
	}
	return "internal error"
}

// GrantEntries returns one entry for each machine of a grant.
func GrantEntries(who jit.Caller, op Operation, result Result, g jit.Grant, now time.Time) []Entry {
	var out []Entry
	for _, vm := range g.VMs {
		out = append(out, grantEntry(who, op, result, g, vm, now))
	}
	return out
}

func grantEntry(who jit.Caller, op Operation, result Result, g jit.Grant, vm jit.GrantVM, now time.Time) Entry {
	e := EntryBy(who, op).Asked(g.ID, g.Justification)
	e.ID = fmt.Sprintf("%s/%d/%s/%s/%s", g.ID, g.Generation, op, result, vm.VM.Key())
	e.Time, e.Result, e.VM = now, result, vm.VM
	seen := map[string]bool{}
	for _, w := range vm.Ports {
		e.Ports = append(e.Ports, w.Number)
		for _, p := range w.Sources.Strings() {
			if !seen[p] {
				seen[p] = true
				e.Sources = append(e.Sources, p)
			}
		}
		if w.End.After(e.End) {
			e.End = w.End
		}
		if e.Reason == "" {
			e.Reason = string(w.Reason)
		}
	}
	return e
}

// OpenedEntries returns one entry for each machine with windows that have opened.
func OpenedEntries(who jit.Caller, before, after jit.Grant, now time.Time) []Entry {
	var out []Entry
	for i, vm := range after.VMs {
		part := jit.GrantVM{VM: vm.VM}
		for j, w := range vm.Ports {
			if w.Status == jit.Initiated && before.VMs[i].Ports[j].Status != jit.Initiated {
				part.Ports = append(part.Ports, w)
			}
		}
		if len(part.Ports) == 0 {
			continue
		}
		e := grantEntry(who, OpOpen, Succeeded, after, part, now)
		e.ID += fmt.Sprint("/", e.Ports) // windows of one machine may change at different times
		out = append(out, e)
	}
	return out
}

// ClosedEntries returns the entries for closings, one for each machine and end. They name the app, whoever asked for the closing. Windows of
// one machine and end close together, and each closes once: whoever settles them again gives the same ids.
func ClosedEntries(before, after jit.Grant, now time.Time) []Entry {
	var out []Entry
	for i, vm := range after.VMs {
		var parts []jit.GrantVM
		for j, w := range vm.Ports {
			if w.Status != jit.Revoked || before.VMs[i].Ports[j].Status == jit.Revoked {
				continue
			}
			at := slices.IndexFunc(parts, func(p jit.GrantVM) bool { return p.Ports[0].End.Equal(w.End) && p.Ports[0].Reason == w.Reason })
			if at < 0 {
				at, parts = len(parts), append(parts, jit.GrantVM{VM: vm.VM})
			}
			parts[at].Ports = append(parts[at].Ports, w)
		}
		for _, part := range parts {
			e := grantEntry(jit.App(), OpClose, Succeeded, after, part, now)
			e.ID = fmt.Sprintf("%s/%s/%s/%s/%v", after.ID, OpClose, Succeeded, vm.VM.Key(), e.Ports) // no generation: others may raise it meanwhile
			out = append(out, e)
		}
	}
	return out
}
