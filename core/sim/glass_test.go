package sim_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"portcullis/core/glass"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// glassMost is how long break-glass may last: less than what people ask for at most.
const glassMost = 25 * time.Minute

// brokenGlass says whether a request of a run in which people break the glass is one of it.
func (r *run) brokenGlass() jit.BreakGlass {
	switch n := r.pick(10); {
	case n < 5:
		return jit.BreakGlassOpens
	case n < 7:
		return jit.BreakGlassDrill
	}
	return jit.NoBreakGlass
}

// review starts a review, most likely of a break-glass that owes one.
func (r *run) review(a *app) {
	var broken []string
	for _, id := range slices.Sorted(maps.Keys(r.table.grants)) {
		if r.table.grants[id].rec.Grant.BreakGlass != jit.NoBreakGlass {
			broken = append(broken, id)
		}
	}
	if len(broken) == 0 {
		return
	}
	id := broken[len(broken)-1-min(r.pick(len(broken)), r.pick(len(broken)))]
	who, text := jit.Caller{ID: fmt.Sprint("reviewer-", r.pick(2)), Name: "reviewer", Correlation: "sim"}, fmt.Sprint("what happened, ", r.pick(2))
	var got store.Review
	o := r.begin(a, "review", func(ctx context.Context) error {
		rec, err := a.Find(ctx, id)
		if err == nil {
			got, err = a.Review(ctx, who, rec.Grant, text)
		}
		return err
	})
	r.note("  of %s", id)
	o.after = func(o *op) {
		if l := r.table.grants[id]; o.err != nil || l.lost || r.restore {
			return
		}
		r.seen.Reviewed++
		if w, err := r.table.WrittenReview(context.Background(), id); err != nil || w.Text != got.Text || w.Text != text {
			r.violate("I15", "%s was told that %q is written about %s, and stored is %+v, %v", o.name, text, id, w, err)
		}
	}
}

// reviewed is I15.
func (r *run) reviewed() {
	if !r.glass {
		return
	}
	now := time.Now()
	for id, l := range r.table.grants {
		g := l.rec.Grant
		if g.BreakGlass == jit.NoBreakGlass || l.lost {
			continue
		}
		for _, vm := range g.VMs {
			for _, w := range vm.Ports {
				if w.End.After(g.Start.Add(glassMost)) {
					r.violate("I15", "the window of break-glass %s lasts %s: %s", id, w.End.Sub(g.Start), grantText(g))
				}
				if g.BreakGlass == jit.BreakGlassDrill && (w.End.After(g.Start) || w.Status == jit.Initiated) {
					r.violate("I15", "drill %s has a live window: %s", id, grantText(g))
				}
			}
		}
		if l.rec.Failed != "" && g.BreakGlass == jit.BreakGlassOpens && !g.AnyLive(now) && !l.opened {
			continue // nothing opened, and who tried has said so
		}
		owed, err := r.table.OwedBy(context.Background(), g.RequestorID)
		if err != nil || owed.Grant != id {
			_, err = r.table.WrittenReview(context.Background(), id)
		}
		if errors.Is(err, store.ErrNotFound) {
			r.violate("I15", "nobody owes or has written the review of %s: %s", id, grantText(g))
		}
	}
}

// owes counts who was refused for a review.
func (r *run) owes(err error) {
	if refused := jit.Refused(err); refused != nil && refused.Code == glass.CodeReviewOwed {
		r.seen.Owing++
	}
}
