package sim_test

import (
	"flag"
	"testing"

	"pgregory.net/rapid"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run this seed only, and print its whole trace")
	seedsFlag = flag.Uint64("seeds", 20, "how many seeds TestSim runs")
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
			t.Fatalf("seed %d violates %s\n%s\nagain: go test ./core/sim -run 'TestSim$' -seed %d -steps %d", seed, violation, r.text(n), seed, *stepsFlag)
		}
	}
	t.Logf("%d seeds, %d steps, %+v", last-first+1, steps, seen)
	if last-first >= 19 && min(seen.Opened, seen.Closed, seen.Locked, seen.Refused, seen.Repaired, seen.Approved, seen.Denied, seen.Expired, seen.Conflicts, seen.Faults, seen.Throttled, seen.Crashes, seen.Sweeps, seen.Wakes, seen.Broken, seen.Begun) == 0 {
		t.Errorf("something never happens: %+v", seen)
	}
	if last-first >= 99 && min(seen.Reviewed, seen.Owing, seen.Missed) == 0 {
		t.Errorf("no break-glass is reviewed, or refused for want of a review, or no start is missed: %+v", seen)
	}
}

// TestRapid lets rapid generate the histories: a list of steps with the choices of each. If one violates an
// invariant, rapid removes steps and simplifies choices as far as possible.
func TestRapid(t *testing.T) {
	if err := flag.Set("rapid.checks", "30"); err != nil {
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

// TestReplay checks what the package doc says about replays. With the race detector it runs six seeds, since each
// costs two histories; make sim runs all.
func TestReplay(t *testing.T) {
	seeds := 16
	if raceDetector {
		seeds = 6
	}
	same := 0
	for seed := range uint64(seeds) {
		_, a := simulate(t, config{seed: seed + 1, steps: 120})
		_, b := simulate(t, config{seed: seed + 1, steps: 120})
		if a.text(1<<20) == b.text(1<<20) {
			same++
		}
	}
	t.Logf("%d of %d seeds gave the same history twice", same, seeds)
	if same < seeds/2 {
		t.Errorf("only %d of %d seeds gave the same history twice", same, seeds)
	}
}
