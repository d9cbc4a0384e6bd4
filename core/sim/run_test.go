package sim_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"portcullis/core/area"
)

// The bounds of I1, and the pace of the world.
const (
	period    = 5 * time.Minute // of the sweep
	writeTime = 2 * time.Minute // a round's own bound; the simulated writes are far faster
	skewMax   = 60 * time.Second
)

// config determines a run; the same config gives the same run.
type config struct {
	seed  uint64
	steps int
	// The activity log streams, as it does in every fourth run.
	streams bool
	// If set, each step first takes its choices from its own line, and further ones only from the seed and the step's
	// number, so that removing a line does not change the others.
	script [][]byte
}

// run is one simulated history.
type run struct {
	config
	rng      *rand.Rand
	starved  *call  // waits until patience ends, or nothing else can continue
	favored  string // whose calls come first until then: a prefix of their keys
	patience int
	tape     []byte // what is left of the step's line
	azure    *azure
	bus      *bus
	table    *table
	apps     []*app
	start    time.Time

	// What this run's world does:
	faults, foreign, churn, skewed, lossy, supersede, crashes bool
	demands                                                   bool // the installation bounds sources: see demand
	glass                                                     bool // people break the glass
	later                                                     bool // people ask for later

	mu        sync.Mutex
	ids       int
	ops       int
	calls     []*call
	flying    map[string]*op
	begun     map[string]*op // every verb so far: what it asked for may go on once it has ended
	finished  []*op
	trace     []line
	taken     int // steps so far
	violation string
	seen      counts

	disturbed time.Time               // the last fault
	throttled time.Time               // until when Resource Manager answers nobody
	clean     int                     // clean sweeps that began since
	sweepAt   time.Time               // when the next sweep is due
	asked     []asked                 // requests to send again
	guarded   map[string]string       // the version of each policy whose denies are known to be in effect
	was       map[string][]netip.Addr // every address that a machine ever had
	still     bool                    // nothing moves any more, so that the effects of a recreated machine show
	lose      bool                    // the table is lost once
	restore   bool                    // an older copy of it is put back once
	backup    *backup                 // that copy; nil before it is made
	orphans   map[string]bool         // the machines that were protected when older tables were put back which do not know them
	bereft    bool                    // that has happened
	revoked   map[string]bool         // the grants that somebody asked to close
	locked    []area.Scope            // what somebody has locked down
	wasBehind map[string]bool         // the machines that the firewall stood in front of
	disabled  map[string]bool         // the machines whose policies somebody asked to remove
	quiet     bool                    // nothing fails and nobody else writes, in this run
	displaced bool                    // others have taken places where windows stand
	moving    bool                    // machines move in this run, or have until its end
	outside   outside                 // what has left by the stream of the log
}

// op is one verb in progress.
type op struct {
	name  string
	app   *app
	began time.Time
	turn  int // how many steps had been taken then
	err   error
	after func(*op)
}

type line struct {
	at     time.Duration
	format string
	args   []any
}

// counts shows how eventful runs were: a simulation in which nothing happens proves nothing.
type counts struct{ Opened, Closed, Locked, Refused, Repaired, Approved, Denied, Expired, Conflicts, Faults, Throttled, Crashes, Sweeps, Wakes, Broken, Reviewed, Owing, Begun, Missed int }

func (c *counts) add(o counts) {
	c.Opened += o.Opened
	c.Closed += o.Closed
	c.Locked += o.Locked
	c.Refused += o.Refused
	c.Repaired += o.Repaired
	c.Approved += o.Approved
	c.Denied += o.Denied
	c.Expired += o.Expired
	c.Conflicts += o.Conflicts
	c.Faults += o.Faults
	c.Throttled += o.Throttled
	c.Crashes += o.Crashes
	c.Sweeps += o.Sweeps
	c.Wakes += o.Wakes
	c.Broken += o.Broken
	c.Reviewed += o.Reviewed
	c.Owing += o.Owing
	c.Begun += o.Begun
	c.Missed += o.Missed
}

type lazy func() string

func (l lazy) String() string { return l() }

// note adds a line to the trace, which is formatted only when it is read.
func (r *run) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trace = append(r.trace, line{time.Since(r.start), format, args})
}

func (r *run) text(last int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, l := range r.trace[max(0, len(r.trace)-last):] {
		fmt.Fprintf(&b, "%10s  %s\n", l.at.Round(time.Millisecond), fmt.Sprintf(l.format, l.args...))
	}
	return b.String()
}

// violate records the first violation; the run ends there.
func (r *run) violate(invariant, format string, args ...any) {
	text := invariant + ": " + fmt.Sprintf(format, args...)
	if !r.broken() {
		r.note("VIOLATION %s", text)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.violation == "" {
		r.violation = text
	}
}

func (r *run) broken() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.violation != ""
}

// pick draws from the tape, then from the seed.
func (r *run) pick(n int) int {
	if len(r.tape) > 0 {
		v := int(r.tape[0])
		r.tape = r.tape[1:]
		return v % n
	}
	return r.rng.IntN(n)
}

// chance is true p times in a hundred.
func (r *run) chance(p int) bool { return r.pick(100) < p }

func (r *run) park(c *call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, c)
}

func (r *run) leave(c *call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = slices.DeleteFunc(r.calls, func(o *call) bool { return o == c })
}

// waiting returns the waiting calls in an order that does not depend on their arrival.
func (r *run) waiting() []*call {
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.SortStableFunc(r.calls, func(a, b *call) int { return cmp.Compare(a.key(), b.key()) })
	return slices.Clone(r.calls)
}

// begin starts a verb on an instance.
func (r *run) begin(a *app, name string, do func(ctx context.Context) error) *op {
	r.ops++
	o := &op{name: fmt.Sprintf("%s#%d", name, r.ops), app: a, began: time.Now(), turn: r.taken}
	r.note("%s begins %s", a.name, o.name)
	r.flying[o.name], r.begun[o.name] = o, o
	ctx := context.WithValue(context.Background(), opKey{}, o.name)
	go func() {
		o.err = do(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.finished = append(r.finished, o)
	}()
	return o
}

// check waits until every goroutine is blocked, takes what has ended, and checks
// the invariants.
func (r *run) check() {
	synctest.Wait()
	r.mu.Lock()
	ended := r.finished
	r.finished = nil
	r.mu.Unlock()
	slices.SortFunc(ended, func(a, b *op) int { return cmp.Compare(a.name, b.name) })
	for _, o := range ended {
		delete(r.flying, o.name)
		if o.app.dead() {
			continue // a dead process receives no response
		}
		r.note("%s ends %s: %v", o.app.name, o.name, o.err)
		if o.after != nil {
			o.after(o)
		}
	}
	r.taken++
	r.reviewed()
	r.oracle()
}

// release admits one waiting call, with a fault if the world has them.
func (r *run) release(c *call) {
	r.leave(c)
	var fault error
	// A group whose last write failed is likelier to fail again.
	g := r.azure.groups[c.step.Of]
	if r.faults && (r.chance(3) || g != nil && g.failed && r.chance(20) || c.step.Op == "Send" && r.chance(30)) {
		fault = r.fault(c)
	}
	if r.faults && fault == nil && resourceManager(c) && time.Now().Before(r.throttled) {
		r.disturb()
		fault = r.throttle()
	}
	if fault != nil {
		r.note("%v: %v", c, fault)
	} else {
		r.note("%v", c)
	}
	if errors.Is(fault, errCrashed) {
		r.crash(c.app)
		return
	}
	c.resume <- fault
}

// drain lets everything in progress end, without new faults if quiet is set.
func (r *run) drain(quiet bool) {
	old := r.faults
	r.faults = r.faults && !quiet
	r.check()
	for range 6000 {
		if r.broken() || !r.advance() {
			break
		}
	}
	if len(r.flying) > 0 && !r.broken() {
		r.violate("I1", "%d verbs do not end", len(r.flying))
	}
	r.faults = old
}

// advance lets one call or one write continue; false if none waits.
func (r *run) advance() bool {
	calls, busy := r.unstarved(r.waiting()), r.busy()
	n := len(calls) + len(busy)
	if at := r.early(); n == 0 && !at.IsZero() { // all wait for a firewall; advance a little, since others act meanwhile
		r.sleep(min(time.Until(at), 5*time.Second))
		if !time.Now().Before(r.sweepAt) { // a sweep does not wait for a firewall either
			r.due()
		}
		return true
	}
	if n == 0 && len(r.flying) > 0 { // all pause before another try
		r.sleep(100 * time.Millisecond)
		return true
	}
	if n == 0 {
		return false
	}
	if i := r.pick(n); i < len(calls) {
		r.release(calls[i])
	} else {
		r.end(busy[i-len(calls)])
	}
	r.check()
	return true
}

// unstarved holds back one call for a while, so that everything else comes before it: by chance alone a whole verb
// hardly ever fits between two calls of another.
func (r *run) unstarved(calls []*call) []*call {
	if r.patience--; r.patience < 0 {
		r.starved, r.favored = nil, ""
		if len(calls) > 1 && r.chance(10) {
			r.starved, r.patience = calls[r.pick(len(calls))], 10+r.pick(40)
			if i := slices.IndexFunc(calls, func(c *call) bool { return c.step.Op == "Apply" && !c.step.After }); i >= 0 && r.chance(50) {
				r.starved = calls[i] // a late write does the most harm
			}
		}
	}
	if mine := slices.DeleteFunc(slices.Clone(calls), func(c *call) bool { return !strings.HasPrefix(c.key(), r.favored) }); r.favored != "" && len(mine) > 0 {
		return mine
	}
	others := slices.DeleteFunc(slices.Clone(calls), func(c *call) bool { return c == r.starved })
	if len(others) == 0 {
		return calls
	}
	return others
}

// busy returns the groups with a write under way.
func (r *run) busy() []*group {
	r.azure.mu.Lock()
	defer r.azure.mu.Unlock()
	return slices.DeleteFunc(r.azure.sorted(), func(g *group) bool { return g.write == nil || g.write.ready.After(time.Now()) })
}

func (r *run) end(g *group) {
	odds := 5
	if g.id.Name == spare {
		odds = 50 // few writes come here, and foreign ones are soon lost track of
	}
	failed := r.faults && r.chance(odds)
	effect := failed && r.chance(50)
	if failed {
		r.disturb()
	}
	r.note("  ARM ends the write of %s, failed %v", g.id.Name, failed)
	r.azure.finish(g, failed, effect)
}

// sleep moves the clock.
func (r *run) sleep(d time.Duration) {
	time.Sleep(d)
	r.check()
}
