package activity

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
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

// foundHead is a head as it was read.
type foundHead struct {
	headDoc
	exists bool
	bad    string // why it is not what the app would write
}

func (l *Log) readHead(ctx context.Context, c chainID) (foundHead, error) {
	r, _, err := l.table.Get(ctx, c.partition, c.headKey())
	if errors.Is(err, store.ErrNotFound) {
		return foundHead{}, nil
	}
	if err != nil {
		return foundHead{}, err
	}
	return headOf(c, r), nil
}

// headOf reads the row of a chain's head.
func headOf(c chainID, r entity.Stored) foundHead {
	h := foundHead{exists: true}
	if err := json.Unmarshal([]byte(r.Text), &h.headDoc); err != nil {
		h.bad = "it cannot be read"
		return h
	}
	hash, err := hex.DecodeString(h.Hash)
	if want := c.head(h.Seq, hash); err != nil || want != h.headDoc || h.Seq < 1 || !r.Is(entity.Row{Partition: c.partition, Key: c.headKey(), Doc: want}) {
		h.bad = "it is not as the app writes it"
	}
	return h
}
