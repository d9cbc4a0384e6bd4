package access

import (
	"context"
	"slices"
	"sync"
	"time"

	"portcullis/core/gather"
	"portcullis/core/jit"
	"portcullis/core/parallel"
	"portcullis/core/roster"
	"portcullis/core/round"
	"portcullis/core/store"
)

// openTargets reconciles the targets of a grant side by side, and notes in the grant which of
// them have confirmed it while others are waited for. It gives the grant as it is then stored.
func (s *Service) openTargets(ctx context.Context, rec store.GrantRecord) (store.GrantRecord, []round.Outcome, error) {
	targets := rec.Targets()
	n := &notes{Service: s, rec: rec, left: len(targets), done: make(chan struct{})}
	outs, ctx := make([]round.Outcome, len(targets)), gather.Many(ctx, len(targets))
	err := parallel.AtOnce(targets, func(i int, t jit.ID) (err error) {
		outs[i], err = s.Rounds.Reconcile(ctx, t, round.Want{Grant: rec.Grant.ID})
		n.note(ctx, outs[i], err == nil && stands(outs[i], rec.Grant.ID))
		return err
	})
	close(n.done)
	n.writer.Wait()
	return n.rec, outs, err
}

// stands reports whether a round has left the rules of a grant on its target.
func stands(out round.Outcome, grant string) bool {
	return !out.Gone && refusedBy([]round.Outcome{out}, grant) == nil && slices.ContainsFunc(out.State.Openings, func(o roster.Opening) bool {
		return o.Grant.ID == grant && o.Grant.AnyLive(out.At)
	})
}

// noteAfter is how long what has been confirmed waits for more to be noted with it.
const noteAfter = time.Second

// notes writes down what has been confirmed: at most once in each noteAfter, which takes all that came in
// since the write before, and not at all for what the last target confirms, after which the grant itself is
// stored as open. A note is for people who wait: one that cannot be written is left out.
type notes struct {
	*Service
	done   chan struct{} // closed once no target is waited for any more
	writer sync.WaitGroup

	mu      sync.Mutex
	rec     store.GrantRecord
	left    int      // targets that have not answered
	waiting []jit.ID // confirmed and not written
	writing bool
	over    bool // the grant is not being opened any more, or cannot be written
}

// note takes down that a target has answered. It waits for nothing.
func (n *notes) note(ctx context.Context, out round.Outcome, confirmed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.left--
	if confirmed {
		n.waiting = append(n.waiting, out.Target)
	}
	if n.left > 0 && len(n.waiting) > 0 && !n.writing && !n.over {
		n.writing = true
		n.writer.Go(func() {
			_ = n.Rounds.Recovered("the progress of grant "+n.rec.Grant.ID, func() error { n.run(ctx); return nil })
		})
	}
}

// run writes what waits until nothing does.
func (n *notes) run(ctx context.Context) {
	timer := time.NewTimer(noteAfter)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-n.done:
			return
		}
		n.mu.Lock()
		targets, rec := n.waiting, n.rec
		n.waiting = nil
		more := n.left > 0 && len(targets) > 0 && !n.over
		n.writing = more
		n.mu.Unlock()
		if !more {
			return
		}
		rec, ok := n.write(ctx, rec, targets)
		n.mu.Lock()
		n.rec, n.over = rec, !ok
		n.mu.Unlock()
		timer.Reset(noteAfter)
	}
}

// write stores that targets have confirmed the grant, if it is still being opened.
func (n *notes) write(ctx context.Context, rec store.GrantRecord, targets []jit.ID) (store.GrantRecord, bool) {
	rec, err := store.NoteGrant(ctx, n.Grants, rec, func(g store.GrantRecord) (store.GrantRecord, bool, error) {
		g.Placements = slices.Clone(g.Placements)
		for i, p := range g.Placements {
			g.Placements[i].Confirmed = p.Confirmed || slices.ContainsFunc(targets, p.Target.Equal)
		}
		return g, g.Grant.Status() == jit.Initiating, nil
	})
	return rec, err == nil && rec.Grant.Status() == jit.Initiating
}
