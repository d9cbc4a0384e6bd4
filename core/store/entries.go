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
	if e.Reason == "" {
		e.Reason = string(g.BreakGlass)
	}
	return e
}

// OpenedEntries returns the entries for windows that have been confirmed open, one for each.
func OpenedEntries(who jit.Caller, before, after jit.Grant, now time.Time) []Entry {
	return windowEntries(who, OpOpen, after, now, func(vm, w int) bool {
		return after.VMs[vm].Ports[w].Status == jit.Initiated && before.VMs[vm].Ports[w].Status != jit.Initiated
	})
}

// StoodEntries returns the entries for windows whose rules are known to stand, or to have stood, and that were not confirmed open: one for
// each. They name who asked, and have the ids of [OpenedEntries], whoever comes first.
func StoodEntries(g jit.Grant, message string, now time.Time, stood func(jit.ID, jit.Window) bool) []Entry {
	out := windowEntries(jit.Caller{ID: g.RequestorID, Name: g.Requestor}, OpOpen, g, now, func(vm, w int) bool { return stood(g.VMs[vm].VM, g.VMs[vm].Ports[w]) })
	for i := range out {
		out[i].Message, out[i].Reason = message, ""
	}
	return out
}

// ClosedEntries returns the entries for closings, one for each machine and end. They name the app, whoever asked for the closing. Windows of
// one machine and end close together, and each closes once: whoever settles them again gives the same ids.
func ClosedEntries(before, after jit.Grant, now time.Time) []Entry {
	return windowEntries(jit.App(), OpClose, after, now, func(vm, w int) bool {
		return after.VMs[vm].Ports[w].Status == jit.Revoked && before.VMs[vm].Ports[w].Status != jit.Revoked
	})
}

// windowEntries returns entries for some windows of a grant: openings one for each window, since others may know of other windows of the machine,
// closings one for each machine, end and reason. Each happens once to a window: their ids do
// not change with the generation, which others may raise meanwhile, and the log knows them from their first day on.
func windowEntries(who jit.Caller, op Operation, g jit.Grant, now time.Time, is func(vm, w int) bool) []Entry {
	var out []Entry
	for i, vm := range g.VMs {
		var parts []jit.GrantVM
		for j, w := range vm.Ports {
			if !is(i, j) {
				continue
			}
			at := slices.IndexFunc(parts, func(p jit.GrantVM) bool {
				return op != OpOpen && p.Ports[0].End.Equal(w.End) && p.Ports[0].Reason == w.Reason
			})
			if at < 0 {
				at, parts = len(parts), append(parts, jit.GrantVM{VM: vm.VM})
			}
			parts[at].Ports = append(parts[at].Ports, w)
		}
		for _, part := range parts {
			e := grantEntry(who, op, Succeeded, g, part, now)
			e.ID = fmt.Sprintf("%s/0/%s/%s/%s/%v", g.ID, op, Succeeded, vm.VM.Key(), e.Ports) // 0: of entries of one time the first by id is listed as the last
			if e.Since = g.Begins(); op == OpClose {
				e.Since = dueSince(g, part.Ports[0])
			}
			if e.Time.Before(e.Since) {
				e.Time = e.Since // another instance's clock is ahead
			}
			out = append(out, e)
		}
	}
	return out
}

// dueSince returns since when a window that is closed had to close.
func dueSince(g jit.Grant, w jit.Window) time.Time {
	if w.Reason == jit.OpeningFailed && g.OpenBy.Before(w.End) {
		return g.OpenBy
	}
	return w.End
}
