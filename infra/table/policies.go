package table

import (
	"context"
	"errors"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// Policy reads one row.
func (s *Store) Policy(ctx context.Context, vm jit.ID) (store.PolicyRecord, error) {
	r, _, err := s.get(ctx, s.state, live, policyRow(vm))
	if err != nil {
		return store.PolicyRecord{}, fmt.Errorf("policy of %s: %w", vm, err)
	}
	return r.policy()
}

// EachPolicy reads the policies' range, 1,000 rows a page, and holds one page.
func (s *Store) EachPolicy(ctx context.Context, f func(store.PolicyRecord) error) error {
	for r, err := range s.each(ctx, s.state, in(live).under(policyRows), maxPage) {
		if err != nil {
			return fmt.Errorf("list policies: %w", err)
		}
		p, err := r.policy()
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
	targets := targetsOfPolicy(p)
	if t, bad := twice(targets); bad {
		return p, fmt.Errorf("store the policy of %s: target %s stands twice", p.Policy.VM, t)
	}
	o := owned{head: op{kind: add, max: insertBytes}}
	if p.Version != "" {
		etag, gone, err := s.policyBefore(ctx, p)
		if err != nil {
			return p, fmt.Errorf("store the policy of %s: %w", p.Policy.VM, err)
		}
		o.head = op{kind: replace, etag: etag}
		o.rest = gone
	}
	o, err := o.policy(p)
	if err != nil {
		return p, err
	}
	etags, err := s.commit(ctx, o)
	if err != nil {
		return p, fmt.Errorf("store the policy of %s: %w", p.Policy.VM, err)
	}
	p.Version = versionOf(etags[0], placesOfPolicy(p))
	return p, nil
}

// policy completes the write of a policy: what stands in its row, its parts and their targets' marks.
func (o owned) policy(p store.PolicyRecord) (owned, error) {
	doc, err := newPolicyDoc(p)
	if err != nil {
		return o, err
	}
	o.head.row = row{partition: live, key: policyRow(p.Policy.VM), doc: doc}.sign()
	o.rest = append(o.rest, op{kind: put, row: row{partition: live, key: namedRow(p), doc: doc}})
	for i, at := range p.Placements {
		part := policyPartDoc{V: version, Target: doc.At[i].T, VM: doc.VM, Ports: doc.Ports, Existing: doc.Existing, Options: doc.Options, Public: doc.Public, A: doc.At[i].A}
		o.rest = append(o.rest,
			op{kind: put, row: row{partition: live, key: policyPartRow(at.Target, p.Policy.VM), doc: part}},
			markTarget(at.Target))
	}
	return o, nil
}

// DeletePolicy is one transaction, after one read where the record has other targets, or another name, than are stored.
func (s *Store) DeletePolicy(ctx context.Context, p store.PolicyRecord) error {
	wrap := func(err error) error { return fmt.Errorf("remove the policy of %s: %w", p.Policy.VM, err) }
	if p.Version == "" {
		return wrap(store.ErrConflict)
	}
	etag, rest, err := s.policyBefore(ctx, p)
	if err != nil {
		return wrap(err)
	}
	doc, err := newPolicyDoc(p)
	if err != nil {
		return wrap(err)
	}
	rest = append(rest, op{kind: drop, row: row{partition: live, key: namedRow(p)}})
	for _, t := range targetsOfPolicy(p) {
		rest = append(rest, op{kind: drop, row: row{partition: live, key: policyPartRow(t, p.Policy.VM)}})
	}
	head := op{kind: remove, etag: etag, row: row{partition: live, key: policyRow(p.Policy.VM), doc: doc}.sign()}
	before := func(context.Context) (row, error) { return head.row, nil }
	if _, err := s.commit(ctx, owned{head, rest, before}); err != nil {
		return wrap(err)
	}
	return nil
}

// policyBefore gives the ETag by which a stored policy is written, and drops for
// its parts at targets that the record does not name, and for its row under another name.
func (s *Store) policyBefore(ctx context.Context, p store.PolicyRecord) (azcore.ETag, []op, error) {
	etag, same, ok := etagOf(p.Version, placesOfPolicy(p))
	if !ok {
		return "", nil, store.ErrConflict
	}
	if same {
		return etag, nil, nil
	}
	r, current, err := s.get(ctx, s.state, live, policyRow(p.Policy.VM))
	if errors.Is(err, store.ErrNotFound) || err == nil && current != etag {
		return "", nil, store.ErrConflict
	}
	if err != nil {
		return "", nil, err
	}
	old, err := r.policy()
	if err != nil {
		return "", nil, err
	}
	var gone []op
	if namedRow(old) != namedRow(p) {
		gone = append(gone, op{kind: drop, row: row{partition: live, key: namedRow(old)}})
	}
	for _, t := range without(targetsOfPolicy(old), targetsOfPolicy(p)) {
		gone = append(gone, op{kind: drop, row: row{partition: live, key: policyPartRow(t, p.Policy.VM)}})
	}
	return etag, gone, nil
}
