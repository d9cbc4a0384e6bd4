package table

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"portcullis/core/access"
	"portcullis/core/jit"
	"portcullis/core/plan"
)

// targetDoc marks a target as ours.
type targetDoc struct {
	V  int
	ID string
}

// markTarget is written with every part, after it where they do not share a
// transaction: so its ETag changes with whatever comes to bear on the target, and Forget
// notices.
func markTarget(target jit.ID) op {
	return op{kind: put, row: row{partition: live, key: targetRow(target), doc: targetDoc{V: version, ID: target.String()}}}
}

// State is one range query; where that is empty, one more read tells a target
// with nothing on it from one that is not ours.
func (s *Store) State(ctx context.Context, target jit.ID) (plan.State, error) {
	rows, _, err := s.query(ctx, s.state, in(live).under(partRows(target)), 0, 0)
	if err != nil {
		return plan.State{}, fmt.Errorf("state of %s: %w", target, err)
	}
	if len(rows) == 0 {
		_, _, err := s.get(ctx, s.state, live, targetRow(target))
		if errors.Is(err, access.ErrNotFound) {
			return plan.State{}, nil
		}
		if err != nil {
			return plan.State{}, fmt.Errorf("state of %s: %w", target, err)
		}
	}
	state := plan.State{Known: true}
	for _, r := range rows {
		if strings.HasPrefix(r.key, partRows(target)+policyRows) {
			p, err := r.policyPart()
			if err != nil {
				return plan.State{}, err
			}
			state.Policies = append(state.Policies, p)
			continue
		}
		o, err := r.grantPart()
		if err != nil {
			return plan.State{}, err
		}
		state.Openings = append(state.Openings, o)
	}
	slices.SortFunc(state.Policies, func(a, b plan.Protected) int { return cmp.Compare(a.Policy.VM.Key(), b.Policy.VM.Key()) })
	slices.SortFunc(state.Openings, func(a, b plan.Opening) int { return byStart(a.Grant, b.Grant) })
	return state, nil
}

func byStart(a, b jit.Grant) int { return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.ID, b.ID)) }

// Known reads the targets' range, 1,000 rows a page.
func (s *Store) Known(ctx context.Context) ([]jit.ID, error) {
	rows, _, err := s.query(ctx, s.state, in(live).under(targetRows), 0, 0)
	if err != nil {
		return nil, fmt.Errorf("list targets: %w", err)
	}
	var out []jit.ID
	for _, r := range rows {
		var d targetDoc
		if err := r.read(&d); err != nil {
			return nil, err
		}
		id, err := idOf(d.ID)
		if err != nil {
			return nil, fmt.Errorf("read entity %s: %w", r.key, err)
		}
		out = append(out, id)
	}
	slices.SortFunc(out, func(a, b jit.ID) int { return cmp.Compare(a.Key(), b.Key()) })
	return out, nil
}

// Forget reads the mark, then looks for one part, then removes the mark by the
// ETag it read. A part that comes in between writes the mark anew, so that it stays.
func (s *Store) Forget(ctx context.Context, target jit.ID) error {
	r, etag, err := s.get(ctx, s.state, live, targetRow(target))
	if errors.Is(err, access.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("forget %s: %w", target, err)
	}
	parts, _, err := s.query(ctx, s.state, in(live).under(partRows(target)), 1, 0)
	if err != nil || len(parts) > 0 {
		return err
	}
	_, err = s.submit(ctx, s.state, []op{{kind: remove, etag: etag, row: row{partition: live, key: r.key}}})
	if errors.Is(err, access.ErrConflict) || errors.Is(err, access.ErrNotFound) {
		return nil
	}
	return err
}
