package sim_test

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// The oracle knows packets, rules and windows, and nothing of how the product computes them.

// oracle checks everything that must hold at every moment.
func (r *run) oracle() {
	r.azure.mu.Lock()
	defer r.azure.mu.Unlock()
	for _, g := range r.azure.sorted() {
		r.untouched(g)
		r.justified(g)
	}
	r.uninterrupted()
	r.alone()
	r.modest()
	r.closedToOthers()
	r.told()
}

// untouched is I2.
func (r *run) untouched(g *group) {
	var foreign []jit.Rule
	for _, x := range g.model {
		if !own(x) {
			foreign = append(foreign, x)
		}
	}
	if !slices.EqualFunc(foreign, g.foreign, jit.Rule.Equal) {
		r.violate("I2", "the foreign rules of %s are not what foreign writers made them: %s, want %s", g.id.Name, names(foreign), names(g.foreign))
	}
	if g.tags != g.labels {
		r.violate("I2", "the tags of %s are %q, want %q", g.id.Name, g.tags, g.labels)
	}
}

func names(rules []jit.Rule) string {
	var out []string
	for _, x := range rules {
		out = append(out, x.Name)
	}
	return strings.Join(out, " ")
}

// justified is I1 and I4 for what our rules allow, and I5 for every rule.
func (r *run) justified(g *group) {
	for _, x := range g.packets {
		if !own(x) || x.Access != jit.Allow || g.handmade[strings.ToLower(x.Name)] && (r.bereft || !g.dirty.IsZero()) {
			continue
		}
		if id := grantIn(x.Name); id != "" && r.table.grants[id] != nil && !r.table.lines[id] {
			r.violate("I5", "%s opens a port for grant %s, of which the log has no line", x.Name, id)
		}
		for _, dst := range slices.Concat(r.addresses(), g.public) {
			if !within(x.Destination, dst) {
				continue
			}
			sources := from(x.Source.Prefixes, dst)
			if x.Source.Any {
				sources = sameFamily(dst)
			}
			for _, ports := range x.DestinationPorts {
				for _, protocol := range protocols(x.Protocol) {
					for _, src := range sources {
						for _, port := range slices.Compact([]uint16{ports.First, ports.Last}) {
							r.justify(g, x, packet{src: src, dst: dst, port: port, protocol: protocol, to: x.Translated})
						}
					}
				}
			}
		}
	}
}

// grantIn extracts the grant id from a rule's name.
func grantIn(name string) string {
	hex, ok := strings.CutPrefix(strings.ToLower(name), "portcullis-allow-")
	if !ok || len(hex) < 32 {
		return ""
	}
	return hex[:8] + "-" + hex[8:12] + "-" + hex[12:16] + "-" + hex[16:20] + "-" + hex[20:32]
}

func (r *run) justify(g *group, x jit.Rule, p packet) {
	late := ""
	likely := grantIn(x.Name) // nearly always the right one
	if l := r.table.grants[likely]; l != nil && r.covers(g, l, p) {
		return
	}
	for id, l := range r.table.grants {
		if r.covers(g, l, p) {
			return
		}
		if r.says(g, l, p) {
			late = id
		}
	}
	if late != "" {
		l := r.table.grants[late]
		r.violate("I1", "%s of %s still lets %s to %s:%d in; grant %s ended (%s)", x.Name, g.id.Name, p.src, p.dst, p.port, late, grantText(l.rec.Grant))
		return
	}
	r.violate("I4", "%s of %s lets %s to %s:%d/%s in, which no grant says", x.Name, g.id.Name, p.src, p.dst, p.port, p.protocol)
}

// says reports whether some window of the grant covers the packet, live or not.
func (r *run) says(g *group, l *ledger, p packet) bool {
	return r.find(g, l, p, func(jit.ID, jit.Window) bool { return true })
}

// covers reports whether some live window of the grant allows the packet.
func (r *run) covers(g *group, l *ledger, p packet) bool {
	return r.find(g, l, p, func(vm jit.ID, w jit.Window) bool { return r.timely(g, l, vm, w) })
}

func (r *run) find(g *group, l *ledger, p packet, also func(jit.ID, jit.Window) bool) bool {
	for _, vm := range l.rec.Grant.VMs {
		for _, w := range vm.Ports {
			if g.gates() {
				// Until the sweep that removes a machine's port at a firewall has reached the firewall too, its rule may
				// remain.
				at := netip.AddrPortFrom(p.dst, p.port)
				mapped := w.Mapped == at || !g.dirty.IsZero() && l.mapped[window{vm.VM.Name, w.Number}] == at
				if mapped && (w.Protocol == jit.AnyProtocol || w.Protocol == p.protocol) && holds(w.Sources, p.src) && p.to.Port() == w.Number && r.stands(g, l, vm.VM, p.to.Addr()) && also(vm.VM, w) {
					return true
				}
				continue
			}
			if (w.Mapped.IsValid() || !g.dirty.IsZero()) && gateSubnet.Contains(p.src) && w.Number == p.port && (w.Protocol == jit.AnyProtocol || w.Protocol == p.protocol) && r.stands(g, l, vm.VM, p.dst) && also(vm.VM, w) {
				return true
			}
			if w.Number == p.port && (w.Protocol == jit.AnyProtocol || w.Protocol == p.protocol) && holds(w.Sources, p.src) && r.stands(g, l, vm.VM, p.dst) && also(vm.VM, w) {
				return true
			}
		}
	}
	return false
}

// stands reports whether the address is the machine's, or was and no sweep could know yet that it is not.
func (r *run) stands(g *group, l *ledger, vm jit.ID, a netip.Addr) bool {
	m := r.azure.vms[vm.Name]
	if m != nil && !m.gone && !l.inserted.Before(m.reborn) {
		if at, addrs := r.azure.front(m); at == g && slices.Contains(addrs, a) {
			return true
		}
		for at, addrs := range r.azure.places(m) {
			if at == g && slices.Contains(addrs, a) {
				return true
			}
		}
	}
	if g.dirty.IsZero() {
		return false
	}
	return slices.Contains(r.was[vm.Name], a)
}

// timely reports whether a window may let packets in now: it is live, or not further past its end than I1 allows.
func (r *run) timely(g *group, l *ledger, vm jit.ID, w jit.Window) bool {
	now := time.Now()
	if w.Waits() { // nobody has let it go yet; or it was let go after the copy of the tables that was put back, and the next sweep ends it
		return l.lost && !now.After(r.disturbed.Add(g.time()+period))
	}
	due := w.End
	if w.Status == jit.Initiating && l.rec.Grant.OpenBy.Before(due) {
		due = l.rec.Grant.OpenBy
	}
	grace := g.time()
	if r.skewed {
		grace += skewMax
	}
	if g.locked || g.barred {
		return true
	}
	if w.Status == jit.Revoked {
		at := window{vm.Name, w.Number}
		for _, name := range l.behind[at] {
			if r.flying[name] != nil {
				return true // its plan may be older
			}
		}
		due = l.closed[at]
		grace = 0 // closed is closed, except for foreign writes and faults
		if g.gates() && len(l.behind[at]) > 0 {
			grace = g.time() // a firewall's round continues after the verb that asked for it has stopped waiting
		}
		if !r.disturbed.Before(l.inserted) || !g.dirty.Before(l.inserted) {
			due, grace = r.disturbed, g.time()+period
			if g.dirty.After(due) {
				due = g.dirty
			}
		}
		return !now.After(due.Add(grace))
	}
	for _, t := range []time.Time{r.disturbed, g.dirty} {
		if t.After(due) {
			due = t
		}
	}
	return !now.After(due.Add(grace + period))
}

// uninterrupted is I3.
func (r *run) uninterrupted() {
	for _, l := range r.table.grants {
		if l.lost {
			continue
		}
		for _, vm := range l.rec.Grant.VMs {
			for _, w := range vm.Ports {
				if w.Status == jit.Initiated && r.beforeEnd(w) {
					r.open("I3", l, vm.VM, w, own)
				}
			}
		}
	}
}

func (r *run) beforeEnd(w jit.Window) bool {
	end := w.End
	if r.skewed {
		end = end.Add(-2 * skewMax)
	}
	return time.Now().Before(end)
}

// open checks that the window's traffic reaches the machine.
func (r *run) open(invariant string, l *ledger, vm jit.ID, w jit.Window, count func(jit.Rule) bool) {
	m := r.azure.vms[vm.Name]
	if m == nil || m.gone || l.inserted.Before(m.reborn) {
		return
	}
	r.through(invariant, l, m, w)
	for g, addrs := range r.azure.places(m) {
		if !g.dirty.IsZero() || g.locked || r.reopening(l, g) {
			continue
		}
		for _, dst := range addrs {
			for _, src := range inside(w.Sources, dst) {
				for _, protocol := range protocols(r.kept(l, vm, w)) {
					if !lets(g.packets, packet{src: src, dst: dst, port: w.Number, protocol: protocol, at: m.estate(dst)}, count) {
						r.violate(invariant, "grant %s is open (%s), but %s does not let %s to %s:%d/%s in", l.rec.Grant.ID, grantText(l.rec.Grant), g.id.Name, src, dst, w.Number, protocol)
						return
					}
				}
			}
		}
	}
}

// reopening reports whether the grant was extended so late that the group may have been closed at the old end: the
// extension was requested before that end and stored after it.
func (r *run) reopening(l *ledger, g *group) bool {
	return !l.late.IsZero() && time.Since(l.late) < g.time()
}

// told is I5 in the other direction: what the log reports as closed is not open. The entry comes before the write,
// so a fault, or a revoke of the newer request, in between leaves an extra entry.
func (r *run) told() {
	if r.faults || r.foreign || r.churn || r.skewed || len(r.flying) > 0 {
		return
	}
	for id, l := range r.table.grants {
		for _, vm := range l.rec.Grant.VMs {
			for _, w := range vm.Ports {
				if w.Status == jit.Initiated && !l.lost && r.replaced(l, vm.VM, w) && r.table.toldOf(store.OpClose, store.Succeeded, id, vm.VM, w.Number) {
					r.violate("I5", "the log tells that grant %s closed %s:%d, and it is open: %s", id, vm.VM.Name, w.Number, grantText(l.rec.Grant))
				}
			}
		}
	}
}

// kept returns the protocol of the window that still counts: if the same person has requested the same again, that
// of the newer window, which replaces it.
func (r *run) kept(l *ledger, vm jit.ID, w jit.Window) jit.Protocol {
	for _, n := range r.heirs(l, vm, w) {
		if n.Protocol != w.Protocol && w.Protocol == jit.AnyProtocol {
			return n.Protocol
		}
	}
	return w.Protocol
}

// heirs returns the windows that replace one, because the same person has requested the same again.
func (r *run) heirs(l *ledger, vm jit.ID, w jit.Window) []jit.Window {
	var out []jit.Window
	for _, o := range r.table.grants {
		if o == l || o.rec.Grant.RequestorID != l.rec.Grant.RequestorID || o.rec.Grant.Start.Before(l.rec.Grant.Start) {
			continue
		}
		for _, v := range o.rec.Grant.VMs {
			for _, n := range v.Ports {
				if v.VM.Equal(vm) && n.Number == w.Number && n.Sources.Equal(w.Sources) && n.Status != jit.Revoked {
					out = append(out, n)
				}
			}
		}
	}
	return out
}

// closedToOthers is the other half of I4: a foreign rule opens no port that a policy closes.
func (r *run) closedToOthers() {
	for key, rec := range r.table.policies {
		m := r.azure.vms[key]
		if rec.Policy.ExistingRules != jit.Override || r.guarded[key] != rec.Version || m == nil {
			continue
		}
		for g, addrs := range r.azure.places(m) {
			if !g.dirty.IsZero() || g.locked || g.barred {
				continue
			}
			kept := 0
			if rec.Policy.LeavesRoom {
				kept = keptPlaces
			}
			for _, dst := range addrs {
				for _, port := range rec.Policy.Ports {
					for _, protocol := range protocols(port.Protocol) {
						for _, src := range sameFamily(dst) {
							p := packet{src: src, dst: dst, port: port.Number, protocol: protocol, at: m.estate(dst)}
							if x, ok := first(g.packets, p, every); ok && x.Access == jit.Allow && !own(x) && outranked(g.packets, x, dst, kept) && !(rec.Policy.LeavesRoom && r.stopped(m, g, p)) {
								r.violate("I4", "the foreign rule %s (%d) of %s opens port %d of %s, which its policy closes", x.Name, x.Priority, g.id.Name, port.Number, m.id.Name)
								return
							}
						}
					}
				}
			}
		}
	}
}

// keptPlaces is how many of the first free places are left to windows by the denies of a policy that leaves room, at most: one for each family.
const keptPlaces = 2

// stopped reports whether another security group in front of the machine drops what one lets in: traffic passes all of them. A window there lets in
// what I1 judges, and a group that others have just changed is judged later.
func (r *run) stopped(m *machine, at *group, p packet) bool {
	for g, addrs := range r.azure.places(m) {
		if g == at || !slices.Contains(addrs, p.dst) {
			continue
		}
		if x, ok := first(g.packets, p, every); ok && (x.Access == jit.Deny || own(x)) || !g.dirty.IsZero() || g.locked || g.barred {
			return true
		}
	}
	return false
}

// outranked reports whether there is room for one more rule between a rule of others and the last open window above it, and for as many more as
// are kept. Where open windows and others have all places, they keep them, and where a window stands right above the rule, so does the window. One
// that stands below the rule, for the same address, needs another place above our deny.
func outranked(rules []jit.Rule, x jit.Rule, dst netip.Addr, kept int) bool {
	last := 99
	for _, o := range rules {
		switch {
		case !own(o) || o.Access != jit.Allow:
		case o.Priority < x.Priority:
			last = max(last, o.Priority)
		case within(o.Destination, dst):
			kept++
		}
	}
	taken := 0
	for _, o := range rules {
		if o.Direction == jit.Inbound && o.Priority > last && o.Priority < x.Priority {
			taken++
		}
	}
	return taken+kept < x.Priority-last-1
}

func grantText(g jit.Grant) string {
	var out []string
	for _, vm := range g.VMs {
		for _, w := range vm.Ports {
			out = append(out, vm.VM.Name+" "+w.Sources.String()+" "+w.Status.String()+" until "+w.End.Format(time.TimeOnly)+" "+string(w.Reason))
		}
	}
	return strings.Join(out, "; ")
}
