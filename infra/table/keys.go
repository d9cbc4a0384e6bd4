package table

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"portcullis/core/store"
	"portcullis/infra/table/entity"
)

// keyDoc is an idempotency key.
type keyDoc struct {
	V         int
	Requestor string
	Value     string
	Digest    string
	Grant     string
	Expires   entity.Stamp
}

// ageDoc says that the key which its row names is there, to be removed once it has expired.
type ageDoc struct{ V int }

func idempotencyKeyOf(r entity.Stored) (store.Key, error) {
	var d keyDoc
	err := r.Read(&d)
	return store.Key{Requestor: d.Requestor, Value: d.Value, Digest: d.Digest, Grant: d.Grant, Expires: time.Time(d.Expires)}, err
}

// ageRow names the row that has a key found by its age. It stands if and only if the key with this very expiry does: it comes
// and goes in the same transactions.
func ageRow(expires time.Time, key string) string {
	return ageRows + age(expires) + "|" + strings.TrimPrefix(key, keyRows)
}

// age gives a time such that earlier ones sort first: 19 digits.
func age(t time.Time) string { return fmt.Sprintf("%019d", entity.Within(t).UnixNano()) }

// claim is a key that a grant takes: its row, its row by age, and that of the expired key whose place it takes.
type claim struct {
	key, age entity.Op
	gone     []entity.Op
}

func newClaims(keys []store.Key) ([]claim, error) {
	var claims []claim
	seen := map[string]bool{}
	for _, k := range keys {
		c := claim{key: entity.Op{Kind: entity.Add, Row: entity.Row{Partition: live, Key: keyRow(k.Requestor, k.Value), Columns: map[string]any{"Expires": entity.Column(k.Expires)},
			Doc: keyDoc{V: entity.Version, Requestor: k.Requestor, Value: k.Value, Digest: k.Digest, Grant: k.Grant, Expires: entity.Stamp(k.Expires)}}}}
		if seen[c.key.Row.Key] {
			return nil, errors.New("one idempotency key stands twice")
		}
		seen[c.key.Row.Key] = true
		c.age = entity.Op{Kind: entity.Add, Row: entity.Row{Partition: live, Key: ageRow(k.Expires, c.key.Row.Key), Doc: ageDoc{V: entity.Version}}}
		if k.Version != "" {
			expired, etag, err := expiredKey(k.Version)
			if err != nil {
				return nil, err
			}
			c = c.instead(expired, etag)
		}
		claims = append(claims, c)
	}
	return claims, nil
}

// instead has the claim take the place of a key that expired then.
func (c claim) instead(expired time.Time, etag azcore.ETag) claim {
	c.key.Kind, c.key.ETag = entity.Replace, etag
	c.age.Kind, c.gone = entity.Add, []entity.Op{{Kind: entity.Drop, Row: entity.Row{Partition: live, Key: ageRow(expired, c.key.Row.Key)}}}
	if c.gone[0].Row.Key == c.age.Row.Key { // it stands as it should
		c.age.Kind, c.gone = entity.Put, nil
	}
	return c
}

// rows gives the operations of claims.
func rows(claims []claim) []entity.Op {
	var ops []entity.Op
	for _, c := range claims {
		ops = append(append(ops, c.key, c.age), c.gone...)
	}
	return ops
}

// versionOfKey and expiredKey are the version of a key that has expired: when that was, and its ETag.
func versionOfKey(expired time.Time, etag azcore.ETag) string {
	return strconv.FormatInt(expired.UnixNano(), 10) + ";" + string(etag)
}

func expiredKey(version string) (time.Time, azcore.ETag, error) {
	nano, etag, _ := strings.Cut(version, ";")
	n, err := strconv.ParseInt(nano, 10, 64)
	if err != nil || etag == "" {
		return time.Time{}, "", fmt.Errorf("an idempotency key by the version %q: %w", version, store.ErrConflict)
	}
	return time.Unix(0, n).UTC(), azcore.ETag(etag), nil
}

// reclaim looks at the keys again after a conflict: one that names nothing any more is
// replaced by its ETag. It reports whether a claim has changed, and
// store.ErrConflict for a key in force for another grant.
func (s *Store) reclaim(ctx context.Context, claims []claim, keys []store.Key, now time.Time) ([]claim, bool, error) {
	next, changed := make([]claim, len(claims)), false
	for i, c := range claims {
		r, etag, err := s.state.Get(ctx, live, c.key.Row.Key)
		if errors.Is(err, store.ErrNotFound) {
			changed = changed || c.key.Kind != entity.Add
			c.key.Kind, c.age.Kind, c.gone = entity.Add, entity.Add, nil
			next[i] = c
			continue
		}
		if err != nil {
			return nil, false, err
		}
		k, err := idempotencyKeyOf(r)
		if err != nil {
			return nil, false, err
		}
		if now.Before(k.Expires) && k.Grant != keys[i].Grant {
			return nil, false, fmt.Errorf("%w: an idempotency key names another grant", store.ErrConflict)
		}
		changed = changed || c.key.Kind != entity.Replace || c.key.ETag != etag
		next[i] = c.instead(k.Expires, etag)
	}
	return next, changed, nil
}

// FindKey reads one row.
func (s *Store) FindKey(ctx context.Context, requestor, value string, now time.Time) (store.Key, error) {
	r, etag, err := s.state.Get(ctx, live, keyRow(requestor, value))
	if err != nil {
		return store.Key{}, fmt.Errorf("idempotency key: %w", err)
	}
	k, err := idempotencyKeyOf(r)
	if err == nil && !now.Before(k.Expires) {
		k.Version = versionOfKey(k.Expires, etag)
		return k, fmt.Errorf("idempotency key: %w", store.ErrNotFound)
	}
	return k, err
}

// agedTogether is how many keys go in one transaction: each is two rows.
const agedTogether = entity.MaxOps / 2

// DropKeys is a query for each 1,000 keys that have expired, and a transaction for each 50. What somebody else has
// claimed or removed meanwhile makes a transaction fail; then each of its keys is looked at by itself.
func (s *Store) DropKeys(ctx context.Context, expired time.Time, most int) (int, error) {
	wrap := func(err error) error { return fmt.Errorf("remove expired idempotency keys: %w", err) }
	old := entity.In(live).Ge("RowKey", ageRows).Lt("RowKey", ageRows+age(expired.Add(1)))
	dropped := 0
	for left := most; left > 0; {
		aged, done, err := s.state.Query(ctx, old, min(left, 1000), 0)
		if err != nil {
			return dropped, wrap(err)
		}
		left -= len(aged)
		for some := range slices.Chunk(aged, agedTogether) {
			n, err := s.dropKeys(ctx, some)
			if dropped += n; err != nil {
				return dropped, wrap(err)
			}
		}
		if done {
			break
		}
	}
	return dropped, nil
}

func (s *Store) dropKeys(ctx context.Context, aged []entity.Stored) (int, error) {
	var ops []entity.Op
	for _, r := range aged {
		ops = append(ops, dropKeyOf(r)...)
	}
	_, err := s.state.Submit(ctx, ops)
	if err == nil {
		return len(aged), nil
	}
	if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
		return 0, err
	}
	dropped := 0
	for _, r := range aged {
		ok, err := s.dropOne(ctx, r)
		if err != nil {
			return dropped, err
		}
		if ok {
			dropped++
		}
	}
	return dropped, nil
}

// dropKey removes the row by age on the condition that it is as it was read. The key needs no condition: were it
// another by now, the row would be gone.
func dropKeyOf(r entity.Stored) []entity.Op {
	return []entity.Op{{Kind: entity.Remove, ETag: r.ETag, Row: entity.Row{Partition: live, Key: r.Key}}, {Kind: entity.Drop, Row: entity.Row{Partition: live, Key: agedKeyOf(r)}}}
}

func agedKeyOf(r entity.Stored) string { return keyRows + r.Key[strings.LastIndex(r.Key, "|")+1:] }

// dropOne is dropKeys for one key. A row by age whose key is gone, which no call of this store leaves, goes by itself.
func (s *Store) dropOne(ctx context.Context, r entity.Stored) (bool, error) {
	ops := dropKeyOf(r)
	_, err := s.state.Submit(ctx, ops)
	if errors.Is(err, store.ErrNotFound) {
		if _, _, err = s.state.Get(ctx, live, agedKeyOf(r)); errors.Is(err, store.ErrNotFound) {
			_, err = s.state.Submit(ctx, ops[:1])
		} else if err == nil {
			return false, nil // the row by age is gone: the key is another
		}
	}
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
