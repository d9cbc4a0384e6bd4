// Package position stores how far the activity log has been streamed, as one row of the partition with the live state. It is a row of its own, which
// no request reads or writes.
//
// It proves nothing: whoever may write the account may put it back or ahead. Outside that shows as entries that come again, or not at all (docs/audit.md).
package position

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"portcullis/core/store"
	"portcullis/infra/table/entity"
)

var _ store.Streams = (*Row)(nil)

// Row is the record in one partition of a table.
type Row struct {
	Table     entity.Table
	Partition string
}

// key is the row's.
const key = "stream"

type doc struct {
	V         int
	Lease     entity.Stamp
	Ran       entity.Stamp
	Failing   entity.Stamp
	Tries     int          `json:",omitempty"`
	Next      entity.Stamp `json:",omitzero"`
	LastError string       `json:",omitempty"`
	Days      []dayDoc
}

type dayDoc struct {
	Day    entity.Stamp
	Until  entity.Stamp
	Chains []chainDoc
}

type chainDoc struct {
	Subscription string
	Seq          int
	Hash         string
	Time         entity.Stamp
	StatedSeq    int
	StatedHash   string
	Missing      int `json:",omitempty"`
	Rewritten    int `json:",omitempty"`
}

// Stream is one read.
func (p *Row) Stream(ctx context.Context) (store.StreamRecord, error) {
	r, etag, err := p.Table.Get(ctx, p.Partition, key)
	if err != nil {
		return store.StreamRecord{}, fmt.Errorf("read how far the log is streamed: %w", err)
	}
	var d doc
	if err := r.Read(&d); err != nil {
		return store.StreamRecord{}, err
	}
	out := store.StreamRecord{Lease: time.Time(d.Lease), Ran: time.Time(d.Ran), Failing: time.Time(d.Failing), Tries: d.Tries, Next: time.Time(d.Next), LastError: d.LastError, Version: version + string(etag)}
	for _, day := range d.Days {
		s := store.StreamDay{Day: time.Time(day.Day), Until: time.Time(day.Until)}
		for _, c := range day.Chains {
			s.Chains = append(s.Chains, store.StreamChain{Subscription: c.Subscription, Head: store.Head{Entries: c.Seq, Hash: c.Hash}, Time: time.Time(c.Time),
				Stated: store.Head{Entries: c.StatedSeq, Hash: c.StatedHash}, Missing: c.Missing, Rewritten: c.Rewritten})
		}
		out.Days = append(out.Days, s)
	}
	return out, nil
}

// PutStream is one write, on the condition of the record's version.
func (p *Row) PutStream(ctx context.Context, r store.StreamRecord) (store.StreamRecord, error) {
	wrap := func(err error) (store.StreamRecord, error) {
		return r, fmt.Errorf("store how far the log is streamed: %w", err)
	}
	d := doc{V: entity.Version, Lease: entity.Stamp(r.Lease), Ran: entity.Stamp(r.Ran), Failing: entity.Stamp(r.Failing), Tries: r.Tries, Next: entity.Stamp(r.Next), LastError: r.LastError}
	for _, day := range r.Days {
		s := dayDoc{Day: entity.Stamp(day.Day), Until: entity.Stamp(day.Until)}
		for _, c := range day.Chains {
			s.Chains = append(s.Chains, chainDoc{Subscription: c.Subscription, Seq: c.Entries, Hash: c.Hash, Time: entity.Stamp(c.Time),
				StatedSeq: c.Stated.Entries, StatedHash: c.Stated.Hash, Missing: c.Missing, Rewritten: c.Rewritten})
		}
		d.Days = append(d.Days, s)
	}
	o := entity.Op{Kind: entity.Add, Row: entity.Row{Partition: p.Partition, Key: key, Doc: d}.Sign()}
	if r.Version != "" {
		etag, ok := strings.CutPrefix(r.Version, version)
		if !ok || etag == "" {
			return wrap(store.ErrConflict)
		}
		o.Kind, o.ETag = entity.Replace, azcore.ETag(etag)
	}
	etags, err := p.Table.Submit(ctx, []entity.Op{o})
	if errors.Is(err, store.ErrNotFound) {
		err = store.ErrConflict
	}
	if err != nil {
		return wrap(err)
	}
	r.Version = version + string(etags[0])
	return r, nil
}

// version begins the version of a record; its ETag follows.
const version = "stream;"
