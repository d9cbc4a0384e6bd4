package table

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"portcullis/core/store"
)

// kind is what an operation does to its row.
type kind int

const (
	add     kind = iota // the row must not exist
	replace             // the row must have the ETag
	remove              // the row must have the ETag
	put                 // whatever stands there: for rows that an owner in the same transaction guards, or of which the last writer is right
	drop                // the row must exist, whatever stands there: as for put
)

// op is one operation of a transaction.
type op struct {
	kind kind
	row  row
	etag azcore.ETag
	max  int // bytes that the entity may have; 0 for what the service takes
}

// action gives the operation in the SDK's terms. An ETag that is missing is an
// error and never "*", which is what the SDK makes of it.
func (o op) action() (aztables.TransactionAction, error) {
	limit := maxEntityBytes
	if o.max != 0 {
		limit = o.max
	}
	body, err := o.row.encode(limit)
	if err != nil {
		return aztables.TransactionAction{}, fmt.Errorf("store %s: %w", o.row.key, err)
	}
	a := aztables.TransactionAction{Entity: body}
	any := azcore.ETagAny
	switch o.kind {
	case add:
		a.ActionType = aztables.TransactionTypeAdd
	case put:
		a.ActionType = aztables.TransactionTypeInsertReplace
	case replace, remove:
		if o.etag == "" || o.etag == azcore.ETagAny {
			return a, fmt.Errorf("store %s: no ETag to write it by", o.row.key)
		}
		a.ActionType, a.IfMatch = aztables.TransactionTypeUpdateReplace, &o.etag
		if o.kind == remove {
			a.ActionType = aztables.TransactionTypeDelete
		}
	case drop:
		a.ActionType, a.IfMatch = aztables.TransactionTypeDelete, &any
	}
	return a, nil
}

// weight gives about how many bytes the operation adds to a transaction.
func (o op) weight() (int, error) {
	a, err := o.action()
	return len(a.Entity) + opOverhead, err
}

func fits(ops []op) (bool, error) {
	total := 0
	for _, o := range ops {
		n, err := o.weight()
		if err != nil {
			return false, err
		}
		total += n
	}
	return len(ops) <= maxOps && total <= maxBatchBytes, nil
}

// submit runs the operations as one transaction, all or none, and gives the
// ETags of the rows, "" for those removed.
func (s *Store) submit(ctx context.Context, t *aztables.Client, ops []op) ([]azcore.ETag, error) {
	actions := make([]aztables.TransactionAction, 0, len(ops))
	total, seen := 0, map[string]bool{}
	for _, o := range ops {
		if o.row.partition != ops[0].row.partition || seen[o.row.key] {
			return nil, fmt.Errorf("store %s: not a transaction: two partitions, or one row twice", o.row.key)
		}
		seen[o.row.key] = true
		a, err := o.action()
		if err != nil {
			return nil, err
		}
		total += len(a.Entity) + opOverhead
		actions = append(actions, a)
	}
	if len(actions) == 0 || len(actions) > maxOps || total > maxBatchBytes {
		return nil, fmt.Errorf("a transaction of %d operations and %d bytes: %w", len(actions), total, errTooLarge)
	}
	var resp *http.Response
	if _, err := t.SubmitTransaction(policy.WithCaptureResponse(ctx, &resp), actions, nil); err != nil {
		err = translate(err)
		if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
			if etags, ok := s.ours(ctx, t, ops); ok {
				return etags, nil
			}
		}
		return nil, err
	}
	parts, err := partsOf(resp)
	if err == nil && len(parts) != len(ops) {
		err = fmt.Errorf("%d answers to %d operations", len(parts), len(ops))
	}
	if err != nil {
		return nil, &store.Unavailable{Dependency: dependency, Err: err}
	}
	etags := make([]azcore.ETag, len(parts))
	for i, p := range parts {
		if etags[i] = p.etag; p.etag == "" && ops[i].kind != remove && ops[i].kind != drop {
			return nil, &store.Unavailable{Dependency: dependency, Err: errors.New("a transaction's answer names no ETag")}
		}
	}
	return etags, nil
}

// ours reports whether a transaction that met a conflict had taken effect after
// all, and gives the ETags of its signed rows: the SDK sends a transaction again when the
// first answer is lost, and then meets its own write.
func (s *Store) ours(ctx context.Context, t *aztables.Client, ops []op) ([]azcore.ETag, bool) {
	etags, found := make([]azcore.ETag, len(ops)), false
	for i, o := range ops {
		mark := o.row.columns[writeColumn]
		if mark == nil || o.kind == remove {
			continue
		}
		r, etag, err := s.get(ctx, t, o.row.partition, o.row.key)
		if err != nil || r.write != mark {
			return nil, false
		}
		etags[i], found = etag, true
	}
	return etags, found
}

// sign marks a row as written by this very call.
func (r row) sign() row {
	columns := maps.Clone(r.columns)
	if columns == nil {
		columns = map[string]any{}
	}
	columns[writeColumn] = rand.Text()
	r.columns = columns
	return r
}

// owned is a row with the rows that it owns. head is an add, replace or remove
// of a signed row.
type owned struct {
	head op
	rest []op
	// before gives, where the head is to be removed, its row as it stands: so it stays until
	// the last of the rest is gone.
	before func(context.Context) (row, error)
}

// commit writes rows, each with what it owns, and gives their ETags. All of it
// is one transaction where it fits. Where it does not, rows that fit together share
// one, in their order, and a row that does not fit alone takes several: then an error
// leaves the first ones written.
func (s *Store) commit(ctx context.Context, all ...owned) ([]azcore.ETag, error) {
	var etags []azcore.ETag
	for len(all) > 0 {
		n, err := together(all)
		if err != nil {
			return nil, err
		}
		var written []azcore.ETag
		if n == 0 {
			n = 1
			written, err = s.commitLong(ctx, all[0])
		} else {
			written, err = s.commitShort(ctx, all[:n])
		}
		if err != nil {
			return nil, err
		}
		etags, all = append(etags, written...), all[n:]
	}
	return etags, nil
}

// together gives how many of the first rows fit in one transaction, with what
// they own. It counts a mark that two of them share twice, which errs on the safe side.
func together(all []owned) (int, error) {
	ops, bytes := 0, 0
	for n, o := range all {
		for _, one := range append([]op{o.head}, o.rest...) {
			w, err := one.weight()
			if err != nil {
				return 0, err
			}
			ops, bytes = ops+1, bytes+w
		}
		if ops > maxOps || bytes > maxBatchBytes {
			return n, nil
		}
	}
	return len(all), nil
}

// flatten lists the heads, then the rest, each row once: two grants may mark the same target.
func flatten(all []owned) []op {
	var ops []op
	for _, o := range all {
		ops = append(ops, o.head)
	}
	seen := map[string]bool{}
	for _, o := range all {
		for _, r := range o.rest {
			if !seen[r.row.key] {
				seen[r.row.key] = true
				ops = append(ops, r)
			}
		}
	}
	return ops
}

func (s *Store) commitShort(ctx context.Context, all []owned) ([]azcore.ETag, error) {
	ops, err := flatten(all), error(nil)
	for {
		var etags []azcore.ETag
		if etags, err = s.submit(ctx, s.state, ops); err == nil {
			return etags[:len(all)], nil
		}
		if ops, err = s.present(ctx, ops, err); err != nil {
			return nil, err
		}
	}
}

// commitLong writes one row and what it owns in several transactions. Each holds
// the head, on the condition of the one before, so that a second writer cannot come
// in between without notice; a head that is to be removed is replaced until the
// last one. The package comment says what a crash in between leaves.
func (s *Store) commitLong(ctx context.Context, o owned) ([]azcore.ETag, error) {
	head, rest := o.head, o.rest
	for {
		n, err := room(head, rest)
		if err == nil && n == 0 && len(rest) > 0 {
			err = fmt.Errorf("store %s: %w", rest[0].row.key, errTooLarge)
		}
		if err != nil {
			return nil, err
		}
		step := head
		if n < len(rest) && head.kind == remove {
			step.kind = replace
			if step.row, err = o.before(ctx); err != nil {
				return nil, err
			}
		}
		ops := append([]op{step}, rest[:n]...)
		etags, err := s.submit(ctx, s.state, ops)
		if err != nil {
			// What is left to drop may be gone since a crash.
			if ops, err = s.present(ctx, ops, err); err != nil {
				return nil, err
			}
			rest = append(ops[1:len(ops):len(ops)], rest[n:]...)
			continue
		}
		if rest = rest[n:]; len(rest) == 0 {
			return etags[:1], nil
		}
		if head.kind == add {
			head.kind = replace
		}
		head.row, head.etag = head.row.sign(), etags[0] // a lost answer must not be taken for this one
	}
}

// room gives how many operations of rest fit beside the head.
func room(head op, rest []op) (int, error) {
	total, err := head.weight()
	if err != nil {
		return 0, err
	}
	for n, o := range rest {
		w, err := o.weight()
		if err != nil {
			return 0, err
		}
		if total += w; n+1 >= maxOps || total > maxBatchBytes {
			return n, nil
		}
	}
	return len(rest), nil
}

// present answers a transaction that met a missing row: it gives the operations
// without the drops of rows that are gone, or access.ErrConflict where all are there, since then
// it is a row with a condition that is gone. Any other cause is given back.
func (s *Store) present(ctx context.Context, ops []op, cause error) ([]op, error) {
	if !errors.Is(cause, store.ErrNotFound) {
		return nil, cause
	}
	var kept []op
	for _, o := range ops {
		if o.kind == drop {
			_, _, err := s.get(ctx, s.state, o.row.partition, o.row.key)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		kept = append(kept, o)
	}
	if len(kept) == len(ops) {
		return nil, fmt.Errorf("%w: a row that was to be written is gone", store.ErrConflict)
	}
	return kept, nil
}
