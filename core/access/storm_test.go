package access_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/decide"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/store"
)

// slow is a firewall whose writes take long and wait for their turn, as behind empty buckets.
type slow struct {
	network.RuleStore
	takes time.Duration
	every time.Duration // between two turns

	mu            sync.Mutex
	next          time.Time
	reads, writes int
	urgent        int // turns that were asked for as closings
}

func (f *slow) Rules(ctx context.Context, p network.Priority, target jit.ID) (network.Snapshot, error) {
	f.mu.Lock()
	f.reads++
	f.mu.Unlock()
	return f.RuleStore.Rules(ctx, p, target)
}

func (f *slow) All(ctx context.Context, p network.Priority, sub string) ([]network.Snapshot, error) {
	f.mu.Lock()
	f.reads++
	f.mu.Unlock()
	return f.RuleStore.All(ctx, p, sub)
}

func (f *slow) Turn(ctx context.Context, p network.Priority, _ network.Snapshot) (context.Context, bool, error) {
	f.mu.Lock()
	if p.Closing {
		f.urgent++
	}
	if f.next.Before(time.Now()) {
		f.next = time.Now()
	}
	wait := time.Until(f.next)
	f.next = f.next.Add(f.every)
	f.mu.Unlock()
	select {
	case <-time.After(wait):
		return ctx, wait > 0, nil
	case <-ctx.Done():
		return ctx, true, ctx.Err()
	}
}

func (f *slow) Apply(ctx context.Context, p network.Priority, s network.Snapshot, c plan.Changes) (network.Snapshot, error) {
	f.mu.Lock()
	f.writes++
	f.mu.Unlock()
	time.Sleep(f.takes)
	return f.RuleStore.Apply(ctx, p, s, c)
}

// The queue as infra/deploy makes it and host.json drains it.
const (
	places     = 16
	lock       = 5 * time.Minute // with its renewals
	deliveries = 10
)

// drain delivers wake-ups as the host does until none is left, and gives how many went to the dead-letter queue.
func (w *world) drain(svc rooms) (dead int) {
	var mu sync.Mutex
	free := make(chan struct{}, places)
	var all sync.WaitGroup
	for {
		due := w.bell.Due(time.Now())
		if len(due) == 0 {
			all.Wait()
			if len(w.bell.Set()) == 0 {
				return dead
			}
			time.Sleep(time.Second)
			continue
		}
		for _, wake := range due {
			free <- struct{}{}
			all.Go(func() {
				defer func() { <-free }()
				for range deliveries {
					ctx, cancel := context.WithTimeout(w.t.Context(), lock)
					err := svc.Wake(ctx, wake.Grant, wake.Generation)
					cancel()
					if err == nil {
						return
					}
				}
				mu.Lock()
				dead++
				mu.Unlock()
			})
		}
	}
}

// windows stores windows that all end in an hour, each of a person of its own, so many on each of so many groups. A sweep writes the rules.
func (w *world) windows(groups, each int) (ids []string, end time.Time) {
	t := w.t
	end = time.Now().UTC().Truncate(time.Millisecond).Add(time.Hour)
	for g := range groups {
		name := fmt.Sprint("vm", g)
		w.cloud.SetRules(nsgID(fmt.Sprint("nsg", g)))
		w.place(name, fmt.Sprint("nsg", g), fmt.Sprintf("10.1.%d.4", g))
		m, err := w.cloud.Locate(t.Context(), []jit.ID{vmID(name)})
		if err != nil {
			t.Fatal(err)
		}
		at := m[vmID(name).Key()].Placements[0]
		if _, err := w.mem.PutPolicy(t.Context(), store.PolicyRecord{Policy: policyOf(name, 22), Placements: []store.Placement{at}}); err != nil {
			t.Fatal(err)
		}
		for n := range each {
			r := want(fmt.Sprintf("p%d-%d", g, n), 22, 0, fmt.Sprintf("198.51.100.%d", n), name)
			r.VMs[0].Ports[0].End = end
			checked, err := decide.Validate(r, time.Now(), decide.DefaultAhead)
			if err != nil {
				t.Fatal(err)
			}
			granted, err := decide.Request(func(jit.ID) (jit.Policy, bool) { return policyOf(name, 22), true }, jit.Options{}, checked, w.newID(), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			granted.OpenBy = end // no verb waits for its confirmation
			rec := store.GrantRecord{Grant: granted, Placements: []store.GrantPlacement{{Target: at.Target, Addresses: map[string][]netip.Addr{vmID(name).Key(): at.Addresses}}}}
			if _, err := w.mem.InsertGrant(t.Context(), rec, nil, time.Now()); err != nil {
				t.Fatal(err)
			}
			if err := w.bell.Schedule(t.Context(), store.Wake{Grant: granted.ID, Generation: granted.Generation, At: end}); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, granted.ID)
		}
	}
	return ids, end
}

// TestStormLeavesNoDeadLetters is the trap of limits.md: 400 windows end at one instant on 40 groups whose
// writes take a minute and get their turn every 25 s, so that the last one is written after 16 minutes, longer than any lock
// lasts. No message may end as undeliverable, each group is written once, and nothing is read again.
func TestStormLeavesNoDeadLetters(t *testing.T) {
	const groups, each = 40, 10
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		fw := &slow{RuleStore: w.cloud, takes: time.Minute, every: 10 * time.Second}
		svc := w.instanceWith(func(p *core.Ports) { p.Kinds, p.Now = network.KindsOf(network.SecurityGroups(fw)), time.Now })
		ids, end := w.windows(groups, each)
		fw.every = 0
		if _, err := svc.Sweep(t.Context(), who("portcullis")); err != nil { // writes the rules
			t.Fatal(err)
		}
		time.Sleep(time.Until(end))
		fw.mu.Lock()
		fw.every, fw.reads, fw.writes, fw.urgent = 25*time.Second, 0, 0, 0
		fw.mu.Unlock()
		if dead := w.drain(svc); dead != 0 {
			t.Errorf("%d messages went to the dead-letter queue", dead)
		}
		for _, id := range ids {
			if !w.grant(id).Closed() {
				t.Fatalf("grant %s is not closed", id)
			}
		}
		// A message that is taken at the very moment at which its group is written looks once more.
		if fw.writes != groups || fw.urgent != groups || fw.reads >= places {
			t.Errorf("%d writes of %d groups, %d of them as closings, and %d reads; want one each and hardly any", fw.writes, groups, fw.urgent, fw.reads)
		}
		if late := time.Since(end); late < 16*time.Minute {
			t.Errorf("the storm took %s only; it shows nothing", late)
		}
	})
}

// TestWakeThatCannotBeHandedOn holds that a wake-up whose closing goes on in the background is answered only
// when there is another one behind it.
func TestWakeThatCannotBeHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.clock = time.Now()
		w.enable("web")
		id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
		fw := &slow{RuleStore: w.cloud, takes: time.Minute}
		svc := w.instanceWith(func(p *core.Ports) { p.Kinds = network.KindsOf(network.SecurityGroups(fw)) })
		w.leap(time.Hour)
		w.bell.Fault = func(context.Context, coretest.Step) error { return errFault }
		if err := svc.Wake(t.Context(), id, 0); err == nil {
			t.Error("the wake-up was answered although nothing will come after it")
		}
		w.bell.Fault = nil
		if err := svc.Wake(t.Context(), id, 0); err != nil {
			t.Errorf("the next one: %v", err)
		}
		if !w.grant(id).Overdue(w.now()) {
			t.Error("the write has ended already; this shows nothing")
		}
		time.Sleep(2 * time.Minute)
		if !w.grant(id).Closed() {
			t.Error("the grant is not closed in the background")
		}
		if len(w.bell.Set()) == 0 {
			t.Error("no wake-up is behind the one that was answered")
		}
	})
}

// TestStormIsGathered holds that where many windows have ended a few wake-ups close them all: one of a group on which much is due, or
// more of them than wait at the same time. All are found by one look over the open grants, and none is read by itself
// but those that the wake-ups name.
func TestStormIsGathered(t *testing.T) {
	const groups = 30
	for _, tc := range []struct {
		name  string
		each  int
		wakes int // that are delivered, each of another group
		most  int // grants that are read by themselves: those named, what the two wake-ups that wait take along, and what is marked twice
	}{
		{"much is due on one group", 20, 1, 1},
		{"a little on each of many groups", 2, 4, 8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				fw := &slow{RuleStore: w.cloud, takes: 5 * time.Second}
				w.startWith(func(p *core.Ports) { p.Kinds = network.KindsOf(network.SecurityGroups(fw)) })
				w.startWith(func(p *core.Ports) { p.Now = time.Now })
				ids, end := w.windows(groups, tc.each)
				if _, err := w.Sweep(t.Context(), who("portcullis")); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Until(end))
				var mu sync.Mutex
				done := map[string]int{}
				w.store.Fault = func(_ context.Context, s coretest.Step) error {
					mu.Lock()
					defer mu.Unlock()
					if !s.After {
						done[s.Op]++
					}
					return nil
				}
				fw.reads, fw.writes = 0, 0
				var wakes sync.WaitGroup
				for i := range tc.wakes {
					wakes.Go(func() {
						if err := w.Wake(t.Context(), ids[i*tc.each], 1); err != nil {
							t.Error(err)
						}
					})
				}
				wakes.Wait()
				time.Sleep(time.Minute)
				for _, id := range ids {
					if !w.grant(id).Closed() {
						t.Fatalf("grant %s is not closed", id)
					}
				}
				if fw.writes != groups || done["OpenGrants"] != 1 || done["Grant"] > tc.most {
					t.Errorf("%d writes of %d groups; the store was asked for %v", fw.writes, groups, done)
				}
			})
		})
	}
}

// TestStormWithoutItsGathering holds that wake-ups close what they name also where the open grants cannot be read, and that these
// are not read all the time: a look takes a second, and there is another after four.
func TestStormWithoutItsGathering(t *testing.T) {
	const groups = 60
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.startWith(func(p *core.Ports) {
			p.Kinds = network.KindsOf(network.SecurityGroups(&slow{RuleStore: w.cloud, takes: 5 * time.Second}))
		})
		w.startWith(func(p *core.Ports) { p.Now = time.Now })
		ids, end := w.windows(groups, 1)
		if _, err := w.Sweep(t.Context(), who("portcullis")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(end))
		looks := 0
		w.store.Fault = func(_ context.Context, s coretest.Step) error {
			if s.Op != "OpenGrants" {
				return nil
			}
			looks++
			time.Sleep(time.Second)
			return errFault
		}
		for second := range 10 {
			for _, id := range ids[6*second : 6*second+6] {
				go func() {
					if err := w.Wake(context.WithoutCancel(t.Context()), id, 1); err != nil {
						t.Error(err)
					}
				}()
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		for _, id := range ids {
			if !w.grant(id).Closed() {
				t.Fatalf("grant %s is not closed", id)
			}
		}
		if looks != 2 {
			t.Errorf("the open grants were looked at %d times in ten seconds, want 2", looks)
		}
	})
}

// TestSweepClosesWhatStandsNowhere holds that a grant without a target, as that of a machine that is gone, is closed beside
// others that have one.
func TestSweepClosesWhatStandsNowhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.clock = time.Now()
		w.enable("web")
		id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
		rec, err := w.mem.Grant(t.Context(), w.mustAsk(want("bob", 22, time.Hour, "203.0.113.8", "web")))
		if err != nil {
			t.Fatal(err)
		}
		rec.Placements = nil
		if _, err := w.mem.UpdateGrants(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
		w.cloud.RemoveMachine(vmID("web"))
		w.leap(2 * time.Hour)
		w.sweep()
		if !w.grant(id).Closed() || !w.grant(rec.Grant.ID).Closed() {
			t.Errorf("closed: %t, and the one that stands nowhere: %t", w.grant(id).Closed(), w.grant(rec.Grant.ID).Closed())
		}
	})
}
