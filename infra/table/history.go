package table

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// closing is a grant on its way into history.
type closing struct {
	row  row
	note *row        // where the id does not tell the row: says where it is
	open string      // its row among the open grants ...
	etag azcore.ETag // ... and the ETag that the closer has read
}

// noteDoc says where a closed grant is.
type noteDoc struct {
	V         int
	Partition string
	Row       string
}

func historyRow(start time.Time, id string) string { return inverted(start) + "|" + safe(id) }

func notePartition(id string) string { return "id|" + safe(id) }

const noteRow = "at"

func newClosing(g store.GrantRecord, etag azcore.ETag) (closing, error) {
	doc, err := newGrantDoc(g)
	if err != nil {
		return closing{}, err
	}
	c := closing{open: grantRow(g.Grant.ID), etag: etag,
		row: row{partition: day(g.Grant.Start), key: historyRow(g.Grant.Start, g.Grant.ID), columns: grantColumns(g.Grant), doc: doc}.sign()}
	if t, ok := timeOf(g.Grant.ID); !ok || !t.Equal(g.Grant.Start) {
		c.note = &row{partition: notePartition(g.Grant.ID), key: noteRow, doc: noteDoc{V: version, Partition: c.row.partition, Row: c.row.key}}
	}
	return c, nil
}

// timeOf gives the milliseconds that a UUID of version 7 begins with (RFC 9562,
// section 5.7), or false for any other id.
func timeOf(id string) (time.Time, bool) {
	if len(id) != 36 || id[8] != '-' || id[14] != '7' {
		return time.Time{}, false
	}
	b, err := hex.DecodeString(id[:8] + id[9:13])
	if err != nil {
		return time.Time{}, false
	}
	var ms int64
	for _, x := range b {
		ms = ms<<8 | int64(x)
	}
	t := time.UnixMilli(ms).UTC()
	return t, validTime(t) == nil
}

// record inserts closed grants into history, one transaction for each day.
func (s *Store) record(ctx context.Context, closed []closing) error {
	days := map[string][]closing{}
	var order []string
	for _, c := range closed {
		if c.note != nil {
			// Written first, and always the same: one that points at nothing yet does no harm.
			if _, err := s.submit(ctx, s.history, []op{{kind: put, row: *c.note}}); err != nil {
				return err
			}
		}
		if days[c.row.partition] == nil {
			order = append(order, c.row.partition)
		}
		days[c.row.partition] = append(days[c.row.partition], c)
	}
	for _, d := range order {
		if err := s.recordDay(ctx, days[d]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) recordDay(ctx context.Context, closed []closing) error {
	for len(closed) > 0 {
		var ops []op
		n := 0
		for ; n < len(closed); n++ {
			ops = append(ops, op{kind: add, row: closed[n].row})
			if ok, err := fits(ops); err != nil || !ok {
				if err == nil && n == 0 {
					err = errTooLarge
				}
				if err != nil {
					return err
				}
				ops = ops[:n]
				break
			}
		}
		_, err := s.submit(ctx, s.history, ops)
		if errors.Is(err, store.ErrConflict) {
			err = s.recordEach(ctx, closed[:n])
		}
		if err != nil {
			return err
		}
		closed = closed[n:]
	}
	return nil
}

// recordEach inserts closed grants of which some are in history already: left by a
// crash, or by somebody who closes the same grant at this moment. Such a row is replaced only by who
// still holds the open grant, so that history says what the last word on the grant was.
func (s *Store) recordEach(ctx context.Context, closed []closing) error {
	for _, c := range closed {
		_, err := s.submit(ctx, s.history, []op{{kind: add, row: c.row}})
		if errors.Is(err, store.ErrConflict) {
			err = s.recordAgain(ctx, c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) recordAgain(ctx context.Context, c closing) error {
	_, before, err := s.get(ctx, s.history, c.row.partition, c.row.key)
	if err != nil {
		return err
	}
	_, etag, err := s.get(ctx, s.state, live, c.open)
	if errors.Is(err, store.ErrNotFound) || err == nil && etag != c.etag {
		return store.ErrConflict
	}
	if err != nil {
		return err
	}
	_, err = s.submit(ctx, s.history, []op{{kind: replace, etag: before, row: c.row}})
	return err
}

// closedGrant finds a grant in history: at the time that its id tells, else where its note says.
func (s *Store) closedGrant(ctx context.Context, id string) (store.GrantRecord, error) {
	wrap := func(err error) error { return fmt.Errorf("grant %s: %w", id, err) }
	if t, ok := timeOf(id); ok {
		r, _, err := s.get(ctx, s.history, day(t), historyRow(t, id))
		if err == nil {
			return r.closedGrant()
		}
		if !errors.Is(err, store.ErrNotFound) {
			return store.GrantRecord{}, wrap(err)
		}
	}
	r, _, err := s.get(ctx, s.history, notePartition(id), noteRow)
	if err != nil {
		return store.GrantRecord{}, wrap(err)
	}
	var at noteDoc
	if err := r.read(&at); err != nil {
		return store.GrantRecord{}, wrap(err)
	}
	if r, _, err = s.get(ctx, s.history, at.Partition, at.Row); err != nil {
		return store.GrantRecord{}, wrap(err)
	}
	return r.closedGrant()
}

func (r stored) closedGrant() (store.GrantRecord, error) {
	g, err := r.grant()
	g.Version = closedVersion
	return g, err
}

// grantFilter adds what a filter asks of a grant's columns.
func (w where) grantFilter(f store.GrantFilter) where {
	if f.VM != "" {
		w = w.is(vmColumn(strings.ToLower(f.VM)))
	}
	if f.Status != "" {
		w = w.text("Status", f.Status)
	}
	if f.Requestor != "" {
		w = w.text("Requestor", f.Requestor)
	}
	return w.during("Start", f.From, f.To)
}

// during holds for a time column in [from, to).
func (w where) during(name string, from, to time.Time) where {
	if !from.IsZero() {
		w = w.ge(name, column(within(from)))
	}
	if !to.IsZero() {
		w = w.lt(name, column(within(to)))
	}
	return w
}

// within moves a time to the nearest that a row can have.
func within(t time.Time) time.Time {
	switch {
	case t.Before(firstTime):
		return firstTime
	case t.After(lastTime):
		return lastTime
	}
	return t
}

// ListGrants is a query of the open grants and one of history, two of history with a cursor; each reads as many as the
// page can hold. In that order, since a grant is in history before it leaves the open ones; one that
// is in both counts as open.
func (s *Store) ListGrants(ctx context.Context, f store.GrantFilter, cursor string, limit int) ([]jit.Grant, string, error) {
	after, err := parseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	limit = bounded(limit)
	merged := page[jit.Grant]{limit: limit}
	if f.Status != jit.Revoked.String() {
		rows, err := s.read(ctx, s.state, openSpan(f.From, f.To, after).grantFilter(f), limit+1)
		if err != nil {
			return nil, "", fmt.Errorf("list open grants: %w", err)
		}
		for _, r := range rows {
			var d openDoc
			err := r.read(&d)
			if err != nil {
				return nil, "", err
			}
			g, err := d.Grant.grant()
			if err != nil {
				return nil, "", fmt.Errorf("read entity %s: %w", r.key, err)
			}
			merged.add(position{g.Start, safe(g.ID)}, g)
		}
	}
	if f.Status == "" || f.Status == jit.Revoked.String() {
		rows, err := s.newestFirst(ctx, s.history, span{from: f.From, to: f.To, after: after}, where(nil).grantFilter(f), limit+1)
		if err != nil {
			return nil, "", fmt.Errorf("list history: %w", err)
		}
		for _, r := range rows {
			g, err := r.grant()
			if err != nil {
				return nil, "", err
			}
			merged.add(position{g.Grant.Start, safe(g.Grant.ID)}, g.Grant)
		}
	}
	items, next := merged.cut()
	return items, next, nil
}

// openSpan holds for the rows of the list of open grants that began in [from, to) and come after a position: a range of its order.
func openSpan(from, to time.Time, after *position) where {
	w := in(live).under(openRows)
	if !from.IsZero() { // the latest is first
		w = w.lt("RowKey", openRows+inverted(within(from))+"}")
	}
	if !to.IsZero() {
		w = w.gt("RowKey", openRows+inverted(within(to))+"}")
	}
	if after != nil {
		w = w.gt("RowKey", openRows+inverted(after.time)+"|"+after.name)
	}
	return w
}
