package sweep

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/core/gather"
	"portcullis/core/jit"
	"portcullis/core/parallel"
	"portcullis/core/round"
	"portcullis/core/store"
)

// sweepBudget is the time after which a sweep leaves the rest to the next one, below what a Functions host allows
// an invocation. sweepChunk is the number of targets between two writes of its progress, and of those whose stored state is read together: one page
// of the table holds it where a target has a machine or two.
const (
	sweepBudget = 4 * time.Minute
	sweepChunk  = 400
)

// repair reconciles the targets whose listed rules differ from what they should be. Only those cost a read and a
// write of their own. The targets are in the order in which the store has them, so that what is stored of those that are looked at together is read together.
func (w *sweep) repair(ctx context.Context, targets []jit.ID) {
	w.inOrder(targets)
	from := 0
	if w.rec.Next != "" {
		next := w.Targets.Order(w.rec.Next)
		from = max(0, slices.IndexFunc(targets, func(t jit.ID) bool { return w.Targets.Order(t.Key()) >= next }))
	}
	targets = slices.Concat(targets[from:], targets[:from]) // first those that the last sweep did not reach
	for chunk := range slices.Chunk(targets, sweepChunk) {
		w.rec.Next = chunk[0].Key()
		if w.now().Sub(w.rec.Started) > sweepBudget {
			w.failed(&store.Unavailable{Dependency: "Azure Resource Manager", Err: fmt.Errorf("the sweep ran out of its time and goes on from %s next", chunk[0].Name)})
			return
		}
		if len(targets) > sweepChunk {
			w.mu.Lock()
			rec := w.rec
			w.mu.Unlock()
			w.failed(w.Sweeps.PutSweep(ctx, rec))
		}
		w.repairEach(ctx, chunk)
	}
	w.rec.Next = ""
}

// inOrder sorts targets as the store has them.
func (w *sweep) inOrder(targets []jit.ID) {
	order := make(map[string]string, len(targets))
	for _, t := range targets {
		order[t.Key()] = w.Targets.Order(t.Key())
	}
	slices.SortFunc(targets, func(a, b jit.ID) int { return strings.Compare(order[a.Key()], order[b.Key()]) })
}

// targets returns every target that is ours, remembered or holds rules of ours, sorted.
func (w *sweep) targets(ctx context.Context) []jit.ID {
	targets, err := w.Targets.Known(ctx)
	if err != nil {
		w.failed(fmt.Errorf("read the known targets: %w", err))
	}
	for _, t := range targets {
		w.known[t.Key()] = true
	}
	for _, snap := range w.snaps {
		if round.HoldsOurs(snap.Rules) {
			targets = append(targets, snap.Target)
		}
	}
	return store.Distinct(targets)
}

// repairEach repairs targets concurrently.
func (w *sweep) repairEach(ctx context.Context, targets []jit.ID) {
	outs := make([]round.Outcome, len(targets))
	wrote := make([]bool, len(targets))
	errs := make([]error, len(targets))
	ctx = gather.Many(ctx, len(targets))
	_ = parallel.AtOnce(targets, func(i int, t jit.ID) error {
		outs[i], wrote[i], errs[i] = w.look(ctx, t)
		return nil
	})
	for i, out := range outs {
		if errs[i] != nil {
			w.failed(errs[i])
			w.found(store.Finding{Kind: store.FindingBroken, Target: targets[i], Message: targets[i].Name + " could not be brought in order: " + store.Publicly(errs[i])})
			continue
		}
		if wrote[i] {
			w.mu.Lock()
			w.rec.Changed++
			w.mu.Unlock()
		}
		w.report(out)
	}
}

// look computes one target from the list and reconciles it if it differs.
func (w *sweep) look(ctx context.Context, t jit.ID) (round.Outcome, bool, error) {
	snap, listed := w.snaps[t.Key()]
	if !listed {
		if w.listed[strings.ToLower(t.Subscription)] && !w.unlisted[strings.ToLower(t.Subscription+"/"+t.Type)] {
			out := round.Outcome{Target: t, Gone: true}
			return out, false, w.Rounds.Forget(ctx, out)
		}
		return round.Outcome{Target: t}, false, nil // its subscription could not be listed, which has been reported
	}
	out, err := w.Rounds.Compute(ctx, snap)
	if err != nil {
		return out, false, err
	}
	// The list may be older than what is stored, as where a round has just given a window its place back: what is missing is looked for again.
	if !out.Plan.Changes.Empty() || snap.Unconfirmed || out.Unnoted() || len(out.Plan.Missing) > 0 {
		if out, err = w.Rounds.Reconcile(ctx, t, round.Want{Sweep: true}); err != nil {
			return out, false, err
		}
	}
	w.missing(ctx, out, snap.Unconfirmed)
	out.Remembered = out.Remembered || w.known[t.Key()]
	return out, !out.Written.Empty(), w.Rounds.Forget(ctx, out)
}
