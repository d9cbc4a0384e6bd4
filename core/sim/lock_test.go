package sim_test

import (
	"context"
	"slices"

	"portcullis/core/area"
	"portcullis/core/jit"
	"portcullis/core/lockdown"
	"portcullis/core/store"
)

// locker may lock down.
var locker = jit.Caller{ID: "t/admin", Name: "admin", Correlation: "sim"}

// standing returns the holds that are stored now.
func (r *run) standing() []store.Hold {
	set, _ := r.table.Holds(context.Background())
	return set.Holds
}

// scope draws a scope: mostly a person or a machine.
func (r *run) scope() area.Scope {
	vm := vmID(protected[r.pick(len(protected))])
	switch n := r.pick(10); {
	case n < 4:
		return area.Scope{VM: vm}
	case n < 7:
		return area.Scope{Person: users[r.pick(len(users))]}
	case n < 8:
		return area.Scope{Subscription: vm.Subscription, ResourceGroup: vm.ResourceGroup}
	case n < 9:
		return area.Scope{Subscription: vm.Subscription}
	}
	return area.Scope{Everything: true}
}

// lockdown locks a scope down, and holds it in two of three cases.
func (r *run) lockdown(a *app) {
	order := lockdown.Order{Scope: r.scope(), Reason: "a simulation", Hold: r.chance(66)}
	r.locked = append(r.locked, order.Scope)
	o := r.begin(a, "lockdown", func(ctx context.Context) error {
		run, err := a.lock.Begin(ctx, locker, order)
		if err != nil {
			return err
		}
		return a.lock.Complete(ctx, run)
	})
	r.note("  %s, hold %v", order.Scope, order.Hold)
	o.after = func(o *op) {
		if o.err != nil {
			return
		}
		r.seen.Locked++
		r.shut(o, order.Scope, jit.Revoked)
	}
}

// lift lifts one of the holds that stand.
func (r *run) lift(a *app) {
	holds := r.standing()
	h := holds[r.pick(len(holds))]
	r.begin(a, "lift", func(ctx context.Context) error {
		_, err := a.lock.Lift(ctx, locker, h.ID, "a simulation", false)
		return err
	})
	r.note("  %s", h.Scope)
}

// shut is I14 for what was open: what a verb has locked down, of grants that were stored before it began, is at least as far as said.
func (r *run) shut(o *op, scope area.Scope, least jit.Status) {
	for id, l := range r.table.grants {
		if l.lost || l.turn >= o.turn {
			continue
		}
		for _, vm := range l.rec.Grant.VMs {
			for _, w := range vm.Ports {
				if scope.Covers(l.rec.Grant.RequestorID, vm.VM) && w.Status < least && r.beforeEnd(w) {
					r.violate("I14", "%s has locked down %s, and grant %s has %s:%d open: %s", o.name, scope, id, vm.VM.Name, w.Number, grantText(l.rec.Grant))
				}
			}
		}
	}
}

// free is I14 for what opens: nothing in a scope that is held is stored, confirmed or extended.
func (r *run) free(what string, g jit.Grant, of func(jit.ID) bool) {
	for _, h := range r.standing() {
		for _, vm := range g.Machines() {
			if of(vm) && h.Scope.Covers(g.RequestorID, vm) {
				r.violate("I14", "grant %s is %s for %s, and %s is held", g.ID, what, vm.Name, h.Scope)
			}
		}
	}
}

// sweptHolds is I14 after a crash: a sweep that ended well has marked what a hold covers that stood when it began.
func (r *run) sweptHolds(o *op, stood []store.Hold) {
	for _, h := range r.standing() {
		if slices.ContainsFunc(stood, func(s store.Hold) bool { return s.ID == h.ID }) {
			r.shut(o, h.Scope, jit.Revoking)
		}
	}
}

// lockedDown reports whether somebody has ordered to lock down where a window is.
func (r *run) lockedDown(g jit.Grant, vm jit.ID) bool {
	return slices.ContainsFunc(r.locked, func(s area.Scope) bool { return s.Covers(g.RequestorID, vm) })
}
