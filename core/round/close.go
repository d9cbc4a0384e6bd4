package round

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"portcullis/core/gather"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/parallel"
	"portcullis/core/store"
)

// closings are the grants that this process is closing. Each waits for its targets to confirm that its rules are gone, and is
// then stored as closed, in one transaction with all others that the same write confirmed. Closings are lost with the process:
// later wake-ups and the sweep close what is left. The zero value holds none.
type closings struct {
	mu      sync.Mutex
	held    map[string]*closing // by grant
	waiting int                 // wake-ups that wait for their closing to end
	scan    scan
}

// closing is the closing of one grant.
type closing struct {
	first   jit.Grant // as it was when the closing began
	rec     store.GrantRecord
	at      time.Time // when the targets were asked: their rules leave out what was over by then
	left    int       // targets that have not answered
	cause   error     // why targets have failed, joined
	tries   int       // how often others changed the grant first
	want    Want
	telling chan struct{}   // closed when the attempt to log its intents has ended; nil for none
	told    map[string]bool // ids of entries of its intents that the log has
	stood   map[string]bool // machines whose rules stood until they were removed, by jit.ID.Key
	alsoDue bool            // what else is due on its targets is closed with it
	done    chan struct{}
	err     error

	stored bool // this process has stored it as closed, and no sweep has counted that yet
}

// What is read and stored together, at most.
const (
	maxDueReads           = 16 // grants that are read one by one to be closed along with others on one target
	maxTransactionTargets = 33 // targets of the grants in one transaction: three rows each, and 100 in a transaction
)

func newClosing(rec store.GrantRecord) *closing {
	return &closing{first: rec.Grant, rec: rec, done: make(chan struct{})}
}

// hold begins closings, and returns those of grants that were not being closed yet.
func (c *closings) hold(recs ...store.GrantRecord) (mine []*closing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rec := range recs {
		if c.held[rec.Grant.ID] == nil {
			mine = append(mine, c.take(rec))
		}
	}
	return mine
}

// join returns the closing of a grant, and whether it has begun just now.
func (c *closings) join(rec store.GrantRecord) (*closing, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.held[rec.Grant.ID]; k != nil {
		return k, false
	}
	return c.take(rec), true
}

func (c *closings) take(rec store.GrantRecord) *closing {
	if c.held == nil {
		c.held = map[string]*closing{}
	}
	k := newClosing(rec)
	c.held[rec.Grant.ID] = k
	return k
}

// holding returns a grant as it was when its closing began, and whether it is being closed.
func (c *closings) holding(grant string) (jit.Grant, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.held[grant]; k != nil {
		return k.first, true
	}
	return jit.Grant{}, false
}

// end ends a closing and tells those who wait.
func (c *closings) end(k *closing, rec store.GrantRecord, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[k.first.ID] != k {
		return
	}
	delete(c.held, k.first.ID)
	k.rec, k.err = rec, err
	close(k.done)
}

// stored notes that this process has stored a grant as closed.
func (c *closings) stored(k *closing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k.stored = true
}

// count reports whether a sweep is to count a closing. Several sweeps may wait for one closing, also in other instances; one counts it.
func (c *closings) count(k *closing, want Want) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !want.Sweep || !k.stored {
		return false
	}
	k.stored = false
	return true
}

// Close closes what of a grant is past its end or marked to close, and stores it as closed when every target has confirmed
// that its rules are gone. It returns the grant as stored then. If ctx ends first, the closing goes on.
func (s *Rounds) Close(ctx context.Context, rec store.GrantRecord, want Want) (store.GrantRecord, error) {
	for range store.Attempts {
		if !rec.Grant.Overdue(s.now()) {
			return rec, nil
		}
		var err error
		s.CloseAll(ctx, []store.GrantRecord{rec}, want, func(_ int, closed store.GrantRecord, _ bool, failed error) { rec, err = closed, failed })
		if err != nil {
			return rec, err
		}
	}
	return rec, store.ChangedByOthers(rec, store.ErrConflict)
}

// CloseAll closes many grants, and waits for those that are being closed already. It calls ended for each; counts says that
// a sweep is to count this closing.
func (s *Rounds) CloseAll(ctx context.Context, due []store.GrantRecord, want Want, ended func(i int, rec store.GrantRecord, counts bool, err error)) {
	var mine []*closing
	wait := make([]*closing, len(due))
	for i, rec := range due {
		var first bool
		if wait[i], first = s.closings.join(rec); first {
			wait[i].want = want
			mine = append(mine, wait[i])
		}
	}
	s.begin(ctx, mine)
	for i, k := range wait {
		select {
		case <-k.done:
			ended(i, k.rec, s.closings.count(k, want), k.err)
		case <-ctx.Done():
			ended(i, due[i], false, fmt.Errorf("wait for grant %s to close: %w", due[i].Grant.ID, ctx.Err()))
		}
	}
}

// begin starts closings in the background.
func (s *Rounds) begin(ctx context.Context, held []*closing) {
	if len(held) == 0 {
		return
	}
	for _, k := range held {
		s.tell(ctx, k)
	}
	s.closingOf(ctx, held, func(ctx context.Context) error {
		marked, err := s.markAll(ctx, held)
		return errors.Join(err, s.ask(ctx, marked))
	})
}

// closingOf runs f for closings in the background, for at most turnTimeout.
func (s *Rounds) closingOf(ctx context.Context, held []*closing, f func(context.Context) error) {
	ctx = context.WithoutCancel(ctx)
	go s.guarded(held, func() error {
		bounded, cancel := context.WithTimeout(ctx, turnTimeout)
		defer cancel()
		return f(bounded)
	})
}

// guarded calls f. If it fails or panics, the closings end with that error, and the sweep tries again.
func (s *Rounds) guarded(held []*closing, f func() error) {
	if len(held) == 0 {
		return
	}
	err := s.Recovered(fmt.Sprintf("the closing of %d grants, first %s", len(held), held[0].first.ID), f)
	if err == nil {
		return
	}
	for _, k := range held {
		s.closings.end(k, k.rec, fmt.Errorf("close grant %s: %w", k.first.ID, err))
	}
}

// ask asks each target once for all marked closings, so that one write is for all of them.
func (s *Rounds) ask(ctx context.Context, held []*closing) error {
	by := map[string][]*ask{}
	var targets []jit.ID
	var nowhere []*closing
	at := s.now()
	for _, k := range held {
		mine := k.rec.Targets()
		k.at, k.left, k.cause = at, len(mine), nil
		if len(mine) == 0 {
			nowhere = append(nowhere, k)
		}
		since, _ := k.rec.Grant.DueSince(at)
		want := k.want
		want.Grant = k.rec.Grant.ID
		for _, t := range mine {
			by[t.Key()] = append(by[t.Key()], &ask{Want: want, closing: k, alsoDue: k.alsoDue, priority: network.Closing(since), done: make(chan struct{})})
			targets = append(targets, t)
		}
	}
	if err := s.settle(ctx, nowhere); err != nil {
		return err
	}
	targets = store.Distinct(targets)
	ctx = gather.Many(ctx, len(targets))
	return parallel.Each(targets, func(_ int, t jit.ID) error {
		asks := by[t.Key()]
		if _, done := s.standsAlready(ctx, highestPriority(asks), t); done {
			s.answered(ctx, asks)
			return nil
		}
		s.join(context.WithoutCancel(ctx), t, asks...)
		return nil
	})
}

// answered counts the answer of a target. Closings that all targets have answered are stored together, as closed or as failed.
func (s *Rounds) answered(ctx context.Context, asks []*ask) {
	var gone, failed []*closing
	s.closings.mu.Lock()
	for _, a := range asks {
		k := a.closing
		k.cause = errors.Join(k.cause, a.err)
		k.removed(a)
		if k.left--; k.left > 0 {
			continue
		}
		if k.cause == nil {
			gone = append(gone, k)
		} else {
			failed = append(failed, k)
		}
	}
	s.closings.mu.Unlock()
	if len(gone) > 0 {
		s.closingOf(ctx, gone, func(ctx context.Context) error { return s.settle(ctx, gone) })
	}
	if len(failed) > 0 {
		s.closingOf(ctx, failed, func(ctx context.Context) error {
			return parallel.Each(failed, func(_ int, k *closing) error {
				rec, err := s.failedClosing(ctx, k)
				s.closings.end(k, rec, err)
				return nil
			})
		})
	}
}

// mark stores that something of a grant has to close, so that an instance whose clock is behind does not restore
// what this one removes.
func (s *Rounds) mark(ctx context.Context, rec store.GrantRecord) (store.GrantRecord, error) {
	return store.ChangeGrant(ctx, s.Grants, rec, func(g store.GrantRecord) (store.GrantRecord, bool, error) {
		ending, unmarked := g.Grant.Ending(s.now())
		g.Grant = ending
		return g, unmarked, nil
	})
}

// markAll marks grants, many in one transaction, and returns those that are still due. An error is a panic.
func (s *Rounds) markAll(ctx context.Context, held []*closing) ([]*closing, error) {
	unmarked := slices.DeleteFunc(slices.Clone(held), func(k *closing) bool { _, found := k.rec.Grant.Ending(s.now()); return !found })
	lost := map[*closing]bool{}
	var mu sync.Mutex
	err := parallel.Each(batches(unmarked), func(_ int, batch []*closing) error {
		recs := make([]store.GrantRecord, len(batch))
		for i, k := range batch {
			recs[i] = k.rec
			recs[i].Grant, _ = k.rec.Grant.Ending(s.now())
		}
		updated, all := s.Grants.UpdateGrants(ctx, recs...)
		for i, k := range batch {
			if all == nil {
				k.rec = updated[i]
				continue
			}
			rec, err := s.mark(ctx, k.rec)
			if err != nil || !rec.Grant.Overdue(s.now()) { // others have closed it, or moved its end
				mu.Lock()
				lost[k] = true
				mu.Unlock()
				s.closings.end(k, rec, err)
				continue
			}
			k.rec = rec
		}
		return nil
	})
	return slices.DeleteFunc(slices.Clone(held), func(k *closing) bool { return lost[k] }), err
}

// batches splits closings so that each batch fits one transaction of the store.
func batches(all []*closing) [][]*closing {
	var out [][]*closing
	targets := 0
	for _, k := range all {
		n := max(1, len(k.rec.Targets()))
		if len(out) == 0 || targets+n > maxTransactionTargets {
			out, targets = append(out, nil), 0
		}
		out[len(out)-1], targets = append(out[len(out)-1], k), targets+n
	}
	return out
}

// failedClosing stores in the grant and in the log that a closing failed.
func (s *Rounds) failedClosing(ctx context.Context, k *closing) (store.GrantRecord, error) {
	rec := k.rec
	rec.Attempts, rec.LastError = rec.Attempts+1, store.Publicly(k.cause)
	entries := store.GrantEntries(jit.App(), store.OpClose, store.Failed, rec.Grant, s.now())
	for i := range entries {
		entries[i].ID += fmt.Sprint("/", rec.Attempts)
		entries[i].Reason, entries[i].Message = "", fmt.Sprintf("try %d: %s", rec.Attempts, rec.LastError)
	}
	err := fmt.Errorf("close grant %s: %w", rec.Grant.ID, k.cause)
	if unlogged := s.log(ctx, []*closing{k}, entries); unlogged != nil {
		err = errors.Join(err, unlogged)
	} else {
		rec.Intents = nil
	}
	updated, stored := s.Grants.UpdateGrants(ctx, rec)
	if stored != nil {
		return rec, errors.Join(err, stored)
	}
	return updated[0], err
}
