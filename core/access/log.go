package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"portcullis/core/jit"
)

// refusal gives the refusal in an error, or nil.
func refusal(err error) *jit.Error {
	refused, ok := errors.AsType[*jit.Error](err)
	if !ok {
		return nil
	}
	return refused
}

// publicly tells an error as far as the activity log may know it: a refusal in
// full, of anything else which dependency it was.
func publicly(err error) string {
	if refused := refusal(err); refused != nil {
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

// grantEntries gives one entry for each machine of a grant.
func grantEntries(who Caller, op Operation, result Result, g jit.Grant, now time.Time) []Entry {
	var out []Entry
	for _, vm := range g.VMs {
		out = append(out, grantEntry(who, op, result, g, vm, now))
	}
	return out
}

func grantEntry(who Caller, op Operation, result Result, g jit.Grant, vm jit.GrantVM, now time.Time) Entry {
	e := Entry{
		ID:   fmt.Sprintf("%s/%d/%s/%s/%s", g.ID, g.Generation, op, result, vm.VM.Key()),
		Time: now, Operation: op, Result: result, VM: vm.VM, Requestor: who.Name, Grant: g.ID,
		Justification: g.Justification, Correlation: who.Correlation,
	}
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

// changedEntries gives one entry for each machine with windows whose status became to.
func changedEntries(who Caller, op Operation, before, after jit.Grant, to jit.Status, now time.Time) []Entry {
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
		e.ID += fmt.Sprint("/", e.Ports) // several windows of a machine may change at different times
		out = append(out, e)
	}
	return out
}

func newlyOpen(who Caller, before, after jit.Grant, now time.Time) []Entry {
	return changedEntries(who, OpOpen, before, after, jit.Initiated, now)
}

// newlyClosed tells of closings. Whoever asked for it, it is the app that closes.
func newlyClosed(before, after jit.Grant, now time.Time) []Entry {
	return changedEntries(self(), OpClose, before, after, jit.Revoked, now)
}

// refused logs a request that was refused, one entry for each machine named. What
// was wrong is said in the entries of the machine that it concerns: who may read about one
// machine of a request must not learn of another there.
func (s *Service) refused(ctx context.Context, who Caller, r jit.Request, err error) error {
	why := refusal(err)
	id := s.NewID()
	var entries []Entry
	for i, vm := range r.VMs {
		e := Entry{ID: id + "/" + vm.VM.Key(), Time: s.now(), Operation: OpRequest, Result: Refused, VM: vm.VM, Requestor: who.Name,
			Justification: r.Justification, Reason: string(why.Code), Message: why.Message, Correlation: who.Correlation}
		if len(r.VMs) > 1 && !concerns(why.Target, i, vm.VM) {
			e.Message = "the request was refused as a whole for what concerns another of its machines"
		}
		for _, p := range vm.Ports {
			e.Ports = append(e.Ports, p.Number)
			e.Sources = append(e.Sources, p.Sources.Strings()...)
		}
		entries = append(entries, e)
	}
	return s.Activity.Append(ctx, entries...)
}

// concerns reports whether the target of a refusal is the i-th machine of a request.
func concerns(target string, i int, vm jit.ID) bool {
	return strings.HasPrefix(target, fmt.Sprintf("virtualMachines[%d]", i)) || strings.EqualFold(target, vm.String())
}
