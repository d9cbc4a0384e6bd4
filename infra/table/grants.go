package table

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/infra/table/entity"
	"portcullis/infra/table/record"
)

// closedVersion is the version of every grant that is history: no write has it for its condition.
const closedVersion = "closed"

// InsertGrant is one transaction. It reads keys only where that meets a row that exists.
func (s *Store) InsertGrant(ctx context.Context, g store.GrantRecord, keys []store.Key, now time.Time) (store.GrantRecord, error) {
	wrap := func(err error) error { return fmt.Errorf("store grant %s: %w", g.Grant.ID, err) }
	if g.Version != "" {
		return g, wrap(store.ErrConflict)
	}
	if err := storable(g); err != nil {
		return g, wrap(err)
	}
	if g.Grant.Closed() {
		return g, wrap(errors.New("a new grant must have a window that is not closed"))
	}
	o := entity.Owned{Head: entity.Op{Kind: entity.Add, Max: entity.InsertBytes}}
	var err error
	if o.Head.Row, err = grantHead(g); err != nil {
		return g, wrap(err)
	}
	first, parts, err := s.grantRest(g)
	if err != nil {
		return g, wrap(err)
	}
	claims, err := newClaims(keys)
	if err != nil {
		return g, wrap(err)
	}
	for range 3 {
		// What is first is in the transaction that decides, where the grant does not fit in one.
		o.Rest = slices.Concat(first, rows(claims), parts)
		etags, err := s.state.Commit(ctx, o)
		if err == nil {
			g.Version, g.Tell, g.Decided, g.Settles = versionOf(etags[0], placesOfGrant(g)), nil, "", ""
			return g, nil
		}
		err = s.Explain(ctx, g.Decided, err)
		if !errors.Is(err, store.ErrConflict) {
			return g, wrap(err)
		}
		next, changed, failed := s.reclaim(ctx, claims, keys, now)
		if failed != nil {
			return g, wrap(failed)
		}
		if !changed {
			return g, wrap(err)
		}
		claims = next
	}
	return g, wrap(store.ErrConflict)
}

// grantRest gives what is written with the row of an open grant: where lists find it, what it tells and what a new one owes, which come first, and its parts.
func (s *Store) grantRest(g store.GrantRecord) (first, parts []entity.Op, err error) {
	listed, err := listGrant(g.Grant)
	if err != nil {
		return nil, nil, err
	}
	letters, err := s.Ops(g.Tell)
	if err != nil {
		return nil, nil, err
	}
	first = append([]entity.Op{listed}, letters...)
	if g.Decided != "" {
		first = append(first, s.Gate(g.Decided))
	}
	if g.Version == "" { // a new one
		owed, err := s.Owing(g)
		if err != nil {
			return nil, nil, err
		}
		first = append(first, owed...)
	}
	parts, err = grantParts(g)
	return first, parts, err
}

// storable refuses a record that the layout could not hold.
func storable(g store.GrantRecord) error {
	if g.Grant.ID == "" {
		return errors.New("it has no id")
	}
	if t, bad := twice(targetsOfGrant(g)); bad {
		return fmt.Errorf("target %s stands twice", t)
	}
	return entity.ValidTime(g.Grant.Start)
}

func grantHead(g store.GrantRecord) (entity.Row, error) {
	doc, err := record.Grant(g)
	if err != nil {
		return entity.Row{}, err
	}
	return entity.Row{Partition: live, Key: grantRow(g.Grant.ID), Columns: grantColumns(g.Grant), Doc: doc}.Sign(), nil
}

// listGrant writes an open grant where lists find it: by its start, the newest first. It is a copy of what lists give, written
// with every change of the grant.
func listGrant(g jit.Grant) (entity.Op, error) {
	doc, err := record.Listed(g)
	return entity.Op{Kind: entity.Put, Row: entity.Row{Partition: live, Key: openRow(g.Start, g.ID), Columns: grantColumns(g), Doc: doc}}, err
}

// unlistGrant removes a grant from the list.
func unlistGrant(g jit.Grant) entity.Op {
	return entity.Op{Kind: entity.Drop, Row: entity.Row{Partition: live, Key: openRow(g.Start, g.ID)}}
}

// grantColumns are what a GrantFilter looks at.
func grantColumns(g jit.Grant) map[string]any {
	columns := map[string]any{"Start": entity.Column(g.Start), "Status": g.Status().String(), "Requestor": entity.ColumnText(store.FoldName(g.Requestor)),
		"Object": entity.ColumnText(jit.Caller{ID: g.RequestorID}.Actor().Object)}
	for _, vm := range g.VMs {
		columns[vmColumn(vm.VM.Key())] = true
	}
	return columns
}

// vmColumn names the flag that a grant's row has for each of its machines: a
// filter cannot look into a list. jit.MaxVMs of them leave room for the document.
func vmColumn(key string) string { return "Vm" + entity.Digest(key)[:16] }

// grantParts are the grant as it bears on each target, with the targets' marks.
func grantParts(g store.GrantRecord) ([]entity.Op, error) {
	var ops []entity.Op
	for _, p := range g.Placements {
		doc, err := record.GrantPart(g.Grant, p)
		if err != nil {
			return nil, err
		}
		ops = append(ops, entity.Op{Kind: entity.Put, Row: entity.Row{Partition: live, Key: grantPartRow(p.Target, g.Grant.ID), Doc: doc}}, markTarget(p.Target))
	}
	return ops, nil
}

// UpdateGrants is one transaction, after one that inserts the closed ones into
// history, and after one read for each grant whose targets have changed. It is all or none
// while it concerns at most 100 rows (for each open grant two and two for each
// target, for a closed one two and one for each target, and one for each letter and for the holds by which it was decided); a longer one writes the grants in their
// order, each by itself all or none, so that an error may leave the first ones written.
func (s *Store) UpdateGrants(ctx context.Context, gs ...store.GrantRecord) ([]store.GrantRecord, error) {
	var all []entity.Owned
	var closed []closing
	seen := map[string]bool{}
	for _, g := range gs {
		wrap := func(err error) error { return fmt.Errorf("store grant %s: %w", g.Grant.ID, err) }
		if seen[g.Grant.ID] {
			return nil, wrap(errors.New("it stands twice"))
		}
		seen[g.Grant.ID] = true
		o, err := s.grantUpdate(ctx, g)
		if err != nil {
			return nil, wrap(err)
		}
		all = append(all, o)
		if g.Grant.Closed() {
			c, err := newClosing(g, o.Head.ETag)
			if err != nil {
				return nil, wrap(err)
			}
			closed = append(closed, c)
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	if err := s.record(ctx, closed); err != nil {
		return nil, fmt.Errorf("move grants to history: %w", err)
	}
	etags, err := s.state.Commit(ctx, all...)
	if err != nil {
		return nil, fmt.Errorf("store grants: %w", s.heldAnew(ctx, gs, err))
	}
	out := slices.Clone(gs)
	for i := range out {
		out[i].Version, out[i].Tell, out[i].Decided = versionOf(etags[i], placesOfGrant(out[i])), nil, ""
		if out[i].Grant.Closed() {
			out[i].Version = closedVersion
		}
	}
	return out, nil
}

// heldAnew explains why grants were not stored.
func (s *Store) heldAnew(ctx context.Context, gs []store.GrantRecord, err error) error {
	for _, g := range gs {
		err = s.Explain(ctx, g.Decided, err)
	}
	return err
}

// NoteConfirmed is one write of the grant's own row, however many targets it has: its parts do not say what is confirmed.
func (s *Store) NoteConfirmed(ctx context.Context, g store.GrantRecord) (store.GrantRecord, error) {
	wrap := func(err error) error { return fmt.Errorf("note what has confirmed grant %s: %w", g.Grant.ID, err) }
	etag, same, ok := etagOf(g.Version, placesOfGrant(g))
	switch {
	case !ok || g.Grant.Closed():
		return g, wrap(store.ErrConflict)
	case !same: // more than that has changed
		out, err := s.UpdateGrants(ctx, g)
		if err != nil {
			return g, err
		}
		return out[0], nil
	}
	head, err := grantHead(g)
	if err != nil {
		return g, wrap(err)
	}
	etags, err := s.state.Submit(ctx, []entity.Op{{Kind: entity.Replace, ETag: etag, Row: head}})
	if errors.Is(err, store.ErrNotFound) { // it has closed
		err = store.ErrConflict
	}
	if err != nil {
		return g, wrap(err)
	}
	g.Version = versionOf(etags[0], placesOfGrant(g))
	return g, nil
}

// grantUpdate gives what an update of one grant writes to the State table.
func (s *Store) grantUpdate(ctx context.Context, g store.GrantRecord) (entity.Owned, error) {
	if err := storable(g); err != nil {
		return entity.Owned{}, err
	}
	etag, gone, err := s.grantBefore(ctx, g)
	if err != nil {
		return entity.Owned{}, err
	}
	o := entity.Owned{Head: entity.Op{Kind: entity.Replace, ETag: etag}}
	if o.Head.Row, err = grantHead(g); err != nil {
		return entity.Owned{}, err
	}
	if g.Grant.Closed() {
		o.Head.Kind = entity.Remove
		o.Before = func(ctx context.Context) (entity.Row, error) { return s.openHead(ctx, g.Grant.ID) }
		letters, err := s.Ops(g.Tell)
		if err != nil {
			return o, err
		}
		o.Rest = slices.Concat([]entity.Op{unlistGrant(g.Grant)}, letters, gone)
		for _, t := range targetsOfGrant(g) {
			o.Rest = append(o.Rest, entity.Op{Kind: entity.Drop, Row: entity.Row{Partition: live, Key: grantPartRow(t, g.Grant.ID)}})
		}
		return o, nil
	}
	first, parts, err := s.grantRest(g)
	o.Rest = slices.Concat(first, gone, parts)
	return o, err
}

// openHead gives the row of an open grant as it stands.
func (s *Store) openHead(ctx context.Context, id string) (entity.Row, error) {
	r, _, err := s.state.Get(ctx, live, grantRow(id))
	if errors.Is(err, store.ErrNotFound) {
		err = store.ErrConflict
	}
	if err != nil {
		return entity.Row{}, err
	}
	g, err := record.ReadGrant(r)
	if err != nil {
		return entity.Row{}, err
	}
	return grantHead(g)
}

// grantBefore gives the ETag by which a stored grant is written, and drops for its
// parts at targets that the record does not name.
func (s *Store) grantBefore(ctx context.Context, g store.GrantRecord) (azcore.ETag, []entity.Op, error) {
	etag, same, ok := etagOf(g.Version, placesOfGrant(g))
	if !ok {
		return "", nil, store.ErrConflict
	}
	if same {
		return etag, nil, nil
	}
	r, current, err := s.state.Get(ctx, live, grantRow(g.Grant.ID))
	if errors.Is(err, store.ErrNotFound) || err == nil && current != etag {
		return "", nil, store.ErrConflict
	}
	if err != nil {
		return "", nil, err
	}
	old, err := record.ReadGrant(r)
	if err != nil {
		return "", nil, err
	}
	var gone []entity.Op
	for _, t := range without(targetsOfGrant(old), targetsOfGrant(g)) {
		gone = append(gone, entity.Op{Kind: entity.Drop, Row: entity.Row{Partition: live, Key: grantPartRow(t, g.Grant.ID)}})
	}
	return etag, gone, nil
}

// Grant reads the open grant, and where there is none its row in history: two
// reads, or four where the id does not tell the grant's start. A grant is in history before it leaves
// the open ones, so that it is never in neither.
func (s *Store) Grant(ctx context.Context, id string) (store.GrantRecord, error) {
	r, etag, err := s.state.Get(ctx, live, grantRow(id))
	if errors.Is(err, store.ErrNotFound) {
		return s.closedGrant(ctx, id)
	}
	if err != nil {
		return store.GrantRecord{}, fmt.Errorf("grant %s: %w", id, err)
	}
	g, err := record.ReadGrant(r)
	g.Version = versionOf(etag, placesOfGrant(g))
	return g, err
}

// OpenGrants reads the grants' range, 1,000 rows a page.
func (s *Store) OpenGrants(ctx context.Context) ([]store.GrantRecord, error) {
	rows, _, err := s.state.Query(ctx, entity.In(live).Under(grantRows), 0, 0)
	if err != nil {
		return nil, fmt.Errorf("list open grants: %w", err)
	}
	var out []store.GrantRecord
	for _, r := range rows {
		g, err := record.ReadGrant(r)
		if err != nil {
			return nil, err
		}
		g.Version = versionOf(r.ETag, placesOfGrant(g))
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b store.GrantRecord) int { return byStart(a.Grant, b.Grant) })
	return out, nil
}
