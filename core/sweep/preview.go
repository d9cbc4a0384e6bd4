package sweep

import (
	"context"
	"slices"

	"portcullis/core/gather"
	"portcullis/core/jit"
	"portcullis/core/parallel"
	"portcullis/core/round"
	"portcullis/core/store"
)

// PreviewNow tells what [Sweeper.SweepNow] would do, for the same callers: how many targets it would put right, how many grants it would
// close, and what it would find. It looks at what stands and is stored now, so that rules that would change for a machine's move or for a lost
// right are not counted. Nothing is written, a refusal included.
func (s *Sweeper) PreviewNow(ctx context.Context, who jit.Caller) (store.SweepRecord, error) {
	if err := s.maySweep(ctx, who); err != nil {
		return store.SweepRecord{}, err
	}
	w := s.begin()
	w.dry = true
	w.list(ctx)
	w.follow(ctx)
	w.narrow(ctx)
	w.lockedDown(ctx)
	w.rights(ctx)
	w.countClosing(w.asMarked())
	targets := w.targets(ctx)
	w.rec.Targets = len(targets)
	w.inOrder(targets)
	targets = slices.DeleteFunc(targets, func(t jit.ID) bool { _, listed := w.snaps[t.Key()]; return !listed })
	outs, many := make([]round.Outcome, len(targets)), gather.Many(ctx, len(targets))
	w.failed(parallel.AtOnce(targets, func(i int, t jit.ID) (err error) {
		outs[i], err = w.Rounds.Compute(many, w.snaps[t.Key()])
		return err
	}))
	for _, out := range outs {
		if !out.Plan.Changes.Empty() {
			w.rec.Changed++
		}
		out.Ended = round.Ends(out, func(string) bool { return false })
		w.report(out)
		w.missing(ctx, out, w.snaps[out.Target.Key()].Unconfirmed)
	}
	var gone []jit.Grant
	for _, rec := range w.takeGone(func(store.GrantRecord) bool { return true }) {
		gone = append(gone, rec.Grant)
	}
	w.countClosing(gone)
	w.judge(ctx)
	w.reviews(ctx)
	w.rec.Ended = s.now()
	return w.rec, w.told()
}

// countClosing counts the grants that would be closed, each once. As in a sweep, those of which a part stays open are none.
func (w *sweep) countClosing(grants []jit.Grant) {
	now := w.now()
	for _, g := range grants {
		if g.Overdue(now) && g.Settled(now).Closed() {
			w.countEnded(g.ID)
		}
	}
}
