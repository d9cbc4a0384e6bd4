package table

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"portcullis/core/access"
)

// The rows of the Activity table: an entry, and the mark that it has been written.
const (
	entryRows = "e|"
	markRows  = "id|"
)

// entryDoc is a line of the activity log.
type entryDoc struct {
	V             int
	ID            string
	Time          stamp
	Operation     string
	Result        string
	VM            string
	Target        string
	Requestor     string
	Grant         string
	Ports         []uint16
	Sources       []string
	End           stamp
	Justification string
	Reason        string
	Message       string
	Correlation   string
}

// markDoc says that an entry has been written.
type markDoc struct {
	V  int
	ID string
}

func entryName(id string) string { return digest(id)[:32] }

// newEntry gives the operations that append an entry.
func newEntry(e access.Entry) ([]op, error) {
	if e.ID == "" {
		return nil, errors.New("it has no id")
	}
	if err := validTime(e.Time); err != nil {
		return nil, err
	}
	vm, err := idText(e.VM)
	if err != nil {
		return nil, err
	}
	target, err := idText(e.Target)
	if err != nil {
		return nil, err
	}
	doc := entryDoc{V: version, ID: e.ID, Time: stamp(e.Time), Operation: string(e.Operation), Result: string(e.Result), VM: vm, Target: target,
		Requestor: e.Requestor, Grant: e.Grant, Ports: e.Ports, Sources: e.Sources, End: stamp(e.End), Justification: e.Justification,
		Reason: e.Reason, Message: e.Message, Correlation: e.Correlation}
	columns := map[string]any{"Time": column(e.Time), "Operation": columnText(string(e.Operation)), "Requestor": columnText(e.Requestor),
		"Subscription": columnText(subscriptionOf(e)), "Vm": ""}
	if !e.VM.IsZero() {
		columns["Vm"] = columnText(e.VM.Key())
	}
	partition := day(e.Time)
	return []op{
		{kind: add, row: row{partition: partition, key: markRows + entryName(e.ID), doc: markDoc{V: version, ID: e.ID}}},
		{kind: add, row: row{partition: partition, key: entryRows + inverted(e.Time) + "|" + entryName(e.ID), columns: columns, doc: doc}},
	}, nil
}

// subscriptionOf gives the subscription that an entry concerns, "" for none.
func subscriptionOf(e access.Entry) string {
	if e.VM.Subscription != "" {
		return strings.ToLower(e.VM.Subscription)
	}
	return strings.ToLower(e.Target.Subscription)
}

func (d entryDoc) entry() (access.Entry, error) {
	vm, err := idOf(d.VM)
	if err != nil {
		return access.Entry{}, err
	}
	target, err := idOf(d.Target)
	return access.Entry{ID: d.ID, Time: time.Time(d.Time), Operation: access.Operation(d.Operation), Result: access.Result(d.Result), VM: vm,
		Target: target, Requestor: d.Requestor, Grant: d.Grant, Ports: d.Ports, Sources: d.Sources, End: time.Time(d.End),
		Justification: d.Justification, Reason: d.Reason, Message: d.Message, Correlation: d.Correlation}, err
}

// Append is one transaction for each day and 50 entries, an entry and its mark
// each. The mark is in the day's partition: an event that is told again with a time of another
// day is not known again.
func (s *Store) Append(ctx context.Context, entries ...access.Entry) error {
	days := map[string][][]op{}
	var order []string
	seen := map[string]bool{}
	for _, e := range entries {
		if seen[e.ID] {
			continue
		}
		seen[e.ID] = true
		ops, err := newEntry(e)
		if err != nil {
			return fmt.Errorf("append entry %s: %w", e.ID, err)
		}
		d := ops[0].row.partition
		if days[d] == nil {
			order = append(order, d)
		}
		days[d] = append(days[d], ops)
	}
	for _, d := range order {
		if err := s.appendDay(ctx, days[d]); err != nil {
			return fmt.Errorf("append to the activity log: %w", err)
		}
	}
	return nil
}

func (s *Store) appendDay(ctx context.Context, pairs [][]op) error {
	for len(pairs) > 0 {
		var ops []op
		n := 0
		for ; n < len(pairs); n++ {
			ok, err := fits(append(ops, pairs[n]...))
			if err == nil && !ok && n == 0 {
				err = errTooLarge
			}
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			ops = append(ops, pairs[n]...)
		}
		_, err := s.submit(ctx, s.activity, ops)
		if err == nil {
			pairs = pairs[n:]
			continue
		}
		if !errors.Is(err, access.ErrConflict) {
			return err
		}
		fresh, err := s.unwritten(ctx, pairs[:n])
		if err != nil {
			return err
		}
		if len(fresh) == n {
			return &access.Unavailable{Dependency: dependency, Err: errors.New("the activity log met a conflict without a cause")}
		}
		pairs = append(fresh, pairs[n:]...)
	}
	return nil
}

// unwritten gives the entries that have no mark yet.
func (s *Store) unwritten(ctx context.Context, pairs [][]op) ([][]op, error) {
	var fresh [][]op
	for _, p := range pairs {
		_, _, err := s.get(ctx, s.activity, p[0].row.partition, p[0].row.key)
		if errors.Is(err, access.ErrNotFound) {
			fresh = append(fresh, p)
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return fresh, nil
}

// Entries is one query, two with a cursor.
func (s *Store) Entries(ctx context.Context, f access.EntryFilter, cursor string, limit int) ([]access.Entry, string, error) {
	after, err := parseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	limit = bounded(limit)
	rows, err := s.newestFirst(ctx, s.activity, span{rows: entryRows, from: f.From, to: f.To, after: after}, entryFilter(f), limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list the activity log: %w", err)
	}
	merged := page[access.Entry]{limit: limit}
	for _, r := range rows {
		var d entryDoc
		if err := r.read(&d); err != nil {
			return nil, "", err
		}
		e, err := d.entry()
		if err != nil {
			return nil, "", fmt.Errorf("read entity %s: %w", r.key, err)
		}
		merged.add(position{e.Time, entryName(e.ID)}, e)
	}
	items, next := merged.cut()
	return items, next, nil
}

func entryFilter(f access.EntryFilter) where {
	var w where
	if f.Subscription != "" {
		w = w.text("Subscription", strings.ToLower(f.Subscription))
	}
	if f.VM != "" {
		w = w.text("Vm", strings.ToLower(f.VM))
	}
	if f.Requestor != "" {
		w = w.text("Requestor", f.Requestor)
	}
	if f.Operation != "" {
		w = w.text("Operation", string(f.Operation))
	}
	return w.during("Time", f.From, f.To)
}
