package activity

import (
	"context"
	"fmt"
	"strings"
	"time"

	"portcullis/core/store"
	"portcullis/infra/table/entity"
)

// headPages bounds the pages of one look at a day's heads: they fit in one, and the service may give one that is empty and not the last.
const headPages = 4

// Heads is one query, whatever the log holds. A head that is not as the app writes it is told with no entries: nothing that
// was stated of its chain holds any more.
func (l *Log) Heads(ctx context.Context, on time.Time) ([]store.ChainHead, bool, error) {
	rows, done, err := l.table.Query(ctx, entity.In(entity.Day(on)).Under(headRows), store.MaxHeads, headPages)
	if err != nil {
		return nil, false, fmt.Errorf("read where the activity log ends: %w", err)
	}
	out := make([]store.ChainHead, 0, len(rows))
	for _, r := range rows {
		told := store.ChainHead{Subscription: strings.TrimPrefix(r.Key, headRows)}
		if told.Subscription == noSubscription {
			told.Subscription = ""
		}
		if h := headOf(chainAt(told.Subscription, on), r); h.bad == "" {
			told.Head = store.Head{Entries: h.Seq, Hash: h.Hash}
		}
		out = append(out, told)
	}
	return out, !done, nil
}
