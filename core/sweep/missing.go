package sweep

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/plan"
	"portcullis/core/round"
	"portcullis/core/store"
)

// A window that was confirmed open when the sweep began and whose rule did not stand after that may have been ended, by a
// table that was newer than this one. Where the target does not show that nobody did, the sweep closes it (decision 035).

// missing says what is missing on a target, as listed, and marks the windows to close. Nothing is said of a target with a write
// under way, or one that failed: the next sweep looks again.
func (w *sweep) missing(ctx context.Context, out round.Outcome, unconfirmed bool) {
	if unconfirmed {
		return
	}
	for i, m := range out.Plan.Missing {
		at := slices.IndexFunc(w.grants, func(g store.GrantRecord) bool { return g.Grant.ID == m.Grant })
		if at < 0 || !w.began[m.Grant] || !w.grants[at].Grant.AnyOpen(w.now()) || slices.ContainsFunc(out.Plan.Missing[:i], func(o plan.Missing) bool { return o.Grant == m.Grant }) {
			continue // confirmed since the list was made, or told already
		}
		rec := w.grants[at]
		if w.dry {
			rec = w.latest(rec)
		}
		var here []jit.ID
		for _, p := range rec.Placements {
			here = append(here, slices.DeleteFunc(rec.Grant.Machines(), func(vm jit.ID) bool { return !p.Target.Equal(out.Target) || len(p.Addresses[vm.Key()]) == 0 })...)
		}
		e := round.Ending{Reason: jit.NotCertain, Machine: func(vm jit.ID) bool { return slices.ContainsFunc(here, vm.Equal) },
			Message: "the rule of this window is missing on " + out.Target.Name + ", and nothing there shows that nobody has ended it: whoever needs it asks again"}
		if m.Others {
			e.Reason, e.Message = jit.RemovedByOthers, "others have removed the rule of this window from "+out.Target.Name+": whoever needs it asks again"
		}
		for _, vm := range here {
			w.found(store.Finding{Kind: store.FindingEnded, Target: out.Target, VM: vm, Grant: m.Grant, Rule: m.Rule,
				Message: fmt.Sprintf("the window of %s for %s was closed (%s): %s", rec.Grant.Requestor, vm.Name, e.Reason, e.Message)})
		}
		closing := w.end(ctx, rec, e)
		w.mu.Lock()
		w.gone = append(w.gone, closing...)
		w.mu.Unlock()
	}
}

// latest returns a grant as a dry sweep has marked it last.
func (w *sweep) latest(rec store.GrantRecord) store.GrantRecord {
	for _, marked := range w.gone {
		if marked.Grant.ID == rec.Grant.ID {
			rec = marked
		}
	}
	return rec
}

// takeGone gives the grants that were marked because a rule was missing, each once.
func (w *sweep) takeGone(is func(store.GrantRecord) bool) []store.GrantRecord {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []store.GrantRecord
	for i, rec := range w.gone {
		later := slices.ContainsFunc(w.gone[i+1:], func(o store.GrantRecord) bool { return o.Grant.ID == rec.Grant.ID })
		if is(rec) && !later { // the later mark is the newer record
			out = append(out, rec)
		}
	}
	w.gone = slices.DeleteFunc(w.gone, is)
	slices.SortFunc(out, func(a, b store.GrantRecord) int { return strings.Compare(a.Grant.ID, b.Grant.ID) })
	return out
}

// unfollow ends what the sweep has followed.
func (w *sweep) unfollow() {
	for _, end := range w.after {
		end()
	}
}

// stands reports whether all rules of a grant stand at each target where its machines were, as listed: then nobody has ended it, and it may be
// followed to where they are now.
func (w *sweep) stands(ctx context.Context, rec store.GrantRecord) bool {
	seen := false
	for _, p := range rec.Placements {
		if len(p.Addresses) == 0 {
			continue
		}
		snap, listed := w.snaps[p.Target.Key()]
		if !listed || snap.Unconfirmed {
			return false
		}
		out, err := w.Rounds.Compute(ctx, snap)
		if err != nil {
			w.failed(err)
			return false
		}
		ours := func(r jit.Rule) bool { id, ok := label.GrantOf(r.Name); return ok && id == rec.Grant.ID }
		if slices.ContainsFunc(out.Plan.Missing, func(m plan.Missing) bool { return m.Grant == rec.Grant.ID }) || !slices.ContainsFunc(snap.Rules, ours) {
			return false
		}
		seen = true
	}
	return seen
}
