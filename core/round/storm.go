package round

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"portcullis/core/parallel"
	"portcullis/core/store"
)

// scan is the look over all open grants that finds what is due in a storm. One runs at a time.
type scan struct {
	running bool
	next    time.Time // no other begins before it
}

// scanShare bounds the part of the time that scans take: one in so many. Where many grants are open that are not due, a scan is long.
// minScanGap is between two in any case: the wake-ups of one instant want one.
const (
	scanShare  = 5
	minScanGap = time.Second
)

// beginScan reports whether a scan may begin, and counts it as begun.
func (c *closings) beginScan(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.scan.running || now.Before(c.scan.next) {
		return false
	}
	c.scan.running = true
	return true
}

func (c *closings) endScan(began, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scan = scan{next: now.Add(max(minScanGap, (scanShare-1)*now.Sub(began)))}
}

// closeAllDue closes all that is due, on every target, in the background. Where many windows end at once, their wake-ups are
// handled a few at a time, and each would read its grant and its target. One look over the open grants finds them all. If
// it fails, each grant still has its own wake-up.
func (s *Rounds) closeAllDue(ctx context.Context) {
	began := s.now()
	if !s.closings.beginScan(began) {
		return
	}
	ctx = context.WithoutCancel(ctx)
	s.background("look for what is due", func() error {
		over := false
		defer func() { // also where the look panics
			if !over {
				s.closings.endScan(began, s.now())
			}
		}()
		open, err := s.Grants.OpenGrants(ctx)
		now := s.now()
		over = true
		s.closings.endScan(began, now)
		if err != nil {
			return err
		}
		due := slices.DeleteFunc(open, func(g store.GrantRecord) bool { return !g.Grant.Overdue(now) })
		held := s.closings.hold(due...)
		s.guarded(held, func() error {
			// The grants of one target are marked together, so that its round begins while others are still being marked.
			return parallel.Each(byTarget(held), func(_ int, some []*closing) error {
				some, err := s.markAll(ctx, some)
				return errors.Join(err, s.ask(ctx, some))
			})
		})
		return nil
	})
}

// closeAlsoDue closes what else is due on a target before it is written, if an ask wants that. Above maxDueReads grants,
// closeAllDue does it with fewer reads. The write removes the rules of all in any case.
func (w *work) closeAlsoDue(ctx context.Context, out Outcome) {
	wanted := false
	w.queues.mu.Lock()
	for _, a := range w.queue.asks {
		wanted, a.alsoDue = wanted || a.alsoDue, false // once
	}
	w.queues.mu.Unlock()
	if !wanted {
		return
	}
	var due []store.GrantRecord
	for _, o := range out.State.Openings {
		if o.Grant.Overdue(out.At) {
			due = append(due, store.GrantRecord{Grant: o.Grant})
		}
	}
	if len(due) > maxDueReads {
		w.closeAllDue(ctx)
		return
	}
	more := w.closings.hold(due...)
	w.guarded(more, func() error {
		due := make([]bool, len(more))
		err := parallel.Each(more, func(i int, k *closing) error {
			rec, err := w.Grants.Grant(ctx, k.first.ID)
			if due[i] = err == nil && rec.Grant.Overdue(w.now()); !due[i] {
				w.closings.end(k, rec, err)
				return nil
			}
			k.rec = rec
			return nil
		})
		var read []*closing
		for i, k := range more {
			if due[i] {
				read = append(read, k)
			}
		}
		read, failed := w.markAll(ctx, read)
		return errors.Join(err, failed, w.ask(ctx, read))
	})
}

// byTarget splits closings into pieces of about one transaction each. Closings with the same first target are in the same piece.
func byTarget(held []*closing) [][]*closing {
	first := map[*closing]string{}
	for _, k := range held {
		if targets := k.rec.Targets(); len(targets) > 0 {
			first[k] = targets[0].Key()
		}
	}
	held = slices.Clone(held)
	slices.SortStableFunc(held, func(a, b *closing) int { return cmp.Compare(first[a], first[b]) })
	var out [][]*closing
	for i, k := range held {
		if i == 0 || len(out[len(out)-1]) >= maxTransactionTargets && first[k] != first[held[i-1]] {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], k)
	}
	return out
}
