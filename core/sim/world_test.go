package sim_test

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
)

// build makes the machines and security groups: one with its own group, three that
// share a subnet's group (one of them, nb, is never protected), one behind both kinds,
// one with two interfaces, one with both families.
func (r *run) build() {
	foreign := func(name string, priority int, access jit.Access, source string, ports ...uint16) jit.Rule {
		x := jit.Rule{Name: name, Priority: priority, Access: access, Protocol: jit.TCP, Source: jit.AnyPeer(), Destination: jit.AnyPeer(), SourcePorts: []jit.PortRange{jit.AllPorts()}}
		if source != "*" {
			x.Source = jit.Peers{Prefixes: []netip.Prefix{netip.MustParsePrefix(source)}}
		}
		for _, n := range ports {
			x.DestinationPorts = append(x.DestinationPorts, jit.OnePort(n))
		}
		return x
	}
	z := r.azure
	toGroup := foreign("AllowSshToGroup", 260, jit.Allow, "*", 22)
	toGroup.Destination = jit.Peers{Groups: []string{webGroup}}
	z.add("web-nsg", toGroup, foreign("AllowWeb", 200, jit.Allow, "*", 443), foreign("AllowSshAny", 300, jit.Allow, "*", 22))
	z.add("apps-nsg", foreign("AllowOps", 250, jit.Allow, "198.51.100.0/24", 22, 3389), foreign("DenyBad", 180, jit.Deny, "203.0.113.8/32", 22))
	z.add("db-nic-nsg", foreign("SecurityCenter-JITRule-1", 400, jit.Deny, "*", 22, 3389))
	z.add("db-subnet-nsg")
	z.add(spare, foreign("AllowRdpAny", 1000, jit.Allow, "*", 3389))
	z.gate()
	z.add("behind-nsg", foreign("AllowAdmin", 200, jit.Allow, "198.51.100.0/24", 22))
	r.place("behind", nic{addrs: addrs("10.0.4.4"), groups: []string{"behind-nsg"}})
	r.place("hidden", nic{addrs: addrs("10.0.4.5"), groups: []string{"behind-nsg"}})
	for _, name := range []string{"behind", "hidden"} {
		z.vms[vmID(name).Name].front = gateName
	}
	r.place("web", nic{addrs: addrs("10.0.0.4"), groups: []string{"web-nsg"}, asgs: []string{webGroup}})
	r.place("app1", nic{addrs: addrs("10.0.1.4", "2001:db8:1::4"), groups: []string{"apps-nsg"}, asgs: []string{webGroup}})
	r.place("app2", nic{addrs: addrs("10.0.1.5"), groups: []string{"apps-nsg"}})
	r.place("nb", nic{addrs: addrs("10.0.1.6", "2001:db8:1::6"), groups: []string{"apps-nsg"}})
	r.place("db", nic{addrs: addrs("10.0.2.4"), groups: []string{"db-nic-nsg", "db-subnet-nsg"}})
	r.place("two", nic{addrs: addrs("10.0.0.8"), groups: []string{"web-nsg"}}, nic{addrs: addrs("10.0.2.8"), groups: []string{"db-subnet-nsg"}})
}

// webGroup is the application security group of web and app1.
const webGroup = "/asg/web"

// spare guards no machine at first.
const spare = "spare-nsg"

var protected = []string{"behind", "hidden", "web", "app1", "app2", "db", "two"}

func (r *run) place(name string, nics ...nic) {
	m := &machine{id: vmID(name), nics: nics}
	r.azure.vms[m.id.Name] = m
	r.remember(m)
}

func (r *run) remember(m *machine) {
	for _, n := range m.nics {
		for _, a := range n.addrs {
			if !slices.Contains(r.was[m.id.Name], a) {
				r.was[m.id.Name] = append(r.was[m.id.Name], a)
			}
		}
	}
}

// addresses returns every address that a rule may name, and one that belongs to nobody.
func (r *run) addresses() []netip.Addr {
	out := addrs("10.0.1.99", "2001:db8:1::99")
	for _, list := range r.was {
		out = append(out, list...)
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// touchAt notes that a machine's groups differ from what a sweep has seen.
func (r *run) touchAt(m *machine) {
	for g := range r.azure.places(m) {
		g.touch(time.Now())
	}
	if g := r.azure.groups[gateName]; g != nil && (m.front != "" || r.wasBehind[m.id.Name]) {
		g.touch(time.Now())
	}
}

// hands is one change by others to a security group.
func (r *run) hands() {
	groups := r.azure.sorted()
	g := groups[r.pick(len(groups))]
	if r.chance(10) && r.azure.groups[spare] != nil {
		g = r.azure.groups[spare]
	}
	if r.chance(40) { // it matters most where a window is open
		if i := slices.IndexFunc(groups, func(g *group) bool {
			return slices.ContainsFunc(g.model, func(x jit.Rule) bool { return own(x) && x.Access == jit.Allow })
		}); i >= 0 {
			g = groups[i]
		}
	}
	now := time.Now()
	what, takes, edit := r.edit(g)
	if g.gates() {
		what, edit = r.editGate(g)
	}
	if r.azure.hand(g, now, edit) {
		r.orphaned()
		r.displaced = r.displaced || takes || g.gates()
		r.note("FOREIGN %s on %s", what, g.id.Name)
	}
}

const handName = "portcullis-allow-by-hand"

type edit func(ours, foreign []jit.Rule) ([]jit.Rule, []jit.Rule)

// edit is one change by others to a group, and whether it takes places where windows stand.
func (r *run) edit(g *group) (what string, takes bool, does edit) {
	n := 150 + r.pick(800)
	kind := r.pick(12)
	if g.id.Name == spare && r.chance(50) {
		kind = 3
	}
	if x := firstWindow(g); x != nil && (kind == 7 || kind == 11) {
		return editFirst(*x)
	}
	switch kind {
	case 0:
		return "Terraform puts the group without our rules", false, func(_, foreign []jit.Rule) ([]jit.Rule, []jit.Rule) { return nil, foreign }
	case 1:
		return "a hand deletes one of our rules", false, func(ours, foreign []jit.Rule) ([]jit.Rule, []jit.Rule) {
			if len(ours) > 0 {
				ours = slices.Delete(ours, n%len(ours), n%len(ours)+1)
			}
			return ours, foreign
		}
	case 2:
		return "a hand widens one of our allows", false, func(ours, foreign []jit.Rule) ([]jit.Rule, []jit.Rule) {
			for i, x := range ours {
				if x.Access == jit.Allow {
					ours[i].Source = jit.AnyPeer()
					g.handmade[strings.ToLower(x.Name)] = true
					break
				}
			}
			return ours, foreign
		}
	case 3:
		return "a hand adds a rule with our prefix", false, func(ours, foreign []jit.Rule) ([]jit.Rule, []jit.Rule) {
			x := jit.Rule{Name: handName, Priority: n, Access: jit.Allow, Protocol: jit.TCP, Source: jit.AnyPeer(), Destination: jit.AnyPeer(),
				SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(22)}}
			g.handmade[x.Name] = true
			return append(ours, x), foreign
		}
	case 4:
		if n%2 == 0 {
			return "somebody allows a protected port by a name", false, byTag(jit.Allow, n)
		}
		return "somebody allows a protected port", false, func(ours, foreign []jit.Rule) ([]jit.Rule, []jit.Rule) {
			return ours, append(foreign, jit.Rule{Name: "Temp" + time.Now().Format("150405.000"), Priority: n, Access: jit.Allow, Protocol: jit.AnyProtocol, Source: jit.AnyPeer(), Destination: jit.AnyPeer(),
				SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{{First: 20, Last: 4000}}})
		}
	case 5:
		if n%2 == 0 {
			return "somebody denies a protected port by a name", false, byTag(jit.Deny, n)
		}
		return "somebody denies a protected port", false, func(ours, foreign []jit.Rule) ([]jit.Rule, []jit.Rule) {
			return ours, append(foreign, jit.Rule{Name: "Block" + time.Now().Format("150405.000"), Priority: n, Access: jit.Deny, Protocol: jit.TCP, Source: jit.AnyPeer(), Destination: jit.AnyPeer(),
				SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(22)}})
		}
	case 8, 9, 10, 11:
		return r.editHigh(g, kind == 9)
	case 6:
		return "somebody takes the first priorities and drops our rules", true, func(_, foreign []jit.Rule) ([]jit.Rule, []jit.Rule) {
			for i := range 3 {
				foreign = append(foreign, jit.Rule{Name: "First" + time.Now().Format("150405.000") + string(rune('a'+i)), Priority: 100 + i + n%4, Access: jit.Deny, Protocol: jit.UDP, Source: jit.AnyPeer(),
					Destination: jit.AnyPeer(), SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(161)}})
			}
			return nil, foreign
		}
	}
	return "somebody removes a foreign rule and puts a tag", false, func(ours, foreign []jit.Rule) ([]jit.Rule, []jit.Rule) {
		g.tags, g.labels = g.tags+"+", g.labels+"+"
		if len(foreign) > 0 {
			foreign = slices.Delete(foreign, n%len(foreign), n%len(foreign)+1)
		}
		return ours, foreign
	}
}

// editHigh allows a protected port among the first priorities: right below an open window if there is one, or in its place, ours being dropped. If
// such a rule stands already, it goes.
func (r *run) editHigh(g *group, instead bool) (what string, takes bool, does edit) {
	high := func(x jit.Rule) bool { return strings.HasPrefix(x.Name, "High") }
	if slices.ContainsFunc(g.foreign, high) {
		return "somebody takes his first rules back", false, func(ours, foreign []jit.Rule) ([]jit.Rule, []jit.Rule) { return ours, slices.DeleteFunc(foreign, high) }
	}
	n := 100
	for slices.ContainsFunc(g.model, func(x jit.Rule) bool { return own(x) && x.Access == jit.Allow && x.Priority == n }) {
		n++
	}
	if n == 100 || r.chance(20) {
		n = 100 + r.pick(11)
	}
	x := jit.Rule{Name: "High" + time.Now().Format("150405.000"), Priority: n, Access: jit.Allow, Protocol: jit.TCP, Source: jit.AnyPeer(), Destination: jit.AnyPeer(),
		SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(22)}}
	if instead {
		x.Priority = 100
		return "somebody puts the group with an allow at 100 and without our rules", true, func(_, foreign []jit.Rule) ([]jit.Rule, []jit.Rule) {
			return nil, append(slices.DeleteFunc(foreign, func(o jit.Rule) bool { return o.Priority == 100 }), x)
		}
	}
	return "somebody allows a protected port above our denies", true, func(ours, foreign []jit.Rule) ([]jit.Rule, []jit.Rule) {
		if slices.ContainsFunc(slices.Concat(ours, foreign), func(o jit.Rule) bool { return o.Direction == jit.Inbound && o.Priority == n }) {
			return ours, foreign
		}
		return ours, append(foreign, x)
	}
}

// firstWindow returns our allow at the first priority of all, nil where there is none or somebody else has his first rules there.
func firstWindow(g *group) *jit.Rule {
	if slices.ContainsFunc(g.foreign, func(x jit.Rule) bool { return strings.HasPrefix(x.Name, "High") }) {
		return nil
	}
	i := slices.IndexFunc(g.model, func(x jit.Rule) bool { return own(x) && x.Access == jit.Allow && x.Priority == 100 })
	if i < 0 {
		return nil
	}
	return &g.model[i]
}

// editFirst puts a deny of the same ports in the place of an open window at the first priority: nothing of ours can stand above it. Our denies stay,
// and with them what shows that nobody ended the window.
func editFirst(ours jit.Rule) (what string, takes bool, does edit) {
	x := ours.Clone()
	x.Name, x.Access, x.Protocol, x.Source, x.Destination, x.Description = "High"+time.Now().Format("150405.000"), jit.Deny, jit.AnyProtocol, jit.AnyPeer(), jit.AnyPeer(), ""
	return "somebody denies a protected port in the first place, where a window stood", true, func(list, foreign []jit.Rule) ([]jit.Rule, []jit.Rule) {
		return slices.DeleteFunc(list, func(o jit.Rule) bool { return o.Priority == x.Priority }), append(foreign, x)
	}
}

// byTag adds a rule that means something else at each machine, or that no packet with a port matches.
func byTag(access jit.Access, n int) edit {
	x := jit.Rule{Name: "Named" + time.Now().Format("150405.000"), Priority: n, Access: access, Protocol: jit.AnyProtocol, Source: jit.AnyPeer(), Destination: jit.AnyPeer(),
		SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.AllPorts()}}
	switch n / 2 % 6 {
	case 0:
		x.Destination = jit.Peers{Groups: []string{webGroup}}
	case 1:
		x.Destination = jit.Peers{Groups: []string{"/asg/others"}}
	case 2:
		x.Source = jit.Peers{Tags: []string{"Internet"}}
	case 3:
		x.Source = jit.Peers{Tags: []string{"VirtualNetwork"}}
	case 4:
		x.Source = jit.Peers{Tags: []string{"AzureLoadBalancer"}}
	case 5:
		x.Protocol = jit.ICMP
	}
	return func(ours, foreign []jit.Rule) ([]jit.Rule, []jit.Rule) { return ours, append(foreign, x) }
}

// moves is one change to machines.
func (r *run) moves() {
	z := r.azure
	z.mu.Lock()
	defer z.mu.Unlock()
	m := z.vms[vmID(protected[r.pick(len(protected))]).Name]
	o := z.vms[vmID(protected[r.pick(len(protected))]).Name]
	r.orphaned()
	kind := r.pick(7)
	if o := r.opened(); o != nil && r.chance(25) { // it matters most for a machine with an open window
		m, kind = o, 3
	}
	r.touchAt(m)
	r.touchAt(o)
	switch kind {
	case 6:
		if m.front != "" {
			m.front, r.wasBehind[m.id.Name] = "", true
		} else if len(m.nics) == 1 {
			m.front = gateName
		}
		r.note("MOVE %s is behind %q", m.id.Name, m.front)
	case 0:
		if m != o && !m.gone && !o.gone && m.nics[0].addrs[0].Is4() {
			m.nics[0].addrs[0], o.nics[0].addrs[0] = o.nics[0].addrs[0], m.nics[0].addrs[0]
			r.note("MOVE %s and %s swap addresses", m.id.Name, o.id.Name)
		}
	case 1:
		m.nics[0].addrs[0] = netip.AddrFrom4([4]byte{10, 0, 3, byte(10 + r.pick(200))})
		r.note("MOVE %s gets %s", m.id.Name, m.nics[0].addrs[0])
	case 2:
		to := z.sorted()[r.pick(len(z.groups))].id.Name
		if !z.groups[to].gates() && !slices.Contains(m.nics[0].groups, to) {
			m.nics[0].groups = append(slices.Clone(m.nics[0].groups[min(1, len(m.nics[0].groups)):]), to)
			r.note("MOVE %s to %s", m.id.Name, to)
		}
	case 3:
		if !m.gone {
			m.gone = true
			r.note("MOVE %s is deleted", m.id.Name)
		}
		if r.chance(60) { // at once, or at a later turn
			m.gone, m.reborn = false, time.Now()
			m.lives++
			r.still = r.still || r.chance(75)
			r.note("MOVE %s is made anew", m.id.Name)
		}
	case 4:
		if n := &m.nics[len(m.nics)-1]; len(n.groups) > 0 && r.chance(30) {
			n.groups = n.groups[1:]
			r.note("MOVE an interface of %s loses a security group", m.id.Name)
		}
	case 5:
		r.replace(m)
	}
	r.remember(m)
	r.remember(o)
	r.touchAt(m)
	r.touchAt(o)
}

// opened returns a machine with a window that lasts a while longer; nil if there is none.
func (r *run) opened() *machine {
	for _, id := range slices.Sorted(maps.Keys(r.table.grants)) {
		l := r.table.grants[id]
		for _, vm := range l.rec.Grant.VMs {
			m := r.azure.vms[vm.VM.Name]
			if m != nil && !m.gone && !l.lost && slices.ContainsFunc(vm.Ports, func(w jit.Window) bool { return w.Status == jit.Initiated && time.Until(w.End) > 2*period }) {
				return m
			}
		}
	}
	return nil
}

// replace deletes one of the machine's security groups and recreates it at once or never: Azure refuses to delete
// a group in use, so this includes detaching it.
func (r *run) replace(m *machine) {
	for g := range r.azure.places(m) {
		if !slices.Contains(m.nics[0].groups[:min(1, len(m.nics[0].groups))], g.id.Name) || g.locked || g.write != nil || !r.chance(50) {
			continue
		}
		for _, o := range r.azure.vms {
			for g := range r.azure.places(o) {
				g.touch(time.Now())
			}
		}
		delete(r.azure.groups, g.id.Name)
		r.note("MOVE %s is deleted", g.id.Name)
		if r.chance(60) {
			r.azure.add(g.id.Name).touch(time.Now())
			r.note("MOVE %s is made anew", g.id.Name)
		}
	}
}

// locks sets or removes a ReadOnly lock or the app's permission.
func (r *run) locks() {
	r.azure.mu.Lock()
	defer r.azure.mu.Unlock()
	groups := r.azure.sorted()
	g := groups[r.pick(len(groups))]
	if r.chance(50) {
		g.locked = !g.locked
	} else {
		g.barred = !g.barred
	}
	g.touch(time.Now())
	r.disturb()
	r.note("LOCK %s locked=%v barred=%v", g.id.Name, g.locked, g.barred)
}
