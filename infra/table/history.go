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
	"portcullis/infra/table/entity"
	"portcullis/infra/table/record"
)

// closing is a grant on its way into history.
type closing struct {
	row  entity.Row
	note *entity.Row // where the id does not tell the row: says where it is
	open string      // its row among the open grants ...
	etag azcore.ETag // ... and the ETag that the closer has read
}

// noteDoc says where a closed grant is.
type noteDoc struct {
	V         int
	Partition string
	Row       string
}

func historyRow(start time.Time, id string) string {
	return entity.Inverted(start) + "|" + entity.Safe(id)
}

func notePartition(id string) string { return "id|" + entity.Safe(id) }

const noteRow = "at"

func newClosing(g store.GrantRecord, etag azcore.ETag) (closing, error) {
	doc, err := record.Grant(g)
	if err != nil {
		return closing{}, err
	}
	c := closing{open: grantRow(g.Grant.ID), etag: etag,
		row: entity.Row{Partition: entity.Day(g.Grant.Start), Key: historyRow(g.Grant.Start, g.Grant.ID), Columns: grantColumns(g.Grant), Doc: doc}.Sign()}
	if t, ok := timeOf(g.Grant.ID); !ok || !t.Equal(g.Grant.Start) {
		c.note = &entity.Row{Partition: notePartition(g.Grant.ID), Key: noteRow, Doc: noteDoc{V: entity.Version, Partition: c.row.Partition, Row: c.row.Key}}
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
	return t, entity.ValidTime(t) == nil
}

// record inserts closed grants into history, one transaction for each day.
func (s *Store) record(ctx context.Context, closed []closing) error {
	days := map[string][]closing{}
	var order []string
	for _, c := range closed {
		if c.note != nil {
			// Written first, and always the same: one that points at nothing yet does no harm.
			if _, err := s.history.Submit(ctx, []entity.Op{{Kind: entity.Put, Row: *c.note}}); err != nil {
				return err
			}
		}
		if days[c.row.Partition] == nil {
			order = append(order, c.row.Partition)
		}
		days[c.row.Partition] = append(days[c.row.Partition], c)
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
		var ops []entity.Op
		n := 0
		for ; n < len(closed); n++ {
			ops = append(ops, entity.Op{Kind: entity.Add, Row: closed[n].row})
			if ok, err := entity.Fits(ops); err != nil || !ok {
				if err == nil && n == 0 {
					err = entity.ErrTooLarge
				}
				if err != nil {
					return err
				}
				ops = ops[:n]
				break
			}
		}
		_, err := s.history.Submit(ctx, ops)
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
		_, err := s.history.Submit(ctx, []entity.Op{{Kind: entity.Add, Row: c.row}})
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
	_, before, err := s.history.Get(ctx, c.row.Partition, c.row.Key)
	if err != nil {
		return err
	}
	_, etag, err := s.state.Get(ctx, live, c.open)
	if errors.Is(err, store.ErrNotFound) || err == nil && etag != c.etag {
		return store.ErrConflict
	}
	if err != nil {
		return err
	}
	_, err = s.history.Submit(ctx, []entity.Op{{Kind: entity.Replace, ETag: before, Row: c.row}})
	return err
}

// closedGrant finds a grant in history: at the time that its id tells, else where its note says.
func (s *Store) closedGrant(ctx context.Context, id string) (store.GrantRecord, error) {
	wrap := func(err error) error { return fmt.Errorf("grant %s: %w", id, err) }
	if t, ok := timeOf(id); ok {
		r, _, err := s.history.Get(ctx, entity.Day(t), historyRow(t, id))
		if err == nil {
			return closedGrantOf(r)
		}
		if !errors.Is(err, store.ErrNotFound) {
			return store.GrantRecord{}, wrap(err)
		}
	}
	r, _, err := s.history.Get(ctx, notePartition(id), noteRow)
	if err != nil {
		return store.GrantRecord{}, wrap(err)
	}
	var at noteDoc
	if err := r.Read(&at); err != nil {
		return store.GrantRecord{}, wrap(err)
	}
	if r, _, err = s.history.Get(ctx, at.Partition, at.Row); err != nil {
		return store.GrantRecord{}, wrap(err)
	}
	return closedGrantOf(r)
}

func closedGrantOf(r entity.Stored) (store.GrantRecord, error) {
	g, err := record.ReadGrant(r)
	g.Version = closedVersion
	return g, err
}

// grantFilter adds what a filter asks of a grant's columns.
func grantFilter(w entity.Where, f store.GrantFilter) entity.Where {
	if f.VM != "" {
		w = w.Is(vmColumn(strings.ToLower(f.VM)))
	}
	if f.Status != "" {
		w = w.Text("Status", f.Status)
	}
	if f.Requestor != "" {
		w = w.Text("Requestor", store.FoldName(f.Requestor))
	}
	if f.Object != "" {
		w = w.Text("Object", strings.ToLower(f.Object))
	}
	return w.During("Start", f.From, f.To)
}

// ListGrants is a query of the open grants and one of history, two of history with a cursor; each reads as many as the
// page can hold. In that order, since a grant is in history before it leaves the open ones; one that
// is in both counts as open.
func (s *Store) ListGrants(ctx context.Context, f store.GrantFilter, cursor string, limit int) ([]jit.Grant, string, error) {
	after, err := entity.ParseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	limit = entity.Bounded(limit)
	merged := entity.Page[jit.Grant]{Limit: limit}
	if f.Status != jit.Revoked.String() {
		rows, err := s.state.Read(ctx, grantFilter(openSpan(f.From, f.To, after), f), limit+1)
		if err != nil {
			return nil, "", fmt.Errorf("list open grants: %w", err)
		}
		for _, r := range rows {
			g, err := record.ReadListed(r)
			if err != nil {
				return nil, "", err
			}
			merged.Add(entity.Position{Time: g.Start, Name: entity.Safe(g.ID)}, g)
		}
	}
	if f.Status == "" || f.Status == jit.Revoked.String() {
		rows, err := s.history.NewestFirst(ctx, entity.Span{From: f.From, To: f.To, After: after}, grantFilter(nil, f), limit+1)
		if err != nil {
			return nil, "", fmt.Errorf("list history: %w", err)
		}
		for _, r := range rows {
			g, err := record.ReadGrant(r)
			if err != nil {
				return nil, "", err
			}
			merged.Add(entity.Position{Time: g.Grant.Start, Name: entity.Safe(g.Grant.ID)}, g.Grant)
		}
	}
	items, next := merged.Cut()
	return items, next, nil
}

// openSpan holds for the rows of the list of open grants that began in [from, to) and come after a position: a range of its order.
func openSpan(from, to time.Time, after *entity.Position) entity.Where {
	w := entity.In(live).Under(openRows)
	if !from.IsZero() { // the latest is first
		w = w.Lt("RowKey", openRows+entity.Inverted(entity.Within(from))+"}")
	}
	if !to.IsZero() {
		w = w.Gt("RowKey", openRows+entity.Inverted(entity.Within(to))+"}")
	}
	if after != nil {
		w = w.Gt("RowKey", openRows+entity.Inverted(after.Time)+"|"+after.Name)
	}
	return w
}
