package sim_test

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/core/access"
	"portcullis/core/jit"
)

// The oracle knows packets, rules and windows, and nothing of how the product
// arranges them.

// packet is the first packet of a connection.
type packet struct {
	src, dst netip.Addr
	port     uint16
	protocol jit.Protocol
}

func hit(r jit.Rule, p packet) bool {
	if r.Direction != jit.Inbound || r.Protocol != jit.AnyProtocol && r.Protocol != p.protocol {
		return false
	}
	port := false
	for _, q := range r.DestinationPorts {
		port = port || q.First <= p.port && p.port <= q.Last
	}
	return port && within(r.Source, p.src) && within(r.Destination, p.dst)
}

func within(p jit.Peers, a netip.Addr) bool {
	for _, q := range p.Prefixes {
		if q.Contains(a) {
			return true
		}
	}
	return p.Any
}

// first gives the rule that decides about the packet among those that count.
func first(rules []jit.Rule, p packet, count func(jit.Rule) bool) (jit.Rule, bool) {
	var best jit.Rule
	found := false
	for _, r := range rules {
		if count(r) && hit(r, p) && (!found || r.Priority < best.Priority) {
			best, found = r, true
		}
	}
	return best, found
}

func every(jit.Rule) bool { return true }

// lets reports whether, of the rules that count, the deciding one allows.
func lets(rules []jit.Rule, p packet, count func(jit.Rule) bool) bool {
	r, ok := first(rules, p, count)
	return ok && r.Access == jit.Allow
}

// strangers are the sources that the oracle tries beside those that rules name.
var strangers = addrs("203.0.113.7", "203.0.113.8", "203.0.113.99", "198.51.100.5", "192.0.2.1", "2001:db8::7", "2001:db8::9", "2001:db8:1::1")

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// from gives source addresses to try for some prefixes, of the family of dst.
func from(prefixes []netip.Prefix, dst netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, p := range prefixes {
		if p.Addr().Is4() != dst.Is4() {
			continue
		}
		out = append(out, p.Addr())
		for _, a := range strangers {
			if p.Contains(a) {
				out = append(out, a)
			}
		}
	}
	return out
}

func sameFamily(dst netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(strangers), func(a netip.Addr) bool { return a.Is4() != dst.Is4() })
}

// inside gives source addresses that a window names.
func inside(s jit.Sources, dst netip.Addr) []netip.Addr {
	if s.IsAny() {
		return sameFamily(dst)
	}
	return from(s.Prefixes(), dst)
}

func protocols(p jit.Protocol) []jit.Protocol {
	if p == jit.AnyProtocol {
		return []jit.Protocol{jit.TCP, jit.UDP}
	}
	return []jit.Protocol{p}
}

func holds(s jit.Sources, a netip.Addr) bool {
	if s.IsAny() {
		return true
	}
	for _, p := range s.Prefixes() {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// oracle checks everything that holds at every moment.
func (r *run) oracle() {
	r.azure.mu.Lock()
	defer r.azure.mu.Unlock()
	for _, g := range r.azure.sorted() {
		r.untouched(g)
		r.justified(g)
	}
	r.uninterrupted()
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
		for _, dst := range r.addresses() {
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
							r.justify(g, x, packet{src, dst, port, protocol})
						}
					}
				}
			}
		}
	}
}

// grantIn reads the grant id from a rule's name.
func grantIn(name string) string {
	hex, ok := strings.CutPrefix(strings.ToLower(name), "portcullis-allow-")
	if !ok || len(hex) < 32 {
		return ""
	}
	return hex[:8] + "-" + hex[8:12] + "-" + hex[12:16] + "-" + hex[16:20] + "-" + hex[20:32]
}

func (r *run) justify(g *group, x jit.Rule, p packet) {
	late := ""
	likely := grantIn(x.Name) // found at once nearly always
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

// says reports whether some window of the grant is about the packet, live or not.
func (r *run) says(g *group, l *ledger, p packet) bool {
	return r.find(g, l, p, func(jit.ID, jit.Window) bool { return true })
}

// covers reports whether some live window of the grant says that the packet comes in.
func (r *run) covers(g *group, l *ledger, p packet) bool {
	return r.find(g, l, p, func(vm jit.ID, w jit.Window) bool { return r.timely(g, l, vm, w) })
}

func (r *run) find(g *group, l *ledger, p packet, also func(jit.ID, jit.Window) bool) bool {
	for _, vm := range l.rec.Grant.VMs {
		for _, w := range vm.Ports {
			if w.Number == p.port && (w.Protocol == jit.AnyProtocol || w.Protocol == p.protocol) && holds(w.Sources, p.src) && r.stands(g, l, vm.VM, p.dst) && also(vm.VM, w) {
				return true
			}
		}
	}
	return false
}

// stands reports whether the address is the machine's, or was and no sweep could
// tell yet that it is not any more.
func (r *run) stands(g *group, l *ledger, vm jit.ID, a netip.Addr) bool {
	m := r.azure.vms[vm.Name]
	if m != nil && !m.gone && !l.inserted.Before(m.reborn) {
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

// timely reports whether a window may let packets in now: it is live, or not longer
// past its end than I1 allows.
func (r *run) timely(g *group, l *ledger, vm jit.ID, w jit.Window) bool {
	now := time.Now()
	due := w.End
	if w.Status == jit.Initiating && l.rec.Grant.OpenBy.Before(due) {
		due = l.rec.Grant.OpenBy
	}
	grace := writeTime
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
				return true // its plan may be from before
			}
		}
		due = l.closed[at]
		grace = 0 // closed is closed, but for hands and faults
		if r.disturbed.After(l.inserted) || g.dirty.After(l.inserted) {
			due, grace = r.disturbed, writeTime+period
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

// open demands that the window's traffic comes through where the machine stands.
func (r *run) open(invariant string, l *ledger, vm jit.ID, w jit.Window, count func(jit.Rule) bool) {
	m := r.azure.vms[vm.Name]
	if m == nil || m.gone || l.inserted.Before(m.reborn) {
		return
	}
	for g, addrs := range r.azure.places(m) {
		if !g.dirty.IsZero() || g.locked {
			continue
		}
		for _, dst := range addrs {
			for _, src := range inside(w.Sources, dst) {
				for _, protocol := range protocols(r.kept(l, vm, w)) {
					if !lets(g.packets, packet{src, dst, w.Number, protocol}, count) {
						r.violate(invariant, "grant %s is open (%s), but %s does not let %s to %s:%d/%s in", l.rec.Grant.ID, grantText(l.rec.Grant), g.id.Name, src, dst, w.Number, protocol)
						return
					}
				}
			}
		}
	}
}

// lawful is the other half of I3: nothing ends an open window before its end but what
// it says itself, and a window is not made longer without a wake-up for its new end (I1).
func (r *run) lawful(l *ledger, vm jit.ID, old, w jit.Window) {
	if w.End.After(old.End) && !r.bus.has(l.rec.Grant.ID, w.End) {
		r.violate("I1", "grant %s now ends at %s, and no wake-up is scheduled for then", l.rec.Grant.ID, w.End.Format(time.TimeOnly))
	}
	if old.Status != jit.Initiated || w.Status == jit.Initiated {
		if w.Status == jit.Initiated && w.End.Before(old.End) {
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
	case jit.MachineGone:
		m := r.azure.vms[vm.Name]
		ok = m == nil || m.gone || m.lives > 0
	case jit.OpeningFailed:
		ok = r.faults || r.foreign || r.churn || r.skewed
	}
	if !ok {
		r.violate("I3", "the window of grant %s for %s:%d until %s was closed: %q", l.rec.Grant.ID, vm.Name, w.Number, old.End.Format(time.TimeOnly), w.Reason)
	}
}

// askedAgain reports whether the same person asked again for the same.
func (r *run) askedAgain(l *ledger, vm jit.ID, w jit.Window) bool {
	for _, o := range r.table.grants {
		if o == l || o.rec.Grant.RequestorID != l.rec.Grant.RequestorID {
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

// told is I5 the other way round: what the log tells as closed is not open. A fault
// between the line and the deed leaves a line too many.
func (r *run) told() {
	if r.faults || r.foreign || r.churn || r.skewed || len(r.flying) > 0 {
		return
	}
	for id, l := range r.table.grants {
		for _, vm := range l.rec.Grant.VMs {
			for _, w := range vm.Ports {
				if w.Status == jit.Initiated && !l.lost && r.table.toldOf(access.OpClose, access.Succeeded, id, vm.VM, w.Number) {
					r.violate("I5", "the log tells that grant %s closed %s:%d, and it is open: %s", id, vm.VM.Name, w.Number, grantText(l.rec.Grant))
				}
			}
		}
	}
}

// kept gives the protocol of the window that still counts: where the same person has
// asked again for the same, it is that of the newer window, which takes its place.
func (r *run) kept(l *ledger, vm jit.ID, w jit.Window) jit.Protocol {
	for _, o := range r.table.grants {
		if o == l || o.rec.Grant.RequestorID != l.rec.Grant.RequestorID || o.rec.Grant.Start.Before(l.rec.Grant.Start) {
			continue
		}
		for _, v := range o.rec.Grant.VMs {
			for _, n := range v.Ports {
				if v.VM.Equal(vm) && n.Number == w.Number && n.Sources.Equal(w.Sources) && n.Status != jit.Revoked && n.Protocol != w.Protocol && w.Protocol == jit.AnyProtocol {
					return n.Protocol
				}
			}
		}
	}
	return w.Protocol
}

// openedNow is I8 and I5 at the moment a window is stored as open.
func (r *run) openedNow(l *ledger, vm jit.ID, w jit.Window) {
	r.azure.mu.Lock()
	defer r.azure.mu.Unlock()
	if r.beforeEnd(w) {
		count := every
		if r.foreign {
			count = own // a deny that somebody lays over a rule of ours is meant
		}
		r.open("I8", l, vm, w, count)
	}
	if !r.bus.has(l.rec.Grant.ID, w.End) {
		r.violate("I1", "port %d of %s opened for %s, and no wake-up is scheduled for its end", w.Number, vm.Name, l.rec.Grant.ID)
	}
	if !r.table.toldOf(access.OpOpen, access.Succeeded, l.rec.Grant.ID, vm, w.Number) {
		r.violate("I5", "the log does not tell that port %d of %s opened for %s", w.Number, vm.Name, l.rec.Grant.ID)
	}
}

// closedNow is I8 and I5 at the moment a window is stored as closed by a verb. What another
// instance has written since that verb began may be from an older plan: that instance
// looks at the table again and undoes it, which I1 holds it to.
func (r *run) closedNow(o *op, l *ledger, before access.GrantRecord, vm jit.ID, w jit.Window) {
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
	if !r.table.toldOf(access.OpClose, access.Succeeded, l.rec.Grant.ID, vm, w.Number) {
		r.violate("I5", "the log does not tell that port %d of %s closed for %s", w.Number, vm.Name, l.rec.Grant.ID)
	}
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
			for _, dst := range addrs {
				for _, port := range rec.Policy.Ports {
					for _, protocol := range protocols(port.Protocol) {
						for _, src := range sameFamily(dst) {
							p := packet{src, dst, port.Number, protocol}
							if x, ok := first(g.packets, p, every); ok && x.Access == jit.Allow && !own(x) {
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

func grantText(g jit.Grant) string {
	var out []string
	for _, vm := range g.VMs {
		for _, w := range vm.Ports {
			out = append(out, vm.VM.Name+" "+w.Sources.String()+" "+w.Status.String()+" until "+w.End.Format(time.TimeOnly)+" "+string(w.Reason))
		}
	}
	return strings.Join(out, "; ")
}
