package table

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"portcullis/core/store"
)

// The rows of the Activity table: an entry, and the mark that it has been written.
const (
	entryRows = "e|"
	markRows  = "id|"
)

// entryDoc is a line of the activity log, and its place in its chain.
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

	Format int    // of the chain: chainFormat
	Seq    int    // from 1
	Hash   string // hexadecimal
}

// markDoc says that an entry has been written.
type markDoc struct {
	V            int
	ID           string
	Subscription string // of its chain
}

func entryName(id string) string { return digest(id)[:32] }

// newEntry gives the document of an entry, without its place in the chain.
func newEntry(e store.Entry) (entryDoc, error) {
	if e.ID == "" {
		return entryDoc{}, errors.New("it has no id")
	}
	if err := validTime(e.Time); err != nil {
		return entryDoc{}, err
	}
	vm, err := idText(e.VM)
	if err != nil {
		return entryDoc{}, err
	}
	target, err := idText(e.Target)
	if err != nil {
		return entryDoc{}, err
	}
	return entryDoc{V: version, ID: e.ID, Time: stamp(e.Time), Operation: string(e.Operation), Result: string(e.Result), VM: vm, Target: target,
		Requestor: e.Requestor, Grant: e.Grant, Ports: e.Ports, Sources: e.Sources, End: stamp(e.End), Justification: e.Justification,
		Reason: e.Reason, Message: e.Message, Correlation: e.Correlation, Format: chainFormat}.asRead()
}

// row gives the row of an entry that has its place.
func (d entryDoc) row() (row, error) {
	e, err := d.entry()
	if err != nil {
		return row{}, err
	}
	columns := map[string]any{"Time": column(e.Time), "Operation": columnText(d.Operation), "Requestor": columnText(d.Requestor),
		"Subscription": columnText(subscriptionOf(e)), "Vm": ""}
	if !e.VM.IsZero() {
		columns["Vm"] = columnText(e.VM.Key())
	}
	return row{partition: day(e.Time), key: entryRows + inverted(e.Time) + "|" + entryName(d.ID), columns: columns, doc: d}, nil
}

// mark gives the row that says that the entry has been written.
func (d entryDoc) mark(chain chainID) row {
	return row{partition: chain.partition, key: markRows + entryName(d.ID), doc: markDoc{V: version, ID: d.ID, Subscription: chain.subscription}}
}

func (d entryDoc) entry() (store.Entry, error) {
	vm, err := idOf(d.VM)
	if err != nil {
		return store.Entry{}, err
	}
	target, err := idOf(d.Target)
	return store.Entry{ID: d.ID, Time: time.Time(d.Time), Operation: store.Operation(d.Operation), Result: store.Result(d.Result), VM: vm,
		Target: target, Requestor: d.Requestor, Grant: d.Grant, Ports: d.Ports, Sources: d.Sources, End: time.Time(d.End),
		Justification: d.Justification, Reason: d.Reason, Message: d.Message, Correlation: d.Correlation}, err
}

// Entries is one query, two with a cursor.
func (s *Store) Entries(ctx context.Context, f store.EntryFilter, cursor string, limit int) ([]store.Entry, string, error) {
	after, err := parseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	limit = bounded(limit)
	rows, err := s.newestFirst(ctx, s.activity, span{rows: entryRows, from: f.From, to: f.To, after: after}, entryFilter(f), limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list the activity log: %w", err)
	}
	merged := page[store.Entry]{limit: limit}
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

func entryFilter(f store.EntryFilter) where {
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
