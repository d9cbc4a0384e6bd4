package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core/decide"
	"portcullis/core/jit"
	"portcullis/core/store"
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
	left         int           // rules that still stand when nothing happens any more
	unfinished   bool          // it was still at work after patience
	opened       []time.Duration
	openFailures int
}

// bound is the time before which no design closes them all: one write for each group, as early as full buckets give
// it, and the round trip. Nobody knows beforehand which group is slow, so it is the mean over a thousand orders.
func (s storm) bound(drawn []time.Duration) time.Duration {
	const orders = 1000
	rng, order, sum := rand.New(rand.NewPCG(1, 1)), slices.Clone(drawn), time.Duration(0)
	for range orders {
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		last := time.Duration(0)
		for i, l := range order {
			at := max(0, time.Duration(i-199)*100*time.Millisecond)
			if s.network {
				at = max(at, time.Duration(i/1000)*5*time.Minute)
			}
			last = max(last, at+l)
		}
		sum += last
	}
	return sum/orders + armTrip
}

func (s storm) knobs() armsim.Knobs { return armsim.Knobs{Throttle: true, ThrottleNetwork: s.network} }

// fill opens the windows, all with one end, without going through the door one by one: what a request would have stored
// is stored, and the sweep writes the rules.
func (w *world) fill(s storm, machines int) (end time.Time) {
	ctx := w.tb.Context()
	w.check(w.arm.Tune(func(k *armsim.Knobs) {
		k.Throttle, k.ThrottleNetwork, k.Writes.Answer = false, false, armsim.AnswerSucceeded
	}))
	now := time.Now().UTC().Truncate(time.Millisecond)
	end = now.Add(3 * time.Hour)
	policy := func(n int) jit.Policy {
		return jit.Policy{VM: machineID(n), Ports: []jit.PortRule{{Number: 22, Protocol: jit.TCP, Sources: jit.AnySource(), Maximum: 3 * time.Hour}}}
	}
	at := func(n int) store.Placement {
		return store.Placement{Target: groupID(w.groupOf(n)), Addresses: []netip.Addr{addressOf(n)}}
	}
	w.parallel(w.machines+w.spare, func(n int) error {
		_, err := w.store.PutPolicy(ctx, store.PolicyRecord{Policy: policy(n), Location: "westeurope", Placements: []store.Placement{at(n)}, ChangedBy: "bench", ChangedAt: now})
		return err
	})
	stored := make([]store.GrantRecord, s.windows)
	w.parallel(s.windows, func(i int) error {
		n := i % machines
		source := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, byte(i / machines >> 8), byte(i / machines)}), 32)
		ask := jit.Request{RequestorID: fmt.Sprint(tenant, "/", i), Requestor: fmt.Sprintf("p%d@example.com", i), Justification: "bench",
			VMs: []jit.RequestVM{{VM: machineID(n), Ports: []jit.RequestPort{{Number: 22, End: end, Sources: jit.SourcesOf(source)}}}}}
		checked, err := decide.Validate(ask, now, decide.DefaultAhead)
		if err != nil {
			return err
		}
		g, err := decide.Request(func(jit.ID) (jit.Policy, bool) { return policy(n), true }, jit.Options{}, checked, newID(), now)
		if err != nil {
			return err
		}
		g.OpenBy = end // until it is stored as open below: a window that is open already and has no rule is not made one
		stored[i], err = w.store.InsertGrant(ctx, store.GrantRecord{Grant: g,
			Placements: []store.GrantPlacement{{Target: at(n).Target, Addresses: map[string][]netip.Addr{machineID(n).Key(): {addressOf(n)}}}}}, nil, now)
		if err != nil {
			return err
		}
		return alarm{w.queue}.Schedule(ctx, store.Wake{Grant: g.ID, Generation: g.Generation, At: end})
	})
	_, err := w.rooms.Sweeper.Sweep(ctx, jit.Caller{Name: "bench"})
	for range 9 { // one that runs out of its time is taken up by the next
		if err == nil {
			break
		}
		_, err = w.rooms.Sweeper.Sweep(ctx, jit.Caller{Name: "bench"})
	}
	w.check(err)
	if got := w.allows(); got != s.windows {
		w.tb.Fatalf("%d rules stand before the storm, want %d", got, s.windows)
	}
	w.parallel(s.windows, func(i int) error {
		_, err := store.ChangeGrant(ctx, w.store, stored[i], func(g store.GrantRecord) (store.GrantRecord, bool, error) {
			g.Grant = g.Grant.Opened(time.Now())
			return g, true, nil
		})
		return err
	})
	w.check(w.arm.Tune(func(k *armsim.Knobs) { k.Throttle, k.ThrottleNetwork, k.Writes.Answer = true, s.network, "" }))
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

// ours lets a storm pass over the app.
func (s storm) ours(t *testing.T, m mode, low, high time.Duration) stormed {
	return s.pass(t, m, low, high, func(w *world) (time.Time, int, func(context.Context, []byte) error, func(int) bool, func() time.Time) {
		open := func(n int) bool {
			status, _ := w.try(http.MethodPost, "/api/request", request(n, 1, 1, time.Hour, "198.51.100.7"))
			return status == http.StatusOK
		}
		return w.fill(s, s.machinesOf()), w.hostWidth(), w.revoke, open, w.lastWrite
	})
}

// peers lets it pass over the obvious design, or its best variant.
func (s storm) peers(t *testing.T, m mode, low, high time.Duration, best bool) stormed {
	return s.pass(t, m, low, high, func(w *world) (time.Time, int, func(context.Context, []byte) error, func(int) bool, func() time.Time) {
		p := w.newPeer(best)
		open := func(n int) bool { return p.open(w.tb.Context(), n, 1, 1, time.Now().Add(24*time.Hour)) == 0 }
		return p.fill(s, s.machinesOf()), p.width(), p.close, open, func() time.Time { return time.Unix(0, p.last.Load()) }
	})
}

// patience is how long a storm may last.
const patience = 36 * time.Hour

// pass fills a world, lets the instant come and waits until nothing happens any more.
func (s storm) pass(t *testing.T, m mode, low, high time.Duration,
	design func(*world) (end time.Time, wide int, revoke func(context.Context, []byte) error, open func(int) bool, last func() time.Time)) (out stormed) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, setting{estate: estate{s.machinesOf(), s.groups, s.opens}, knobs: s.knobs(), seed: 1, free: !s.network})
		end, wide, revoke, open, last := design(w)
		w.draw(low, high, m)
		out.bound = s.bound(w.drawn[:s.groups])
		time.Sleep(time.Until(end) - time.Second)
		before := w.cost()
		defer w.serve(wide, revoke)()
		time.Sleep(time.Until(end))
		took := make([]time.Duration, s.opens)
		var failures atomic.Int32
		var wg sync.WaitGroup
		for i := range s.opens {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Second)
				began := time.Now()
				if !open(s.machinesOf() + i) {
					failures.Add(1)
				}
				took[i] = time.Since(began)
			})
		}
		wg.Wait()
		for w.queue.busy() && time.Since(end) < patience || w.opens(s.groups) && time.Since(end) < time.Hour {
			time.Sleep(time.Minute)
		}
		time.Sleep(10 * time.Minute)
		out.cost = w.cost().minus(before)
		out.lastClose, out.left, out.unfinished = last().Sub(end), w.allowsOf(s.groups), w.queue.busy()
		out.opened, out.openFailures = took, int(failures.Load())
	})
	return out
}
