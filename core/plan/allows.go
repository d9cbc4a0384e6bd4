package plan

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"portcullis/core/jit"
)

// allows gives the allow rules that the live grants want at now: grants in the
// order of their start, rules of one grant by name.
func allows(openings []Opening, now time.Time) []*wanted {
	n := len(openings)
	d := draft{now: now, rivals: rivalsOf(openings), rules: make([]wanted, 0, n),
		lists: lists{prefixes: make([]netip.Prefix, 0, 2*n), ports: make([]jit.PortRange, 0, 2*n)}}
	for i := range openings {
		d.add(&openings[i])
	}
	out := pointers(d.rules)
	slices.SortFunc(out, byStart)
	return out
}

// draft is allow rules in the making. What it needs for one grant it uses again for the next.
type draft struct {
	now    time.Time
	rivals rivals
	rules  []wanted
	lists
	own, parts []part // of one machine, and of one grant
	id         []byte
	keys       []string
	addresses  []netip.Addr
	names      []string
}

// shape is what the windows of one machine must agree in to share a rule.
type shape struct {
	protocol jit.Protocol
	v6       bool
	from     jit.Sources
	end      time.Time
}

func (s *shape) equal(o *shape) bool {
	return s.protocol == o.protocol && s.v6 == o.v6 && s.end.Equal(o.end) && s.from.Equal(o.from)
}

// part is the ports that have one shape, and the machines that want the same ones in it: a
// rule is the cross product of sources, addresses and ports, so all of them must want all of it.
type part struct {
	shape
	ports    []uint16
	machines []machine
}

type machine struct {
	name, key string
	addresses []netip.Addr // of the part's family
}

// more gives the list with one part more, of the given shape, whose own lists are empty.
func more(parts []part, s *shape) []part {
	if n := len(parts); n < cap(parts) {
		parts = parts[:n+1] // what was there is of an earlier grant, and its lists have room
	} else {
		parts = append(parts, part{})
	}
	p := &parts[len(parts)-1]
	p.shape, p.ports, p.machines = *s, p.ports[:0], p.machines[:0]
	return parts
}

// add drafts the rules of one grant.
func (d *draft) add(o *Opening) {
	d.parts = d.parts[:0]
	for i := range o.Grant.VMs {
		vm := &o.Grant.VMs[i]
		d.own = d.own[:0]
		for j := range vm.Ports {
			w := &vm.Ports[j]
			if !o.Grant.Desired(vm.VM, *w, d.now, d.rivals.of(vm.VM, w)) {
				continue
			}
			from := arriving(w)
			for _, v6 := range []bool{false, true} {
				if s := (shape{w.Protocol, v6, sourcesOf(from, v6), w.End}); !s.from.IsEmpty() {
					d.addPort(&s, w.Number)
				}
			}
		}
		if len(d.own) == 0 {
			continue
		}
		m := machine{name: vm.VM.Name, key: vm.VM.Key()}
		all := o.Addresses[m.key]
		for j := range d.own {
			p := &d.own[j]
			if m.addresses = family(all, p.v6); len(m.addresses) > 0 {
				slices.Sort(p.ports)
				d.addMachine(p, m)
			}
		}
	}
	for i := range d.parts {
		d.rules = append(d.rules, wanted{rule: d.rule(o.Grant.ID, &d.parts[i]), grant: o.Grant.ID, start: o.Grant.Start})
	}
}

func (d *draft) addPort(s *shape, port uint16) {
	i := slices.IndexFunc(d.own, func(p part) bool { return p.shape.equal(s) })
	if i < 0 {
		i = len(d.own)
		d.own = more(d.own, s)
	}
	d.own[i].ports = append(d.own[i].ports, port)
}

// addMachine adds a machine to the part that wants the same ports in the same shape.
func (d *draft) addMachine(own *part, m machine) {
	i := slices.IndexFunc(d.parts, func(p part) bool { return p.shape.equal(&own.shape) && slices.Equal(p.ports, own.ports) })
	if i < 0 {
		i = len(d.parts)
		d.parts = more(d.parts, &own.shape)
		d.parts[i].ports = append(d.parts[i].ports, own.ports...)
	}
	d.parts[i].machines = append(d.parts[i].machines, m)
}

// rule gives the rule of a part. The end is not part of its name, so that an extension keeps
// the rule. Names still differ: one port of one machine stands in one part of each family only.
func (d *draft) rule(grant string, p *part) jit.Rule {
	d.keys, d.names, d.addresses = d.keys[:0], d.names[:0], d.addresses[:0]
	for i := range p.machines {
		m := &p.machines[i]
		d.keys, d.names, d.addresses = append(d.keys, m.key), append(d.names, m.name), append(d.addresses, m.addresses...)
	}
	slices.Sort(d.keys)
	d.id = p.appendID(d.id[:0], d.keys)
	r := jit.Rule{Name: allowName(grant, d.id), Access: jit.Allow, Protocol: p.protocol, Source: d.sources(p.from), Description: allowNote(p.end, d.names)}
	return d.finish(r, d.addresses, p.ports)
}

// appendID writes what tells the part from all others of its grant.
func (p *part) appendID(to []byte, machines []string) []byte {
	to = append(append(to, "protocol="...), p.protocol...)
	to = strconv.AppendBool(append(to, " v6="...), p.v6)
	to = p.from.AppendTo(append(to, " sources="...))
	to = appendPorts(append(to, " ports="...), p.ports)
	to = append(to, " vms="...)
	for i, key := range machines {
		if i > 0 {
			to = append(to, ' ')
		}
		to = append(to, key...)
	}
	return to
}

// arriving gives what the connections of a window come from as the machine sees them: the
// window's sources, and the subnet of a firewall that maps it, since a firewall puts its own
// address in place of theirs.
func arriving(w *jit.Window) jit.Sources {
	if w.Sources.IsAny() || !w.Mapped.IsValid() {
		return w.Sources
	}
	return jit.SourcesOf(slices.Concat(w.Sources.Prefixes(), w.Via.Prefixes())...)
}

// rivals is the grants that may supersede each other, by what a newer window must agree in to supersede
// another: each window is held against those only.
type rivals map[rival][]jit.Grant

type rival struct {
	name string // of the machine, in lower case
	port uint16
	from netip.Prefix // the first source
}

func rivalOf(vm jit.ID, w *jit.Window) rival {
	r := rival{name: strings.ToLower(vm.Name), port: w.Number}
	for p := range w.Sources.All() {
		r.from = p
		break
	}
	return r
}

// shared marks a machine that several grants name.
const shared = -1

func rivalsOf(openings []Opening) rivals {
	first := make(map[string]int, len(openings)) // the grant that names a machine; most are named by one
	several := false
	for i := range openings {
		for j := range openings[i].Grant.VMs {
			name := strings.ToLower(openings[i].Grant.VMs[j].VM.Name)
			if at, met := first[name]; !met {
				first[name] = i
			} else if at != i {
				first[name], several = shared, true
			}
		}
	}
	if !several {
		return nil
	}
	out := rivals{}
	for i := range openings {
		g := &openings[i].Grant
		for j := range g.VMs {
			vm := &g.VMs[j]
			if first[strings.ToLower(vm.VM.Name)] != shared {
				continue
			}
			for k := range vm.Ports {
				r := rivalOf(vm.VM, &vm.Ports[k])
				out[r] = append(out[r], *g)
			}
		}
	}
	return out
}

// of gives the grants that may supersede the window, its own among them; none where no other names the machine.
func (r rivals) of(vm jit.ID, w *jit.Window) []jit.Grant {
	if len(r) == 0 {
		return nil
	}
	return r[rivalOf(vm, w)]
}
