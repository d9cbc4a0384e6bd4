package sim_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// gateName is the firewall of the world: a group with NAT rules that translates.
const gateName = "hub-fw"

var (
	gateAddrs  = addrs("203.0.113.200", "203.0.113.201")
	gateSubnet = netip.MustParsePrefix("10.0.9.0/26")
	gateInside = netip.MustParseAddr("10.0.9.5") // one of its instances: what machines see
)

// A firewall's write takes minutes, and one may have to wait for another.
const (
	gateLeast = 30 * time.Second
	gateMost  = 4 * time.Minute
	gateTime  = 3 * gateMost
)

func gateID() jit.ID {
	return jit.ID{Subscription: sub, ResourceGroup: "demo", Type: jit.TypeFirewall, Name: gateName}
}

func dnat(name string, port uint16, to netip.AddrPort) jit.Rule {
	return jit.Rule{Name: name, Access: jit.Allow, Protocol: jit.TCP, Source: jit.AnyPeer(), Destination: jit.PeersOf(gateAddrs[0]),
		SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(port)}, Translated: to}
}

// gate makes the firewall.
func (z *azure) gate() {
	g := z.add(gateName, dnat("web", 443, netip.MustParseAddrPort("10.0.4.9:443")))
	g.id, g.public = gateID(), gateAddrs
}

// gates reports whether the group is a firewall.
func (g *group) gates() bool { return len(g.public) > 0 }

// time returns how long to wait for a write of the group.
func (g *group) time() time.Duration {
	if g.gates() {
		return gateTime
	}
	return writeTime
}

// front returns the firewall in front of a machine, and the addresses there; nil where there is none.
func (z *azure) front(m *machine) (*group, []netip.Addr) {
	g := z.groups[m.front]
	if g == nil || m.gone {
		return nil, nil
	}
	var out []netip.Addr
	for _, n := range m.nics {
		out = append(out, n.addrs...)
	}
	return g, out
}

// translated returns where the counted rules send a packet, computed naively.
func translated(rules []jit.Rule, p packet, count func(jit.Rule) bool) (netip.AddrPort, bool) {
	for i := range rules {
		if x := &rules[i]; x.Translated.IsValid() && hit(x, p) && count(*x) {
			return x.Translated, true
		}
	}
	return netip.AddrPort{}, false
}

// through is the part of [run.open] that leads through a firewall: a packet to the window's address and port
// arrives at the machine, and its security groups let the firewall in.
func (r *run) through(invariant string, l *ledger, m *machine, w jit.Window) {
	g, have := r.azure.front(m)
	if !w.Mapped.IsValid() || g == nil || !g.dirty.IsZero() || g.locked || g.barred || r.reopening(l, g) {
		return
	}
	if slices.ContainsFunc(r.heirs(l, m.id, w), func(n jit.Window) bool { return n.Mapped != w.Mapped }) {
		return // somebody else took its port since, and the newer request has another one
	}
	if slices.ContainsFunc(protocols(w.Protocol), func(p jit.Protocol) bool { return taken(g, w.Mapped, p) }) {
		return // somebody else took its port: ours is not restored beside it, and a finding says so
	}
	for _, src := range inside(w.Sources, w.Mapped.Addr()) {
		for _, protocol := range protocols(r.kept(l, m.id, w)) {
			to, ok := translated(g.packets, packet{src: src, dst: w.Mapped.Addr(), port: w.Mapped.Port(), protocol: protocol}, own)
			if !ok || to.Port() != w.Number || !slices.Contains(have, to.Addr()) {
				r.violate(invariant, "grant %s is open (%s), but %s sends %s at %s/%s to %s", l.rec.Grant.ID, grantText(l.rec.Grant), g.id.Name, src, w.Mapped, protocol, to)
				return
			}
			for group, list := range r.azure.places(m) {
				if slices.Contains(list, to.Addr()) && group.dirty.IsZero() && !group.locked && !r.reopening(l, group) && !lets(group.packets, packet{src: gateInside, dst: to.Addr(), port: w.Number, protocol: protocol}, own) {
					r.violate(invariant, "grant %s is open (%s), but %s does not let in what %s sends to %s", l.rec.Grant.ID, grantText(l.rec.Grant), group.id.Name, g.id.Name, to)
					return
				}
			}
		}
	}
}

// alone checks that no two machine ports share one port of the firewall, and that only our rules have such a port
// when it is assigned.
func (r *run) alone() {
	at := map[netip.AddrPort]string{}
	for _, l := range r.table.grants {
		for _, vm := range l.rec.Grant.VMs {
			for _, w := range vm.Ports {
				if l.lost || w.Status != jit.Initiated || !w.Mapped.IsValid() {
					continue
				}
				who := fmt.Sprint(vm.VM.Name, ":", w.Number)
				if other := at[w.Mapped]; other != "" && other != who {
					r.violate("I4", "%s and %s are both dialled at %s", other, who, w.Mapped)
				}
				at[w.Mapped] = who
			}
		}
	}
}

// taken reports whether a foreign rule of the firewall uses a port of it.
func taken(g *group, at netip.AddrPort, protocol jit.Protocol) bool {
	_, ok := first(g.foreign, packet{src: strangers[0], dst: at.Addr(), port: at.Port(), protocol: protocol}, every)
	return ok
}

// given is the other half: when a window gets a port, no foreign rule uses it.
func (r *run) given(l *ledger) {
	g := r.azure.groups[gateName]
	if g == nil || !g.dirty.IsZero() || g.write != nil {
		return
	}
	for _, vm := range l.rec.Grant.VMs {
		for _, w := range vm.Ports {
			for _, protocol := range protocols(w.Protocol) {
				if w.Mapped.IsValid() && taken(g, w.Mapped, protocol) {
					r.violate("I2", "grant %s is given %s, which a foreign rule has", l.rec.Grant.ID, w.Mapped)
				}
			}
		}
	}
}

// editGate is edit for the firewall.
func (r *run) editGate(g *group) (string, edit) {
	n := r.pick(800)
	at := uint16(9000 + n)
	var theirs []uint16 // ports of our windows
	for _, x := range g.model {
		if own(x) {
			theirs = append(theirs, x.DestinationPorts[0].First)
		}
	}
	switch r.pick(7) {
	case 0:
		return "Terraform puts the firewall without our rules", func(_, foreign []jit.Rule) ([]jit.Rule, []jit.Rule) { return nil, foreign }
	case 1:
		return "a hand deletes one of our rules", func(ours, foreign []jit.Rule) ([]jit.Rule, []jit.Rule) {
			if len(ours) > 0 {
				ours = slices.Delete(ours, n%len(ours), n%len(ours)+1)
			}
			return ours, foreign
		}
	case 2:
		return "a hand redirects one of our rules, from anywhere", func(ours, foreign []jit.Rule) ([]jit.Rule, []jit.Rule) {
			if len(ours) > 0 {
				x := &ours[n%len(ours)]
				x.Source, x.Translated = jit.AnyPeer(), netip.MustParseAddrPort("10.0.4.66:22")
				g.handmade[strings.ToLower(x.Name)] = true
			}
			return ours, foreign
		}
	case 3:
		return "a hand adds a rule with our prefix", func(ours, foreign []jit.Rule) ([]jit.Rule, []jit.Rule) {
			g.handmade[handName] = true
			return append(ours, dnat(handName, at, netip.MustParseAddrPort("10.0.4.4:22"))), foreign
		}
	case 4:
		if len(theirs) > 0 {
			at = theirs[n%len(theirs)]
		}
		return "somebody takes a port of the firewall", func(ours, foreign []jit.Rule) ([]jit.Rule, []jit.Rule) {
			return ours, append(foreign, dnat("Thief"+time.Now().Format("150405.000"), at, netip.MustParseAddrPort("10.0.4.9:22")))
		}
	case 5:
		return "somebody leads to a protected port and drops our rules", func(_, foreign []jit.Rule) ([]jit.Rule, []jit.Rule) {
			return nil, append(foreign, dnat("Aside"+time.Now().Format("150405.000"), at, netip.MustParseAddrPort("10.0.4.4:22")))
		}
	}
	return "somebody removes a foreign rule of the firewall and puts a tag", func(ours, foreign []jit.Rule) ([]jit.Rule, []jit.Rule) {
		g.tags, g.labels = g.tags+"+", g.labels+"+"
		if len(foreign) > 0 {
			foreign = slices.Delete(foreign, n%len(foreign), n%len(foreign)+1)
		}
		return ours, foreign
	}
}

// placement returns the part of a machine that the network adapter tells of its firewall.
func (z *azure) placement(m *machine) []store.Placement {
	g, list := z.front(m)
	if g == nil {
		return nil
	}
	return []store.Placement{{Target: g.id, Addresses: list, Inside: []netip.Prefix{gateSubnet}}}
}

// early returns when the first write that is not due yet may end; zero for none.
func (r *run) early() time.Time {
	r.azure.mu.Lock()
	defer r.azure.mu.Unlock()
	var at time.Time
	for _, g := range r.azure.sorted() {
		if g.write != nil && g.write.ready.After(time.Now()) && (at.IsZero() || g.write.ready.Before(at)) {
			at = g.write.ready
		}
	}
	return at
}
