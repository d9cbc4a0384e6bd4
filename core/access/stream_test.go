package access_test

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"testing"
	"time"
	"weak"

	"portcullis/core"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
)

var streamed = flag.Int("policies", 5000, "how many policies TestSweepStreams has; -v prints the memory")

// stream is a store of many policies that makes each when it is asked for, and a network with their machines. It
// looks how many of the records that it gave somebody still holds.
type stream struct {
	store.Policies
	network.Network
	machines []network.Machine

	given int
	alive []weak.Pointer[jit.PortRule]
	most  int
	heap  uint64
}

// EachPolicy implements [store.Policies].
func (s *stream) EachPolicy(_ context.Context, f func(store.PolicyRecord) error) error {
	s.alive = nil
	for n, m := range s.machines {
		rec := store.PolicyRecord{Policy: jit.Policy{VM: m.VM, Ports: []jit.PortRule{{Number: 22, Protocol: jit.TCP, Sources: jit.AnySource(), Maximum: time.Hour}}}}
		s.alive = append(s.alive, weak.Make(&rec.Policy.Ports[0]))
		if err := f(rec); err != nil {
			return err
		}
		s.given++
		if (n+1)%max(1, len(s.machines)/5) == 0 {
			s.look()
		}
	}
	return nil
}

// look counts what was given and not let go.
func (s *stream) look() {
	runtime.GC()
	held := 0
	for _, p := range s.alive {
		if p.Value() != nil {
			held++
		}
	}
	s.most = max(s.most, held)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.heap = max(s.heap, m.HeapAlloc)
}

// Machines implements [network.Network].
func (s *stream) Machines(context.Context, string) ([]network.Machine, error) { return s.machines, nil }

// TestSweepStreams holds that a sweep lets go of every policy but those of machines with an open grant, however many
// there are.
func TestSweepStreams(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	s := &stream{Policies: w.store, Network: w.cloud}
	located, err := w.cloud.Machines(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range located {
		if m.VM.Equal(vmID("web")) {
			s.machines = append(s.machines, m)
		}
	}
	for n := range *streamed - 1 {
		s.machines = append(s.machines, network.Machine{VM: vmID(fmt.Sprint("vm", n))})
	}
	w.startWith(func(p *core.Ports) { p.Policies, p.Network = s, s })
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	rec, err := w.Sweep(t.Context(), who("timer"))
	if err != nil || rec.Completed.IsZero() {
		t.Fatalf("%+v, %v", rec, err)
	}
	// One with an open grant, the one that f has at the moment, and what a register still names.
	const hold = 4
	if s.most > hold || s.given != 2**streamed {
		t.Errorf("of %d policies given the sweep held %d at once, want %d given and at most %d held", s.given, s.most, 2**streamed, hold)
	}
	t.Logf("%d policies: at most %d held at once; %.1f MiB of heap more than before, which are the machines by id; %v", *streamed, s.most, float64(s.heap-min(s.heap, before.HeapAlloc))/(1<<20), time.Since(began).Round(time.Millisecond))
}
