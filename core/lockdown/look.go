package lockdown

import (
	"context"
	"slices"

	"portcullis/core/area"
	"portcullis/core/jit"
	"portcullis/core/narrow"
	"portcullis/core/store"
)

// Preview is what a lock-down would close.
type Preview struct {
	Order
	Found   int         // grants with something open in its scope
	Targets int         // targets that would be written, once each
	Ends    narrow.Ends // the windows, as far as the caller may read their machines
}

// Preview tells what [Service.Begin] and [Service.Complete] would do, for the same callers. It reads what is stored and no rules, so that it is as
// quick for everything as for a machine. Nothing is written, a refusal included.
func (s *Service) Preview(ctx context.Context, who jit.Caller, o Order) (Preview, error) {
	o, err := s.allowed(ctx, who, o)
	if err != nil {
		return Preview{}, err
	}
	open, _, err := s.open(ctx, o.Scope)
	if err != nil {
		return Preview{}, err
	}
	out := Preview{Order: o, Found: len(open)}
	var targets []jit.ID
	now := s.now()
	for _, rec := range open {
		next, _ := o.Scope.LockDown(rec.Grant, now)
		ends, _ := narrow.Differing(rec.Grant, next, func(jit.ID) bool { return true })
		out.Ends.Grants = append(out.Ends.Grants, ends)
		for _, p := range rec.Placements {
			if slices.ContainsFunc(ends.Machines(), func(vm jit.ID) bool { return len(p.Addresses[vm.Key()]) > 0 }) {
				targets = append(targets, p.Target)
			}
		}
	}
	out.Targets = len(store.Distinct(targets))
	out.Ends = out.Ends.Among(s.readable(ctx, who))
	return out, nil
}

// readable reports whether the caller may read a machine.
func (s *Service) readable(ctx context.Context, who jit.Caller) func(vm jit.ID) bool {
	return func(vm jit.ID) bool {
		ok, _ := s.Permit.Reads(ctx, who, vm.String())
		return ok
	}
}

// Progress is how far a lock-down is, from what is stored: it is the same on every instance and after a crash. A grant counts where none of its
// windows in the scope is left behind.
type Progress struct {
	store.Lockdown
	Held     bool // the hold that it names stands
	Marked   int  // of what it found: nothing of it is opened or put back any more
	Closed   int  // of these: confirmed by every target
	Failed   []Failure
	Hidden   int // how many more have failed, at machines that the caller may not read
	Untraced int // how many more it found than it names, of which nothing is known here
}

// Done reports whether all that was found is confirmed closed, as far as that is known.
func (p Progress) Done() bool { return p.Closed == p.Found-p.Untraced }

// Failure is a grant that several tries have not closed. The next sweep tries again.
type Failure struct {
	Grant  string
	Reason string // as the activity log has it
}

// Progress returns how far a lock-down that the caller has begun is.
func (s *Service) Progress(ctx context.Context, who jit.Caller, run Run) (Progress, error) {
	set, err := s.Asker.Look(ctx)
	if err != nil {
		return Progress{}, err
	}
	return s.progress(ctx, who, set, run.Lockdown)
}

// Find returns how far a lock-down is, for those who may give its order. Nobody else learns of it: [CodeNotFound].
func (s *Service) Find(ctx context.Context, who jit.Caller, id string) (Progress, error) {
	set, list, err := s.Holds.Lockdowns(ctx)
	if err != nil {
		return Progress{}, err
	}
	missing := &jit.Error{Code: CodeNotFound, Target: "id", Message: "there is no lock-down with this id"}
	i := slices.IndexFunc(list, func(l store.Lockdown) bool { return l.ID == id })
	if i < 0 {
		return Progress{}, missing
	}
	if err := s.may(ctx, who, list[i].Scope); jit.Refused(err) != nil {
		return Progress{}, missing
	} else if err != nil {
		return Progress{}, err
	}
	return s.progress(ctx, who, set, list[i])
}

func (s *Service) progress(ctx context.Context, who jit.Caller, set store.HoldSet, l store.Lockdown) (Progress, error) {
	p := Progress{Lockdown: l, Held: l.Hold != "" && slices.ContainsFunc(set.Holds, func(h store.Hold) bool { return h.ID == l.Hold }), Untraced: l.Found - len(l.Grants)}
	all, err := s.Grants.OpenGrants(ctx)
	if err != nil {
		return p, err
	}
	open := map[string]store.GrantRecord{}
	for _, rec := range all {
		open[rec.Grant.ID] = rec
	}
	reads := s.readable(ctx, who)
	for _, id := range l.Grants {
		rec, stands := open[id]
		marked, closed := left(rec.Grant, l.Scope)
		switch {
		case !stands || closed:
			p.Marked, p.Closed = p.Marked+1, p.Closed+1
			continue
		case marked:
			p.Marked++
		}
		if rec.Attempts == 0 || rec.LastError == "" {
			continue
		}
		if slices.ContainsFunc(rec.Grant.Machines(), func(vm jit.ID) bool { return !reads(vm) }) {
			p.Hidden++
			continue
		}
		p.Failed = append(p.Failed, Failure{id, rec.LastError})
	}
	return p, nil
}

// left reports whether every window of a grant in the scope is at least marked to close, and whether every one is confirmed closed.
func left(g jit.Grant, scope area.Scope) (marked, closed bool) {
	marked, closed = true, true
	for _, vm := range g.VMs {
		for _, w := range vm.Ports {
			if scope.Covers(g.RequestorID, vm.VM) {
				marked = marked && (w.Status == jit.Revoking || w.Status == jit.Revoked)
				closed = closed && w.Status == jit.Revoked
			}
		}
	}
	return marked, closed
}
