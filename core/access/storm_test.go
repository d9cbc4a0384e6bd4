package access_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core/access"
	"portcullis/core/access/accesstest"
	"portcullis/core/jit"
	"portcullis/core/plan"
)

// slow is a firewall whose writes take long and wait for their turn, as behind empty buckets.
type slow struct {
	access.Firewall
	takes time.Duration
	every time.Duration // between two turns

	mu            sync.Mutex
	next          time.Time
	reads, writes int
	urgent        int // turns that were asked for as closings
}

func (f *slow) Rules(ctx context.Context, target jit.ID) (access.Snapshot, error) {
	f.mu.Lock()
	f.reads++
	f.mu.Unlock()
	return f.Firewall.Rules(ctx, target)
}

func (f *slow) All(ctx context.Context, sub string) ([]access.Snapshot, error) {
	f.mu.Lock()
	f.reads++
	f.mu.Unlock()
	return f.Firewall.All(ctx, sub)
}

func (f *slow) Turn(ctx context.Context, _ access.Snapshot) (context.Context, bool, error) {
	f.mu.Lock()
	if access.UrgencyOf(ctx).Closing {
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

func (f *slow) Apply(ctx context.Context, s access.Snapshot, c plan.Changes) (access.Snapshot, error) {
	f.mu.Lock()
	f.writes++
	f.mu.Unlock()
	time.Sleep(f.takes)
	return f.Firewall.Apply(ctx, s, c)
}

// The queue as infra/deploy makes it and host.json drains it.
const (
	places     = 16
	lock       = 5 * time.Minute // with its renewals
	deliveries = 10
)

// drain delivers wake-ups as the host does until none is left, and gives how many went to the dead-letter queue.
func (w *world) drain(svc *access.Service) (dead int) {
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

// TestStormLeavesNoDeadLetters is the trap of limits.md: 400 windows end at one instant on 40 groups whose
// writes take a minute and get their turn every 25 s, so that the last one is written after 16 minutes, longer than any lock
// lasts. No message may end as undeliverable, each group is written once, and nothing is read again.
func TestStormLeavesNoDeadLetters(t *testing.T) {
	const groups, each = 40, 10
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		fw := &slow{Firewall: w.cloud, takes: time.Minute, every: 10 * time.Second}
		svc := w.instance()
		svc.Kinds = access.KindsOf(access.SecurityGroups(fw))
		svc.Now = time.Now
		end := time.Now().UTC().Truncate(time.Millisecond).Add(time.Hour)
		var ids []string
		for g := range groups {
			name := fmt.Sprint("vm", g)
			w.cloud.SetRules(nsgID(fmt.Sprint("nsg", g)))
			w.place(name, fmt.Sprint("nsg", g), fmt.Sprintf("10.1.%d.4", g))
			m, err := w.cloud.Locate(t.Context(), []jit.ID{vmID(name)})
			if err != nil {
				t.Fatal(err)
			}
			at := m[vmID(name).Key()].Placements[0]
			if _, err := w.mem.PutPolicy(t.Context(), access.PolicyRecord{Policy: policyOf(name, 22), Placements: []access.Placement{at}}); err != nil {
				t.Fatal(err)
			}
			for n := range each {
				r := want(fmt.Sprintf("p%d-%d", g, n), 22, 0, fmt.Sprintf("198.51.100.%d", n), name)
				r.VMs[0].Ports[0].End = end
				granted, err := jit.Decide(func(jit.ID) (jit.Policy, bool) { return policyOf(name, 22), true }, jit.Options{}, r, w.newID(), time.Now())
				if err != nil {
					t.Fatal(err)
				}
				rec := access.GrantRecord{Grant: granted.Opened(time.Now()), Placements: []access.GrantPlacement{{Target: at.Target, Addresses: map[string][]netip.Addr{vmID(name).Key(): at.Addresses}}}}
				if _, err := w.mem.InsertGrant(t.Context(), rec, nil, time.Now()); err != nil {
					t.Fatal(err)
				}
				if err := w.bell.Schedule(t.Context(), access.Wake{Grant: granted.ID, Generation: granted.Generation, At: end}); err != nil {
					t.Fatal(err)
				}
				ids = append(ids, granted.ID)
			}
		}
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
		fw := &slow{Firewall: w.cloud, takes: time.Minute}
		svc := w.instance()
		svc.Kinds = access.KindsOf(access.SecurityGroups(fw))
		w.leap(time.Hour)
		w.bell.Fault = func(context.Context, accesstest.Step) error { return errFault }
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
