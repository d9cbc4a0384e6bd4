package sweep

import (
	"context"

	"portcullis/core/parallel"
	"portcullis/core/store"
)

// Pending goes on with grants that wait to be opened.
type Pending interface {
	// Due opens a grant whose wait is over, goes on with an opening that began after a wait, and does nothing with any other. It may be repeated,
	// and called concurrently.
	Due(ctx context.Context, rec store.GrantRecord) error
}

// pend goes on with every open grant that waits, or whose opening began after a wait: its wake-up may be lost, and whoever approved it may have died.
func (w *sweep) pend(ctx context.Context, open []store.GrantRecord) {
	now := w.now()
	due := keep(open, func(g store.GrantRecord) bool { return g.Grant.Pending(now) })
	w.failed(w.Rounds.Recovered("the sweep of grants that wait", func() error {
		return parallel.Each(due, func(_ int, rec store.GrantRecord) error { return w.Pending.Due(ctx, rec) })
	}))
}
