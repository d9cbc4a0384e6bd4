package activity

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/infra/table/entity"
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
	Time          entity.Stamp
	Operation     string
	Result        string
	VM            string
	Target        string
	Requestor     string
	Tenant        string
	Object        string
	Kind          string
	Client        string
	SignIn        string
	Address       string
	Grant         string
	Ports         []uint16
	Sources       []string
	End           entity.Stamp
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
	// At is the time of the entry where it was written on a later day than that on which others may have written it too; zero where it was
	// written on this one. Who finds it writes the entry with this time, or finds that it is written.
	At entity.Stamp `json:",omitzero"`
}

func entryName(id string) string { return entity.Digest(id)[:32] }

// newEntry gives the document of an entry, without its place in the chain.
func newEntry(e store.Entry) (entryDoc, error) {
	if e.ID == "" {
		return entryDoc{}, errors.New("it has no id")
	}
	if err := entity.ValidTime(e.Time); err != nil {
		return entryDoc{}, err
	}
	vm, err := entity.IDText(e.VM)
	if err != nil {
		return entryDoc{}, err
	}
	target, err := entity.IDText(e.Target)
	if err != nil {
		return entryDoc{}, err
	}
	return entryDoc{V: entity.Version, ID: e.ID, Time: entity.Stamp(e.Time), Operation: string(e.Operation), Result: string(e.Result), VM: vm, Target: target,
		Requestor: e.Requestor, Tenant: e.Actor.Tenant, Object: e.Actor.Object, Kind: string(e.Actor.Kind), Client: e.Actor.Client, SignIn: e.Actor.SignIn, Address: addressText(e.Actor.Address), Grant: e.Grant, Ports: e.Ports, Sources: e.Sources, End: entity.Stamp(e.End), Justification: e.Justification,
		Reason: e.Reason, Message: e.Message, Correlation: e.Correlation, Format: chainFormat}.asRead()
}

// addressText gives an address, "" for none.
func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// row gives the row of an entry that has its place.
func (d entryDoc) row() (entity.Row, error) {
	e, err := d.entry()
	if err != nil {
		return entity.Row{}, err
	}
	columns := map[string]any{"Time": entity.Column(e.Time), "Operation": entity.ColumnText(d.Operation), "Result": entity.ColumnText(d.Result), "Requestor": entity.ColumnText(store.FoldName(d.Requestor)),
		"Object": entity.ColumnText(d.Object), "Subscription": entity.ColumnText(subscriptionOf(e)), "Vm": ""}
	if !e.VM.IsZero() {
		columns["Vm"] = entity.ColumnText(e.VM.Key())
	}
	return entity.Row{Partition: entity.Day(e.Time), Key: entryRows + entity.Inverted(e.Time) + "|" + entryName(d.ID), Columns: columns, Doc: d}, nil
}

// mark gives the row that says that the entry has been written.
func (d entryDoc) mark(chain chainID) entity.Row {
	return entity.Row{Partition: chain.partition, Key: markRows + entryName(d.ID), Doc: markDoc{V: entity.Version, ID: d.ID, Subscription: chain.subscription}}
}

func (d entryDoc) entry() (store.Entry, error) {
	vm, err := entity.IDOf(d.VM)
	if err != nil {
		return store.Entry{}, err
	}
	target, err := entity.IDOf(d.Target)
	if err != nil {
		return store.Entry{}, err
	}
	actor := jit.Actor{Tenant: d.Tenant, Object: d.Object, Kind: jit.CallerKind(d.Kind), Client: d.Client, SignIn: d.SignIn}
	if d.Address != "" {
		actor.Address, err = netip.ParseAddr(d.Address)
	}
	return store.Entry{ID: d.ID, Time: time.Time(d.Time), Operation: store.Operation(d.Operation), Result: store.Result(d.Result), VM: vm,
		Target: target, Requestor: d.Requestor, Actor: actor, Grant: d.Grant, Ports: d.Ports, Sources: d.Sources, End: time.Time(d.End),
		Justification: d.Justification, Reason: d.Reason, Message: d.Message, Correlation: d.Correlation}, err
}

// Entries is one query, two with a cursor.
func (l *Log) Entries(ctx context.Context, f store.EntryFilter, cursor string, limit int) ([]store.Entry, string, error) {
	after, err := entity.ParseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	limit = entity.Bounded(limit)
	rows, err := l.table.NewestFirst(ctx, entity.Span{Rows: entryRows, From: f.From, To: f.To, After: after}, entryFilter(f), limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list the activity log: %w", err)
	}
	merged := entity.Page[store.Entry]{Limit: limit}
	for _, r := range rows {
		var d entryDoc
		if err := r.Read(&d); err != nil {
			return nil, "", err
		}
		e, err := d.entry()
		if err != nil {
			return nil, "", fmt.Errorf("read entity %s: %w", r.Key, err)
		}
		merged.Add(entity.Position{Time: e.Time, Name: entryName(e.ID)}, e)
	}
	items, next := merged.Cut()
	return items, next, nil
}

func entryFilter(f store.EntryFilter) entity.Where {
	var w entity.Where
	if f.Subscription != "" {
		w = w.Text("Subscription", strings.ToLower(f.Subscription))
	}
	if f.Located {
		w = w.Gt("Subscription", "")
	}
	if f.VM != "" {
		w = w.Text("Vm", strings.ToLower(f.VM))
	}
	if f.Requestor != "" {
		w = w.Text("Requestor", store.FoldName(f.Requestor))
	}
	if f.Object != "" {
		w = w.Text("Object", strings.ToLower(f.Object))
	}
	if f.Operation != "" {
		w = w.Text("Operation", string(f.Operation))
	}
	if f.Result != "" {
		w = w.Text("Result", string(f.Result))
	}
	return w.During("Time", f.From, f.To)
}
