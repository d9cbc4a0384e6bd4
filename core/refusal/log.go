package refusal

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/parallel"
	"portcullis/core/store"
)

// How many refusals one process writes one by one.
const (
	Window     = 5 * time.Minute
	PerCaller  = 10   // entries of one caller in a window
	Total      = 100  // entries of all callers in a window
	MaxCallers = 1000 // callers that are told apart in a window
	maxTold    = 20   // callers whom an entry that counts names
	maxUntold  = 12   // windows whose count waits to be written; while there are as many, the present one goes on
	flushTime  = time.Minute
)

// Log writes refusals. All fields but Failed and After must be set. It is safe for concurrent use.
type Log struct {
	Activity      store.Activity
	Subscriptions network.Subscriptions
	Now           func() time.Time
	NewID         func() string               // a new UUID each time, in the order of time (version 7)
	Failed        func(error)                 // is told of a count that could not be written, which is tried again; nil tells nobody
	After         func(time.Duration, func()) // calls a function after a time; nil is [time.AfterFunc]

	mu     sync.Mutex
	seen   window
	untold []store.Entry // counts of windows that have ended, not known to be written; the oldest first
	timed  bool          // a timer runs that will have them written
}

// window is the refusals since the first one in it. The zero value is none.
type window struct {
	start, last time.Time
	written     int
	callers     map[string]*tally // by tenant and object id
	others      tally             // of callers that are not told apart
	counted     int               // not written one by one
	turned      int               // of these, turned away
}

// tally is the refusals of one caller.
type tally struct {
	name             string // and the mark of the object id
	written, counted int
}

// now returns the time as it is stored: UTC, in whole milliseconds.
func (l *Log) now() time.Time { return jit.Instant(l.Now()) }

// append writes an entry, or counts it. The counts of windows that have ended are written after it: whether they can be does not
// matter to its caller.
func (l *Log) append(ctx context.Context, e store.Entry) error {
	write, due := l.admit(e, false)
	if !write {
		return nil
	}
	err := l.Activity.Append(ctx, e)
	if due && err == nil {
		l.tell(context.WithoutCancel(ctx))
	}
	return err
}

// TurnedAway counts a call that was refused before anybody looked at what it asks for. It has no entry of its own.
func (l *Log) TurnedAway(who jit.Caller) {
	e := store.EntryBy(who, store.OpRefusals)
	e.Time = l.now()
	l.admit(e, true)
}

// admit counts an entry. It reports whether the entry is to be written, which one of a call that was turned away never is, and whether a
// window with a count has ended by it.
func (l *Log) admit(e store.Entry, turned bool) (write, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.seen.start.IsZero() && !e.Time.Before(l.seen.start.Add(Window)) {
		due = l.end()
	}
	w := &l.seen
	if w.start.IsZero() {
		w.start, w.callers = e.Time, map[string]*tally{}
	}
	w.last = e.Time
	by := w.of(e)
	if !turned && by.written < PerCaller && w.written < Total {
		by.written, w.written = by.written+1, w.written+1
		return true, due
	}
	by.counted, w.counted = by.counted+1, w.counted+1
	if turned {
		w.turned++
	}
	l.tellLater()
	return false, due
}

// end ends the present window, unless too many counts wait, and reports whether it has a count, which waits from now on.
func (l *Log) end() bool {
	counted := l.seen.counted > 0
	if counted && len(l.untold) >= maxUntold {
		return false
	}
	if counted {
		l.untold = append(l.untold, l.sum(l.seen))
	}
	l.seen = window{}
	return counted
}

// of returns the tally of an entry's caller.
func (w *window) of(e store.Entry) *tally {
	key := e.Actor.Tenant + "/" + e.Actor.Object
	if by := w.callers[key]; by != nil {
		return by
	}
	if len(w.callers) >= MaxCallers {
		return &w.others
	}
	by := &tally{name: strings.TrimSpace(store.Cut(e.Requestor, 256) + " " + e.Actor.Mark())}
	w.callers[key] = by
	return by
}

// tellLater has counts written when the window has ended. One timer runs at a time.
func (l *Log) tellLater() {
	if l.timed {
		return
	}
	l.timed = true
	after := l.After
	if after == nil {
		after = func(d time.Duration, f func()) { time.AfterFunc(d, f) }
	}
	after(Window, func() {
		l.mu.Lock()
		l.timed = false
		l.mu.Unlock()
		l.tell(context.Background())
	})
}

// tell is [Log.Flush] in a bounded time, and tells Failed of its error.
func (l *Log) tell(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	if err := l.Flush(ctx); err != nil && l.Failed != nil {
		l.Failed(err)
	}
}

// Flush writes what is counted now, and begins a new window. What cannot be written, or may not have been, is written later, under
// the same id, by which it stands in the log once.
func (l *Log) Flush(ctx context.Context) error {
	l.mu.Lock()
	if l.seen.counted > 0 {
		l.end()
	}
	due := l.untold
	l.untold = nil
	l.mu.Unlock()
	if len(due) == 0 {
		return nil
	}
	err := parallel.Recover(func() error { return l.Activity.Append(ctx, due...) }) // a timer's panic would end the process
	if err == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.untold = append(due, l.untold...)
	l.tellLater()
	return fmt.Errorf("write how many refusals there were: %w", err)
}

// sum returns the entry that tells of the refusals that were counted.
func (l *Log) sum(w window) store.Entry {
	e := store.EntryBy(jit.App(), store.OpRefusals)
	e.ID, e.Time, e.Result = l.NewID(), w.last, store.Refused
	counted := slices.Collect(maps.Values(w.callers))
	counted = slices.DeleteFunc(counted, func(t *tally) bool { return t.counted == 0 })
	slices.SortFunc(counted, func(a, b *tally) int { return cmp.Or(cmp.Compare(b.counted, a.counted), cmp.Compare(a.name, b.name)) })
	callers := fmt.Sprintf("%d callers", len(counted))
	if w.others.counted > 0 {
		callers = fmt.Sprintf("more than %d callers", MaxCallers)
	} else if len(counted) == 1 {
		callers = "1 caller"
	}
	var told []string
	rest := w.counted
	for _, t := range counted[:min(len(counted), maxTold)] {
		told = append(told, fmt.Sprintf("%d by %s", t.counted, t.name))
		rest -= t.counted
	}
	if rest > 0 {
		told = append(told, fmt.Sprintf("%d by others", rest))
	}
	if w.turned > 0 {
		callers = fmt.Sprintf("%s, %d of them turned away unread", callers, w.turned)
	}
	e.Message = store.Cut(fmt.Sprintf("%d more refusals between %s and %s, by %s: %s", w.counted, w.start.UTC().Format(time.RFC3339), w.last.UTC().Format(time.RFC3339), callers, strings.Join(told, ", ")), maxText)
	return e
}
