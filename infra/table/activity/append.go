package activity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"portcullis/core/parallel"
	"portcullis/core/store"
	"portcullis/infra/table/entity"
)

// How the log is appended to while others append too.
const (
	appendTries   = 100                    // of one transaction: a writer in a storm of n needs at most about n
	appendTimeout = time.Minute            // of one transaction, all tries
	firstPause    = 2 * time.Millisecond   // before the second try, doubled up to
	lastPause     = 128 * time.Millisecond // a random part of it is waited
	keptChains    = 256                    // chains whose end is remembered
	maxRefusals   = 8                      // in one transaction, so that nobody else waits long for it
)

// Log is the activity log, in a table of its own, with [store.Activity] and [store.Verifier]. While one transaction on a chain is
// under way, all who have entries for the chain wait for the next one together. So many who append at once cost a few transactions,
// and none of them is another's conflict. Refusals wait until nothing else does: who may do nothing keeps nobody waiting but for
// one small transaction. It is safe for concurrent use. All that it keeps is where chains end, which saves reads and is
// never trusted: what is appended is written on the condition that the chain still ends there.
type Log struct {
	table entity.Table

	mu     sync.Mutex
	chains map[chainID]*queue
}

// NewLog returns the log that is in a table.
func NewLog(t entity.Table) *Log { return &Log{table: t} }

// queue is what waits for one chain. Its end is touched by the one who works on it alone.
type queue struct {
	waiting []waiting
	refused []waiting // refusals
	busy    bool
	end     end
}

// end is where a chain ends, as far as this process knows.
type end struct {
	known bool // false: it has to be read
	seq   int
	hash  []byte
	etag  azcore.ETag // "" where there is no head yet
}

// waiting is an entry and whose it is.
type waiting struct {
	entry sized
	group *group
}

// sized is an entry with about how many bytes it and its mark add to a transaction.
type sized struct {
	entryDoc
	bytes int
}

// group is the entries of one call for one chain.
type group struct {
	left int // not written yet
	done chan struct{}
	err  error
}

// Append is one transaction for each chain and 49 entries, an entry and its mark each, with the
// chain's head; and one read of the head for the first of them, or after another process has appended. The
// mark is in the day's partition: an event that is told again with a time of another day is
// known again by [store.Entry.Since] alone, which costs one write more where that is on an earlier day.
func (l *Log) Append(ctx context.Context, entries ...store.Entry) error {
	chains := map[chainID][]sized{}
	var order []chainID
	seen := map[string]bool{}
	for _, e := range entries {
		if seen[e.ID] {
			continue
		}
		seen[e.ID] = true
		e, told, err := l.firstTold(ctx, e)
		if err != nil {
			return fmt.Errorf("append entry %s: %w", e.ID, err)
		}
		if told {
			continue
		}
		d, err := newEntry(e)
		size := 0
		if err == nil {
			size, err = d.size()
		}
		if err != nil {
			return fmt.Errorf("append entry %s: %w", e.ID, err)
		}
		c := chainAt(subscriptionOf(e), e.Time)
		if chains[c] == nil {
			order = append(order, c)
		}
		chains[c] = append(chains[c], sized{d, size})
	}
	for _, c := range order {
		slices.SortStableFunc(chains[c], func(a, b sized) int { return time.Time(a.Time).Compare(time.Time(b.Time)) })
		if err := l.appendTo(ctx, c, chains[c]); err != nil {
			return fmt.Errorf("append to the activity log: %w", err)
		}
	}
	return nil
}

// size gives about how many bytes the entry adds to a transaction, with its mark. An
// entry that no row could hold is refused here, before it waits with others.
func (d entryDoc) size() (int, error) {
	d.Seq, d.Hash = 1<<40, hex.EncodeToString(make([]byte, sha256.Size))
	r, err := d.row()
	if err != nil {
		return 0, err
	}
	n, err := entity.Op{Kind: entity.Add, Row: r}.Weight()
	return n + entity.OpOverhead + 4*len(d.ID) + 512, err
}

// appendTo waits until the entries are written, or until ctx ends; they are written all the same.
func (l *Log) appendTo(ctx context.Context, c chainID, docs []sized) error {
	g := &group{left: len(docs), done: make(chan struct{})}
	l.mu.Lock()
	if l.chains == nil {
		l.chains = map[chainID]*queue{}
	}
	q := l.chains[c]
	if q == nil {
		l.forget()
		q = &queue{}
		l.chains[c] = q
	}
	for _, d := range docs {
		if d.Result == string(store.Refused) {
			q.refused = append(q.refused, waiting{d, g})
			continue
		}
		q.waiting = append(q.waiting, waiting{d, g})
	}
	if !q.busy {
		q.busy = true
		go l.work(context.WithoutCancel(ctx), c, q)
	}
	l.mu.Unlock()
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return &store.Unavailable{Dependency: entity.Dependency, Err: ctx.Err()}
	}
}

// forget keeps the number of chains small. Idle ones lose nothing but a read.
func (l *Log) forget() {
	if len(l.chains) < keptChains {
		return
	}
	for c, q := range l.chains {
		if !q.busy {
			delete(l.chains, c)
		}
	}
}

// work writes what waits for a chain until nothing does.
func (l *Log) work(ctx context.Context, c chainID, q *queue) {
	for {
		l.mu.Lock()
		batch, taken := q.take()
		if len(batch) == 0 {
			q.busy = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		bounded, cancel := context.WithTimeout(ctx, appendTimeout)
		var late map[string]error
		err := parallel.Recover(func() (err error) {
			late, err = l.write(bounded, c, &q.end, batch)
			return err
		})
		cancel()
		l.mu.Lock()
		q.settle(taken, late, err)
		l.mu.Unlock()
	}
}

// take gives the entries for one transaction, each once, and all that it takes from those who wait.
func (q *queue) take() (batch []entryDoc, taken []waiting) {
	if len(q.waiting) == 0 {
		batch, taken, q.refused = together(q.refused, maxRefusals)
		return batch, taken
	}
	batch, taken, q.waiting = together(q.waiting, (entity.MaxOps-1)/2)
	return batch, taken
}

// together gives the first entries that fit into one transaction, at most most, all of whose waiting ends with it, and what is left.
func together(all []waiting, most int) (batch []entryDoc, taken, left []waiting) {
	seen, bytes, n := map[string]bool{}, 2*entity.OpOverhead, 0
	for ; n < len(all); n++ {
		w := all[n]
		if !seen[w.entry.ID] {
			if bytes += w.entry.bytes; len(batch) == most || bytes > entity.MaxBatchBytes {
				break
			}
			seen[w.entry.ID] = true
			batch = append(batch, w.entry.entryDoc)
		}
	}
	return batch, slices.Clone(all[:n]), slices.Clone(all[n:])
}

// settle tells the groups what became of their entries: err of all, or what late says of one. A group that has failed
// once waits for nothing more.
func (q *queue) settle(taken []waiting, late map[string]error, all error) {
	failed := map[*group]bool{}
	for _, w := range taken {
		g, err := w.group, all
		if err == nil {
			err = late[w.entry.ID]
		}
		if g.left--; g.err == nil && err != nil {
			g.err, failed[g] = err, true
			close(g.done)
		} else if g.left == 0 && g.err == nil {
			close(g.done)
		}
	}
	gone := func(w waiting) bool { return failed[w.group] }
	q.waiting, q.refused = slices.DeleteFunc(q.waiting, gone), slices.DeleteFunc(q.refused, gone)
}

// write appends entries that fit in one transaction. After a conflict the end is
// read again; where it is not what stood in the way, some entry has been written before. late says of entries, by id, why they
// alone are not written.
func (l *Log) write(ctx context.Context, c chainID, at *end, batch []entryDoc) (late map[string]error, err error) {
	late = map[string]error{}
	for try := range appendTries {
		before := *at
		if !at.known {
			if err := l.readEnd(ctx, c, at); err != nil {
				return nil, err
			}
		}
		if try > 0 && (sameEnd(before, *at) || try%8 == 0) {
			fresh, err := l.unwritten(ctx, c, batch, late)
			if err != nil || len(fresh) == 0 {
				return late, err
			}
			batch = fresh
		}
		ops, next, err := c.ops(*at, batch)
		if err != nil {
			return nil, err
		}
		etags, err := l.table.Submit(ctx, ops)
		if err == nil {
			next.etag = etags[0]
			*at = next
			return late, nil
		}
		at.known = false
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		if err := pause(ctx, try); err != nil {
			return nil, err
		}
	}
	return nil, &store.Unavailable{Dependency: entity.Dependency, Err: fmt.Errorf("the activity log was written by others %d times in a row", appendTries)}
}

// sameEnd reports whether reading the end again gave the same.
func sameEnd(before, after end) bool { return before.etag == after.etag && before.seq == after.seq }

// ops gives the operations that append entries after the end, the head first, and
// the end that they make.
func (c chainID) ops(at end, batch []entryDoc) ([]entity.Op, end, error) {
	next := end{known: true, seq: at.seq, hash: at.hash}
	ops := make([]entity.Op, 1, 1+2*len(batch))
	for _, d := range batch {
		next.seq++
		next.hash = link(next.hash, next.seq, d.canonical())
		d.Seq, d.Hash = next.seq, hex.EncodeToString(next.hash)
		r, err := d.row()
		if err != nil {
			return nil, next, err
		}
		ops = append(ops, entity.Op{Kind: entity.Add, Row: d.mark(c)}, entity.Op{Kind: entity.Add, Row: r})
	}
	ops[0] = entity.Op{Kind: entity.Replace, ETag: at.etag, Row: entity.Row{Partition: c.partition, Key: c.headKey(), Doc: c.head(next.seq, next.hash)}}
	if at.etag == "" {
		ops[0].Kind = entity.Add
	}
	return ops, next, nil
}

// readEnd reads where the chain ends: its head, or the beginning where it has none.
func (l *Log) readEnd(ctx context.Context, c chainID, at *end) error {
	r, etag, err := l.table.Get(ctx, c.partition, c.headKey())
	if errors.Is(err, store.ErrNotFound) {
		*at = end{known: true, hash: c.genesis()}
		return nil
	}
	if err != nil {
		return err
	}
	var d headDoc
	if err := r.Read(&d); err != nil {
		return err
	}
	hash, err := hex.DecodeString(d.Hash)
	if err != nil {
		return fmt.Errorf("read entity %s: %w", r.Key, err)
	}
	*at = end{known: true, seq: d.Seq, hash: hash, etag: etag}
	return nil
}

// unwritten gives the entries that have no mark yet. Those that were begun on a later day, by an instance whose clock is ahead, cannot be
// written on this one: late says so of each, and the others do not wait for them.
func (l *Log) unwritten(ctx context.Context, c chainID, batch []entryDoc, late map[string]error) ([]entryDoc, error) {
	var fresh []entryDoc
	for _, d := range batch {
		at, err := l.marked(ctx, c, d)
		if errors.Is(err, store.ErrNotFound) {
			fresh = append(fresh, d)
			continue
		}
		if err == nil && !at.IsZero() {
			late[d.ID] = &store.Unavailable{Dependency: entity.Dependency, Err: fmt.Errorf("entry %s was begun on a later day, at %s", d.ID, at)}
		}
		if err != nil {
			return nil, err
		}
	}
	return fresh, nil
}

// pause waits a random time, longer after each try, so that writers that met once do not meet again.
func pause(ctx context.Context, try int) error {
	longest := min(firstPause<<min(try, 10), lastPause)
	timer := time.NewTimer(rand.N(longest))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return &store.Unavailable{Dependency: entity.Dependency, Err: ctx.Err()}
	}
}
