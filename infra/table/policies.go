package table

import (
	"context"
	"errors"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/infra/table/entity"
	"portcullis/infra/table/record"
)

// Policy reads one row.
func (s *Store) Policy(ctx context.Context, vm jit.ID) (store.PolicyRecord, error) {
	r, _, err := s.state.Get(ctx, live, policyRow(vm))
	if err != nil {
		return store.PolicyRecord{}, fmt.Errorf("policy of %s: %w", vm, err)
	}
	return policyRecordOf(r)
}

// policyRecordOf reads a policy with its version.
func policyRecordOf(r entity.Stored) (store.PolicyRecord, error) {
	rec, err := record.ReadPolicy(r)
	if err == nil {
		rec.Version = versionOf(r.ETag, placesOfPolicy(rec))
	}
	return rec, err
}

// EachPolicy reads the policies' range, 1,000 rows a page, and holds one page.
func (s *Store) EachPolicy(ctx context.Context, f func(store.PolicyRecord) error) error {
	for r, err := range s.state.Each(ctx, entity.In(live).Under(policyRows), entity.MaxPage) {
		if err != nil {
			return fmt.Errorf("list policies: %w", err)
		}
		p, err := policyRecordOf(r)
		if err == nil {
			err = f(p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// PutPolicy is one transaction, after one read where the targets or the name have changed.
func (s *Store) PutPolicy(ctx context.Context, p store.PolicyRecord) (store.PolicyRecord, error) {
	o, err := s.putting(ctx, p)
	if err != nil {
		return p, err
	}
	etags, err := s.state.Commit(ctx, o)
	if err != nil {
		return p, fmt.Errorf("store the policy of %s: %w", p.Policy.VM, err)
	}
	p.Version = versionOf(etags[0], placesOfPolicy(p))
	return p, nil
}

// putting gives the write of a policy by its version.
func (s *Store) putting(ctx context.Context, p store.PolicyRecord) (entity.Owned, error) {
	targets := targetsOfPolicy(p)
	if t, bad := twice(targets); bad {
		return entity.Owned{}, fmt.Errorf("store the policy of %s: target %s stands twice", p.Policy.VM, t)
	}
	o := entity.Owned{Head: entity.Op{Kind: entity.Add, Max: entity.InsertBytes}}
	if p.Version != "" {
		etag, gone, err := s.policyBefore(ctx, p)
		if err != nil {
			return o, fmt.Errorf("store the policy of %s: %w", p.Policy.VM, err)
		}
		o.Head = entity.Op{Kind: entity.Replace, ETag: etag}
		o.Rest = gone
	}
	return withPolicy(o, p)
}

// withPolicy completes the write of a policy: what stands in its row, its parts and their targets' marks.
func withPolicy(o entity.Owned, p store.PolicyRecord) (entity.Owned, error) {
	doc, err := record.Policy(p)
	if err != nil {
		return o, err
	}
	o.Head.Row = entity.Row{Partition: live, Key: policyRow(p.Policy.VM), Doc: doc}.Sign()
	o.Rest = append(o.Rest, entity.Op{Kind: entity.Put, Row: entity.Row{Partition: live, Key: namedRow(p), Doc: doc}})
	for i, at := range p.Placements {
		o.Rest = append(o.Rest,
			entity.Op{Kind: entity.Put, Row: entity.Row{Partition: live, Key: policyPartRow(at.Target, p.Policy.VM), Doc: doc.Part(i)}},
			markTarget(at.Target))
	}
	return o, nil
}

// DeletePolicy is one transaction, after one read where the record has other targets, or another name, than are stored.
func (s *Store) DeletePolicy(ctx context.Context, p store.PolicyRecord) error {
	o, err := s.deleting(ctx, p)
	if err == nil {
		_, err = s.state.Commit(ctx, o)
	}
	if err != nil {
		return fmt.Errorf("remove the policy of %s: %w", p.Policy.VM, err)
	}
	return nil
}

// deleting gives the removal of a policy by its version.
func (s *Store) deleting(ctx context.Context, p store.PolicyRecord) (entity.Owned, error) {
	if p.Version == "" {
		return entity.Owned{}, store.ErrConflict
	}
	etag, rest, err := s.policyBefore(ctx, p)
	if err != nil {
		return entity.Owned{}, err
	}
	doc, err := record.Policy(p)
	if err != nil {
		return entity.Owned{}, err
	}
	rest = append(rest, entity.Op{Kind: entity.Drop, Row: entity.Row{Partition: live, Key: namedRow(p)}})
	for _, t := range targetsOfPolicy(p) {
		rest = append(rest, entity.Op{Kind: entity.Drop, Row: entity.Row{Partition: live, Key: policyPartRow(t, p.Policy.VM)}})
	}
	head := entity.Op{Kind: entity.Remove, ETag: etag, Row: entity.Row{Partition: live, Key: policyRow(p.Policy.VM), Doc: doc}.Sign()}
	before := func(context.Context) (entity.Row, error) { return head.Row, nil }
	return entity.Owned{Head: head, Rest: rest, Before: before}, nil
}

// policyBefore gives the ETag by which a stored policy is written, and drops for
// its parts at targets that the record does not name, and for its row under another name.
func (s *Store) policyBefore(ctx context.Context, p store.PolicyRecord) (azcore.ETag, []entity.Op, error) {
	etag, same, ok := etagOf(p.Version, placesOfPolicy(p))
	if !ok {
		return "", nil, store.ErrConflict
	}
	if same {
		return etag, nil, nil
	}
	r, current, err := s.state.Get(ctx, live, policyRow(p.Policy.VM))
	if errors.Is(err, store.ErrNotFound) || err == nil && current != etag {
		return "", nil, store.ErrConflict
	}
	if err != nil {
		return "", nil, err
	}
	old, err := policyRecordOf(r)
	if err != nil {
		return "", nil, err
	}
	var gone []entity.Op
	if namedRow(old) != namedRow(p) {
		gone = append(gone, entity.Op{Kind: entity.Drop, Row: entity.Row{Partition: live, Key: namedRow(old)}})
	}
	for _, t := range without(targetsOfPolicy(old), targetsOfPolicy(p)) {
		gone = append(gone, entity.Op{Kind: entity.Drop, Row: entity.Row{Partition: live, Key: policyPartRow(t, p.Policy.VM)}})
	}
	return etag, gone, nil
}
