package table

import (
	"context"
	"errors"
	"fmt"
	"time"

	"portcullis/core/access"
)

// keyDoc is an idempotency key.
type keyDoc struct {
	V         int
	Requestor string
	Value     string
	Digest    string
	Grant     string
	Expires   stamp
}

func (r stored) idempotencyKey() (access.Key, error) {
	var d keyDoc
	err := r.read(&d)
	return access.Key{Requestor: d.Requestor, Value: d.Value, Digest: d.Digest, Grant: d.Grant, Expires: time.Time(d.Expires)}, err
}

// newClaims gives the operations that claim keys nobody has.
func newClaims(keys []access.Key) ([]op, error) {
	var ops []op
	seen := map[string]bool{}
	for _, k := range keys {
		key := keyRow(k.Requestor, k.Value)
		if seen[key] {
			return nil, errors.New("one idempotency key stands twice")
		}
		seen[key] = true
		doc := keyDoc{V: version, Requestor: k.Requestor, Value: k.Value, Digest: k.Digest, Grant: k.Grant, Expires: stamp(k.Expires)}
		ops = append(ops, op{kind: add, row: row{partition: live, key: key, columns: map[string]any{"Expires": column(k.Expires)}, doc: doc}})
	}
	return ops, nil
}

// reclaim looks at the keys again after a conflict: one that names nothing any more is
// replaced by its ETag. It reports whether a claim has changed, and
// access.ErrConflict for a key in force for another grant.
func (s *Store) reclaim(ctx context.Context, claims []op, keys []access.Key, now time.Time) ([]op, bool, error) {
	next, changed := make([]op, len(claims)), false
	for i, c := range claims {
		r, etag, err := s.get(ctx, s.state, live, c.row.key)
		if errors.Is(err, access.ErrNotFound) {
			next[i] = op{kind: add, row: c.row}
			changed = changed || c.kind != add
			continue
		}
		if err != nil {
			return nil, false, err
		}
		k, err := r.idempotencyKey()
		if err != nil {
			return nil, false, err
		}
		if now.Before(k.Expires) && k.Grant != keys[i].Grant {
			return nil, false, fmt.Errorf("%w: an idempotency key names another grant", access.ErrConflict)
		}
		next[i] = op{kind: replace, etag: etag, row: c.row}
		changed = changed || c.kind != replace || c.etag != etag
	}
	return next, changed, nil
}

// FindKey reads one row.
func (s *Store) FindKey(ctx context.Context, requestor, value string, now time.Time) (access.Key, error) {
	r, _, err := s.get(ctx, s.state, live, keyRow(requestor, value))
	if err != nil {
		return access.Key{}, fmt.Errorf("idempotency key: %w", err)
	}
	k, err := r.idempotencyKey()
	if err == nil && !now.Before(k.Expires) {
		return access.Key{}, fmt.Errorf("idempotency key: %w", access.ErrNotFound)
	}
	return k, err
}
