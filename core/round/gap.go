package round

import (
	"context"
	"slices"
	"time"

	"portcullis/core/jit"
	"portcullis/core/roster"
)

// leaveGap leaves the target alone for a moment before the second of two writes, if another instance waits to see what
// the first has left: its reads wait until no write is under way, and one write would follow the other without an end (decision 025).
// It reports whether it has waited; what is stored is then looked at again.
func (w *work) leaveGap(ctx context.Context, out Outcome) bool {
	if w.confirmedAt.IsZero() || !w.othersWait(out) {
		return false
	}
	rest := w.kind.WriteGap - w.Now().Sub(w.confirmedAt)
	w.confirmedAt = time.Time{}
	if rest <= 0 {
		return false
	}
	timer := time.NewTimer(min(rest, w.kind.WriteGap))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return true
}

// othersWait reports whether the last write has done what nobody in this process asked for: it has opened a grant that is not
// stored as open yet, or removed the rules of one that is marked as closing and not stored as closed. Another instance asks for that, or
// one did and has crashed.
func (w *work) othersWait(out Outcome) bool {
	w.queues.mu.Lock()
	defer w.queues.mu.Unlock()
	stored := map[string]bool{}
	for _, o := range out.State.Openings {
		stored[o.Grant.ID] = true
	}
	for id := range w.queue.asked {
		if !stored[id] && !slices.ContainsFunc(w.queue.asks, func(a *ask) bool { return a.Grant == id }) {
			delete(w.queue.asked, id) // closed, and nobody asks again
		}
	}
	return slices.ContainsFunc(out.State.Openings, func(o roster.Opening) bool {
		return !w.queue.asked[o.Grant.ID] && unfinished(o.Grant, out.At) && !out.changes(func(r jit.Rule) bool { return ofGrantID(r, o.Grant.ID) })
	})
}

// standsUnread reports whether the rules that were read are those of an ask that came after the read began, which may have waited
// for the end of another instance's write. One more read confirms them; without it the ask would wait for a further write. It is one
// before each write: asks that come without an end must not keep a closing from being written.
func (w *work) standsUnread(out Outcome) bool {
	return !w.reread && w.confirmedAt.IsZero() && w.asOf >= 0 && w.some(w.queue, func(a *ask) bool {
		return a.place > w.asOf && a.place <= w.place && a.Grant != "" && out.satisfies(a)
	})
}

// unfinished reports whether a window is being opened or closed, as stored.
func unfinished(g jit.Grant, at time.Time) bool {
	return slices.ContainsFunc(g.VMs, func(vm jit.GrantVM) bool {
		return slices.ContainsFunc(vm.Ports, func(w jit.Window) bool {
			return w.Status == jit.Revoking || w.Status == jit.Initiating && g.Live(w, at)
		})
	})
}
