// Package outbox stores letters, which are messages on their way to a channel, as rows of the partition with the live state: so a
// letter about a grant is written in the grant's own transaction. docs/decisions/052-the-outbox-is-in-the-tables.md says why there is a row for each channel.
//
// A row is tell|<channel>|<when its subject began>|<subject>|<number>, so that one query gives the letters to a channel in the order in
// which they are told. It decides nothing of when a letter is tried.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"portcullis/core/store"
	"portcullis/infra/table/entity"
)

var _ store.Outbox = (*Box)(nil)

// Box is the outbox in one partition of a table.
type Box struct {
	Table     entity.Table
	Partition string
}

// rows is what the keys of letters begin with.
const rows = "tell|"

// doc is a letter as it is stored.
type doc struct {
	V             int
	Channel       string
	Kind          string
	At            entity.Stamp
	Subject       string
	Began         entity.Stamp
	Seq           int
	Grant         string `json:",omitempty"`
	Requestor     string
	Justification string `json:",omitempty"`
	Windows       []windowDoc
	More          int    `json:",omitempty"`
	By            string `json:",omitempty"`
	Reason        string `json:",omitempty"`
	Text          string `json:",omitempty"`
	Tries         int
	Next          entity.Stamp
	GaveUp        bool   `json:",omitempty"`
	LastError     string `json:",omitempty"`
}

type windowDoc struct {
	VM      string
	Port    uint16
	End     entity.Stamp
	Sources []string `json:",omitempty"`
	Dial    []string `json:",omitempty"`
}

var channelForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)

// rowOf returns the row of a letter.
func (b *Box) rowOf(l store.Letter) (entity.Row, error) {
	if !channelForm.MatchString(l.Channel) || l.Subject == "" || l.Seq < 1 || l.Seq > 999_999 {
		return entity.Row{}, fmt.Errorf("letter %d of %q to %q cannot be stored", l.Seq, l.Subject, l.Channel)
	}
	d := doc{V: entity.Version, Channel: l.Channel, Kind: string(l.Kind), At: entity.Stamp(l.At), Subject: l.Subject, Began: entity.Stamp(l.Began), Seq: l.Seq, Grant: l.Grant,
		Requestor: l.Requestor, Justification: l.Justification, More: l.More, By: l.By, Reason: l.Reason, Text: l.Text,
		Tries: l.Tries, Next: entity.Stamp(l.Next), GaveUp: l.GaveUp, LastError: l.LastError}
	for _, w := range l.Windows {
		vm, err := entity.IDText(w.VM)
		if err != nil {
			return entity.Row{}, err
		}
		d.Windows = append(d.Windows, windowDoc{VM: vm, Port: w.Port, End: entity.Stamp(w.End), Sources: w.Sources, Dial: w.Dial})
	}
	key := fmt.Sprintf("%s%s|%019d|%s|%06d", rows, l.Channel, entity.Within(l.Began).UnixNano(), entity.Safe(l.Subject), l.Seq)
	return entity.Row{Partition: b.Partition, Key: key, Doc: d}, nil
}

// letterOf reads the row of a letter.
func letterOf(r entity.Stored) (store.Letter, error) {
	var d doc
	if err := r.Read(&d); err != nil {
		return store.Letter{}, err
	}
	l := store.Letter{Channel: d.Channel, Tries: d.Tries, Next: time.Time(d.Next), GaveUp: d.GaveUp, LastError: d.LastError, Version: versionOf(r.ETag),
		Message: store.Message{Kind: store.EventKind(d.Kind), At: time.Time(d.At), Subject: d.Subject, Began: time.Time(d.Began), Seq: d.Seq, Grant: d.Grant,
			Requestor: d.Requestor, Justification: d.Justification, More: d.More, By: d.By, Reason: d.Reason, Text: d.Text}}
	for _, w := range d.Windows {
		vm, err := entity.IDOf(w.VM)
		if err != nil {
			return l, fmt.Errorf("read entity %s: %w", r.Key, err)
		}
		l.Windows = append(l.Windows, store.ToldWindow{VM: vm, Port: w.Port, End: time.Time(w.End), Sources: w.Sources, Dial: w.Dial})
	}
	return l, nil
}

// Ops returns the operations that store letters, in whichever transaction they ride. A letter that stands already is replaced: it is the same one,
// written by a try whose end nobody saw.
func (b *Box) Ops(letters []store.Letter) ([]entity.Op, error) {
	var ops []entity.Op
	for _, l := range letters {
		row, err := b.rowOf(l)
		if err != nil {
			return nil, err
		}
		ops = append(ops, entity.Op{Kind: entity.Put, Row: row})
	}
	return ops, nil
}

// PutLetters is one transaction.
func (b *Box) PutLetters(ctx context.Context, letters ...store.Letter) error {
	ops, err := b.Ops(letters)
	if err == nil && len(ops) > 0 {
		_, err = b.Table.Submit(ctx, ops)
	}
	if err != nil {
		return fmt.Errorf("store letters: %w", err)
	}
	return nil
}

// Letters is one query. Its cursor is the key of the last row.
func (b *Box) Letters(ctx context.Context, channel, cursor string, limit int) ([]store.Letter, string, error) {
	wrap := func(err error) error { return fmt.Errorf("read the letters to %s: %w", channel, err) }
	if !channelForm.MatchString(channel) {
		return nil, "", wrap(errors.New("no such channel"))
	}
	w := entity.In(b.Partition).Under(rows + channel + "|")
	if cursor != "" {
		w = w.Gt("RowKey", cursor)
	}
	found, done, err := b.Table.Query(ctx, w, limit, 0)
	if err != nil {
		return nil, "", wrap(err)
	}
	var out []store.Letter
	for _, r := range found {
		l, err := letterOf(r)
		if err != nil {
			return nil, "", wrap(err)
		}
		out = append(out, l)
	}
	if done || len(found) == 0 {
		return out, "", nil
	}
	return out, found[len(found)-1].Key, nil
}

// PutOff is one write, on the condition of the letter's version.
func (b *Box) PutOff(ctx context.Context, l store.Letter) (store.Letter, error) {
	next, err := b.write(ctx, entity.Op{Kind: entity.Replace}, l)
	if err != nil {
		return l, fmt.Errorf("put off letter %s: %w", l.ID(), err)
	}
	l.Version = next
	return l, nil
}

// DropLetter is one write, on the condition of the letter's version.
func (b *Box) DropLetter(ctx context.Context, l store.Letter) error {
	if _, err := b.write(ctx, entity.Op{Kind: entity.Remove}, l); err != nil {
		return fmt.Errorf("drop letter %s: %w", l.ID(), err)
	}
	return nil
}

// write does one operation with a letter's row on the condition of its version, and returns its new one, "" for a row that is gone.
func (b *Box) write(ctx context.Context, o entity.Op, l store.Letter) (string, error) {
	row, err := b.rowOf(l)
	if err != nil {
		return "", err
	}
	etag, ok := strings.CutPrefix(l.Version, version)
	if !ok || etag == "" {
		return "", store.ErrConflict
	}
	o.ETag, o.Row = azcore.ETag(etag), row.Sign()
	etags, err := b.Table.Submit(ctx, []entity.Op{o})
	if errors.Is(err, store.ErrNotFound) {
		err = store.ErrConflict
	}
	if err != nil {
		return "", err
	}
	return versionOf(etags[0]), nil
}

// version begins the version of a letter; its ETag follows.
const version = "letter;"

func versionOf(etag azcore.ETag) string { return version + string(etag) }
