package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"portcullis/core/store"
)

// Receiver takes events.
type Receiver interface {
	// Send sends events in their order, and returns how many of the first were taken for certain. A [*store.Unavailable] says that it takes nothing now; any error
	// leaves the rest to be sent again.
	Send(ctx context.Context, events []Event) (int, error)
}

// Event is an entry of the activity log, or where a chain of it ends.
type Event struct {
	Day          time.Time // of the chain
	Subscription string    // of the chain, in lower case, "" for entries that concern none
	Entry        *store.Linked
	End          *End // where Entry is nil
}

// End is where a chain ends, as it was found.
type End struct {
	store.Head
	At        time.Time
	Missing   int // entries that were not found
	Rewritten int // how often the chain was not what had been sent of it
}

// Stream sends the activity log to a receiver. Every field must be set. It is safe for concurrent use.
type Stream struct {
	Log      store.Chained
	Record   store.Streams
	Receiver Receiver
	Now      func() time.Time
	// Tried is told of every try: how many events were taken, and why not all.
	Tried func(taken int, err error)
}

// The bounds of one look.
const (
	lease     = 2 * time.Minute // how long nobody else works on it; above the time that a sweep gives and one write
	batch     = 500             // events that are sent together, about 1 MB
	maxEvents = 10_000          // of one look; the next one goes on
	maxDays   = 31              // that are taken up in one look, the oldest first
	putTime   = 10 * time.Second

	firstPause = time.Minute
	longPause  = time.Hour
	giveUp     = 24 * time.Hour // after which it is a finding that nothing is taken

	follows = 24 * time.Hour // how long after its end a day is looked at, and after something new was found in it
	absent  = time.Hour      // after so long without a look, entries may come to days that had ended
)

// Swept sends what was appended since the last time, as long as ctx lets it, and returns what is wrong with it as findings. An error is the store's, and not
// the receiver's.
func (s *Stream) Swept(ctx context.Context) ([]store.Finding, error) {
	if s == nil {
		return nil, nil
	}
	now := s.Now()
	rec, err := s.Record.Stream(ctx)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if now.Before(rec.Lease) || now.Before(rec.Next) {
		return findings(rec, now), nil
	}
	rec = opened(rec, now)
	rec.Lease = now.Add(lease)
	if rec, err = s.Record.PutStream(ctx, rec); errors.Is(err, store.ErrConflict) {
		return nil, nil // another instance has begun
	}
	if err != nil {
		return nil, err
	}
	l := &look{Stream: s, rec: rec, began: now}
	err = l.days(ctx)
	return findings(l.rec, now), errors.Join(err, l.end(ctx))
}

// opened returns the record with the days that have to be looked at.
func opened(rec store.StreamRecord, now time.Time) store.StreamRecord {
	today := now.UTC().Truncate(24 * time.Hour)
	rec.Days = slices.Clone(rec.Days)
	if !rec.Ran.IsZero() && now.Sub(rec.Ran) > absent {
		for i, d := range rec.Days {
			rec.Days[i].Until = later(d.Until, now.Add(follows))
		}
	}
	rec.Ran = now
	next := today.AddDate(0, 0, -1)
	if n := len(rec.Days); n > 0 {
		next = rec.Days[n-1].Day.AddDate(0, 0, 1)
	}
	for ; !next.After(today) && len(rec.Days) < maxDays; next = next.AddDate(0, 0, 1) {
		rec.Days = append(rec.Days, store.StreamDay{Day: next, Until: later(next.AddDate(0, 0, 1), now).Add(follows)})
	}
	return rec
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// findings tells what somebody should know about.
func findings(rec store.StreamRecord, now time.Time) []store.Finding {
	var out []store.Finding
	if !rec.Failing.IsZero() && now.Sub(rec.Failing) >= giveUp {
		out = append(out, store.Finding{Kind: store.FindingUndelivered, Message: fmt.Sprintf("the activity log has not been streamed since %s; the last error: %s", rec.Failing.UTC().Format(time.RFC3339), rec.LastError)})
	}
	for _, d := range rec.Days {
		for _, c := range d.Chains {
			if c.Missing > 0 || c.Rewritten > 0 {
				out = append(out, store.Finding{Kind: store.FindingLogBroken, Message: fmt.Sprintf("the activity log of %s, subscription %s: %d entries were not found when they were streamed, and %d times the chain was not what had been streamed of it. docs/audit.md says how to compare",
					d.Day.Format(time.DateOnly), named(c.Subscription), c.Missing, c.Rewritten)})
			}
		}
	}
	return out
}

func named(subscription string) string {
	if subscription == "" {
		return "none"
	}
	return subscription
}
