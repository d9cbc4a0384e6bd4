package sim_test

import (
	"slices"
	"time"

	"portcullis/core/decide"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// Checks at the moment when a grant changes in the table.

// lawful is the other half of I3: an open window ends early only for its own recorded reason, a window is not
// extended without a wake-up for its new end (I1), and one that has ended never comes back (I4).
func (r *run) lawful(l *ledger, vm jit.ID, old, w jit.Window) {
	this := func(id jit.ID) bool { return id.Equal(vm) }
	if old.Status >= jit.Revoking && w.Status < old.Status {
		r.violate("I4", "the window of grant %s for %s:%d had ended (%s), and is %s again", l.rec.Grant.ID, vm.Name, w.Number, old.Reason, w.Status)
	}
	if old.Status == jit.Initiating && w.Status == jit.Initiated {
		r.free("confirmed", l.rec.Grant, this)
	}
	if w.End.After(old.End) {
		r.free("extended", l.rec.Grant, this)
	}
	if w.End.After(old.End) && !r.bus.has(l.rec.Grant.ID, w.End) {
		r.violate("I1", "grant %s now ends at %s, and no wake-up is scheduled for then", l.rec.Grant.ID, w.End.Format(time.TimeOnly))
	}
	left := !w.Mapped.IsValid() && r.wasBehind[vm.Name] // its machine is no longer behind a firewall, and is dialled directly
	if old.Status == jit.Initiated && w.Status == jit.Initiated && old.Mapped.IsValid() && w.Mapped != old.Mapped && !r.churn && !left {
		r.violate("I3", "the open window of grant %s for %s:%d moved from %s to %s", l.rec.Grant.ID, vm.Name, w.Number, old.Mapped, w.Mapped)
	}
	if old.Status != jit.Initiated || w.Status == jit.Initiated {
		if w.Status == jit.Initiated && w.End.Before(old.End) && !r.narrowedBy(l, vm, old, w) {
			r.violate("I3", "the window of grant %s for %s:%d became shorter", l.rec.Grant.ID, vm.Name, w.Number)
		}
		return
	}
	ok := false
	switch w.Reason {
	case jit.Expired:
		end := old.End
		if r.skewed {
			end = end.Add(-2 * skewMax)
		}
		ok = !time.Now().Before(end)
	case jit.NewerRequestInitiated:
		ok = r.askedAgain(l, vm, w)
	case jit.UserRequested:
		ok = r.revoked[l.rec.Grant.ID]
	case jit.PolicyRemoved:
		ok = r.disabled[vm.Name]
	case jit.PolicyChanged:
		ok = r.narrowedBy(l, vm, old, w)
	case jit.MachineGone:
		m := r.azure.vms[vm.Name]
		ok = m == nil || m.gone || m.lives > 0
	case jit.RuleDisplaced:
		ok = r.displaced && (r.azure.evicted[l.rec.Grant.ID] || r.churn) || r.azure.groups[gateName] != nil && w.Mapped.IsValid()
	case jit.RemovedByOthers: // or its machine was not followed in time
		ok = r.azure.evicted[l.rec.Grant.ID] || r.moving || r.bereft
	case jit.NotCertain:
		ok = r.unproven(l, vm) || r.moving || r.bereft
	case jit.LockedDown:
		ok = r.lockedDown(l.rec.Grant, vm)
	case jit.OpeningFailed:
		ok = false // what was confirmed has not failed, whatever becomes of another try
	}
	if !ok {
		r.violate("I3", "the window of grant %s for %s:%d until %s was closed: %q", l.rec.Grant.ID, vm.Name, w.Number, old.End.Format(time.TimeOnly), w.Reason)
	}
}

// unproven reports whether others have taken, since the grant is stored, what shows that nobody ended its window: a deny of ours on a security group
// of the machine. A firewall has none.
func (r *run) unproven(l *ledger, vm jit.ID) bool {
	m := r.azure.vms[vm.Name]
	if m == nil || m.front != "" {
		return r.azure.evicted[l.rec.Grant.ID]
	}
	for g := range r.azure.places(m) {
		if !g.wiped.Before(l.inserted) {
			return true
		}
	}
	return false
}

// narrowedBy reports whether a policy that was stored for the machine makes a window end as it does.
func (r *run) narrowedBy(l *ledger, vm jit.ID, old, w jit.Window) bool {
	g := l.rec.Grant
	g.VMs = []jit.GrantVM{{VM: vm, Ports: []jit.Window{old}}}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.table.ever[vm.Name], func(p jit.Policy) bool {
		after, narrows := decide.Narrow(g, p, r.floor(), g.Start)
		next := after.VMs[0].Ports[0]
		return narrows && (next.Status == jit.Revoking || !next.End.After(w.End))
	})
}

// withinPolicy is I4 for policies: once a change of a policy has succeeded, nothing is open that it does not allow.
func (r *run) withinPolicy(vm jit.ID) {
	if r.skewed {
		return
	}
	for _, l := range r.table.grants {
		if _, narrows := decide.Narrow(l.rec.Grant, r.table.policies[vm.Name].Policy, r.floor(), time.Now()); narrows && !l.lost && l.rec.Grant.Status() == jit.Initiated {
			r.violate("I4", "the policy of %s was changed, and does not allow what grant %s has open: %s", vm.Name, l.rec.Grant.ID, grantText(l.rec.Grant))
		}
	}
}

// askedAgain reports whether the same person requested the same again.
func (r *run) askedAgain(l *ledger, vm jit.ID, w jit.Window) bool {
	return r.another(l, vm, w, func(*ledger) bool { return true })
}

// replaced reports whether the same person requested the same again and got it.
func (r *run) replaced(l *ledger, vm jit.ID, w jit.Window) bool {
	return r.another(l, vm, w, func(o *ledger) bool { return o.opened })
}

func (r *run) another(l *ledger, vm jit.ID, w jit.Window, is func(*ledger) bool) bool {
	for _, o := range r.table.grants {
		if o == l || !is(o) || o.rec.Grant.RequestorID != l.rec.Grant.RequestorID {
			continue
		}
		for _, v := range o.rec.Grant.VMs {
			for _, n := range v.Ports {
				if v.VM.Equal(vm) && n.Number == w.Number && n.Sources.Equal(w.Sources) {
					return true
				}
			}
		}
	}
	return false
}

// openedNow is I8 and I5 at the moment a window is stored as open.
func (r *run) openedNow(l *ledger, vm jit.ID, w jit.Window) {
	r.azure.mu.Lock()
	defer r.azure.mu.Unlock()
	if r.beforeEnd(w) {
		count := every
		if r.foreign {
			count = own // somebody meant to put a deny above a rule of ours
		}
		r.open("I8", l, vm, w, count)
	}
	r.onlyNewest(l, vm, w)
	if !r.bus.has(l.rec.Grant.ID, w.End) {
		r.violate("I1", "port %d of %s opened for %s, and no wake-up is scheduled for its end", w.Number, vm.Name, l.rec.Grant.ID)
	}
	if !r.table.toldOf(store.OpOpen, store.Succeeded, l.rec.Grant.ID, vm, w.Number) {
		r.violate("I5", "the log does not tell that port %d of %s opened for %s", w.Number, vm.Name, l.rec.Grant.ID)
	}
}

// onlyNewest is I4 for repeated requests: the window that was open for the same is stored as superseded in the
// same step, or it would return when the newer one is closed.
func (r *run) onlyNewest(l *ledger, vm jit.ID, w jit.Window) {
	if r.skewed || r.churn {
		return // who is newer, and where both are, depends on the instance
	}
	for id, o := range r.table.grants {
		if o == l || o.lost || !o.opened || o.openedAt >= l.turn || o.rec.Grant.RequestorID != l.rec.Grant.RequestorID {
			continue
		}
		for _, v := range o.rec.Grant.VMs {
			for _, n := range v.Ports {
				if v.VM.Equal(vm) && n.Number == w.Number && n.Sources.Equal(w.Sources) && n.Status == jit.Initiated && n.Reason == "" && time.Now().Before(n.End) {
					r.violate("I4", "grant %s opened for the same as %s, which is still open: %s", l.rec.Grant.ID, id, grantText(o.rec.Grant))
				}
			}
		}
	}
}

// closedNow is I8 and I5 at the moment when a verb stores a window as closed. What another instance has written
// since that verb began may be from an older plan: that instance reads the table again and undoes it, which I1
// checks.
func (r *run) closedNow(o *op, l *ledger, before store.GrantRecord, vm jit.ID, w jit.Window) {
	r.azure.mu.Lock()
	defer r.azure.mu.Unlock()
	for _, g := range r.azure.sorted() {
		if g.dirty.After(l.inserted) {
			continue
		}
		for _, x := range slices.Concat(g.packets, g.model) {
			if grantIn(x.Name) != l.rec.Grant.ID || x.Access != jit.Allow {
				continue
			}
			if by := g.made[x.Name]; o != nil && by.app != o.app && by.turn > o.turn {
				continue
			}
			for _, at := range before.Placements {
				for _, a := range at.Addresses[vm.Key()] {
					if within(x.Destination, a) && slices.ContainsFunc(x.DestinationPorts, func(p jit.PortRange) bool { return p.Contains(w.Number) }) {
						r.violate("I8", "port %d of %s is stored as closed (%s), but %s of %s stands", w.Number, vm.Name, w.Reason, x.Name, g.id.Name)
						return
					}
				}
			}
		}
	}
	if w.Reason == jit.UserRequested && !r.table.toldOf(store.OpRevoke, store.Succeeded, l.rec.Grant.ID, vm, w.Number) {
		r.violate("I5", "the log does not tell who revoked port %d of %s of %s", w.Number, vm.Name, l.rec.Grant.ID)
	}
	if !r.table.toldOf(store.OpClose, store.Succeeded, l.rec.Grant.ID, vm, w.Number) {
		r.violate("I5", "the log does not tell that port %d of %s closed for %s", w.Number, vm.Name, l.rec.Grant.ID)
	}
}
