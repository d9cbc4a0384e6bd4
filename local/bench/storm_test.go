package bench

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core/access"
	"portcullis/core/jit"
	"portcullis/local/armsim"
)

// storm is windows that all end at the same instant.
type storm struct {
	windows, groups int
	network         bool // the network provider's own limit holds beside Resource Manager's
	opens           int  // requests for other machines, one each second from the instant on
}

// machinesOf is how many machines the windows of a storm are spread over.
func (s storm) machinesOf() int { return max(s.groups, min(s.windows, 1000)) }

// stormed is what a storm came to.
type stormed struct {
	cost         cost
	bound        time.Duration // before which no design can have closed them all
	lastClose    time.Duration // when the last rule was confirmed gone
	settled      bool          // everything is gone
	left         int           // rules that still stand
	p50, p99     time.Duration // of the openings meanwhile
	openFailures int
}

// bound is the time before which no design can have made so many writes to so many groups: one each, the
// slowest groups first, as early as full buckets give it, and the round trip.
func (s storm) bound(drawn []time.Duration) time.Duration {
	slowest := slices.Clone(drawn)
	slices.SortFunc(slowest, func(a, b time.Duration) int { return int(b - a) })
	last := time.Duration(0)
	for i, l := range slowest {
		at := max(0, time.Duration(i-199)*100*time.Millisecond)
		if s.network {
			at = max(at, time.Duration(i/1000)*5*time.Minute)
		}
		last = max(last, at+l)
	}
	return last + armTrip
}

func (s storm) knobs() armsim.Knobs { return armsim.Knobs{Throttle: true, ThrottleNetwork: s.network} }

// fill opens the windows, all with one end, without going through the door one by one: what a request would have stored
// is stored, and the sweep writes the rules.
func (w *world) fill(s storm, machines int) (end time.Time) {
	ctx := w.tb.Context()
	w.check(w.arm.Tune(func(k *armsim.Knobs) { k.Throttle, k.ThrottleNetwork = false, false }))
	now := time.Now().UTC().Truncate(time.Millisecond)
	end = now.Add(3 * time.Hour)
	policy := func(n int) jit.Policy {
		return jit.Policy{VM: machineID(n), Ports: []jit.PortRule{{Number: 22, Protocol: jit.TCP, Sources: jit.AnySource(), Maximum: 3 * time.Hour}}}
	}
	at := func(n int) access.Placement {
		return access.Placement{Target: groupID(w.groupOf(n)), Addresses: []netip.Addr{addressOf(n)}}
	}
	w.parallel(w.machines, func(n int) error {
		_, err := w.store.PutPolicy(ctx, access.PolicyRecord{Policy: policy(n), Location: "westeurope", Placements: []access.Placement{at(n)}, ChangedBy: "bench", ChangedAt: now})
		return err
	})
	w.parallel(s.windows, func(i int) error {
		n := i % machines
		source := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, byte(i / machines >> 8), byte(i / machines)}), 32)
		ask := jit.Request{RequestorID: fmt.Sprint(tenant, "/", i), Requestor: fmt.Sprintf("p%d@example.com", i), Justification: "bench",
			VMs: []jit.RequestVM{{VM: machineID(n), Ports: []jit.RequestPort{{Number: 22, End: end, Sources: jit.SourcesOf(source)}}}}}
		g, err := jit.Decide(func(jit.ID) (jit.Policy, bool) { return policy(n), true }, jit.Options{}, ask, newID(), now)
		if err != nil {
			return err
		}
		_, err = w.store.InsertGrant(ctx, access.GrantRecord{Grant: g.Opened(now),
			Placements: []access.GrantPlacement{{Target: at(n).Target, Addresses: map[string][]netip.Addr{machineID(n).Key(): {addressOf(n)}}}}}, nil, now)
		if err != nil {
			return err
		}
		return alarm{w.queue}.Schedule(ctx, access.Wake{Grant: g.ID, Generation: g.Generation, At: end})
	})
	if _, err := w.svc.Sweep(ctx, access.Caller{Name: "bench"}); err != nil {
		w.tb.Fatalf("sweep: %v", err)
	}
	if got := w.allows(); got != s.windows {
		w.tb.Fatalf("%d rules stand before the storm, want %d", got, s.windows)
	}
	w.check(w.arm.Tune(func(k *armsim.Knobs) { k.Throttle, k.ThrottleNetwork = true, s.network }))
	return end
}

// parallel calls f for 0 to n-1, 32 at a time.
func (w *world) parallel(n int, f func(int) error) {
	w.tb.Helper()
	var wg sync.WaitGroup
	errs := make(chan error, 32)
	for k := range 32 {
		wg.Go(func() {
			for i := k; i < n; i += 32 {
				if err := f(i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	w.check(<-errs)
}

// run lets a storm pass over the app.
func (s storm) run(t *testing.T, m mode, low, high time.Duration) (out stormed) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, setting{estate: estate{s.machinesOf(), s.groups}, knobs: s.knobs(), seed: 1})
		end := w.fill(s, s.machinesOf())
		w.draw(low, high, m)
		out.bound = s.bound(w.drawn)
		time.Sleep(time.Until(end) - time.Second)
		before := w.cost()
		defer w.serve(hostWidth, w.revoke)()
		time.Sleep(time.Second + 4*time.Hour)
		out.cost = w.cost().minus(before)
		out.lastClose = w.lastWrite().Sub(end)
		out.left = w.allows()
	})
	return out
}
