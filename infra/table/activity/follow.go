package activity

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"portcullis/core/store"
	"portcullis/infra/table/entity"
)

var _ store.Chained = (*Log)(nil)

// How far around the last entry the next ones are looked for.
const (
	followBack  = 5 * time.Minute  // before it: entries of one time are appended in any order
	followAhead = 15 * time.Minute // from there, three rounds of the sweep; doubled until all are found
	claimants   = 2                // entries for one place: the second shows that somebody has added one
)

// Follow is one query as a rule. Rows stand in the order of their times and not of their places, so that it looks from a little before the last
// entry onwards, in ever longer steps where there is more than is wanted, until it has found every place; and, where it does not, through the rest of the day.
func (l *Log) Follow(ctx context.Context, subscription string, on time.Time, from store.Place, to, limit int) ([]store.Linked, error) {
	c := chainAt(subscription, on)
	f := follower{log: l, chain: c, first: max(1, from.Seq), last: to, found: map[int][]store.Linked{}}
	f.last = min(to, f.first+limit-1)
	begin := on.UTC().Truncate(24 * time.Hour)
	end := begin.Add(24 * time.Hour)
	near := begin
	if at := from.Time.Add(-followBack); at.After(begin) && at.Before(end) {
		near = at
	}
	step := followAhead
	if f.last == to {
		step = end.Sub(near) // every entry that follows is wanted
	}
	for at := near; at.Before(end) && !f.whole(); at, step = at.Add(step), 2*step {
		if err := f.look(ctx, at, min(step, end.Sub(at))); err != nil {
			return nil, fmt.Errorf("follow the activity log of %s: %w", c.date, err)
		}
	}
	if near.After(begin) && !f.whole() {
		if err := f.look(ctx, begin, near.Sub(begin)); err != nil {
			return nil, fmt.Errorf("follow the activity log of %s: %w", c.date, err)
		}
	}
	return f.all(), nil
}

// follower collects the entries of some places of a chain.
type follower struct {
	log         *Log
	chain       chainID
	first, last int
	found       map[int][]store.Linked
}

func (f *follower) whole() bool { return len(f.found) >= f.last-f.first+1 }

// look reads the rows of a part of the day.
func (f *follower) look(ctx context.Context, from time.Time, long time.Duration) error {
	w := entity.In(f.chain.partition).Ge("RowKey", entryRows+entity.Inverted(from.Add(long-1))+"|").Lt("RowKey", entryRows+entity.Inverted(from)+"}").
		Text("Subscription", f.chain.subscription)
	for r, err := range f.log.table.Each(ctx, w, entity.MaxPage) {
		if err != nil {
			return err
		}
		var d entryDoc
		if r.Read(&d) != nil || d.Seq < f.first || d.Seq > f.last || len(f.found[d.Seq]) == claimants {
			continue // what cannot be read is missing: the places tell
		}
		if e, err := d.entry(); err == nil && subscriptionOf(e) == f.chain.subscription {
			f.found[d.Seq] = append(f.found[d.Seq], store.Linked{Entry: e, Seq: d.Seq, Hash: d.Hash})
		}
	}
	return nil
}

func (f *follower) all() []store.Linked {
	var out []store.Linked
	for _, some := range f.found {
		out = append(out, some...)
	}
	slices.SortFunc(out, func(a, b store.Linked) int { return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Hash, b.Hash)) })
	return out
}
