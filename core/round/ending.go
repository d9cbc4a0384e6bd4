package round

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"portcullis/core/jit"
	"portcullis/core/roster"
	"portcullis/core/store"
)

// Ending is why windows end by themselves: neither their owner nor their policy nor the clock ends them. A window that is ended stays
// ended: it is marked to close in the table before its rule goes, and what is marked is never opened again.
type Ending struct {
	Reason  jit.Reason
	Machine func(jit.ID) bool // whose windows end; nil for those of every machine
	Message string            // for people, with the line that the log gets beside the closing's; "" for no such line
}

// Of returns the record with the live windows that the ending is about marked to close, and whether there are any. It writes nothing.
func (e Ending) Of(rec store.GrantRecord, now time.Time) (store.GrantRecord, bool) {
	found := false
	for _, vm := range rec.Grant.VMs {
		if (e.Machine == nil || e.Machine(vm.VM)) && rec.Grant.LiveAt(vm.VM, now) {
			rec.Grant, found = rec.Grant.RevokeVM(vm.VM, now, e.Reason), true
		}
	}
	if found && e.Message != "" {
		rec = rec.Intend(jit.App(), store.OpRevoke, store.Succeeded, e.Message, now)
	}
	return rec, found
}

// End stores that windows of a grant end by themselves, whatever others have stored of it meanwhile, and returns the grant as it is then.
// It does not wait for their rules to go: [Rounds.CloseAll] of what it returns does, where it is overdue. Windows that are over or marked
// already keep their reason.
func (s *Rounds) End(ctx context.Context, rec store.GrantRecord, e Ending) (store.GrantRecord, error) {
	rec, err := store.ChangeGrant(ctx, s.Grants, rec, func(g store.GrantRecord) (store.GrantRecord, bool, error) {
		next, found := e.Of(g, s.now())
		return next, found, nil
	})
	if err != nil {
		return rec, fmt.Errorf("end what grant %s has open (%s): %w", rec.Grant.ID, e.Reason, err)
	}
	return rec, nil
}

// Ended is what a round has ended by itself on its target.
type Ended struct {
	Grant jit.Grant // the part of it on the target, as it was
	Ending
}

// Ends returns what has to end by itself before a target is written, given what its plan leaves out. Windows whose rules lose their place
// end: they are reported open, and their rules would not stand. An opening that is not confirmed yet ends with its rule too, unless its caller
// waits for it, and is told.
func Ends(out Outcome, waits func(grant string) bool) []Ended {
	var list []Ended
	for _, r := range out.Plan.Refused {
		i := slices.IndexFunc(out.State.Openings, func(o roster.Opening) bool { return r.Grant != "" && o.Grant.ID == r.Grant })
		if i < 0 || slices.ContainsFunc(list, func(e Ended) bool { return e.Grant.ID == r.Grant }) {
			continue
		}
		g := out.State.Openings[i].Grant
		stands := slices.ContainsFunc(out.Current, func(r jit.Rule) bool { return ofGrantID(r, g.ID) })
		if g.AnyOpen(out.At) || stands && g.AnyLive(out.At) && !waits(g.ID) {
			list = append(list, Ended{g, Ending{Reason: jit.RuleDisplaced, Message: out.Target.Name + ": " + r.Err.Message}})
		}
	}
	return list
}

// endAll ends windows of grants by themselves, and closes them beside the work on the target. It reports whether some have ended, after which
// what should stand is another. Nothing ends because of what is only remembered: then the rules are to be read first.
func (w *work) endAll(ctx context.Context, out Outcome) (bool, error) {
	waits := func(grant string) bool { return w.some(w.queue, func(a *ask) bool { return a.Grant == grant }) }
	list := slices.DeleteFunc(Ends(out, waits), func(e Ended) bool { return w.ended[e.Grant.ID] })
	if len(list) == 0 {
		return false, nil
	}
	if w.asOf < 0 {
		w.fresh = true
		return false, nil
	}
	if w.ended == nil {
		w.ended = map[string]bool{}
	}
	var mine []*closing
	for _, e := range list {
		here := e.Grant.Machines()
		e.Machine = func(vm jit.ID) bool { return slices.ContainsFunc(here, vm.Equal) }
		rec, err := w.Grants.Grant(ctx, e.Grant.ID)
		if errors.Is(err, store.ErrNotFound) {
			w.ended[e.Grant.ID] = true
			continue
		}
		if err == nil {
			rec, err = w.End(ctx, rec, e.Ending)
		}
		if err != nil {
			return false, err
		}
		w.ended[e.Grant.ID] = true // once: what is stored of the target may lag behind the grant
		w.tellEnded(e)
		if rec.Grant.Overdue(w.now()) {
			mine = append(mine, w.closings.hold(rec)...)
		}
	}
	w.begin(ctx, mine)
	return true, nil
}

// tellEnded adds what has ended to the outcomes of all asks.
func (w *work) tellEnded(e Ended) {
	w.queues.mu.Lock()
	defer w.queues.mu.Unlock()
	for _, a := range w.queue.asks {
		a.out.Ended = append(a.out.Ended, e)
	}
}
