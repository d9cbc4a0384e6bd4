package sim_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// simulate runs a config and returns what it violated, "" for nothing.
func simulate(t *testing.T, c config) (violation string, r *run) {
	// With one thread, Go's scheduler orders the same way each time whatever the calls' names do not order, except
	// under the race detector, which shuffles.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(*testing.T) {
		r = newRun(c)
		r.history()
		if !r.broken() {
			r.finale()
		}
		for _, a := range r.apps { // end whatever still runs
			close(a.died)
		}
		time.Sleep(time.Minute) // retries that pause end then
		synctest.Wait()
		violation = r.violation
	})
	return violation, r
}

func newRun(c config) *run {
	r := &run{config: c, rng: rand.New(rand.NewPCG(c.seed, 0x70_6f_72_74)), flying: map[string]*op{}, begun: map[string]*op{}, guarded: map[string]string{}, was: map[string][]netip.Addr{}, revoked: map[string]bool{}, disabled: map[string]bool{}, wasBehind: map[string]bool{}, orphans: map[string]bool{}}
	r.start = time.Now()
	r.azure = &azure{groups: map[string]*group{}, vms: map[string]*machine{}, evicted: map[string]bool{}}
	r.bus = &bus{run: r, known: map[store.Wake]bool{}}
	r.table = &table{Memory: coretest.NewMemory(), run: r, grants: map[string]*ledger{}, told: map[string]store.Entry{},
		policies: map[string]store.PolicyRecord{}, putBy: map[string]string{}, ever: map[string][]jit.Policy{}, lines: map[string]bool{}}
	r.mood()
	r.outside = outside{on: c.streams || r.seed%4 == 3, run: r, has: map[string]store.Linked{}, upTo: map[string]int{}}
	r.build()
	for i := range 1 + min(2, r.pick(4)) {
		r.apps = append(r.apps, r.newApp(fmt.Sprintf("app%d", i)))
	}
	r.sweepAt = time.Now().Add(period)
	r.disturb()
	return r
}

// mood decides what this run's world does.
func (r *run) mood() {
	switch r.pick(14) {
	case 12:
		r.restore = true
	case 13:
		r.restore, r.foreign = true, true
	case 0, 9, 10: // no faults: the bounds hold to the second
	case 1:
		r.foreign = true
	case 2:
		r.faults, r.lossy = true, true
	case 3, 11:
		r.churn = true
	case 4:
		r.faults, r.crashes = true, true
	case 5:
		r.skewed, r.lossy = true, true
	case 6:
		r.supersede, r.faults, r.foreign = true, true, true
	case 7:
		r.faults, r.foreign, r.churn, r.skewed, r.lossy, r.crashes = true, true, true, true, true, true
		r.supersede = r.chance(50)
	case 8:
		r.lose, r.foreign = true, r.chance(50)
	}
	r.quiet = !(r.faults || r.foreign || r.churn || r.skewed || r.supersede || r.crashes || r.lose)
	r.moving = r.churn
	r.demands, r.glass, r.later = r.seed%3 == 0, r.seed%2 == 1, r.seed%5 < 2
	r.note("faults=%v foreign=%v churn=%v skewed=%v lossy=%v supersede=%v crashes=%v restore=%v demands=%v glass=%v later=%v", r.faults, r.foreign, r.churn, r.skewed, r.lossy, r.supersede, r.crashes, r.restore, r.demands, r.glass, r.later)
}
