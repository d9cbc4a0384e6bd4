package store

import (
	"errors"
	"fmt"
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

// changedEntries returns one entry for each machine with windows whose status changed to the given one.
func changedEntries(who jit.Caller, op Operation, before, after jit.Grant, to jit.Status, now time.Time) []Entry {
	var out []Entry
	for i, vm := range after.VMs {
		part := jit.GrantVM{VM: vm.VM}
		for j, w := range vm.Ports {
			if w.Status == to && before.VMs[i].Ports[j].Status != to {
				part.Ports = append(part.Ports, w)
			}
		}
		if len(part.Ports) == 0 {
			continue
		}
		e := grantEntry(who, op, Succeeded, after, part, now)
		e.ID += fmt.Sprint("/", e.Ports) // windows of one machine may change at different times
		out = append(out, e)
	}
	return out
}

func OpenedEntries(who jit.Caller, before, after jit.Grant, now time.Time) []Entry {
	return changedEntries(who, OpOpen, before, after, jit.Initiated, now)
}

// ClosedEntries returns the entries for closings. They name the app, whoever asked for the closing.
func ClosedEntries(before, after jit.Grant, now time.Time) []Entry {
	return changedEntries(jit.App(), OpClose, before, after, jit.Revoked, now)
}
