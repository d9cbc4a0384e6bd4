package round

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"portcullis/core/jit"
	"portcullis/core/parallel"
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

// endWait bounds how long the closings on a target wait for windows that end by themselves to be stored so, far above the milliseconds it takes.
const endWait = 10 * time.Second

// endAll ends windows of grants by themselves, and closes them beside the work on the target. It reports whether some have ended, after which
// what should stand is another, and the error of those that have not. Nothing ends because of what is only remembered: then the rules are to be read first.
func (w *work) endAll(ctx context.Context, out Outcome) (bool, error) {
	waits := func(grant string) bool { return w.some(w.queue, func(a *ask) bool { return a.Grant == grant }) }
	list := slices.DeleteFunc(Ends(out, waits), func(e Ended) bool { return w.ended[e.Grant.ID] })
	if len(list) == 0 || w.unended != nil {
		return false, w.unended
	}
	if w.asOf < 0 {
		w.fresh = true
		return false, nil
	}
	if w.ended == nil {
		w.ended = map[string]bool{}
	}
	bounded, cancel := context.WithTimeout(ctx, endWait)
	defer cancel()
	recs := make([]*store.GrantRecord, len(list))
	w.unended = parallel.Each(list, func(i int, e Ended) error {
		here := e.Grant.Machines()
		e.Machine = func(vm jit.ID) bool { return slices.ContainsFunc(here, vm.Equal) }
		rec, err := w.Grants.Grant(bounded, e.Grant.ID)
		if err == nil {
			rec, err = w.End(bounded, rec, e.Ending)
		}
		if errors.Is(err, store.ErrNotFound) {
			rec, err = store.GrantRecord{}, nil
		}
		if err == nil {
			recs[i] = &rec
		}
		return err
	})
	var mine []*closing
	for i, rec := range recs {
		if rec == nil {
			continue
		}
		w.ended[list[i].Grant.ID] = true // once: what is stored of the target may lag behind the grant
		if rec.Grant.ID == "" {
			continue
		}
		w.tellEnded(list[i])
		if rec.Grant.Overdue(w.now()) {
			mine = append(mine, w.closings.hold(*rec)...)
		}
	}
	w.begin(ctx, mine)
	return slices.ContainsFunc(recs, func(rec *store.GrantRecord) bool { return rec != nil }), w.unended
}

// rest returns what is to be written: where windows could not be ended, what closes others, and where nothing does, the error for whoever
// waits for more. Who waits for what stands has been answered.
func (w *work) rest(out Outcome, unended error) (Outcome, error) {
	if unended == nil {
		return out, nil
	}
	var due []string
	for _, o := range out.State.Openings {
		if _, is := o.Grant.DueSince(out.At); is {
			due = append(due, o.Grant.ID)
		}
	}
	out.Plan.Changes = out.Plan.Closing(out.Current, due)
	if !out.complete(w.snap.Standing) {
		return out, nil
	}
	w.unended = nil
	return out, unended
}

// tellEnded adds what has ended to the outcomes of all asks.
func (w *work) tellEnded(e Ended) {
	w.queues.mu.Lock()
	defer w.queues.mu.Unlock()
	for _, a := range w.queue.asks {
		a.out.Ended = append(a.out.Ended, e)
	}
}
