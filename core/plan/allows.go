package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/roster"
)

// allows returns the allow rules that the live grants want at now: grants in the
// order of their start, rules of one grant by name.
func allows(openings []roster.Opening, now time.Time) []*wanted {
	rivals := rivalsOf(openings)
	var out []*wanted
	for i := range openings {
		out = append(out, allowsOf(&openings[i], rivals, now)...)
	}
	slices.SortFunc(out, byStart)
	return out
}

// shape is what windows must agree in to share a rule.
type shape struct {
	protocol jit.Protocol
	v6       bool
	sources  string
	end      time.Time // in UTC
}

// part is the ports that have one shape, and the machines that want the same ones in it: a
// rule is the cross product of sources, addresses and ports, so all of them must want all of it.
type part struct {
	shape
	from  jit.Sources
	ports []uint16 // sorted
	machines
}

// allowsOf returns the rules of one grant.
func allowsOf(o *roster.Opening, rivals rivals, now time.Time) []*wanted {
	var parts []part
	for _, vm := range o.Grant.VMs {
		for _, own := range partsOf(o, vm, rivals, now) {
			if addrs := family(o.Addresses[vm.VM.Key()], own.v6); len(addrs) > 0 {
				parts = addMachine(parts, own, vm.VM, addrs)
			}
		}
	}
	var out []*wanted
	for i := range parts {
		out = append(out, &wanted{rule: parts[i].rule(o.Grant.ID), grant: o.Grant.ID, start: o.Grant.Begins(), open: o.Grant.AnyOpen(now)})
	}
	return out
}

// partsOf returns the ports of one machine by their shape, without its addresses.
func partsOf(o *roster.Opening, vm jit.GrantVM, rivals rivals, now time.Time) []part {
	var out []part
	for _, w := range vm.Ports {
		if !o.Grant.Desired(vm.VM, w, now, rivals[rivalOf(vm.VM, w)]) {
			continue
		}
		for _, v6 := range []bool{false, true} {
			from := sourcesOf(arriving(w), v6)
			if from.IsEmpty() {
				continue
			}
			s := shape{w.Protocol, v6, from.String(), w.End.UTC()}
			i := slices.IndexFunc(out, func(p part) bool { return p.shape == s })
			if i < 0 {
				i, out = len(out), append(out, part{shape: s, from: from})
			}
			out[i].ports = append(out[i].ports, w.Number)
		}
	}
	for i := range out {
		slices.Sort(out[i].ports)
	}
	return out
}

// addMachine adds a machine to the part that wants the same ports in the same shape.
func addMachine(parts []part, own part, vm jit.ID, addrs []netip.Addr) []part {
	i := slices.IndexFunc(parts, func(p part) bool { return p.shape == own.shape && slices.Equal(p.ports, own.ports) })
	if i < 0 {
		i, parts = len(parts), append(parts, own)
	}
	parts[i].add(vm, addrs)
	return parts
}

// rule returns the rule of a part. The end is not part of its name, so that an extension keeps
// the rule. Names still differ: one port of one machine stands in one part of each family only.
func (p *part) rule(grant string) jit.Rule {
	slices.Sort(p.keys)
	id := fmt.Sprintf("protocol=%s v6=%t sources=%s ports=%s vms=%s", p.protocol, p.v6, p.sources, list(p.ports), strings.Join(p.keys, " "))
	r := jit.Rule{Name: label.AllowName(grant, id), Access: jit.Allow, Protocol: p.protocol, Source: peersOf(p.from), Description: label.AllowNote(p.end, p.names)}
	return finish(r, p.addresses, p.ports)
}

// arriving returns the sources of a window's connections as the machine sees them: the
// window's own, and the subnet of a firewall that maps it, since a firewall puts its own
// address in place of theirs.
func arriving(w jit.Window) jit.Sources {
	if w.Sources.IsAny() || !w.Mapped.IsValid() {
		return w.Sources
	}
	return jit.SourcesOf(slices.Concat(w.Sources.Prefixes(), w.Via.Prefixes())...)
}

// rivals is the grants that may supersede each other. Each window is compared with its rivals
// only, since comparing a thousand windows with a thousand grants would take a second.
type rivals map[rival][]jit.Grant

// rival is what a newer window must agree in to supersede another.
type rival struct {
	name string // of the machine, in lower case
	port uint16
	from netip.Prefix // the first source
}

func rivalOf(vm jit.ID, w jit.Window) rival {
	r := rival{name: strings.ToLower(vm.Name), port: w.Number}
	for p := range w.Sources.All() {
		r.from = p
		break
	}
	return r
}

func rivalsOf(openings []roster.Opening) rivals {
	out := rivals{}
	for i := range openings {
		for _, vm := range openings[i].Grant.VMs {
			for _, w := range vm.Ports {
				r := rivalOf(vm.VM, w)
				out[r] = append(out[r], openings[i].Grant)
			}
		}
	}
	return out
}
