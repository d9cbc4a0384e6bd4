package arm

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"portcullis/core/network"
	"portcullis/core/store"
)

// gate lets the calls of one kind to one subscription through. Time is that of
// package time, so that a bubble of testing/synctest drives it.
type gate struct {
	kind    Kind
	limits  Limits
	bucket  Bucket
	waited  func(Kind, bool, time.Duration)
	mu      sync.Mutex
	tokens  float64
	filled  time.Time // when tokens were counted
	closed  time.Time // nothing passes until then
	held    int       // tokens that were given to a turn and not used yet
	regions map[string]*region
	streak  int         // closings let through since an opening was, while one waited
	lately  []time.Time // when the last closings were let through, as many as are ever reserved for
	timer   *time.Timer
}

// region is what waits for one region, and what was sent there of late.
type region struct {
	closings []*waiter // the most overdue first
	openings []*waiter // first come, first served
	sent     []time.Time
	asked    []time.Time // when openings came, for a minute
}

// waiter is a call that waits.
type waiter struct {
	urgency  network.Priority
	since    time.Time
	deadline time.Time     // zero for none
	turn     bool          // it is not sent at once
	taken    time.Time     // when it was let through
	ready    chan struct{} // closed when it may go, or when err says why not
	passed   bool
	err      error
}

func newGate(k Kind, l Limits, waited func(Kind, bool, time.Duration)) *gate {
	return &gate{kind: k, limits: l, bucket: l.bucket(k), waited: waited, tokens: float64(l.bucket(k).Size), filled: time.Now(), regions: map[string]*region{}}
}

// wait takes a token, or waits for one. It gives when it was taken, and whether there was a wait.
func (g *gate) wait(ctx context.Context, at string, turn bool) (time.Time, bool, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, false, err
	}
	w := &waiter{urgency: network.PriorityOf(ctx), since: time.Now(), turn: turn, ready: make(chan struct{})}
	w.deadline, _ = ctx.Deadline()
	if w.urgency.Since.IsZero() {
		w.urgency.Since = w.since
	}
	g.mu.Lock()
	if w.late(g) {
		g.mu.Unlock()
		return time.Time{}, false, w.err
	}
	g.enqueue(at, w)
	g.pump()
	passed := w.passed
	g.mu.Unlock()
	if passed {
		g.told(w)
		return w.taken, false, nil
	}
	select {
	case <-w.ready:
		g.told(w)
		return w.taken, true, w.err
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.passed {
		g.giveBack(at, w.taken, turn)
	}
	g.leave(at, w)
	return time.Time{}, true, ctx.Err()
}

// late reports whether the call would have to wait for longer than its context lasts.
func (w *waiter) late(g *gate) bool {
	if w.deadline.IsZero() || !g.closed.After(w.deadline) {
		return false
	}
	until := time.Until(g.closed)
	w.err = throttled{&store.Unavailable{Dependency: Dependency, RetryAfter: until, Err: fmt.Errorf("it takes no more %s for %s", g.kind, until.Round(time.Second))}}
	return true
}

func (g *gate) told(w *waiter) {
	if g.waited != nil {
		g.waited(g.kind, w.urgency.Closing, time.Since(w.since))
	}
}

// throttled is an [store.Unavailable] that the SDK does not try again.
type throttled struct{ *store.Unavailable }

// NonRetriable tells the SDK's retry policy to pass it on.
func (throttled) NonRetriable() {}

// Unwrap gives the error in the words of the ports.
func (t throttled) Unwrap() error { return t.Unavailable }

func (g *gate) at(name string) *region {
	r := g.regions[name]
	if r == nil {
		r = &region{}
		g.regions[name] = r
	}
	return r
}

func (g *gate) enqueue(at string, w *waiter) {
	r := g.at(at)
	if !w.urgency.Closing {
		r.openings, r.asked = append(r.openings, w), append(r.asked, w.since)
		return
	}
	// Those that are equally overdue go in the order in which they came.
	i, _ := slices.BinarySearchFunc(r.closings, w, func(a, b *waiter) int {
		if a.urgency.Since.After(b.urgency.Since) {
			return 1
		}
		return -1
	})
	r.closings = slices.Insert(r.closings, i, w)
}

func (g *gate) leave(at string, w *waiter) {
	r := g.at(at)
	is := func(o *waiter) bool { return o == w }
	r.closings, r.openings = slices.DeleteFunc(r.closings, is), slices.DeleteFunc(r.openings, is)
	g.pump()
}

// pump lets through whoever may go now, and sets the clock for the next.
func (g *gate) pump() {
	for {
		now := time.Now()
		g.fill(now)
		w, at, wait := g.next(now)
		if w == nil {
			g.wakeAfter(wait)
			return
		}
		g.take(w, at, now)
	}
}

func (g *gate) fill(now time.Time) {
	if passed := now.Sub(g.filled).Seconds(); passed > 0 {
		// What a turn holds counts as not sent: ARM's bucket does not fill above its brim either.
		g.tokens = max(g.tokens, min(float64(g.bucket.Size-g.held), g.tokens+passed*g.bucket.PerSecond))
		g.filled = now
	}
}

func (g *gate) wakeAfter(d time.Duration) {
	if g.timer != nil {
		g.timer.Stop()
		g.timer = nil
	}
	if d <= 0 {
		return // nobody waits
	}
	g.timer = time.AfterFunc(d, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.pump()
	})
}

// next gives the call that may go now, or after how long to look again; 0 where nobody waits.
func (g *gate) next(now time.Time) (*waiter, string, time.Duration) {
	var closing, opening *waiter
	var closingAt, openingAt string
	closings, waiting := false, false
	soonest := time.Duration(0)
	later := func(d time.Duration) {
		if d = max(d, time.Millisecond); soonest == 0 || d < soonest {
			soonest = d
		}
	}
	for name, r := range g.regions {
		if len(r.closings) > 0 {
			closings, waiting = true, true
			if full := r.full(now, g.limits, g.hold(r, now)); full > 0 {
				later(full)
			} else if w := r.closings[0]; closing == nil || w.before(closing) {
				closing, closingAt = w, name
			}
		}
		if len(r.openings) > 0 {
			waiting = true
			if full := r.full(now, g.limits, 0); full > 0 {
				later(full)
			} else if w := r.openings[0]; opening == nil || w.since.Before(opening.since) {
				opening, openingAt = w, name
			}
		}
	}
	if !waiting {
		return nil, "", 0
	}
	if shut := g.closed.Sub(now); shut > 0 {
		return nil, "", shut
	}
	w, at, need := closing, closingAt, 1.0
	if opening != nil && (closing == nil || g.limits.Share > 0 && g.streak >= g.limits.Share-1) {
		w, at = opening, openingAt
		if !closings && g.kind == Writes {
			need += float64(g.reserve(now))
		}
	}
	if w == nil {
		return nil, "", soonest
	}
	if lack := need - g.tokens; g.bucket.Size > 0 && lack > rounding {
		later(time.Duration(lack / g.bucket.PerSecond * float64(time.Second)))
		return nil, "", soonest
	}
	return w, at, 0
}

// reserve is how many tokens are left to closings while none waits: as many as there were in the last minute, since
// where windows end more will. Where none did lately nothing is left, and a large request waits for nobody.
func (g *gate) reserve(now time.Time) int {
	for len(g.lately) > 0 && now.Sub(g.lately[0]) > time.Minute {
		g.lately = g.lately[1:]
	}
	return len(g.lately)
}

// rounding is what sums of fractions may be wrong by.
const rounding = 1e-6

func (w *waiter) before(o *waiter) bool {
	if w.urgency.Since.Equal(o.urgency.Since) {
		return w.since.Before(o.since)
	}
	return w.urgency.Since.Before(o.urgency.Since)
}

func (g *gate) take(w *waiter, at string, now time.Time) {
	r := g.at(at)
	if w.urgency.Closing {
		r.closings = r.closings[1:]
		if g.streak++; !g.anyOpening() {
			g.streak = 0
		}
		g.lately = append(g.lately, now)
		g.lately = g.lately[max(0, len(g.lately)-g.limits.Reserve):]
	} else {
		r.openings = r.openings[1:]
		g.streak = 0
	}
	g.tokens--
	if g.counted() {
		r.sent = append(r.sent, now)
	}
	if w.turn {
		g.held++
	}
	w.passed, w.taken = true, now
	close(w.ready)
}

func (g *gate) anyOpening() bool {
	for _, r := range g.regions {
		if len(r.openings) > 0 {
			return true
		}
	}
	return false
}

// counted reports whether the network provider counts calls of this kind.
func (g *gate) counted() bool { return g.kind != Reads && g.limits.NetworkWrites > 0 }

// full gives how long the network provider has no room for one more call, less those held back; 0 where it has.
func (r *region) full(now time.Time, l Limits, hold int) time.Duration {
	old := 0
	for old < len(r.sent) && now.Sub(r.sent[old]) >= l.NetworkWindow {
		old++
	}
	r.sent = r.sent[old:]
	if l.NetworkWrites == 0 || len(r.sent)+hold < l.NetworkWrites {
		return 0
	}
	if len(r.sent) == 0 {
		return time.Second
	}
	free := r.sent[0].Add(l.NetworkWindow).Sub(now)
	if hold > 0 {
		free = min(free, time.Second) // what is held back shrinks as time passes
	}
	return free
}

// hold is how many of the network provider's writes are held back from closings: as many as
// openings will lack, if they go on to come as in the last minute, until it has room for them again;
// one in Share at most. Nothing is held back where nobody opens anything.
func (g *gate) hold(r *region, now time.Time) int {
	for len(r.asked) > 0 && now.Sub(r.asked[0]) > time.Minute {
		r.asked = r.asked[1:]
	}
	if g.limits.Share == 0 || !g.counted() || len(r.asked) == 0 {
		return 0
	}
	most, lack := g.limits.NetworkWrites/g.limits.Share, 1.0
	for k, at := range r.sent {
		until := at.Add(g.limits.NetworkWindow).Sub(now).Minutes()
		lack = max(lack, 1+math.Ceil(float64(len(r.asked))*until)-float64(k))
	}
	return min(most, int(lack))
}

// giveBack returns what was taken at a time and not used.
func (g *gate) giveBack(at string, taken time.Time, turn bool) {
	if g.tokens++; turn {
		g.held--
	}
	if g.counted() {
		g.at(at).uncount(taken)
	}
}

// uncount takes one call that was counted at a time out of the count.
func (r *region) uncount(at time.Time) {
	if i, found := slices.BinarySearchFunc(r.sent, at, time.Time.Compare); found {
		r.sent = slices.Delete(r.sent, i, i+1)
	}
}

// close lets nothing through for d, and little right after: ARM's bucket is empty then.
func (g *gate) close(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	until := time.Now().Add(d)
	if until.After(g.closed) {
		g.closed = until
	}
	g.tokens, g.filled = min(g.tokens, 1), g.closed
	for _, r := range g.regions {
		late := func(w *waiter) bool {
			if !w.late(g) {
				return false
			}
			close(w.ready)
			return true
		}
		r.closings, r.openings = slices.DeleteFunc(r.closings, late), slices.DeleteFunc(r.openings, late)
	}
	g.pump()
}

// empty takes the bucket for empty.
func (g *gate) empty() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fill(time.Now())
	g.tokens = min(g.tokens, 0)
}

// learn takes over ARM's count where it is lower than ours.
func (g *gate) learn(h http.Header) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fill(time.Now())
	for name, values := range h {
		what, ok := strings.CutPrefix(strings.ToLower(name), "x-ms-ratelimit-remaining-")
		if !ok || !strings.HasSuffix(what, "-"+string(g.kind)) || len(values) == 0 {
			continue // such as subscription-writes, subscription-global-writes, tenant-writes
		}
		if n, err := strconv.Atoi(values[0]); err == nil && n >= 0 {
			g.tokens = min(g.tokens, float64(n))
		}
	}
}
