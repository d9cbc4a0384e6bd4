package table

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"portcullis/core/jit"
	"portcullis/core/roster"
	"portcullis/core/store"
	"portcullis/infra/table/entity"
	"portcullis/infra/table/record"
)

// targetDoc marks a target as ours, or as one to look at that is not.
type targetDoc struct {
	V          int
	ID         string
	Remembered bool `json:",omitempty"`
}

// deniesDoc names the denies of ours that were last seen confirmed on a target.
type deniesDoc struct {
	V     int
	Names []string
}

// markTarget is written with every part, after it where they do not share a
// transaction: so its ETag changes with whatever comes to bear on the target, and Forget
// notices.
func markTarget(target jit.ID) entity.Op {
	return entity.Op{Kind: entity.Put, Row: entity.Row{Partition: live, Key: targetRow(target), Doc: targetDoc{V: entity.Version, ID: target.String()}}}
}

// State is one range query; where nothing bears on the target, one more read tells one that is ours from one that is not.
func (s *Store) State(ctx context.Context, target jit.ID) (roster.State, error) {
	rows, _, err := s.state.Query(ctx, entity.In(live).Under(partRows(target)), 0, 0)
	if err != nil {
		return roster.State{}, fmt.Errorf("state of %s: %w", target, err)
	}
	var state roster.State
	err = s.stated(ctx, target, rows, &state)
	return state, err
}

// stated reads what bears on a target from its rows.
func (s *Store) stated(ctx context.Context, target jit.ID, rows []entity.Stored, state *roster.State) (err error) {
	*state, err = s.parts.stateOf(target, rows, func() (entity.Stored, error) {
		r, _, err := s.state.Get(ctx, live, targetRow(target))
		return r, err
	})
	return err
}

// policyParts remembers what the policies' rows said when they were read last: each request reads all of its target's, and few change.
// A row is taken for what is remembered only where its text is the same. The zero value is empty.
type policyParts struct {
	mu   sync.Mutex
	read map[string]policyPart // by row key
}

type policyPart struct {
	text string
	says roster.Protected // shared; nobody changes it
}

// mostPolicyParts bounds what is remembered, some 4 MiB.
const mostPolicyParts = 4096

func (c *policyParts) of(r entity.Stored) (roster.Protected, error) {
	c.mu.Lock()
	known, found := c.read[r.Key]
	c.mu.Unlock()
	if found && known.text == r.Text {
		return known.says, nil
	}
	p, err := record.ReadPolicyPart(r)
	if err != nil {
		return p, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.read == nil || len(c.read) >= mostPolicyParts {
		c.read = map[string]policyPart{}
	}
	c.read[r.Key] = policyPart{r.Text, p}
	return p, nil
}

// stateOf reads what bears on a target from its rows, and its mark where there are none.
func (c *policyParts) stateOf(target jit.ID, rows []entity.Stored, mark func() (entity.Stored, error)) (roster.State, error) {
	state := roster.State{Known: true}
	for _, r := range rows {
		switch {
		case r.Key == deniesRow(target):
			var d deniesDoc
			if err := r.Read(&d); err != nil {
				return roster.State{}, err
			}
			state.Confirmed = d.Names
		case strings.HasPrefix(r.Key, partRows(target)+policyRows):
			p, err := c.of(r)
			if err != nil {
				return roster.State{}, err
			}
			state.Policies = append(state.Policies, p)
		default:
			o, err := record.ReadGrantPart(r)
			if err != nil {
				return roster.State{}, err
			}
			state.Openings = append(state.Openings, o)
		}
	}
	if len(state.Policies)+len(state.Openings) == 0 {
		var d targetDoc
		r, err := mark()
		if errors.Is(err, store.ErrNotFound) {
			return roster.State{}, nil
		}
		if err == nil {
			err = r.Read(&d)
		}
		if err != nil {
			return roster.State{}, fmt.Errorf("state of %s: %w", target, err)
		}
		state.Known = !d.Remembered
	}
	slices.SortFunc(state.Policies, func(a, b roster.Protected) int { return cmp.Compare(a.Policy.VM.Key(), b.Policy.VM.Key()) })
	slices.SortFunc(state.Openings, func(a, b roster.Opening) int { return byStart(a.Grant, b.Grant) })
	return state, nil
}

func byStart(a, b jit.Grant) int { return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.ID, b.ID)) }

// Known reads the targets' range, 1,000 rows a page.
func (s *Store) Known(ctx context.Context) ([]jit.ID, error) {
	rows, _, err := s.state.Query(ctx, entity.In(live).Under(targetRows), 0, 0)
	if err != nil {
		return nil, fmt.Errorf("list targets: %w", err)
	}
	var out []jit.ID
	for _, r := range rows {
		var d targetDoc
		if err := r.Read(&d); err != nil {
			return nil, err
		}
		id, err := entity.IDOf(d.ID)
		if err != nil {
			return nil, fmt.Errorf("read entity %s: %w", r.Key, err)
		}
		out = append(out, id)
	}
	slices.SortFunc(out, func(a, b jit.ID) int { return cmp.Compare(a.Key(), b.Key()) })
	return out, nil
}

// Remember writes the mark anew also where it stands: its ETag tells a Forget under way.
func (s *Store) Remember(ctx context.Context, target jit.ID) error {
	wrap := func(err error) error { return fmt.Errorf("remember %s: %w", target, err) }
	mark := entity.Row{Partition: live, Key: targetRow(target)}
	for range remembering {
		r, etag, err := s.state.Get(ctx, live, mark.Key)
		o := entity.Op{Kind: entity.Add}
		doc := targetDoc{V: entity.Version, ID: target.String(), Remembered: true}
		switch {
		case err == nil:
			doc = targetDoc{}
			if err := r.Read(&doc); err != nil {
				return wrap(err)
			}
			o = entity.Op{Kind: entity.Replace, ETag: etag}
		case !errors.Is(err, store.ErrNotFound):
			return wrap(err)
		}
		mark.Doc = doc
		o.Row = mark
		_, err = s.state.Submit(ctx, []entity.Op{o})
		if err == nil {
			return nil
		}
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
			return wrap(err)
		}
	}
	return wrap(&store.Unavailable{Dependency: entity.Dependency, Err: fmt.Errorf("%w, %d times in a row", store.ErrConflict, remembering)})
}

// remembering bounds how often Remember begins again after somebody else wrote first.
const remembering = 8

// Forget reads the mark, then looks for one part, then asks, then removes the mark by the
// ETag it read. A part that comes in between writes the mark anew, so that it stays.
func (s *Store) Forget(ctx context.Context, target jit.ID, clear func(context.Context) (bool, error)) error {
	r, etag, err := s.state.Get(ctx, live, targetRow(target))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("forget %s: %w", target, err)
	}
	rows, _, err := s.state.Query(ctx, entity.In(live).Under(partRows(target)), 2, 0)
	if err != nil {
		return fmt.Errorf("forget %s: %w", target, err)
	}
	gone := []entity.Op{{Kind: entity.Remove, ETag: etag, Row: entity.Row{Partition: live, Key: r.Key}}}
	for _, r := range rows {
		if r.Key != deniesRow(target) {
			return nil
		}
		gone = append(gone, entity.Op{Kind: entity.Drop, Row: entity.Row{Partition: live, Key: r.Key}})
	}
	if ok, err := clear(ctx); !ok || err != nil {
		return err
	}
	_, err = s.state.Submit(ctx, gone)
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// Confirm is a read and a conditional write of a row of its own among the target's parts, where State
// finds it without asking for more.
func (s *Store) Confirm(ctx context.Context, target jit.ID, was, denies []string) error {
	wrap := func(err error) error { return fmt.Errorf("note what is confirmed on %s: %w", target, err) }
	r, etag, err := s.state.Get(ctx, live, deniesRow(target))
	stands := err == nil
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return wrap(err)
	}
	var old deniesDoc
	if stands {
		if err := r.Read(&old); err != nil {
			return wrap(err)
		}
	}
	if !slices.Equal(old.Names, was) {
		return wrap(store.ErrConflict)
	}
	o := entity.Op{Kind: entity.Add, Row: entity.Row{Partition: live, Key: deniesRow(target), Doc: deniesDoc{V: entity.Version, Names: denies}}}
	switch {
	case stands && len(denies) == 0:
		o.Kind, o.ETag = entity.Remove, etag
	case stands:
		o.Kind, o.ETag = entity.Replace, etag
	case len(denies) == 0:
		return nil
	}
	if _, err := s.state.Submit(ctx, []entity.Op{o}); err != nil {
		if errors.Is(err, store.ErrNotFound) { // removed since it was read
			err = store.ErrConflict
		}
		return wrap(err)
	}
	return nil
}
