package table

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"portcullis/core/doctor"
	"portcullis/core/store"
	"portcullis/infra/table/entity"
)

var _ doctor.Rows = (*Store)(nil)

// The rows of the doctor.
const (
	rowTry    = "doctor|try"
	rowAnswer = "doctor|wake"
)

// tryDoc is what every look at the table writes. Its numbers say nothing.
type tryDoc struct {
	V     int
	Looks int
}

// wakeDoc is the last wake-up of a doctor's that came to another instance than its own.
type wakeDoc struct {
	V    int
	Wake string
	Came entity.Stamp
}

// Try reads one row and writes it on the condition of what was read: two operations.
func (s *Store) Try(ctx context.Context) (time.Time, error) {
	var resp *http.Response
	o := entity.Op{Kind: entity.Add, Row: entity.Row{Partition: live, Key: rowTry, Doc: tryDoc{V: entity.Version}}}
	r, etag, err := s.state.Get(policy.WithCaptureResponse(ctx, &resp), live, rowTry)
	if err == nil {
		var d tryDoc
		if err = r.Read(&d); err == nil {
			d.Looks++
			o.Kind, o.ETag, o.Row.Doc = entity.Replace, etag, d
		}
	} else if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	var at time.Time
	if resp != nil {
		at, _ = http.ParseTime(resp.Header.Get("Date")) // zero where it names none
	}
	if err == nil {
		_, err = s.state.Submit(ctx, []entity.Op{o})
	}
	if errors.Is(err, store.ErrConflict) {
		err = nil // another instance wrote between the two: the table kept the condition
	}
	if err != nil {
		return at, fmt.Errorf("try the table: %w", err)
	}
	return at, nil
}

// Answer is one write of one row, whatever stands there: the last is right.
func (s *Store) Answer(ctx context.Context, wake string, at time.Time) error {
	o := entity.Op{Kind: entity.Put, Row: entity.Row{Partition: live, Key: rowAnswer, Doc: wakeDoc{V: entity.Version, Wake: wake, Came: entity.Stamp(at)}}}
	if _, err := s.state.Submit(ctx, []entity.Op{o}); err != nil {
		return fmt.Errorf("store that a wake-up came: %w", err)
	}
	return nil
}

// Answered reads one row.
func (s *Store) Answered(ctx context.Context) (string, time.Time, error) {
	r, _, err := s.state.Get(ctx, live, rowAnswer)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("read which wake-up came: %w", err)
	}
	var d wakeDoc
	if err := r.Read(&d); err != nil {
		return "", time.Time{}, err
	}
	return d.Wake, time.Time(d.Came), nil
}
