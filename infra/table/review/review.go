// Package review stores the reviews of break-glass as rows of the partition with the live state, so that a grant and the review that it owes
// are written in one transaction. docs/decisions/050-one-review-is-owed-at-a-time.md says why.
//
//	review|owed|<person>   the review that a person owes: there is one such row for each, so that two requests at once cannot both have it
//	review|of|<grant>      what was written about a grant
//
// It decides nothing of who owes or writes a review.
package review

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/infra/table/entity"
)

var _ store.Reviews = (*Ledger)(nil)

// Ledger is the reviews in one partition of a table.
type Ledger struct {
	Table     entity.Table
	Partition string
}

const (
	owedRows    = "review|owed|"
	writtenRows = "review|of|"
)

// doc is a review as it is stored.
type doc struct {
	V           int
	Grant       string
	RequestorID string
	Requestor   string
	Kind        string
	Since       entity.Stamp
	VM          string
	Text        string `json:",omitempty"`
	Reviewer    string `json:",omitempty"`
	ReviewerID  string `json:",omitempty"`
	At          entity.Stamp
}

func owedKey(person string) string { return owedRows + entity.Digest(person) }

func (l *Ledger) row(key string, r store.Review) (entity.Row, error) {
	vm, err := entity.IDText(r.VM)
	if err != nil {
		return entity.Row{}, err
	}
	if r.Grant == "" || r.RequestorID == "" {
		return entity.Row{}, errors.New("a review is of a grant whose requestor has an id")
	}
	return entity.Row{Partition: l.Partition, Key: key, Doc: doc{V: entity.Version, Grant: r.Grant, RequestorID: r.RequestorID, Requestor: r.Requestor, Kind: string(r.BreakGlass),
		Since: entity.Stamp(r.Since), VM: vm, Text: r.Text, Reviewer: r.Reviewer, ReviewerID: r.ReviewerID, At: entity.Stamp(r.At)}}.Sign(), nil
}

func read(r entity.Stored, etag azcore.ETag) (store.Review, error) {
	var d doc
	if err := r.Read(&d); err != nil {
		return store.Review{}, err
	}
	vm, err := entity.IDOf(d.VM)
	if err != nil {
		return store.Review{}, fmt.Errorf("read entity %s: %w", r.Key, err)
	}
	out := store.Review{Grant: d.Grant, RequestorID: d.RequestorID, Requestor: d.Requestor, BreakGlass: jit.BreakGlass(d.Kind), Since: time.Time(d.Since), VM: vm,
		Text: d.Text, Reviewer: d.Reviewer, ReviewerID: d.ReviewerID, At: time.Time(d.At)}
	if out.Owed() {
		out.Version = version + string(etag)
	}
	return out, nil
}

// version begins the version of a review that is owed; its ETag follows.
const version = "review;"

func etagOf(of string) (azcore.ETag, bool) {
	etag, ok := strings.CutPrefix(of, version)
	return azcore.ETag(etag), ok && etag != ""
}

// Owing returns the operation that stores what a new grant owes, none for one that is no break-glass: the row must not exist, or be the one that
// the grant settles.
func (l *Ledger) Owing(g store.GrantRecord) ([]entity.Op, error) {
	if g.Grant.BreakGlass == jit.NoBreakGlass {
		return nil, nil
	}
	row, err := l.row(owedKey(g.Grant.RequestorID), store.ReviewOf(g.Grant))
	o := entity.Op{Kind: entity.Add, Row: row}
	if g.Settles != "" {
		etag, known := etagOf(g.Settles)
		if !known {
			return nil, store.ErrConflict
		}
		o.Kind, o.ETag = entity.Replace, etag
	}
	return []entity.Op{o}, err
}

// OwedBy reads one row.
func (l *Ledger) OwedBy(ctx context.Context, person string) (store.Review, error) {
	return l.get(ctx, owedKey(person))
}

// WrittenReview reads one row.
func (l *Ledger) WrittenReview(ctx context.Context, grant string) (store.Review, error) {
	return l.get(ctx, writtenRows+entity.Safe(grant))
}

func (l *Ledger) get(ctx context.Context, key string) (store.Review, error) {
	r, etag, err := l.Table.Get(ctx, l.Partition, key)
	if err != nil {
		return store.Review{}, fmt.Errorf("read a review: %w", err)
	}
	return read(r, etag)
}

// OwedReviews is one query.
func (l *Ledger) OwedReviews(ctx context.Context) ([]store.Review, error) {
	rows, _, err := l.Table.Query(ctx, entity.In(l.Partition).Under(owedRows), 0, 0)
	if err != nil {
		return nil, fmt.Errorf("list the reviews that are owed: %w", err)
	}
	var out []store.Review
	for _, row := range rows {
		r, err := read(row, row.ETag)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b store.Review) int { return a.Since.Compare(b.Since) })
	return out, nil
}

// WriteReview is one transaction, which removes the row of what is owed on the condition of its ETag.
func (l *Ledger) WriteReview(ctx context.Context, r store.Review) error {
	if r.Owed() {
		return errors.New("store a review: it says nothing")
	}
	row, err := l.row(writtenRows+entity.Safe(r.Grant), r)
	if err == nil {
		err = l.settle(ctx, r, entity.Op{Kind: entity.Add, Row: row})
	}
	if err != nil {
		return fmt.Errorf("store the review of %s: %w", r.Grant, err)
	}
	return nil
}

// DropReview is one write.
func (l *Ledger) DropReview(ctx context.Context, r store.Review) error {
	if err := l.settle(ctx, r); err != nil {
		return fmt.Errorf("drop the review of %s: %w", r.Grant, err)
	}
	return nil
}

// settle removes the row of what is owed, with what else is written.
func (l *Ledger) settle(ctx context.Context, r store.Review, with ...entity.Op) error {
	etag, known := etagOf(r.Version)
	if !known {
		return store.ErrConflict
	}
	gone := entity.Op{Kind: entity.Remove, ETag: etag, Row: entity.Row{Partition: l.Partition, Key: owedKey(r.RequestorID)}}
	_, err := l.Table.Submit(ctx, append(with, gone))
	if errors.Is(err, store.ErrNotFound) {
		return store.ErrConflict
	}
	return err
}
