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
	"portcullis/core/store"
)

// How many refusals one process writes one by one.
const (
	Window     = 5 * time.Minute
	PerCaller  = 10   // entries of one caller in a window
	Total      = 100  // entries of all callers in a window
	MaxCallers = 1000 // callers that are told apart in a window
	maxTold    = 20   // callers whom an entry that counts names
	flushTime  = time.Minute
)

// Log writes refusals. All fields but Failed and After must be set. It is safe for concurrent use.
type Log struct {
	Activity      store.Activity
	Subscriptions network.Subscriptions
	Now           func() time.Time
	NewID         func() string               // a new UUID each time, in the order of time (version 7)
	Failed        func(error)                 // is told of a count that could not be written, which is kept for the next one; nil tells nobody
	After         func(time.Duration, func()) // calls a function after a time; nil is [time.AfterFunc]

	mu   sync.Mutex
	seen window
}

// window is the refusals since the first one in it. The zero value is none.
type window struct {
	start, last time.Time
	written     int
	callers     map[string]*tally // by tenant and object id
	others      tally             // of callers that are not told apart
	counted     int               // not written one by one
	timed       bool              // it will be told when it has ended
}

// tally is the refusals of one caller.
type tally struct {
	name             string // and the beginning of the object id
	written, counted int
}

// now returns the time as it is stored: UTC, in whole milliseconds.
func (l *Log) now() time.Time { return l.Now().UTC().Truncate(time.Millisecond) }

// append writes an entry, or counts it.
func (l *Log) append(ctx context.Context, e store.Entry) error {
	ended, write := l.admit(e)
	if !write {
		return nil
	}
	entries := []store.Entry{e}
	if ended.counted > 0 {
		entries = []store.Entry{l.sum(ended), e}
	}
	err := l.Activity.Append(ctx, entries...)
	if err != nil {
		l.keep(ended)
	}
	return err
}

// admit counts an entry, and reports whether it is to be written; a window that has ended comes with it.
func (l *Log) admit(e store.Entry) (ended window, write bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.seen.start.IsZero() && !e.Time.Before(l.seen.start.Add(Window)) {
		ended, l.seen = l.seen, window{}
	}
	w := &l.seen
	if w.start.IsZero() {
		w.start, w.callers = e.Time, map[string]*tally{}
	}
	w.last = e.Time
	by := w.of(e)
	if by.written < PerCaller && w.written < Total {
		by.written, w.written = by.written+1, w.written+1
		return ended, true
	}
	by.counted, w.counted = by.counted+1, w.counted+1
	l.tellLater()
	if ended.counted > 0 { // it goes with the next entry
		l.merge(ended)
	}
	return window{}, false
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
	object, _, _ := strings.Cut(e.Actor.Object, "-")
	by := &tally{name: strings.TrimSpace(jit.Cut(e.Requestor, 256) + " " + object)}
	w.callers[key] = by
	return by
}

// tellLater has what is counted told when the window has ended.
func (l *Log) tellLater() {
	if l.seen.timed {
		return
	}
	l.seen.timed = true
	after := l.After
	if after == nil {
		after = func(d time.Duration, f func()) { time.AfterFunc(d, f) }
	}
	after(Window, func() {
		ctx, cancel := context.WithTimeout(context.Background(), flushTime)
		defer cancel()
		if err := l.Flush(ctx); err != nil && l.Failed != nil {
			l.Failed(err)
		}
	})
}

// Flush writes what is counted now, and begins a new window. What cannot be written is counted on.
func (l *Log) Flush(ctx context.Context) error {
	l.mu.Lock()
	ended := l.seen
	if ended.counted == 0 {
		l.mu.Unlock()
		return nil
	}
	l.seen = window{}
	l.mu.Unlock()
	if err := l.Activity.Append(ctx, l.sum(ended)); err != nil {
		l.keep(ended)
		return fmt.Errorf("write how many refusals there were: %w", err)
	}
	return nil
}

// keep counts on from a window that could not be told.
func (l *Log) keep(ended window) {
	if ended.counted == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen.start.IsZero() {
		l.seen = window{start: ended.start, last: ended.last, callers: map[string]*tally{}}
	}
	l.merge(ended)
	l.tellLater()
}

// merge adds the counts of a window that has ended to the present one.
func (l *Log) merge(ended window) {
	w := &l.seen
	w.start = ended.start // so that the next refusal ends it
	w.counted += ended.counted
	w.others.counted += ended.others.counted
	for key, by := range ended.callers {
		switch here := w.callers[key]; {
		case by.counted == 0:
		case here != nil:
			here.counted += by.counted
		case len(w.callers) < MaxCallers:
			w.callers[key] = &tally{name: by.name, counted: by.counted}
		default:
			w.others.counted += by.counted
		}
	}
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
	const clock = "15:04:05"
	e.Message = jit.Cut(fmt.Sprintf("%d more refusals between %s and %s UTC, by %s: %s", w.counted, w.start.Format(clock), w.last.Format(clock), callers, strings.Join(told, ", ")), maxText)
	return e
}
