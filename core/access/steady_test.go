package access_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/store"
)

// oneWriter is a rule store as Resource Manager is: it takes one write of a target at a time, refuses another one meanwhile, shows
// the write under way, and lets who reads for a write wait for its end.
type oneWriter struct {
	network.RuleStore
	takes time.Duration

	mu      sync.Mutex
	under   chan struct{}
	accepts []time.Time
	reads   atomic.Int64
	fail    func(plan.Changes) error
}

func (f *oneWriter) Rules(ctx context.Context, p network.Priority, target jit.ID) (network.Snapshot, error) {
	f.mu.Lock()
	f.reads.Add(1)
	under := f.under
	f.mu.Unlock()
	if under != nil {
		select {
		case <-under:
		case <-ctx.Done():
			return network.Snapshot{}, ctx.Err()
		}
	}
	return f.RuleStore.Rules(ctx, p, target)
}

func (f *oneWriter) All(ctx context.Context, p network.Priority, sub string) ([]network.Snapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	snaps, err := f.RuleStore.All(ctx, p, sub)
	for i := range snaps {
		if f.under != nil {
			snaps[i].Unconfirmed, snaps[i].Version = true, snaps[i].Version+" under way"
		}
	}
	return snaps, err
}

func (f *oneWriter) Apply(ctx context.Context, p network.Priority, s network.Snapshot, c plan.Changes) (network.Snapshot, error) {
	f.mu.Lock()
	now, err := f.RuleStore.Rules(ctx, p, s.Target)
	if err != nil || f.under != nil || now.Version != s.Version {
		f.mu.Unlock()
		return network.Snapshot{}, cmp.Or(err, store.ErrConflict)
	}
	done := make(chan struct{})
	f.under = done
	f.accepts = append(f.accepts, time.Now())
	f.mu.Unlock()
	time.Sleep(f.takes)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.under = nil
	close(done)
	if f.fail != nil {
		if err := f.fail(c); err != nil {
			return network.Snapshot{}, err
		}
	}
	return f.RuleStore.Apply(ctx, p, s, c)
}

// TestSteadyLoad holds that requests that do not wait for each other are all answered within about two writes, whatever else goes
// on at their group, that none of them fails, and that one write follows the other. Of two instances each sees what the other has
// written in the gap that it leaves, so that a third write may come between.
func TestSteadyLoad(t *testing.T) {
	const lasts = 2 * time.Minute
	for _, tc := range []struct {
		each      time.Duration // between two requests
		takes     time.Duration // a write
		window    time.Duration
		instances int
		most      float64 // writes within which 99 of 100 are answered
	}{
		{5 * time.Second, 2 * time.Second, 10 * time.Minute, 1, 2.2},
		{700 * time.Millisecond, 2 * time.Second, 10 * time.Minute, 1, 2.2},
		{700 * time.Millisecond, 2 * time.Second, 10 * time.Second, 1, 2.2},
		{700 * time.Millisecond, 2 * time.Second, 10 * time.Second, 2, 3.1},
		{400 * time.Millisecond, 5 * time.Second, 10 * time.Minute, 1, 2.2},
		{400 * time.Millisecond, 5 * time.Second, 10 * time.Minute, 2, 3.1},
		{time.Second, 10 * time.Second, 10 * time.Minute, 2, 3.1},
		{time.Second, 10 * time.Second, 30 * time.Second, 1, 2.2},
	} {
		t.Run(fmt.Sprintf("one each %s, writes of %s, windows of %s, %d instances", tc.each, tc.takes, tc.window, tc.instances), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				fw := &oneWriter{RuleStore: w.cloud, takes: tc.takes}
				var apps []rooms
				for range tc.instances {
					apps = append(apps, w.instanceWith(func(p *core.Ports) { p.Kinds, p.Now = network.KindsOf(network.SecurityGroups(fw)), time.Now }))
				}
				if _, _, err := apps[0].Enable(t.Context(), who("admin"), []jit.Policy{policyOf("app1", 22)}, false); err != nil {
					t.Fatal(err)
				}
				fw.accepts = nil
				end := time.Now().Add(lasts)
				ctx, stop := context.WithTimeout(t.Context(), lasts)
				defer stop()
				var all sync.WaitGroup
				all.Go(func() { w.sweepEach(ctx, apps[0], 20*time.Second) })
				all.Go(func() { w.ring(ctx, apps) })
				var mu sync.Mutex
				var took []time.Duration
				for n := 0; ctx.Err() == nil; n++ {
					all.Go(func() {
						began := time.Now()
						r := want(fmt.Sprint("p", n), 22, tc.window, fmt.Sprintf("198.51.%d.%d", n/250, n%250), "app1")
						rec, _, err := apps[n%len(apps)].Request(t.Context(), who(r.Requestor), r, "")
						if err == nil {
							_, err = apps[n%len(apps)].Open(t.Context(), who(r.Requestor), rec)
						}
						mu.Lock()
						defer mu.Unlock()
						took = append(took, time.Since(began))
						if err != nil {
							t.Errorf("request %d after %s: %v", n, time.Since(began), err)
						}
					})
					time.Sleep(tc.each)
				}
				all.Wait()
				time.Sleep(time.Hour) // what is left in the background ends
				slices.Sort(took)
				if p99 := took[len(took)*99/100]; p99.Seconds() > tc.most*tc.takes.Seconds() {
					t.Errorf("99 of 100 of %d were answered within %s, want %.1f writes", len(took), p99, tc.most)
				}
				fw.mu.Lock()
				defer fw.mu.Unlock()
				writes := slices.DeleteFunc(slices.Clone(fw.accepts), func(at time.Time) bool { return at.After(end) })
				if most := int(lasts/tc.takes) + 1; len(writes) > most {
					t.Errorf("%d writes of %s in %s", len(writes), tc.takes, lasts)
				}
				t.Logf("%d requests: half within %s, all within %s; %d writes, %d reads", len(took), took[len(took)/2], took[len(took)-1], len(writes), fw.reads.Load())
			})
		})
	}
}

// sweepEach sweeps again and again.
func (w *world) sweepEach(ctx context.Context, svc rooms, each time.Duration) {
	for {
		select {
		case <-time.After(each):
		case <-ctx.Done():
			return
		}
		if _, err := svc.Sweep(context.WithoutCancel(ctx), who("portcullis")); err != nil {
			w.t.Errorf("sweep: %v", err)
		}
	}
}

// ring delivers wake-ups as they come due.
func (w *world) ring(ctx context.Context, apps []rooms) {
	var all sync.WaitGroup
	defer all.Wait()
	for n := 0; ctx.Err() == nil; n++ {
		for _, wake := range w.bell.Due(time.Now()) {
			all.Go(func() {
				if err := apps[n%len(apps)].Wake(context.WithoutCancel(ctx), wake.Grant, wake.Generation); err != nil {
					w.t.Errorf("wake %s: %v", wake.Grant, err)
				}
			})
		}
		time.Sleep(time.Second)
	}
}

// TestFailedWriteTakesNobodyDown holds that an opening that was confirmed stays confirmed when the next write, which is for somebody
// else, fails; and that he alone is told.
func TestFailedWriteTakesNobodyDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.enable("web")
		fw := &oneWriter{RuleStore: w.cloud, takes: 2 * time.Second}
		svc := w.instanceWith(func(p *core.Ports) { p.Kinds, p.Now = network.KindsOf(network.SecurityGroups(fw)), time.Now })
		w.leap(time.Until(w.now()))
		fw.fail = func(c plan.Changes) error {
			if len(fw.accepts) == 2 {
				return &store.Unavailable{Dependency: "Azure Resource Manager", Err: errFault}
			}
			return nil
		}
		var all sync.WaitGroup
		ask := func(name, source string) (rec store.GrantRecord, err error) {
			r := want(name, 22, time.Hour, source, "web")
			if rec, _, err = svc.Request(t.Context(), who(name), r, ""); err == nil {
				rec, err = svc.Open(t.Context(), who(name), rec)
			}
			return rec, err
		}
		all.Go(func() {
			rec, err := ask("alice", "203.0.113.7")
			if err != nil || w.grant(rec.Grant.ID).Status() != jit.Initiated {
				t.Errorf("alice, whose rule stood before: %v", err)
			}
		})
		time.Sleep(time.Second)
		all.Go(func() {
			if _, err := ask("bob", "203.0.113.8"); !errors.Is(err, errFault) {
				t.Errorf("bob, whose write failed: %v", err)
			}
		})
		all.Wait()
		time.Sleep(time.Minute)
		if n := w.allows("web-nsg"); n != 1 {
			t.Errorf("%d allows stand, want alice's", n)
		}
	})
}

// TestListedDuringAWrite holds that a listing made during a write leaves what the next request needs: it reads nothing.
func TestListedDuringAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.enable("web")
		fw := &oneWriter{RuleStore: w.cloud, takes: 2 * time.Second}
		svc := w.instanceWith(func(p *core.Ports) { p.Kinds, p.Now = network.KindsOf(network.SecurityGroups(fw)), time.Now })
		var all sync.WaitGroup
		ask := func(name, source string) {
			r := want(name, 22, time.Hour, source, "web")
			rec, _, err := svc.Request(t.Context(), who(name), r, "")
			if err == nil {
				_, err = svc.Open(t.Context(), who(name), rec)
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		ask("alice", "203.0.113.7")
		fw.reads.Store(0)
		all.Go(func() { ask("bob", "203.0.113.8") })
		time.Sleep(time.Second)
		if _, err := svc.Rounds.All(t.Context(), sub); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		r := want("carol", 22, time.Hour, "203.0.113.9", "web")
		if _, _, err := svc.Request(t.Context(), who("carol"), r, ""); err != nil || time.Since(began) > 0 || fw.reads.Load() > 0 {
			t.Errorf("a request during the write waited %s and read %d times: %v", time.Since(began), fw.reads.Load(), err)
		}
		all.Wait()
		time.Sleep(time.Hour)
	})
}

// TestLookAfterALostWrite holds that an instance that lost a write to another one looks at what it knew before it takes a request: it
// does not wait for the other's writes, which may follow each other without a gap.
func TestLookAfterALostWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.enable("web")
		fw := &oneWriter{RuleStore: w.cloud, takes: 10 * time.Second}
		var apps []rooms
		for range 2 {
			apps = append(apps, w.instanceWith(func(p *core.Ports) { p.Kinds, p.Now = network.KindsOf(network.SecurityGroups(fw)), time.Now }))
		}
		var all sync.WaitGroup
		ask := func(n int, svc rooms) {
			r := want(fmt.Sprint("p", n), 22, time.Hour, fmt.Sprint("203.0.113.", n), "web")
			rec, _, err := svc.Request(t.Context(), who(r.Requestor), r, "")
			if err == nil {
				_, err = svc.Open(t.Context(), who(r.Requestor), rec)
			}
			if err != nil {
				t.Errorf("request %d: %v", n, err)
			}
		}
		ask(0, apps[0])
		ask(1, apps[1]) // which knows what stands before the other one writes again
		all.Go(func() { ask(2, apps[0]) })
		time.Sleep(time.Second)
		all.Go(func() { ask(3, apps[1]) }) // whose write is refused
		time.Sleep(time.Second)
		began, reads := time.Now(), fw.reads.Load()
		r := want("carol", 22, time.Hour, "203.0.113.9", "web")
		if _, _, err := apps[1].Request(t.Context(), who("carol"), r, ""); err != nil || time.Since(began) > 0 || fw.reads.Load() > reads {
			t.Errorf("a request after the lost write waited %s and read %d times: %v", time.Since(began), fw.reads.Load()-reads, err)
		}
		all.Wait()
		time.Sleep(2 * time.Hour)
	})
}

// TestPanicInTheBackground holds that a panic in the work on one target ends neither the process nor the work on others, that
// somebody is told, and that the next sweep does what was left.
func TestPanicInTheBackground(t *testing.T) {
	for _, op := range []string{"State", "UpdateGrants", "Append", "Apply", "OpenGrants", "Grant"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var mu sync.Mutex
				told := 0
				w.startWith(func(p *core.Ports) {
					p.Now = time.Now
					p.Panicked = func(of string, stack []byte) {
						mu.Lock()
						defer mu.Unlock()
						if told++; of == "" || len(stack) == 0 {
							t.Errorf("told of %q, %d bytes of stack", of, len(stack))
						}
					}
				})
				ids, end := w.windows(3, 2)
				w.sweep()
				time.Sleep(time.Until(end))
				panicky := func(_ context.Context, s coretest.Step) error {
					if s.Op == op && !s.After {
						panic("a bug")
					}
					return nil
				}
				synctest.Wait()
				if op != "Grant" { // the wake-up itself reads that
					w.store.Fault, w.cloud.Fault = panicky, panicky
				}
				for i := range 3 {
					recovered := func() (v any) {
						defer func() { v = recover() }()
						_ = w.Wake(t.Context(), ids[2*i], 1)
						return nil
					}()
					if recovered != nil && op != "UpdateGrants" { // the mark is the caller's own step, whose door recovers
						t.Errorf("the panic came up to the caller: %v", recovered)
					}
				}
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				w.store.Fault, w.cloud.Fault = nil, nil
				w.sweep()
				for _, id := range ids {
					if !w.grant(id).Closed() {
						t.Fatalf("grant %s is not closed", id)
					}
				}
				mu.Lock()
				defer mu.Unlock()
				if told == 0 && op != "UpdateGrants" && op != "Grant" && op != "OpenGrants" {
					t.Error("nobody was told")
				}
			})
		})
	}
}
