package activity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"portcullis/core/store"
	"portcullis/infra/table/entity"
)

// firstTold returns an entry with the time at which it was told first, and whether it was told on the day of its Since. Where that is not the
// day of its time, its mark there is taken first: whoever tells of the event, on whatever day, meets at that one row.
func (l *Log) firstTold(ctx context.Context, e store.Entry) (store.Entry, bool, error) {
	if e.Since.IsZero() {
		return e, false, nil
	}
	if e.Time.Before(e.Since) {
		return e, false, fmt.Errorf("its time is before %s, since when it can have happened", e.Since)
	}
	d, err := newEntry(e)
	if err != nil {
		return e, false, err
	}
	day, now := chainAt(subscriptionOf(e), e.Since), chainAt(subscriptionOf(e), e.Time)
	if day == now {
		return e, false, nil
	}
	mark := d.mark(day)
	mark.Doc = markDoc{V: entity.Version, ID: d.ID, Subscription: day.subscription, At: d.Time}
	_, err = l.table.Submit(ctx, []entity.Op{{Kind: entity.Add, Row: mark}})
	if !errors.Is(err, store.ErrConflict) {
		return e, false, err
	}
	at, err := l.marked(ctx, day, d)
	switch {
	case err != nil:
		return e, false, err
	case at.IsZero():
		return e, true, nil
	case at.Before(e.Since):
		return e, false, fmt.Errorf("its mark says %s, before it can have happened", at)
	}
	e.Time = at
	return e, false, nil
}

// marked returns the time in the mark of an entry on a day, zero where it was written on that day; ErrNotFound where there is no mark.
func (l *Log) marked(ctx context.Context, c chainID, d entryDoc) (time.Time, error) {
	r, _, err := l.table.Get(ctx, c.partition, d.mark(c).Key)
	if err != nil {
		return time.Time{}, err
	}
	var m markDoc
	if err := r.Read(&m); err != nil {
		return time.Time{}, err
	}
	return time.Time(m.At), nil
}
