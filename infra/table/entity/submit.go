package entity

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
	Add     kind = iota // the row must not exist
	Replace             // the row must have the ETag
	Remove              // the row must have the ETag
	Put                 // whatever stands there: for rows that an owner in the same transaction guards, or of which the last writer is right
	Drop                // the row must exist, whatever stands there: as for put
	Keep                // the row must exist, and stays as it is: it says that a transaction may be
)

// Op is one operation of a transaction.
type Op struct {
	Kind kind
	Row  Row
	ETag azcore.ETag
	Max  int // bytes that the entity may have; 0 for what the service takes
}

// Action gives the operation in the SDK's terms. An ETag that is missing is an
// error and never "*", which is what the SDK makes of it.
func (o Op) Action() (aztables.TransactionAction, error) {
	limit := maxEntityBytes
	if o.Max != 0 {
		limit = o.Max
	}
	body, err := o.Row.encode(limit)
	if err != nil {
		return aztables.TransactionAction{}, fmt.Errorf("store %s: %w", o.Row.Key, err)
	}
	a := aztables.TransactionAction{Entity: body}
	any := azcore.ETagAny
	switch o.Kind {
	case Add:
		a.ActionType = aztables.TransactionTypeAdd
	case Put:
		a.ActionType = aztables.TransactionTypeInsertReplace
	case Replace, Remove:
		if o.ETag == "" || o.ETag == azcore.ETagAny {
			return a, fmt.Errorf("store %s: no ETag to write it by", o.Row.Key)
		}
		a.ActionType, a.IfMatch = aztables.TransactionTypeUpdateReplace, &o.ETag
		if o.Kind == Remove {
			a.ActionType = aztables.TransactionTypeDelete
		}
	case Drop:
		a.ActionType, a.IfMatch = aztables.TransactionTypeDelete, &any
	case Keep: // by any ETag, so that two transactions with one such row do not meet
		a.ActionType, a.IfMatch = aztables.TransactionTypeUpdateReplace, &any
	}
	return a, nil
}

// Weight gives about how many bytes the operation adds to a transaction.
func (o Op) Weight() (int, error) {
	a, err := o.Action()
	return len(a.Entity) + OpOverhead, err
}

func Fits(ops []Op) (bool, error) {
	total := 0
	for _, o := range ops {
		n, err := o.Weight()
		if err != nil {
			return false, err
		}
		total += n
	}
	return len(ops) <= MaxOps && total <= MaxBatchBytes, nil
}

// Submit runs the operations as one transaction, all or none, and gives the
// ETags of the rows, "" for those removed.
func (t Table) Submit(ctx context.Context, ops []Op) ([]azcore.ETag, error) {
	actions := make([]aztables.TransactionAction, 0, len(ops))
	total, seen := 0, map[string]bool{}
	for _, o := range ops {
		if o.Row.Partition != ops[0].Row.Partition || seen[o.Row.Key] {
			return nil, fmt.Errorf("store %s: not a transaction: two partitions, or one row twice", o.Row.Key)
		}
		seen[o.Row.Key] = true
		a, err := o.Action()
		if err != nil {
			return nil, err
		}
		total += len(a.Entity) + OpOverhead
		actions = append(actions, a)
	}
	if len(actions) == 0 || len(actions) > MaxOps || total > MaxBatchBytes {
		return nil, fmt.Errorf("a transaction of %d operations and %d bytes: %w", len(actions), total, ErrTooLarge)
	}
	var resp *http.Response
	if _, err := t.SubmitTransaction(policy.WithCaptureResponse(ctx, &resp), actions, nil); err != nil {
		err = Translate(err)
		if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
			if etags, ok := t.ours(ctx, ops); ok {
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
		return nil, &store.Unavailable{Dependency: Dependency, Err: err}
	}
	etags := make([]azcore.ETag, len(parts))
	for i, p := range parts {
		if etags[i] = p.etag; p.etag == "" && ops[i].Kind != Remove && ops[i].Kind != Drop {
			return nil, &store.Unavailable{Dependency: Dependency, Err: errors.New("a transaction's answer names no ETag")}
		}
	}
	return etags, nil
}

// ours reports whether a transaction that met a conflict had taken effect after
// all, and gives the ETags of its signed rows: the SDK sends a transaction again when the
// first answer is lost, and then meets its own write.
func (t Table) ours(ctx context.Context, ops []Op) ([]azcore.ETag, bool) {
	etags, found := make([]azcore.ETag, len(ops)), false
	for i, o := range ops {
		mark := o.Row.Columns[WriteColumn]
		if mark == nil || o.Kind == Remove {
			continue
		}
		r, etag, err := t.Get(ctx, o.Row.Partition, o.Row.Key)
		if err != nil || r.write != mark {
			return nil, false
		}
		etags[i], found = etag, true
	}
	return etags, found
}

// Sign marks a row as written by this very call.
func (r Row) Sign() Row {
	columns := maps.Clone(r.Columns)
	if columns == nil {
		columns = map[string]any{}
	}
	columns[WriteColumn] = rand.Text()
	r.Columns = columns
	return r
}

// Owned is a row with the rows that it owns. head is an add, replace or remove
// of a signed row.
type Owned struct {
	Head Op
	Rest []Op
	// Before gives, where the head is to be removed, its row as it stands: so it stays until
	// the last of the rest is gone.
	Before func(context.Context) (Row, error)
}

// Commit writes rows, each with what it owns, and gives their ETags. All of it
// is one transaction where it fits. Where it does not, rows that fit together share
// one, in their order, and a row that does not fit alone takes several: then an error
// leaves the first ones written, whose ETags it gives with the error. Of a row that takes
// several it gives the last one written.
func (t Table) Commit(ctx context.Context, all ...Owned) ([]azcore.ETag, error) {
	var etags []azcore.ETag
	for len(all) > 0 {
		n, err := together(all)
		if err != nil {
			return etags, err
		}
		var written []azcore.ETag
		if n == 0 {
			n = 1
			written, err = t.commitLong(ctx, all[0])
		} else {
			written, err = t.commitShort(ctx, all[:n])
		}
		etags = append(etags, written...)
		if err != nil {
			return etags, err
		}
		all = all[n:]
	}
	return etags, nil
}

// together gives how many of the first rows fit in one transaction, with what
// they own. It counts a mark that two of them share twice, which errs on the safe side.
func together(all []Owned) (int, error) {
	ops, bytes := 0, 0
	for n, o := range all {
		for _, one := range append([]Op{o.Head}, o.Rest...) {
			w, err := one.Weight()
			if err != nil {
				return 0, err
			}
			ops, bytes = ops+1, bytes+w
		}
		if ops > MaxOps || bytes > MaxBatchBytes {
			return n, nil
		}
	}
	return len(all), nil
}

// flatten lists the heads, then the rest, each row once: two grants may mark the same target.
func flatten(all []Owned) []Op {
	var ops []Op
	for _, o := range all {
		ops = append(ops, o.Head)
	}
	seen := map[string]bool{}
	for _, o := range all {
		for _, r := range o.Rest {
			if !seen[r.Row.Key] {
				seen[r.Row.Key] = true
				ops = append(ops, r)
			}
		}
	}
	return ops
}

func (t Table) commitShort(ctx context.Context, all []Owned) ([]azcore.ETag, error) {
	ops, err := flatten(all), error(nil)
	for {
		var etags []azcore.ETag
		if etags, err = t.Submit(ctx, ops); err == nil {
			return etags[:len(all)], nil
		}
		if ops, err = t.present(ctx, ops, err); err != nil {
			return nil, err
		}
	}
}

// commitLong writes one row and what it owns in several transactions. Each holds
// the head, on the condition of the one before, so that a second writer cannot come
// in between without notice; a head that is to be removed is replaced until the
// last one. The package comment says what a crash in between leaves. With an error it gives
// the ETag that the head has by then, none where nothing is written.
func (t Table) commitLong(ctx context.Context, o Owned) (written []azcore.ETag, err error) {
	head, rest := o.Head, o.Rest
	for {
		n, err := room(head, rest)
		if err == nil && n == 0 && len(rest) > 0 {
			err = fmt.Errorf("store %s: %w", rest[0].Row.Key, ErrTooLarge)
		}
		if err != nil {
			return written, err
		}
		step := head
		if n < len(rest) && head.Kind == Remove {
			step.Kind = Replace
			if step.Row, err = o.Before(ctx); err != nil {
				return written, err
			}
		}
		ops := append([]Op{step}, rest[:n]...)
		etags, err := t.Submit(ctx, ops)
		if err != nil {
			// What is left to drop may be gone since a crash.
			if ops, err = t.present(ctx, ops, err); err != nil {
				return written, err
			}
			rest = append(ops[1:len(ops):len(ops)], rest[n:]...)
			continue
		}
		if written, rest = etags[:1], rest[n:]; len(rest) == 0 {
			return written, nil
		}
		if head.Kind == Add {
			head.Kind = Replace
		}
		head.Row, head.ETag = head.Row.Sign(), etags[0] // a lost answer must not be taken for this one
	}
}

// room gives how many operations of rest fit beside the head.
func room(head Op, rest []Op) (int, error) {
	total, err := head.Weight()
	if err != nil {
		return 0, err
	}
	for n, o := range rest {
		w, err := o.Weight()
		if err != nil {
			return 0, err
		}
		if total += w; n+1 >= MaxOps || total > MaxBatchBytes {
			return n, nil
		}
	}
	return len(rest), nil
}

// present answers a transaction that met a missing row: it gives the operations
// without the drops of rows that are gone, or store.ErrConflict where all are there, since then
// it is a row with a condition that is gone. Any other cause is given back.
func (t Table) present(ctx context.Context, ops []Op, cause error) ([]Op, error) {
	if !errors.Is(cause, store.ErrNotFound) {
		return nil, cause
	}
	var kept []Op
	for _, o := range ops {
		if o.Kind == Drop {
			_, _, err := t.Get(ctx, o.Row.Partition, o.Row.Key)
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
