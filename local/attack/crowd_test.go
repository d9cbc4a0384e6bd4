package attack

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	nobodies = 40  // who call at the same time, without end
	warm     = 5   // of their calls are answered before anything is looked at beside them
	revokes  = 5   // that are looked at, beside nobody and beside them
	rounds   = 4   // of these
	flooders = 25  // people who flood
	floods   = 500 // calls with as many machines as a call may name: 100,000 refused machines
)

// crowds is C: what is refused cannot drown, stall or blind the log. They come last, since the log is long after them.
func crowds() []attack {
	return []attack{
		{letter: "C", name: "one refusal, 200 machines: one line of the log", as: "nobody", path: "/api/disable", body: bare(most, ours), status: 403, code: "AuthorizationFailed", reads: 10, rows: line},
		{letter: "C", name: "100,000 refused machines in made-up subscriptions", reads: 40, rows: 101 * line, do: drown},
		{letter: "C", name: "closing beside 40 nobodies", reads: 5 * rounds * revokes * 40, rows: 1 << 20, do: stall},
		{letter: "C", name: "the log after all of this", reads: 40, do: verified},
	}
}

// crowd has n callers send something over and over until the function that is given is over, and gives how many calls that was. Each has its number.
func (s *stack) crowd(t *testing.T, n int, send func(ctx context.Context, i, call int) error, meanwhile func()) int {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	began := time.Now()
	var calls atomic.Int64
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for call := 0; ctx.Err() == nil; call++ {
				if err := send(ctx, i, call); err != nil {
					if ctx.Err() == nil {
						t.Errorf("caller %d: %v", i, err)
					}
					return
				}
				calls.Add(1)
			}
		})
	}
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for calls.Load() < warm && time.Since(began) < patience {
		<-again.C
	}
	meanwhile()
	cancel()
	all.Wait()
	s.quiet(t)
	return int(calls.Load())
}

// quiet waits until the app asks the table for nothing more: what is refused is written down although who sent it has gone.
func (s *stack) quiet(t *testing.T) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for last := s.counts(); ; {
		select {
		case <-limit.C:
			t.Fatal("the app does not come to rest")
		case <-again.C:
		}
		now := s.counts()
		if now == last {
			return
		}
		last = now
	}
}

// drown has people with no role name 100,000 machines, each as often as goes at once, and looks at the log as the admin does.
func drown(t *testing.T, s *stack, f *figures) {
	machine := "/api/activity?top=1000&vm=" + strings.TrimPrefix(encoded("", web), "?vm=")
	before := s.must(200, "admin", "GET", machine, "")
	var headers []http.Header
	for i := range flooders {
		headers = append(headers, http.Header{"Authorization": {"Bearer " + s.token("reader", "", somebody(200+i, "flooder"))}})
	}
	memory, cost, began := s.memory(), s.counts(), time.Now()
	var next atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for n := next.Add(1); n <= floods; n = next.Add(1) {
				body := bare(most, func(i int) string { return stranger(int(n)*most + i) })
				if r, err := try(t.Context(), s.app, "POST", "/api/disable", headers[int(n)%flooders], body); err != nil || r.status != 400 && r.status != 429 && r.status != 503 {
					t.Errorf("%v %d %.300s", err, r.status, r.text)
					return
				}
			}
		})
	}
	all.Wait()
	f.add(attack{letter: "C", figure: "100,000 refused machines in made-up subscriptions", before: "one row and one chain for each", times: floods}, s.counts().minus(cost), time.Since(began), memory, s.memory())
	list := s.must(200, "admin", "GET", "/api/activity?top=1000", "")
	after := s.must(200, "admin", "GET", machine, "")
	if after.text != before.text {
		t.Errorf("the log of a machine is another after refusals that do not concern it:\n%s", differing(before.text, after.text))
	}
	f.say("C", "the newest 1,000 entries after them", "empty for the admin, 56 s", fmt.Sprintf("%d entries, %s", len(list.list()), list.took.Round(time.Millisecond)))
	if len(list.list()) == 0 {
		t.Error("the log is empty to the admin")
	}
	guardedPage(t, s.do(s.app, "GET", "/api/portal/activity", s.signedIn(t, "admin"), ""))
}

// closing opens windows and closes them, and gives how long each closing took and what all of them cost of Resource Manager.
func (s *stack) closing(t *testing.T) ([]time.Duration, counts) {
	t.Helper()
	var took []time.Duration
	var cost counts
	for i := range revokes {
		id := s.opened(t, "requester", asking(web, 22, "closed beside a crowd", fmt.Sprintf("198.51.100.%d", 1+i)))
		before := s.counts()
		r := s.must(200, "admin", "POST", "/api/requests/"+id+"/revoke", "")
		c := s.counts().minus(before)
		took, cost.reads, cost.writes = append(took, r.took), cost.reads+c.reads, cost.writes+c.writes
		if status := r.object()["status"]; status != "Revoked" {
			t.Errorf("the window is %v after it was closed", status)
		}
	}
	return took, cost
}

// beside is a crowd, what was measured beside it, and what it cost.
type beside struct {
	name, before string
	n            int // callers
	path         string
	headers      []http.Header // of the callers, in turn

	took   []time.Duration // of the closings
	calls  int             // of the crowd
	during time.Duration
	cpu    time.Duration // of the handler, the closings among it
}

// stall closes windows beside nobody, and beside crowds who are refused over and over and send as fast as they are answered: such as are not
// written down, since they ask for a dry run, such as are, such as have no valid token, and more than the app has wait. Closings beside nobody
// and beside crowds come in turns, so that what else the machine does concerns all alike.
func stall(t *testing.T, s *stack, f *figures) {
	var several []http.Header
	for i := range nobodies {
		header := s.as("nobody")
		if i%2 == 0 {
			header = http.Header{"Authorization": {"Bearer " + s.token("reader", "", somebody(100+i, "nobody"))}}
		}
		if i%4 == 1 {
			header = http.Header{"Authorization": {forged(s.tokens["admin"])}}
		}
		several = append(several, header)
	}
	nobody := []http.Header{s.as("nobody")}
	crowds := []*beside{
		{n: nobodies, path: "/api/disable?dryRun=true", headers: nobody, name: fmt.Sprintf("beside %d nobodies who are refused a dry run", nobodies)},
		{n: nobodies, path: "/api/disable", headers: nobody, name: fmt.Sprintf("beside %d nobodies who are refused", nobodies), before: "11 to 14 s"},
		{n: nobodies, path: "/api/disable", headers: several, name: fmt.Sprintf("beside %d of 21 people, and without a valid token", nobodies)},
		{n: 3 * nobodies, path: "/api/disable?dryRun=true", headers: nobody, name: fmt.Sprintf("beside %d, who are more than wait", 3*nobodies)},
	}
	var idle []time.Duration
	var own time.Duration // of the handler's processor time, for the closings alone
	for range rounds {
		before := s.cpu()
		took, alone := s.closing(t)
		idle, own = append(idle, took...), own+s.cpu()-before
		for _, b := range crowds {
			s.closeBeside(t, b, alone)
		}
	}
	f.say("C", fmt.Sprintf("a closing: the half and the slowest of %d", len(idle)), "", told(idle, idle))
	for _, b := range crowds {
		after := fmt.Sprintf("%s; %d calls of theirs in %s", told(b.took, idle), b.calls, b.during.Round(100*time.Millisecond))
		if b.cpu > 0 {
			after += fmt.Sprintf(", %s of the app's processor time each", (max(0, b.cpu-own) / time.Duration(b.calls)).Round(10*time.Microsecond))
		}
		f.say("C", b.name, b.before, after)
	}
}

// closeBeside measures one round of closings beside a crowd.
func (s *stack) closeBeside(t *testing.T, b *beside, alone counts) {
	t.Helper()
	bodies := []string{bare(most, stranger), bare(most, ours), named(web), named(app1)}
	allowed := []int{400, 401, 403, 429, 503}
	before, began := s.cpu(), time.Now()
	calls := s.crowd(t, b.n, func(ctx context.Context, i, call int) error {
		r, err := try(ctx, s.app, "POST", b.path, b.headers[i%len(b.headers)], bodies[(i+call)%len(bodies)])
		if err == nil && !slices.Contains(allowed, r.status) {
			err = fmt.Errorf("%d %.300s", r.status, r.text)
		}
		return err
	}, func() {
		took, cost := s.closing(t)
		b.took = append(b.took, took...)
		// What nobody may is remembered for five seconds: these are the reads that a crowd may add, for each of its people.
		if cost.writes != alone.writes || cost.reads > alone.reads+revokes*4*len(b.headers) {
			t.Errorf("%d closings cost %+v of Resource Manager %s, %+v alone", revokes, cost, b.name, alone)
		}
		b.during, b.cpu = b.during+time.Since(began), b.cpu+s.cpu()-before
	})
	if calls < warm {
		t.Errorf("the crowd made %d calls only", calls)
	}
	b.calls += calls
	s.drained(t, b)
}

// drained waits until the app has done with what the people of a crowd have left behind, which it cannot know to be left before it has read
// it: a call of each that comes after all of these is answered. Otherwise the next crowd would find the places taken.
func (s *stack) drained(t *testing.T, b *beside) {
	t.Helper()
	for _, header := range b.headers {
		for began := time.Now(); ; {
			r := s.do(s.app, "POST", "/api/disable?dryRun=true", header, named(web))
			if r.status != 429 {
				break
			}
			if time.Since(began) > patience {
				t.Fatal("the lane of who may do nothing stays full")
			}
		}
	}
	s.quiet(t)
}

// forged is a token with another's claims in it, of which the signature is wrong.
func forged(token string) string {
	at := strings.LastIndex(token, ".") + 1
	return "Bearer " + token[:at] + strings.Repeat("A", len(token)-at)
}

// told writes the half and the slowest of some closings, and how many times the half of others that is.
func told(all, others []time.Duration) string {
	half := func(all []time.Duration) time.Duration { return slices.Sorted(slices.Values(all))[len(all)/2] }
	return fmt.Sprintf("%s, %s (%.2f times)", half(all).Round(100*time.Microsecond), slices.Max(all).Round(time.Millisecond), float64(half(all))/float64(half(others)))
}

// verified holds that the log is whole after everything that was sent, that no line says Succeeded of a request that is not there, and what it costs to look.
func verified(t *testing.T, s *stack, f *figures) {
	memory, before, began := s.memory(), s.counts(), time.Now()
	r := s.must(200, "admin", "GET", "/api/activity/verify", "")
	entries := 0.0
	for _, chain := range r.list() {
		n, _ := chain["entries"].(float64)
		entries += n
	}
	if r.object()["whole"] != true || entries == 0 {
		t.Errorf("the log is not as it was written: %.600s", r.text)
	}
	f.add(attack{letter: "C", figure: fmt.Sprintf("verify of %.0f entries", entries), before: "468 MB for 66,000 entries"}, s.counts().minus(before), time.Since(began), memory, s.memory())
	if after := s.memory(); after.known && after.most > memory.now+64 && after.most > memory.most {
		t.Errorf("the handler has had %.0f MiB resident, %.0f before it looked", after.most, memory.now)
	}
	for _, e := range s.must(200, "admin", "GET", "/api/activity?top=20&operation=Request&result=Succeeded", "").list() {
		if got := s.call("admin", "GET", fmt.Sprint("/api/requests/", e["request"]), ""); got.status != 200 {
			t.Errorf("the log says that the request %v succeeded, and it is not there: %d", e["request"], got.status)
		}
	}
}
