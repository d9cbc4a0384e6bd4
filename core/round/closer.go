package round

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/parallel"
	"portcullis/core/store"
)

// closer closes what is due apart from who was woken for it: a wake-up is recorded and
// answered at once, and one write for each target closes all that is due there. What it
// works on is lost with the process; a wake-up that was answered before the end has a later
// one behind it, and the sweep is behind both. Its zero value is idle.
type closer struct {
	mu      sync.Mutex
	held    map[string]*closing // by grant
	waiting int                 // wake-ups that wait for the end of theirs
	walk    walk
}

// closing is the closing of one grant.
type closing struct {
	first jit.Grant // as it was when it was taken
	rec   store.GrantRecord
	done  chan struct{}
	err   error
}

// How many grants are read one by one to be taken along for one target, and how many are stored at a time.
const (
	fewAlong    = 16
	settleBatch = 33 // three rows each, and 100 in a transaction
)

// What a wake-up waits for its closing, and how many do at the same time: those that come while
// others wait are answered at once, since there are few places for wake-ups and in a storm each has to be
// answered before its lock ends.
const (
	closeWait = 20 * time.Second
	calm      = 2
)

func newClosing(rec store.GrantRecord) *closing {
	return &closing{first: rec.Grant, rec: rec, done: make(chan struct{})}
}

// hold takes grants for this closer. It gives those that it did not hold yet.
func (c *closer) hold(recs ...store.GrantRecord) (mine []*closing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		c.held = map[string]*closing{}
	}
	for _, rec := range recs {
		if c.held[rec.Grant.ID] == nil {
			k := newClosing(rec)
			c.held[rec.Grant.ID] = k
			mine = append(mine, k)
		}
	}
	return mine
}

// join gives the closing of a grant, and whether it is a new one.
func (c *closer) join(rec store.GrantRecord) (*closing, bool) {
	if mine := c.hold(rec); len(mine) > 0 {
		return mine[0], true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.held[rec.Grant.ID]; k != nil {
		return k, false
	}
	k := newClosing(rec) // the other one has ended just now
	c.held[rec.Grant.ID] = k
	return k, true
}

// wait counts one more wake-up that waits, n is 1, or one less, n is -1. It reports whether one more may.
func (c *closer) wait(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 && c.waiting >= calm {
		return false
	}
	c.waiting += n
	return true
}

// holding gives a grant that is being closed as it was when it was taken, if it is.
func (c *closer) holding(grant string) (jit.Grant, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.held[grant]
	if k == nil {
		return jit.Grant{}, false
	}
	return k.first, true
}

// end tells who waits how a closing ended.
func (c *closer) end(k *closing, rec store.GrantRecord, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[k.rec.Grant.ID] != k {
		return
	}
	delete(c.held, k.rec.Grant.ID)
	k.rec, k.err = rec, err
	close(k.done)
}

// due closes a grant of which something is past its end: it records that, hands it to the closer,
// and waits a while where few closings are under way. Where the end is not confirmed by then, or in a storm,
// a later wake-up is scheduled, which finds nothing to do if all goes well. An error
// means that this one should come again.
func (s *Rounds) due(ctx context.Context, rec store.GrantRecord) error {
	rec, err := s.mark(ctx, rec)
	if err != nil || !rec.Grant.Overdue(s.now()) {
		return err
	}
	mine := s.closer.hold(rec)
	if len(mine) == 0 {
		return s.later(ctx, rec.Grant, 0)
	}
	if !s.closer.wait(1) {
		go s.closeAll(context.WithoutCancel(ctx), mine, false)
		s.gather(ctx)
		return s.later(ctx, rec.Grant, 0)
	}
	defer s.closer.wait(-1)
	go s.closeAlong(context.WithoutCancel(ctx), mine)
	timer := time.NewTimer(closeWait)
	defer timer.Stop()
	select {
	case <-mine[0].done:
		return s.retry(ctx, mine[0].rec, mine[0].err)
	case <-timer.C:
		return s.later(ctx, rec.Grant, 0)
	case <-ctx.Done():
		return fmt.Errorf("wait for grant %s to close: %w", rec.Grant.ID, ctx.Err())
	}
}

// CloseNow closes grants for a sweep and waits for their end, also for those that a wake-up is closing already.
func (s *Rounds) CloseNow(ctx context.Context, due []store.GrantRecord, ended func(int, store.GrantRecord, error)) {
	var mine []*closing
	wait := make([]*closing, len(due))
	for i, rec := range due {
		var new bool
		if wait[i], new = s.closer.join(rec); new {
			mine = append(mine, wait[i])
		}
	}
	if len(mine) > 0 {
		go s.closeAll(context.WithoutCancel(ctx), mine, true)
	}
	for i, k := range wait {
		select {
		case <-k.done:
			ended(i, k.rec, k.err)
		case <-ctx.Done():
			ended(i, due[i], fmt.Errorf("wait for grant %s to close: %w", due[i].Grant.ID, ctx.Err()))
		}
	}
}

// later schedules one more wake-up: after a minute, or after as long as it is overdue already, so that
// a long storm is not fed by its own wake-ups, but at least after the time given. Those of many grants are spread over half as
// long again.
func (s *Rounds) later(ctx context.Context, g jit.Grant, least time.Duration) error {
	now := s.now()
	wait := max(least, time.Minute)
	if since, ok := g.DueSince(now); ok {
		wait = max(wait, min(now.Sub(since), lastRetry))
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(g.ID))
	at := now.Add(wait + wait/2*time.Duration(h.Sum32()%1000)/1000).Truncate(time.Millisecond)
	if err := s.Alarm.Schedule(ctx, store.Wake{Grant: g.ID, Generation: g.Generation, At: at, Attempt: int(at.Unix())}); err != nil {
		return fmt.Errorf("schedule another look at grant %s: %w", g.ID, err)
	}
	return nil
}

// mark stores that something of a grant has to close, where it is not stored yet: an
// instance whose clock is behind then does not put back what this one removes.
func (s *Rounds) mark(ctx context.Context, rec store.GrantRecord) (store.GrantRecord, error) {
	for range store.Attempts {
		ending, unmarked := rec.Grant.Ending(s.now())
		if !unmarked {
			return rec, nil
		}
		marked := rec
		marked.Grant = ending
		updated, err := s.Grants.UpdateGrants(ctx, marked)
		if err == nil {
			return updated[0], nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return rec, fmt.Errorf("store grant %s as ending: %w", rec.Grant.ID, err)
		}
		if rec, err = s.Grants.Grant(ctx, rec.Grant.ID); err != nil {
			return rec, fmt.Errorf("read the grant again: %w", err)
		}
	}
	return rec, &store.Unavailable{Dependency: "Table Storage", Err: fmt.Errorf("grant %s was changed by others %d times in a row", rec.Grant.ID, store.Attempts)}
}

// closeAlong closes grants that are held and whatever else is due on their targets.
func (s *Rounds) closeAlong(ctx context.Context, held []*closing) {
	s.closeAll(ctx, append(held, s.along(ctx, held)...), false)
}

// closeAll closes grants that are held: all are marked, then
// each target has one round, and as soon as all targets of some grants are confirmed these are stored as closed together.
func (s *Rounds) closeAll(ctx context.Context, held []*closing, sweeping bool) {
	ctx, cancel := context.WithTimeout(ctx, 2*turnTimeout)
	defer cancel()
	s.closeMarked(ctx, s.markAll(ctx, held), sweeping)
}

func (s *Rounds) closeMarked(ctx context.Context, held []*closing, sweeping bool) {
	at := s.now() // what is over now is not in rules computed later
	var mu sync.Mutex
	left := map[*closing]int{} // targets that are not confirmed yet
	failed := map[*closing]error{}
	standing := map[string][]*closing{} // by target
	urgent := map[string]time.Time{}
	var targets []jit.ID
	var nowhere []*closing
	for _, k := range held {
		mine := k.rec.Targets()
		if left[k] = len(mine); len(mine) == 0 {
			nowhere = append(nowhere, k)
		}
		since, _ := k.rec.Grant.DueSince(at)
		for _, t := range mine {
			standing[t.Key()] = append(standing[t.Key()], k)
			if old, ok := urgent[t.Key()]; !ok || since.Before(old) {
				urgent[t.Key()] = since
			}
			targets = append(targets, t)
		}
	}
	s.settleAll(ctx, nowhere, at)
	_ = parallel.AtOnce(store.Distinct(targets), func(_ int, t jit.ID) error {
		_, err := s.Reconcile(network.WithPriority(ctx, network.Priority{Closing: true, Since: urgent[t.Key()]}), t, sweeping)
		var closed, open []*closing
		var causes []error // of those that stay open
		mu.Lock()
		for _, k := range standing[t.Key()] {
			failed[k] = errors.Join(failed[k], err)
			if left[k]--; left[k] > 0 {
				continue
			}
			if failed[k] == nil {
				closed = append(closed, k)
			} else {
				open, causes = append(open, k), append(causes, failed[k])
			}
		}
		mu.Unlock()
		s.settleAll(ctx, closed, at)
		return parallel.Each(open, func(i int, k *closing) error {
			rec, err := s.failedClosing(ctx, k.rec, causes[i])
			s.closer.end(k, rec, err)
			return nil
		})
	})
}

// markAll marks grants, many at a time. It gives those that could be.
func (s *Rounds) markAll(ctx context.Context, held []*closing) []*closing {
	var unmarked []*closing
	for _, k := range held {
		if _, found := k.rec.Grant.Ending(s.now()); found {
			unmarked = append(unmarked, k)
		}
	}
	lost := map[*closing]bool{}
	var mu sync.Mutex
	_ = parallel.Each(batches(unmarked), func(_ int, batch []*closing) error {
		recs := make([]store.GrantRecord, len(batch))
		for i, k := range batch {
			recs[i] = k.rec
			recs[i].Grant, _ = k.rec.Grant.Ending(s.now())
		}
		updated, err := s.Grants.UpdateGrants(ctx, recs...)
		for i, k := range batch {
			rec, failed := k.rec, error(nil)
			if err == nil {
				rec = updated[i]
			} else if rec, failed = s.mark(ctx, k.rec); failed == nil && !rec.Grant.Overdue(s.now()) {
				failed = errNotDue
			}
			if failed != nil {
				mu.Lock()
				lost[k] = true
				mu.Unlock()
				if errors.Is(failed, errNotDue) {
					failed = nil
				}
				s.closer.end(k, rec, failed)
				continue
			}
			k.rec = rec
		}
		return nil
	})
	return slices.DeleteFunc(held, func(k *closing) bool { return lost[k] })
}

// errNotDue: somebody else has closed it, or moved its end.
var errNotDue = errors.New("not due any more")

// batches cuts grants into as many as one transaction of the store holds.
func batches(all []*closing) [][]*closing {
	var out [][]*closing
	targets := 0
	for _, k := range all {
		n := max(1, len(k.rec.Targets()))
		if len(out) == 0 || targets+n > settleBatch {
			out, targets = append(out, nil), 0
		}
		out[len(out)-1], targets = append(out[len(out)-1], k), targets+n
	}
	return out
}

// settleAll stores as closed what is confirmed to be: one entry in the log for each, told first, and one
// transaction for many. Where somebody else wrote first each is looked at by itself.
func (s *Rounds) settleAll(ctx context.Context, held []*closing, at time.Time) {
	_ = parallel.Each(batches(held), func(_ int, batch []*closing) error {
		var entries []store.Entry
		recs := make([]store.GrantRecord, len(batch))
		for i, k := range batch {
			recs[i] = k.rec
			recs[i].Grant = k.rec.Grant.Settled(at)
			entries = append(entries, store.ClosedEntries(k.rec.Grant, recs[i].Grant, s.now())...)
		}
		err := s.Activity.Append(ctx, entries...)
		if err != nil {
			err = fmt.Errorf("write the activity log: %w", err)
		}
		var updated []store.GrantRecord
		if err == nil {
			updated, err = s.Grants.UpdateGrants(ctx, recs...)
		}
		for i, k := range batch {
			switch {
			case err == nil:
				s.closer.end(k, updated[i], nil)
			case errors.Is(err, store.ErrConflict):
				rec, err := s.Grants.Grant(ctx, k.rec.Grant.ID)
				if err == nil {
					rec, err = s.Settle(ctx, rec, false)
				}
				s.closer.end(k, rec, err)
			default:
				s.closer.end(k, k.rec, fmt.Errorf("store grant %s as closed: %w", k.rec.Grant.ID, err))
			}
		}
		return nil
	})
}
