package round

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"portcullis/core/jit"
	"portcullis/core/parallel"
	"portcullis/core/store"
)

// walk is the look over all open grants that finds what is due in a storm. There is one at a time.
type walk struct {
	under bool      // one is under way
	next  time.Time // before which there is no other
}

// walkPart is the part of the time that walks may take, one in so many: who has many grants open that are not due has long
// ones.
const walkPart = 5

// begin reports whether a walk may begin, and counts it as begun.
func (c *closer) begin(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.walk.under || now.Before(c.walk.next) {
		return false
	}
	c.walk.under = true
	return true
}

func (c *closer) ended(began, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.walk = walk{next: now.Add((walkPart - 1) * now.Sub(began))}
}

// gather closes all that is due, on whatever target. Where many windows end at once their wake-ups take a while to come
// through the few places that there are for them, and each would look at its target and at its grant; one walk over the open grants
// finds all at once. It goes on behind the caller. What it cannot read has its own wake-up.
func (s *Rounds) gather(ctx context.Context) {
	began := s.now()
	if !s.closer.begin(began) {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*turnTimeout)
		defer cancel()
		open, err := s.Grants.OpenGrants(ctx)
		now := s.now()
		s.closer.ended(began, now)
		if err != nil {
			return
		}
		held := s.closer.hold(slices.DeleteFunc(open, func(g store.GrantRecord) bool { return !g.Grant.Overdue(now) })...)
		// What stands on one target is marked together, and its round begins while others are being marked.
		var rounds sync.WaitGroup
		_ = parallel.Each(byTarget(held), func(_ int, some []*closing) error {
			some = s.markAll(ctx, some)
			rounds.Go(func() { s.closeMarked(ctx, some, false) })
			return nil
		})
		rounds.Wait()
	}()
}

// along holds and reads what else is due on the targets of grants. What cannot be read has its own wake-up. Where
// it is much it is gathered instead: the round on the target removes the rules of all, and who has gathered them stores it.
func (s *Rounds) along(ctx context.Context, held []*closing) []*closing {
	var targets []jit.ID
	for _, k := range held {
		targets = append(targets, k.rec.Targets()...)
	}
	targets = store.Distinct(targets)
	found := make([][]*closing, len(targets))
	_ = parallel.Each(targets, func(i int, t jit.ID) error {
		state, err := s.Targets.State(ctx, t)
		if err != nil {
			return err
		}
		var due []store.GrantRecord
		for _, o := range state.Openings {
			if o.Grant.Overdue(s.now()) {
				due = append(due, store.GrantRecord{Grant: o.Grant})
			}
		}
		if len(due) > fewAlong {
			s.gather(ctx)
			return nil
		}
		found[i] = s.closer.hold(due...)
		return nil
	})
	more := slices.Concat(found...)
	ok := make([]bool, len(more))
	_ = parallel.Each(more, func(i int, k *closing) error {
		rec, err := s.Grants.Grant(ctx, k.rec.Grant.ID)
		if ok[i] = err == nil && rec.Grant.Overdue(s.now()); !ok[i] {
			s.closer.end(k, rec, err)
			return err
		}
		k.rec = rec
		return nil
	})
	var out []*closing
	for i, k := range more {
		if ok[i] {
			out = append(out, k)
		}
	}
	return out
}

// byTarget cuts closings into pieces of which each is enough for one transaction. Closings with the same first target are in the
// same piece.
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
		if i == 0 || len(out[len(out)-1]) >= settleBatch && first[k] != first[held[i-1]] {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], k)
	}
	return out
}
