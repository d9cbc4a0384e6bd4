package attack

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	nobodies = 40  // who call at the same time, without end
	revokes  = 5   // that are looked at, beside nobody and beside them
	floods   = 500 // calls with as many machines as a call may name: 100,000 refused machines
)

// crowds is C: what is refused cannot drown, stall or blind the log. They come last, since the log is long after them.
func crowds() []attack {
	return []attack{
		{letter: "C", name: "one refusal, 200 machines: one line of the log", as: "nobody", path: "/api/disable", body: bare(most, ours), status: 403, code: "AuthorizationFailed", reads: 10, rows: line},
		{letter: "C", name: "100,000 refused machines in made-up subscriptions", reads: 40, rows: 20 * line, do: drown},
		{letter: "C", name: "closing beside 40 nobodies", reads: 4 * revokes * 20, rows: 1 << 20, do: stall},
		{letter: "C", name: "the log after all of this", reads: 40, do: verified},
	}
}

// crowd has n callers send something over and over until the function that is given is over, and gives how many calls that was. Each has its number.
func (s *stack) crowd(t *testing.T, n int, send func(ctx context.Context, i, call int) error, meanwhile func()) int {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var calls atomic.Int64
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for call := 0; ctx.Err() == nil; call++ {
				if err := send(ctx, i, call); err != nil && ctx.Err() == nil {
					t.Errorf("caller %d: %v", i, err)
					return
				}
				calls.Add(1)
			}
		})
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

// drown has nobody name 100,000 machines, and looks at the log as the admin does.
func drown(t *testing.T, s *stack, f *figures) {
	machine := "/api/activity?top=1000&vm=" + strings.TrimPrefix(encoded("", web), "?vm=")
	before := s.must(200, "admin", "GET", machine, "")
	header, memory, cost, began := s.as("nobody"), s.memory(), s.counts(), time.Now()
	var next atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for n := next.Add(1); n <= floods; n = next.Add(1) {
				body := bare(most, func(i int) string { return stranger(int(n)*most + i) })
				if r, err := try(t.Context(), s.app, "POST", "/api/disable", header, body); err != nil || r.status != 400 && r.status != 429 && r.status != 503 {
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
	slices.Sort(took)
	return took, cost
}

// stall closes windows beside nobody, and beside 40 nobodies who are refused over and over: such as are not written down, since they ask for
// a dry run, and such as are. Both keep the machine busy alike, so that what is between them is the log's.
func stall(t *testing.T, s *stack, f *figures) {
	idle, alone := s.closing(t)
	f.say("C", fmt.Sprintf("a closing: the half and the slowest of %d", revokes), "", told(idle, idle))
	for _, crowd := range []struct{ path, name, before string }{
		{"/api/disable?dryRun=true", fmt.Sprintf("beside %d nobodies who are refused a dry run", nobodies), ""},
		{"/api/disable", fmt.Sprintf("beside %d nobodies who are refused", nobodies), "11 to 14 s"},
	} {
		header := s.as("nobody")
		bodies := []string{bare(most, stranger), bare(most, ours), named(web), named(app1)}
		var crowded []time.Duration
		var cost counts
		calls := s.crowd(t, nobodies, func(ctx context.Context, i, call int) error {
			r, err := try(ctx, s.app, "POST", crowd.path, header, bodies[(i+call)%len(bodies)])
			if err == nil && r.status != 400 && r.status != 403 && r.status != 429 && r.status != 503 {
				err = fmt.Errorf("%d %.300s", r.status, r.text)
			}
			return err
		}, func() { crowded, cost = s.closing(t) })
		if calls < nobodies {
			t.Errorf("the crowd made %d calls only", calls)
		}
		// What nobody may is remembered for five seconds: these are the reads that the crowd may add.
		if cost.writes != alone.writes || cost.reads > alone.reads+revokes*4 {
			t.Errorf("%d closings cost %+v of Resource Manager %s, %+v alone", revokes, cost, crowd.name, alone)
		}
		f.say("C", crowd.name, crowd.before, fmt.Sprintf("%s; %d calls of theirs meanwhile", told(crowded, idle), calls))
	}
}

// told writes the half and the slowest of some closings, and how many times the half of others that is.
func told(all, others []time.Duration) string {
	half := func(all []time.Duration) time.Duration { return all[len(all)/2] }
	return fmt.Sprintf("%s, %s (%.1f times)", half(all).Round(time.Millisecond), all[len(all)-1].Round(time.Millisecond), float64(half(all))/float64(half(others)))
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
