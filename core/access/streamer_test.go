package access_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/store"
	outward "portcullis/core/stream"
)

// security is the system that the log streams to.
type security struct {
	mu   sync.Mutex
	down bool
	has  map[string]int // how often, by the entry's id
	last map[string]int // by chain, the last place before which nothing lacks
	skip []string       // what came before something that the chain has before it
}

// Send implements [outward.Receiver].
func (s *security) Send(_ context.Context, events []outward.Event) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return 0, &store.Unavailable{Dependency: "Azure Monitor", Err: errors.New("503")}
	}
	for _, e := range events {
		if e.Entry == nil {
			continue
		}
		chain := e.Day.Format(time.DateOnly) + e.Subscription
		if s.has[e.Entry.ID]++; e.Entry.Seq > s.last[chain]+1 {
			s.skip = append(s.skip, fmt.Sprint(chain, " ", e.Entry.Seq))
		}
		s.last[chain] = max(s.last[chain], e.Entry.Seq)
	}
	return len(events), nil
}

// lacks returns the entries of the log that have not arrived.
func (s *security) lacks(w *world) []string {
	entries, _, err := w.mem.Entries(w.t.Context(), store.EntryFilter{}, "", 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if s.has[e.ID] == 0 && e.Operation != store.OpSweep { // a sweep's own line leaves with the next one
			out = append(out, fmt.Sprint(e.Operation, " ", e.Result, " ", e.VM.Name))
		}
	}
	return out
}

// streaming starts the service with a stream to s.
func (w *world) streaming(s *security) {
	w.startWith(func(p *core.Ports) {
		p.Stream = &outward.Stream{Log: w.store, Record: w.store, Receiver: s, Now: w.now}
	})
}

// sweptStream is a world in which a window is due, a rule was removed by others, and all of the log is still to be sent.
func sweptStream(t *testing.T) (*world, *security) {
	w := newWorld(t)
	w.enable("web", "app1")
	w.mustAsk(want("alice", 22, 15*time.Minute, "203.0.113.7", "web"))
	w.cloud.SetRules(nsgID("apps-nsg"), foreignRules()...)
	w.leap(20 * time.Minute)
	s := &security{has: map[string]int{}, last: map[string]int{}}
	w.streaming(s)
	return w, s
}

// repaired reports whether the deny that others had removed stands again.
func (w *world) repaired() bool {
	return slices.ContainsFunc(w.lines("apps-nsg"), func(line string) bool { return strings.Contains(line, "deny ours") })
}

// TestSweepSendsTheLog: one sweep closes, repairs and sends what the log had, and the next one what this one logged; a receiver that is down holds up neither.
func TestSweepSendsTheLog(t *testing.T) {
	w, s := sweptStream(t)
	s.down = true
	if rec := w.sweep(); rec.Closed != 1 || w.allows("web-nsg") != 0 || !w.repaired() || len(s.has) != 0 {
		t.Errorf("while the receiver is down: %d closed, %d allows, %q", rec.Closed, w.allows("web-nsg"), w.lines("apps-nsg"))
	}
	s.down = false
	w.leap(time.Hour)
	w.sweep()
	w.leap(5 * time.Minute)
	w.sweep()
	if lacks := s.lacks(w); len(lacks) != 0 || len(s.has) < 6 {
		t.Errorf("of %d it lacks %q", len(s.has), lacks)
	}
	for id, n := range s.has {
		if n != 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
}

// TestSweepSendsTheLogOverCrashes kills a sweep at every step, its own and those of the stream beside it, and starts anew: the next ones close, repair, and send each entry
// at least once and none before those that come before it.
func TestSweepSendsTheLogOverCrashes(t *testing.T) {
	again := 0
	for n := 1; ; n++ {
		w, s := sweptStream(t)
		seen := w.crashAt(n)
		_, err := w.Sweep(t.Context(), who("timer"))
		reached := *seen >= n
		if !reached && err != nil {
			t.Fatalf("without a crash: %v", err)
		}
		w.restart()
		w.streaming(s)
		for range 3 {
			w.leap(5 * time.Minute) // beyond the lease of who died
			w.sweep()
		}
		if lacks := s.lacks(w); len(lacks) != 0 || len(s.skip) != 0 || w.allows("web-nsg") != 0 || !w.repaired() {
			t.Fatalf("crashed at step %d: it lacks %q, came too early %q, %d allows, %q", n, lacks, s.skip, w.allows("web-nsg"), w.lines("apps-nsg"))
		}
		if slices.Max(slices.Collect(maps.Values(s.has))) > 1 {
			again++
		}
		if !reached {
			t.Logf("crashed at each of %d steps; after %d of them something came twice", n-1, again)
			if n < 40 {
				t.Error("too few")
			}
			return
		}
	}
}

// TestSweepSendsAgain kills the app after the receiver has taken entries and before that is noted: they come again, and nothing lacks.
func TestSweepSendsAgain(t *testing.T) {
	w, s := sweptStream(t)
	var mu sync.Mutex
	dead := false
	fault := func(_ context.Context, step coretest.Step) error {
		mu.Lock()
		defer mu.Unlock()
		if dead = dead || step.Op == "PutStream" && s.took() > 0; dead {
			return fmt.Errorf("%s: %w", step.Op, errFault)
		}
		return nil
	}
	w.cloud.Fault, w.store.Fault, w.bell.Fault = fault, fault, fault
	_, _ = w.Sweep(t.Context(), who("timer")) // it dies on its way, or is done before
	taken := s.took()
	w.restart()
	w.streaming(s)
	for range 3 {
		w.leap(5 * time.Minute) // beyond the lease of who died
		w.sweep()
	}
	if lacks := s.lacks(w); !dead || taken == 0 || slices.Max(slices.Collect(maps.Values(s.has))) < 2 || len(lacks) != 0 || len(s.skip) != 0 {
		t.Errorf("dead %v, %d were taken, then came %v; it lacks %q, came too early %q", dead, taken, s.has, lacks, s.skip)
	}
	if w.allows("web-nsg") != 0 || !w.repaired() {
		t.Errorf("%d allows, %q", w.allows("web-nsg"), w.lines("apps-nsg"))
	}
}

// took is how many entries it has taken.
func (s *security) took() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.has)
}
