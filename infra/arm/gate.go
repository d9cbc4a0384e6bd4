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

// gate admits the calls of one kind to one subscription. It uses package time, so that testing/synctest can
// control it.
type gate struct {
	kind    Kind
	limits  Limits
	bucket  Bucket
	waited  func(Kind, bool, time.Duration)
	mu      sync.Mutex
	tokens  float64
	filled  time.Time // when tokens were last added
	closed  time.Time // no call passes until then
	held    int       // tokens reserved for a turn and not used yet
	regions map[string]*region
	streak  int         // closings admitted since the last opening, while an opening waited
	lately  []time.Time // when the last closings were admitted, as many as the largest reserve
	timer   *time.Timer
}

// region is the calls that wait for one region, and those sent there recently.
type region struct {
	closings []*waiter // the most overdue first
	openings []*waiter // first come, first served
	sent     []time.Time
	asked    []time.Time // when openings arrived, for a minute
}

// waiter is a waiting call.
type waiter struct {
	urgency  network.Priority
	since    time.Time
	deadline time.Time     // zero for none
	turn     bool          // it reserves a token to be used later
	taken    time.Time     // when it was admitted
	ready    chan struct{} // closed when it may go, or when err says why not
	passed   bool
	err      error
}

func newGate(k Kind, l Limits, waited func(Kind, bool, time.Duration)) *gate {
	return &gate{kind: k, limits: l, bucket: l.bucket(k), waited: waited, tokens: float64(l.bucket(k).Size), filled: time.Now(), regions: map[string]*region{}}
}

// wait takes a token, or waits for one. It returns when it took the token, and whether it waited.
func (g *gate) wait(ctx context.Context, p network.Priority, at string, turn bool) (time.Time, bool, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, false, err
	}
	w := &waiter{urgency: p, since: time.Now(), turn: turn, ready: make(chan struct{})}
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

// late reports whether the call would have to wait longer than its context lasts.
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

// throttled is a [store.Unavailable] that the SDK does not retry.
type throttled struct{ *store.Unavailable }

// NonRetriable tells the SDK's retry policy not to retry.
func (throttled) NonRetriable() {}

// Unwrap returns the port's error.
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
	// Equally overdue closings go in order of arrival.
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

// pump admits the calls that may go now, and sets the timer for the next.
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
		// Reserved tokens count as not sent: ARM's bucket does not exceed its size either.
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
		return // nothing is waiting
	}
	g.timer = time.AfterFunc(d, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.pump()
	})
}

// next returns the call that may go now, or how long to wait before checking again; 0 if none waits.
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
	if lack := need - g.tokens; g.bucket.Size > 0 && lack > epsilon {
		later(time.Duration(lack / g.bucket.PerSecond * float64(time.Second)))
		return nil, "", soonest
	}
	return w, at, 0
}

// reserve returns how many tokens to leave for closings while none waits: as many as there were in the last
// minute, since more windows are likely to end. If there were none lately, the reserve is 0 and a large request is
// not delayed.
func (g *gate) reserve(now time.Time) int {
	for len(g.lately) > 0 && now.Sub(g.lately[0]) > time.Minute {
		g.lately = g.lately[1:]
	}
	return len(g.lately)
}

// epsilon is the tolerance for rounding errors of summed fractions.
const epsilon = 1e-6

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

// full returns how long the network provider has no room for one more call, after subtracting those held back; 0
// if it has room.
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
		free = min(free, time.Second) // the number held back shrinks over time
	}
	return free
}

// hold returns how many of the network provider's writes to hold back from closings: as many as openings will need
// until it has room again, if they arrive at the rate of the last minute; at most one in Share. It is 0 if there
// are no openings.
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

// giveBack returns a token that was taken at a time and not used.
func (g *gate) giveBack(at string, taken time.Time, turn bool) {
	if g.tokens++; turn {
		g.held--
	}
	if g.counted() {
		g.at(at).uncount(taken)
	}
}

// uncount removes a call that was counted at a time.
func (r *region) uncount(at time.Time) {
	if i, found := slices.BinarySearchFunc(r.sent, at, time.Time.Compare); found {
		r.sent = slices.Delete(r.sent, i, i+1)
	}
}

// close admits nothing for d, and little right after: ARM's bucket is then empty.
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

// empty assumes that the bucket is empty.
func (g *gate) empty() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fill(time.Now())
	g.tokens = min(g.tokens, 0)
}

// learn adopts ARM's count if it is lower than ours.
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
