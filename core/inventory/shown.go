package inventory

import (
	"context"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// A store's continuation of a list of grants names the grant at which the page ends, which may be one that the caller may not
// read. So a page ends with one that is shown; where none of many is, the list goes on by time alone.
const (
	lookedThrough = 1000      // grants that one call looks through beyond a page of which none is shown
	byTime        = "before " // and the start of the grant at which to go on, that one included
)

// ListGrants is [store.History.ListGrants] of what the caller may read. A page may be
// shorter than asked for, and is not the last one while there is a cursor. Nothing in the cursor is of what he may not read.
func (s *Inventory) ListGrants(ctx context.Context, who jit.Caller, f store.GrantFilter, cursor string, limit int) ([]jit.Grant, string, error) {
	from := time.Time{}
	if at, ok := strings.CutPrefix(cursor, byTime); ok {
		var err error
		if from, err = time.Parse(time.RFC3339Nano, at); err != nil {
			return nil, "", badCursor()
		}
		if until := from.Add(time.Millisecond); f.To.IsZero() || until.Before(f.To) {
			f.To = until
		}
		cursor = ""
	}
	var grants []jit.Grant
	for _, size := range []int{limit, lookedThrough} {
		var next string
		var err error
		if grants, next, err = s.History.ListGrants(ctx, f, cursor, size); err != nil {
			return nil, "", err
		}
		out, last, err := s.visible(ctx, who, grants, limit)
		switch {
		case err != nil:
			return nil, "", err
		case len(out) > 0 && last < len(grants)-1:
			next, err = s.endingAt(ctx, f, cursor, grants[:last+1])
			return out, next, err
		case len(out) > 0 || next == "":
			return out, next, nil
		}
		cursor = next
	}
	if at := grants[len(grants)-1].Start; !at.Equal(from) {
		cursor = byTime + at.UTC().Format(time.RFC3339Nano)
	}
	return nil, cursor, nil
}

// visible returns what the caller may read of grants, at most limit of them, and where the last of them stands.
func (s *Inventory) visible(ctx context.Context, who jit.Caller, grants []jit.Grant, limit int) (out []jit.Grant, last int, err error) {
	for i, grant := range grants {
		shown, err := s.Permit.Visible(ctx, who, grant)
		if err != nil {
			return nil, 0, err
		}
		if len(shown.VMs) > 0 && len(out) < max(limit, 1) {
			out, last = append(out, shown), i
		}
	}
	return out, last, nil
}

// endingAt returns the continuation of a page that ends with the last of the grants, "" where nothing comes after it.
func (s *Inventory) endingAt(ctx context.Context, f store.GrantFilter, cursor string, grants []jit.Grant) (string, error) {
	again, next, err := s.History.ListGrants(ctx, f, cursor, len(grants))
	if err != nil {
		return "", err
	}
	if last := grants[len(grants)-1]; len(again) == 0 || again[len(again)-1].ID != last.ID { // the list has grown meanwhile
		return byTime + last.Start.UTC().Format(time.RFC3339Nano), nil
	}
	return next, nil
}
