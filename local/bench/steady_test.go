package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core/plan"
)

// steadyLength is how long the requests of a steady load go on coming.
const steadyLength = 2 * time.Minute

// answerWithin is how long the product waits for an opening before it answers 202, as main has it.
const answerWithin = 25 * time.Second

// steady is a load on one security group: requests that come when they come and do not wait for each other, each for
// another machine.
type steady struct {
	rate   float64       // requests a second, on average, for steadyLength
	write  time.Duration // what a write takes
	window time.Duration // how long each machine is asked for
	second bool          // two instances of the app take requests and messages in turn
	sweep  time.Duration // between one sweep and the next; 0 for none
}

func (s steady) requests() int { return int(s.rate * steadyLength.Seconds()) }

func (s steady) instances() int {
	if s.second {
		return 2
	}
	return 1
}

func (s steady) String() string {
	return fmt.Sprintf("%g a second, writes of %s, windows of %s, a sweep every %s, instances %d", s.rate, s.write, s.window, s.sweep, s.instances())
}

// writeTime is how long a group is taken up by a write: Resource Manager asks to be left alone for usual().retryAfter after
// it, so that its end is known no sooner.
func (s steady) writeTime() time.Duration { return max(s.write, usual().retryAfter) }

// refusals is how many requests the group has no room for: it holds so many rules, of which one is our deny and one
// somebody else's, and windows of ten minutes all stand at once.
func (s steady) refusals() int {
	if s.window < steadyLength {
		return 0
	}
	return max(0, s.requests()-(plan.MaxRules-2))
}

// verdict is how a request was answered.
type verdict int

const (
	failed   verdict = iota // with an error, or with 202 and not opened afterwards
	opened                  // 200, and open
	later                   // 202, before its window had ended
	tooLate                 // 200 or 202, and its window had ended before it could be open
	tooEarly                // 200, and said to have ended before its end
	refused                 // the group holds as many rules as it can
)

// steadied is what a steady load came to.
type steadied struct {
	cost     cost
	answers  map[verdict]int
	took     []time.Duration // from a request to its 200, where it is open
	tooLate  []time.Duration // from a request to its answer, where its window had ended
	closed   []time.Duration // from the end of a window until its rule no longer stood
	undone   int             // rules that stopped to stand before their windows ended
	unfound  int             // requests that were answered as open and whose rules never stood
	left     int             // rules that stand when nothing happens any more
	sweeps   int             // that failed
	accepted int             // writes that Resource Manager took
	overlaps int             // of these, those sent while another was under way
	busy     time.Duration   // from the first of them to the end of the last
}

// perWriteTime is how many writes there were in the time that one takes, on average, counting the time when there was
// nothing to write.
func (o steadied) perWriteTime(s steady) float64 {
	if o.busy <= 0 {
		return 0
	}
	return float64(o.accepted) * float64(s.write) / float64(o.busy)
}

// steadyDesign is one that takes requests: open asks for the nth machine; end is when its window ends, as the answer has it.
type steadyDesign struct {
	open   func(n int) (v verdict, end time.Time)
	revoke func(context.Context, []byte) error
	wide   int
	sweep  func() bool                    // false where it failed; nil where the design has none
	settle func(n int, v verdict) verdict // looks at the nth request again, when all is over; nil where there is nothing to look at
}

// run lets the load pass over a design and waits until nothing happens any more.
func (s steady) run(t *testing.T, design func(*world, steady) steadyDesign) (out steadied) {
	synctest.Test(t, func(t *testing.T) {
		n := s.requests()
		seen := &watch{write: s.write, group: strings.ToLower(groupID(0).String()), stood: map[netip.Addr][]time.Time{}}
		w := newWorld(t, setting{estate: estate{machines: n, groups: 1}, seed: 1, wait: answerWithin, second: s.second,
			watch: func(to http.Handler) http.Handler { seen.to = to; return seen }})
		d := design(w, s)
		w.draw(s.write, s.write, usual())
		time.Sleep(10 * time.Minute)
		seen.look = func() map[netip.Addr]bool { return w.destinations(0) }
		before, began := w.cost(), time.Now()
		stop := w.serve(d.wide, d.revoke)
		out.answers = map[verdict]int{}
		sweeping, failedSweeps := make(chan struct{}), make(chan int)
		go func() { failedSweeps <- s.sweeps(d, sweeping) }()

		verdicts, ends, took := make([]verdict, n), make([]time.Time, n), make([]time.Duration, n)
		var all sync.WaitGroup
		for i, at := range s.arrivals() {
			all.Go(func() {
				time.Sleep(time.Until(began.Add(at)))
				asked := time.Now()
				verdicts[i], ends[i] = d.open(i)
				took[i] = time.Since(asked)
				if ends[i].IsZero() { // an error names no end
					ends[i] = asked.Add(s.window)
				}
			})
		}
		all.Wait()
		time.Sleep(s.window)
		for until := time.Now().Add(time.Hour); w.queue.busy() && time.Now().Before(until); {
			time.Sleep(time.Second)
		}
		time.Sleep(settled)
		close(sweeping)
		out.sweeps = <-failedSweeps
		stop()
		seen.looks.Wait()
		out.cost = w.cost().minus(before)
		out.accepted, out.overlaps, out.busy = seen.accepted, seen.overlapped, seen.ends.Sub(seen.first)
		for i := range n {
			if d.settle != nil {
				verdicts[i] = d.settle(i, verdicts[i])
			}
			out.count(verdicts[i], took[i])
			out.follow(seen, i, verdicts[i], ends[i])
		}
	})
	return out
}

// arrivals are when the requests come: at any time, as from many people who know nothing of each other.
func (s steady) arrivals() []time.Duration {
	rng, out := rand.New(rand.NewPCG(1, 2)), make([]time.Duration, s.requests())
	for i := range out {
		out[i] = time.Duration(rng.Int64N(int64(steadyLength)))
	}
	slices.Sort(out)
	return out
}

// sweeps sweeps again and again until stop is closed, and returns how many failed.
func (s steady) sweeps(d steadyDesign, stop <-chan struct{}) (failed int) {
	if s.sweep == 0 || d.sweep == nil {
		<-stop
		return 0
	}
	tick := time.NewTicker(s.sweep)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if !d.sweep() {
				failed++
			}
		case <-stop:
			return failed
		}
	}
}

func (o *steadied) count(v verdict, took time.Duration) {
	o.answers[v]++
	switch v {
	case opened:
		o.took = append(o.took, took)
	case tooLate:
		o.tooLate = append(o.tooLate, took)
	}
}

// follow counts what became of the rule of the nth request, whose window ends at end.
func (o *steadied) follow(seen *watch, n int, v verdict, end time.Time) {
	gone, ever, still := seen.gone(addressOf(n))
	switch {
	case still:
		o.left++
	case ever && gone.Before(end):
		o.undone++
	case ever:
		o.closed = append(o.closed, gone.Sub(end))
	case v == opened:
		o.unfound++
	}
}

// steadyAnswer is what is read of the answer to a request.
type steadyAnswer struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Reason string `json:"statusReason"`
	End    string `json:"endTimeUtc"`
	Error  struct{ Code string }
}

func (w *world) answer(text []byte) (a steadyAnswer, end time.Time) {
	w.check(json.Unmarshal(text, &a))
	if a.End != "" {
		var err error
		end, err = time.Parse(time.RFC3339, a.End)
		w.check(err)
	}
	return a, end
}

// steadyOurs asks the app, its instances in turn.
func steadyOurs(w *world, s steady) steadyDesign {
	w.enable(w.machines, 1)
	apps := []http.Handler{w.app}
	if w.second != nil {
		apps = append(apps, w.second)
	}
	for _, app := range apps { // an instance that knows nothing of the group would wait for the first gap between the other's writes
		_, _ = w.post(w.tb.Context(), app, "/sweep", []byte(`{"Data":{"timer":{}},"Metadata":{}}`))
	}
	ids := make([]string, w.machines)
	open := func(n int) (verdict, time.Time) {
		status, text := w.send(apps[n%len(apps)], http.MethodPost, "/api/request", request(n, 1, 1, s.window, "198.51.100.7"))
		a, end := w.answer(text)
		ids[n] = a.ID
		return verdictOf(status, a, end), end
	}
	// What was answered as open, or that it will be, is looked at again when all is over: it has to have ended by itself.
	settle := func(n int, v verdict) verdict {
		if ids[n] == "" {
			return v
		}
		a, _ := w.answer(w.call(http.MethodGet, "/api/requests/"+ids[n], nil))
		if a.Status != "Revoked" || a.Reason != "Expired" {
			return failed
		}
		return v
	}
	var messages, sweeps int
	var mu sync.Mutex
	next := func(n *int) http.Handler {
		mu.Lock()
		defer mu.Unlock()
		*n++
		return apps[*n%len(apps)]
	}
	return steadyDesign{open: open, settle: settle, wide: w.hostWidth(),
		revoke: func(ctx context.Context, body []byte) error { return w.wake(ctx, next(&messages), body) },
		sweep: func() bool {
			status, answer := w.post(w.tb.Context(), next(&sweeps), "/sweep", []byte(`{"Data":{"timer":{}},"Metadata":{}}`))
			if status != http.StatusOK {
				w.tb.Logf("a sweep failed: %d %s", status, answer)
			}
			return status == http.StatusOK
		}}
}

// verdictOf reads the answer to a request.
func verdictOf(status int, a steadyAnswer, end time.Time) verdict {
	over := !end.IsZero() && !time.Now().Before(end)
	switch {
	case status == http.StatusAccepted && !over:
		return later
	case status == http.StatusAccepted:
		return tooLate
	case status == http.StatusConflict && a.Error.Code == string(plan.CodeTooManyRules):
		return refused
	case status != http.StatusOK:
		return failed
	case a.Status == "Initiated":
		return opened
	case a.Status == "Revoked" && over:
		return tooLate
	}
	return tooEarly
}

// steadyPeer asks the obvious design, or its best variant. It has no sweep, and instances would make no difference to it.
func steadyPeer(best bool) func(*world, steady) steadyDesign {
	return func(w *world, s steady) steadyDesign {
		p := w.newPeer(best)
		return steadyDesign{wide: p.width(), revoke: p.close, open: func(n int) (verdict, time.Time) {
			end := time.Now().Add(s.window)
			if p.open(w.tb.Context(), n, 1, 1, end) > 0 {
				return failed, end
			}
			return opened, end
		}}
	}
}

// steadyRates are how many requests a second come in the rows of B7, the obvious designs only up to steadyPeerRate:
// beyond it they are so far behind that hundreds of their requests poll at once for an hour.
func steadyRates() []float64 { return []float64{0.2, 1, 1.5, 5, 10} }

const steadyPeerRate = 1.5

// benchSteady is B7.
func benchSteady(t *testing.T, r *report) {
	var rows [][]string
	for _, write := range []time.Duration{2 * time.Second, 5 * time.Second, 10 * time.Second} {
		for _, window := range []time.Duration{10 * time.Second, 10 * time.Minute} {
			for _, rate := range steadyRates() {
				s := steady{rate: rate, write: write, window: window, sweep: 20 * time.Second}
				if *cells != "" && !strings.Contains(","+*cells+",", fmt.Sprintf(",%g/%s/%s,", rate, write, window)) {
					continue
				}
				for _, name := range []string{us, us + ", 2 instances"} {
					s.second = name != us
					began := time.Now()
					o := s.run(t, steadyOurs)
					rows = append(rows, s.row(name, o))
					t.Logf("%s: open p99 %s, close p99 %s, 202 %d, failed %d, full %d, too late %d, undone %d, %.2f writes for each; it took %s", s,
						seconds(percentile(o.took, .99)), seconds(percentile(o.closed, .99)), o.answers[later], o.answers[failed]+o.answers[tooEarly], o.answers[refused], o.answers[tooLate],
						o.undone, o.perWriteTime(s), time.Since(began).Round(time.Second))
					for _, broken := range s.broken(o) {
						t.Errorf("%s: %s", s, broken)
					}
				}
				s.second = false
				for _, name := range names()[1:] {
					if rate <= steadyPeerRate {
						rows = append(rows, s.row(name, s.run(t, steadyPeer(name == best))))
					}
				}
			}
		}
	}
	r.text("## B7: a steady load on one security group")
	r.text("Requests for two minutes that come at any time and do not wait for each other, each for another machine, with a sweep every 20 s; ours also with two instances that share nothing but the services. "+
		"L is how long a write takes, or the 3 s for which Resource Manager asks to be left alone. Open p99 is of the requests that were answered with 200 and open, close p99 from the end of a window until the rule no longer stood. "+
		"202 are answers after 25 s that the opening still goes on, of windows that had not ended by then, failed are errors and openings that came to nothing later, full those for which the group's 1,000 rules left no room. Too late are requests whose window ended before a write could open it, however they were answered. "+
		"Undone are rules that stood and were removed before the end of their window. Writes for each L is how many Resource Manager took in the time of one, on average over the time from the first to the last. "+
		"The obvious design is not run above %g requests a second.", steadyPeerRate)
	r.table([]string{"L", "window", "a second", "design", "open p99", "p99 / L", "close p99", "202", "failed", "full", "too late", "undone", "writes", "for each L", "rejected"}, rows)
}

func (s steady) row(name string, o steadied) []string {
	n := func(v verdict) string { return fmt.Sprint(o.answers[v]) }
	first := []string{seconds(s.writeTime()), s.window.String(), fmt.Sprint(s.rate)}
	if name != us {
		first = []string{"", "", ""}
	}
	p99 := percentile(o.took, .99)
	return append(first, name, seconds(p99), ratio(p99, s.writeTime()), seconds(percentile(o.closed, .99)), n(later), fmt.Sprint(o.answers[failed]+o.answers[tooEarly]), n(refused), n(tooLate),
		fmt.Sprint(o.undone), thousands(o.accepted), fmt.Sprintf("%.2f", o.perWriteTime(s)), thousands(o.cost.Rejected))
}
