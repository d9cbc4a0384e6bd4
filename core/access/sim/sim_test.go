package sim_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"portcullis/core/jit"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run this seed only, and print its whole trace")
	seedsFlag = flag.Uint64("seeds", 40, "how many seeds TestSim runs")
	fromFlag  = flag.Uint64("from", 1, "the first of them")
	stepsFlag = flag.Int("steps", 300, "how many choices the scheduler makes in each")
)

// TestSim runs histories, each from its seed.
func TestSim(t *testing.T) {
	first, last := *fromFlag, *fromFlag+*seedsFlag-1
	if *seedFlag != 0 {
		first, last = *seedFlag, *seedFlag
	}
	steps := 0
	var seen counts
	for seed := first; seed <= last; seed++ {
		violation, r := simulate(t, config{seed: seed, steps: *stepsFlag})
		steps += r.taken
		seen.add(r.seen)
		if violation != "" {
			n := 80
			if *seedFlag != 0 {
				n = 1 << 20
			}
			t.Fatalf("seed %d violates %s\n%s\nagain: go test ./core/access/sim -run 'TestSim$' -seed %d -steps %d", seed, violation, r.text(n), seed, *stepsFlag)
		}
	}
	t.Logf("%d seeds, %d steps, %+v", last-first+1, steps, seen)
	if last-first > 30 && min(seen.Opened, seen.Closed, seen.Refused, seen.Repaired, seen.Conflicts, seen.Faults, seen.Crashes, seen.Sweeps, seen.Wakes) == 0 {
		t.Errorf("something never happens: %+v", seen)
	}
}

// TestRapid lets rapid make the histories: a list of steps with the choices of each.
// Where one violates something, rapid leaves out steps and makes choices smaller until
// nothing more can go.
func TestRapid(t *testing.T) {
	if err := flag.Set("rapid.checks", "60"); err != nil {
		t.Fatal(err)
	}
	step := rapid.SliceOfN(rapid.Byte(), 1, 6)
	rapid.Check(t, func(rt *rapid.T) {
		c := config{seed: rapid.Uint64Range(1, 1<<20).Draw(rt, "seed"), script: rapid.SliceOfN(step, 20, 250).Draw(rt, "steps")}
		c.steps = len(c.script)
		if violation, r := simulate(t, c); violation != "" {
			rt.Fatalf("%s\n%s", violation, r.text(80))
		}
	})
}

// TestReplay holds what the package promises of a replay.
func TestReplay(t *testing.T) {
	const seeds = 40
	same := 0
	for seed := uint64(1); seed <= seeds; seed++ {
		_, a := simulate(t, config{seed: seed, steps: 150})
		_, b := simulate(t, config{seed: seed, steps: 150})
		if a.text(1<<20) == b.text(1<<20) {
			same++
		}
	}
	t.Logf("%d of %d seeds gave the same history twice", same, seeds)
	if same < seeds/2 {
		t.Errorf("only %d of %d seeds gave the same history twice", same, seeds)
	}
}

// history is the run's eventful part.
func (r *run) history() {
	r.quietly(func() {
		for _, vm := range protected {
			r.enable(r.apps[0], []jit.ID{vmID(vm)}, false)
			r.drain(true)
		}
	})
	for i := 0; i < r.config.steps && !r.broken(); i++ {
		if len(r.script) > 0 {
			r.tape, r.rng = r.script[i], rand.New(rand.NewPCG(r.seed, uint64(i)))
		}
		if !time.Now().Before(r.sweepAt) {
			r.due()
		}
		switch n := r.pick(100); {
		case n < 64:
			if !r.advance() {
				r.leap()
			}
		case n < 74:
			if len(r.flying) < 5 {
				r.verb()
				r.check()
			}
		case n < 80:
			r.sleep(time.Duration(1+r.pick(3000)) * time.Millisecond)
		case n < 85:
			r.drain(false)
			r.leap()
		case n < 90:
			if len(r.flying) < 6 && r.wake() {
				r.check()
			}
		case n < 94:
			if r.foreign {
				r.hands()
				r.check()
			}
		case n < 97:
			if r.churn {
				r.moves()
				r.check()
			}
		case n == 97:
			if r.crashes {
				r.crash(r.any())
				r.check()
			}
		case n == 98:
			if r.foreign && r.faults {
				r.locks()
				r.check()
			}
		case n == 99:
			if r.lose && i > r.config.steps/2 {
				r.lost()
			}
		}
	}
}

// quietly does something without faults.
func (r *run) quietly(f func()) {
	faults := r.faults
	r.faults = false
	f()
	r.faults = faults
}

// due starts the sweep whose time has come.
func (r *run) due() {
	r.sweep(r.any())
	r.sweepAt = time.Now().Add(period)
	r.check()
}

// leap moves the clock while nothing is under way, at most to the next sweep.
func (r *run) leap() {
	if len(r.flying) > 0 || r.broken() {
		return
	}
	d := time.Duration(1+r.pick(300)) * time.Second
	if at, ok := r.bus.next(); ok && !r.lossy && at.After(time.Now()) {
		d = min(d, time.Until(at))
	}
	r.sleep(max(0, min(d, time.Until(r.sweepAt))))
}

// lost empties the table once; every process starts anew.
func (r *run) lost() {
	r.drain(true)
	r.note("LOST the table")
	r.lose, r.bereft = false, true
	r.table.lose()
	for _, a := range r.apps {
		r.crash(a)
	}
	for _, g := range r.azure.sorted() {
		g.touch(time.Now())
	}
	r.check()
}

// finale stops faults and lets time pass: everything has to settle.
func (r *run) finale() {
	r.faults, r.foreign, r.churn, r.crashes, r.lossy = false, false, false, false, true
	r.note("FINALE")
	for _, g := range r.azure.sorted() {
		if g.locked || g.barred {
			g.locked, g.barred = false, false
			g.touch(time.Now())
		}
	}
	r.drain(true)
	for i := 0; i < 40 && !r.broken(); i++ {
		r.sleep(max(0, time.Until(r.sweepAt)))
		r.due()
		r.drain(true)
		open, err := r.table.OpenGrants(context.Background())
		if err != nil {
			r.violate("I1", "%v", err)
		}
		if i > 3 && len(open) == 0 && !r.lostLive() {
			break
		}
	}
	if !r.broken() {
		r.settledWell()
	}
}

// lostLive reports whether a grant that the table has lost is not over yet.
func (r *run) lostLive() bool {
	for _, l := range r.table.grants {
		if l.lost && time.Now().Before(l.rec.Grant.End().Add(period)) {
			return true
		}
	}
	return false
}

// settledWell is I1, I6 and I7 in the end.
func (r *run) settledWell() {
	open, _ := r.table.OpenGrants(context.Background())
	for _, g := range open {
		r.violate("I1", "grant %s does not end: %s", g.Grant.ID, grantText(g.Grant))
	}
	known, _ := r.table.Known(context.Background())
	for _, g := range r.azure.sorted() {
		if g.failed && slices.ContainsFunc(known, g.id.Equal) {
			r.violate("I7", "the last write of %s failed, and nobody wrote it again", g.id.Name)
		}
		for _, x := range g.model {
			if own(x) && x.Access == jit.Allow {
				r.violate("I6", "%s of %s stands after every window has ended", x.Name, g.id.Name)
			}
		}
	}
	before := r.state()
	r.sweep(r.apps[0])
	r.drain(true)
	if after := r.state(); before != after {
		r.violate("I7", "a sweep of what is settled changed it:\n%s\n%s", before, after)
	}
	r.disableAll()
}

func (r *run) disableAll() {
	for _, vm := range protected {
		if _, ok := r.table.policies[vmID(vm).Name]; !ok {
			continue
		}
		a := r.apps[0]
		o := r.begin(a, "disable", func(ctx context.Context) error { return a.Disable(ctx, caller("admin"), []jit.ID{vmID(vm)}) })
		o.after = func(o *op) {
			if o.err != nil {
				r.violate("I6", "disable of %s: %v", vm, o.err)
			}
		}
		r.drain(true)
	}
	if r.broken() {
		return
	}
	for _, g := range r.azure.sorted() {
		for _, x := range g.model {
			// Denies of which a lost table said nothing any more stay until people decide.
			if own(x) && !r.bereft {
				r.violate("I6", "%s of %s stands after everything is disabled", x.Name, g.id.Name)
			}
		}
	}
}

// state is the etags: who writes changes one.
func (r *run) state() string {
	out := ""
	for _, g := range r.azure.sorted() {
		out += fmt.Sprint(g.id.Name, " ", g.etag, "; ")
	}
	return out
}
