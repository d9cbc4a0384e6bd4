package stream

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"portcullis/core/store"
)

// look is one look at the log, by whoever holds the lease.
type look struct {
	*Stream
	rec     store.StreamRecord
	began   time.Time
	read    int // events that this look has queued
	waiting []queued
	taken   bool // the receiver has taken something in this look
	lost    bool // another instance has taken the record over
}

// queued is an event and what it makes of the chain when it has been taken.
type queued struct {
	event Event
	day   int // in the record
	after store.StreamChain
}

// errLeft ends a look of which something is left. What it was is in the record.
var errLeft = errors.New("something is left")

// days looks at the days, the oldest first, and leaves those that are over.
func (l *look) days(ctx context.Context) error {
	over := make([]bool, len(l.rec.Days))
	err := func() error {
		for i := range l.rec.Days {
			if err := l.day(ctx, i); err != nil {
				return err
			}
			over[i] = !l.began.Before(l.rec.Days[i].Until)
		}
		return l.flush(ctx)
	}()
	if err == nil {
		var kept []store.StreamDay
		for i, d := range l.rec.Days {
			if !over[i] {
				kept = append(kept, d)
			}
		}
		l.rec.Days = kept
		l.well()
	}
	if errors.Is(err, errLeft) || err != nil && ctx.Err() != nil {
		return nil // the record tells; the next look goes on
	}
	return err
}

// day queues what is new in the chains of a day.
func (l *look) day(ctx context.Context, i int) error {
	day := l.rec.Days[i]
	heads, more, err := l.Log.Heads(ctx, day.Day)
	if err != nil {
		return err
	}
	for _, c := range day.Chains {
		if !more && !slices.ContainsFunc(heads, func(h store.ChainHead) bool { return h.Subscription == c.Subscription }) {
			heads = append(heads, store.ChainHead{Subscription: c.Subscription}) // it is gone
		}
	}
	slices.SortFunc(heads, func(a, b store.ChainHead) int { return strings.Compare(a.Subscription, b.Subscription) })
	for _, h := range heads {
		if err := l.chain(ctx, i, h); err != nil {
			return err
		}
	}
	return nil
}

// chain queues what is new in a chain, up to the head that was found, and then the head.
func (l *look) chain(ctx context.Context, day int, head store.ChainHead) error {
	was := l.chainOf(day, head.Subscription)
	at := was
	if head.Entries < at.Entries || head.Entries == at.Entries && at.Hash != "" && head.Hash != at.Hash {
		at = again(at)
	}
	for at.Entries < head.Entries {
		found, err := l.Log.Follow(ctx, head.Subscription, l.rec.Days[day].Day, at.Place(), head.Entries, batch)
		if err != nil {
			return err
		}
		if !goesOn(at, found) && at.Rewritten == was.Rewritten {
			at = again(at)
			continue
		}
		last := min(head.Entries, max(1, at.Entries)+batch-1)
		for _, e := range found {
			if e.Seq < at.Entries || e.Seq == at.Entries && (e.Hash == at.Hash || at.Hash == "") {
				continue // what was sent already
			}
			at.Missing += max(0, e.Seq-at.Entries-1)
			at.Head, at.Time = store.Head{Entries: e.Seq, Hash: e.Hash}, e.Time
			if err := l.queue(ctx, queued{Event{Day: l.rec.Days[day].Day, Subscription: head.Subscription, Entry: &e}, day, at}); err != nil {
				return err
			}
		}
		if at.Entries < last { // they were there when the head was written
			at.Missing += last - at.Entries
			at.Head = store.Head{Entries: last}
		}
	}
	if at == was && at.Stated == head.Head {
		return nil
	}
	at.Stated = head.Head
	return l.queue(ctx, queued{Event{Day: l.rec.Days[day].Day, Subscription: head.Subscription, End: &End{Head: head.Head, At: l.began, Missing: at.Missing, Rewritten: at.Rewritten}}, day, at})
}

// goesOn reports whether the entry that was taken last stands where it did.
func goesOn(at store.StreamChain, found []store.Linked) bool {
	return at.Entries == 0 || at.Hash == "" || slices.ContainsFunc(found, func(e store.Linked) bool { return e.Seq == at.Entries && e.Hash == at.Hash })
}

// again returns a chain that is sent from its first entry.
func again(c store.StreamChain) store.StreamChain {
	return store.StreamChain{Subscription: c.Subscription, Stated: c.Stated, Rewritten: c.Rewritten + 1}
}

// chainOf returns how far a chain has been taken.
func (l *look) chainOf(day int, subscription string) store.StreamChain {
	for _, c := range l.rec.Days[day].Chains {
		if c.Subscription == subscription {
			return c
		}
	}
	return store.StreamChain{Subscription: subscription}
}

// queue adds an event to those that are sent together.
func (l *look) queue(ctx context.Context, q queued) error {
	l.waiting = append(l.waiting, q)
	l.read++
	if l.read < maxEvents && len(l.waiting) < batch {
		return nil
	}
	if err := l.flush(ctx); err != nil {
		return err
	}
	if l.read >= maxEvents {
		return errLeft
	}
	return nil
}

// flush sends what is queued, and stores how far the receiver has taken it.
func (l *look) flush(ctx context.Context) error {
	if len(l.waiting) == 0 {
		return nil
	}
	events := make([]Event, len(l.waiting))
	for i, q := range l.waiting {
		events[i] = q.event
	}
	n, failed := l.Receiver.Send(ctx, events)
	if l.Tried != nil {
		l.Tried(n, failed)
	}
	for _, q := range l.waiting[:n] {
		l.take(q)
	}
	l.waiting = nil
	if n > 0 {
		l.taken = true
		l.well()
	}
	if failed != nil && (ctx.Err() == nil || !l.taken) {
		l.failed(failed)
	}
	if err := l.put(ctx); err != nil {
		return err
	}
	if failed != nil {
		return errLeft
	}
	return nil
}

// take notes that an event has been taken.
func (l *look) take(q queued) {
	chains := slices.Clone(l.rec.Days[q.day].Chains)
	at := slices.IndexFunc(chains, func(c store.StreamChain) bool { return c.Subscription == q.after.Subscription })
	if at < 0 {
		at, chains = len(chains), append(chains, store.StreamChain{})
	}
	chains[at] = q.after
	l.rec.Days[q.day].Chains = chains
	l.rec.Days[q.day].Until = later(l.rec.Days[q.day].Until, l.began.Add(follows))
}

// well notes that the receiver takes events.
func (l *look) well() {
	l.rec.Failing, l.rec.Tries, l.rec.Next, l.rec.LastError = time.Time{}, 0, time.Time{}, ""
}

// failed notes that it does not, and when to try again.
func (l *look) failed(err error) {
	if l.rec.Failing.IsZero() {
		l.rec.Failing = l.began
	}
	l.rec.Tries++
	pause := longPause
	if l.rec.Tries < 8 {
		pause = min(longPause, firstPause<<(l.rec.Tries-1))
	}
	if receiver, ok := errors.AsType[*store.Unavailable](err); ok {
		pause = max(pause, min(receiver.RetryAfter, longPause))
	}
	l.rec.Next, l.rec.LastError = l.Now().Add(pause), store.Cut(err.Error(), 300)
}

// put stores the record, also where the time of the sweep is over: what was taken need not be sent again.
func (l *look) put(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), putTime)
	defer cancel()
	rec, err := l.Record.PutStream(ctx, l.rec)
	if errors.Is(err, store.ErrConflict) {
		l.lost = true
		return errLeft
	}
	if err == nil {
		l.rec = rec
	}
	return err
}

// end gives the lease back.
func (l *look) end(ctx context.Context) error {
	if l.lost {
		return nil // the lease was over, and another instance goes on
	}
	l.rec.Lease = time.Time{}
	if err := l.put(ctx); !errors.Is(err, errLeft) {
		return err
	}
	return nil
}
