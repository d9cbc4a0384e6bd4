package sweep

import (
	"context"
	"fmt"
	"slices"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// tellStood logs openings that are not confirmed and whose rules stand on every target: their callers may have died, and until they are undone
// (decision 002) the ports are open. Where a caller lives, its own entry has the same id, and the log keeps one.
func (w *sweep) tellStood(ctx context.Context) {
	var entries []store.Entry
	now := w.now()
	for _, rec := range w.grants {
		g := rec.Grant
		lets := func(p store.GrantPlacement) bool { return len(p.Addresses) > 0 }
		waits := func(p store.GrantPlacement) bool { return lets(p) && !w.stood[g.ID+" "+p.Target.Key()] }
		if g.Status() == jit.Initiating && g.AnyLive(now) && slices.ContainsFunc(rec.Placements, lets) && !slices.ContainsFunc(rec.Placements, waits) {
			entries = append(entries, store.StoodEntries(g, "not confirmed yet; the rule stands", now, func(_ jit.ID, p jit.Window) bool { return g.Live(p, now) })...)
		}
	}
	if len(entries) == 0 {
		return
	}
	if err := w.Activity.Append(ctx, entries...); err != nil {
		w.failed(fmt.Errorf("log the openings that stand: %w", err))
	}
}
