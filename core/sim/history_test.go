package sim_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

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
		if r.restore && i == r.config.steps/3 {
			r.backUp()
		}
		if r.restore && i == r.config.steps*9/10 {
			r.putBack()
		}
		r.step(i > r.config.steps/2)
		r.regret()
	}
}

// step does one thing.
func (r *run) step(late bool) {
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
		if r.churn && !r.still {
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
		if r.lose && late {
			r.lost()
		}
		if r.restore && late {
			r.putBack()
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
	if at, ok := r.bus.next(); ok && at.Equal(time.Now()) && r.chance(50) { // by chance alone hardly any is handled at its very instant
		r.wake()
		r.check()
	}
}

// lost empties the table once; every process starts again.
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

// toldWell is I5 in the end: each closing has one line, and each opening that stood one before it.
func (r *run) toldWell() {
	for _, both := range r.table.twice {
		r.violate("I5", "the log tells twice of the same: %s", both)
	}
	for id, l := range r.table.grants {
		for _, vm := range l.rec.Grant.VMs {
			for _, w := range vm.Ports {
				if l.lost || w.Status != jit.Revoked {
					continue
				}
				closed, told := r.table.lineOf(store.OpClose, id, vm.VM, w.Number)
				if !told {
					r.violate("I5", "the log does not tell that port %d of %s closed for %s", w.Number, vm.VM.Name, id)
				}
				opened, told := r.table.lineOf(store.OpOpen, id, vm.VM, w.Number)
				if !told && r.quiet && slices.ContainsFunc(l.removed, func(x jit.Rule) bool { return r.let(x, l, vm.VM, w) }) {
					r.violate("I5", "a rule let port %d of %s in for %s, and the log has no line of it", w.Number, vm.VM.Name, id)
				}
				// A write that was under way while others closed may open for a moment after that, and the line comes before the attempt to store it.
				if told && opened.Time.After(closed.Time) && !r.skewed && l.stored[window{vm.VM.Name, w.Number}] {
					r.violate("I5", "port %d of %s opened for %s after it closed, the log tells", w.Number, vm.VM.Name, id)
				}
			}
		}
	}
}

// let reports whether a rule was of a window, which was over when a write removed it.
func (r *run) let(x jit.Rule, l *ledger, vm jit.ID, w jit.Window) bool {
	return slices.ContainsFunc(x.DestinationPorts, func(p jit.PortRange) bool { return p.Contains(w.Number) }) && x.Translated == netip.AddrPort{} &&
		slices.ContainsFunc(l.rec.Placements, func(p store.GrantPlacement) bool {
			return slices.ContainsFunc(p.Addresses[vm.Key()], func(a netip.Addr) bool { return within(x.Destination, a) })
		})
}

// settledWell is I1, I6 and I7 in the end.
func (r *run) settledWell() {
	r.toldWell()
	open, _ := r.table.OpenGrants(context.Background())
	for _, g := range open {
		r.violate("I1", "grant %s does not end: %s", g.Grant.ID, grantText(g.Grant))
	}
	known, _ := r.table.Known(context.Background())
	for _, g := range r.azure.sorted() {
		if g.failed && (!r.bereft || slices.ContainsFunc(known, g.id.Equal)) { // only our own writes fail
			r.violate("I7", "the last write of %s failed, and nobody wrote it again", g.id.Name)
		}
		for _, x := range slices.Concat(g.model, g.packets) {
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
	r.streamedWell()
}

func (r *run) disableAll() {
	for _, vm := range protected {
		if _, ok := r.table.policies[vmID(vm).Name]; !ok || r.orphans[vmID(vm).Name] {
			continue
		}
		a := r.apps[0]
		o := r.begin(a, "disable", func(ctx context.Context) error {
			_, err := a.Disable(ctx, caller("admin"), []jit.ID{vmID(vm)})
			return err
		})
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
	known, _ := r.table.Known(context.Background())
	for _, id := range known {
		if len(r.table.policies) == 0 && !r.bereft {
			r.violate("I6", "%s is still looked at after everything is disabled", id.Name)
		}
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
