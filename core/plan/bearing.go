package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"portcullis/core/jit"
)

// bearer is a foreign allow that bears on a protected port of a machine.
type bearer struct {
	vm   jit.ID
	key  string // of the machine
	port uint16
	rule *jit.Rule
	open bool // it still exposes the port of some address
}

// bearing finds the foreign allows of protected ports, and tells those that our
// deny outranks from those that still expose the port. One that foreign denies
// wholly keep from having an effect is neither. What names does not know counts as
// exposing.
func (n Names) bearing(policies []Protected, foreign []*jit.Rule, ours []jit.Rule) (overridden, exposed []Foreign) {
	protected := protectedPorts(policies)
	var theirs []*jit.Rule
	for _, r := range foreign {
		if r.Direction == jit.Inbound && slices.ContainsFunc(protected, func(n uint16) bool { return holdsPort(r.DestinationPorts, n) }) {
			theirs = append(theirs, r)
		}
	}
	if len(theirs) == 0 { // as it should be
		return nil, nil
	}
	slices.SortFunc(theirs, byPriority)
	v4, v6 := n.from(theirs, netip.IPv4Unspecified()), n.from(theirs, netip.IPv6Unspecified())
	guards := guardsOf(ours)
	var found []bearer
	var near []line // those that bear on one address
	for i := range policies {
		p := &policies[i]
		key, first := "", len(found)
		for _, a := range p.Addresses {
			a = a.Unmap()
			var lines []line
			switch {
			case a.Is4():
				lines = v4
			case a.Is6():
				lines = v6
			}
			near = near[:0]
			for _, l := range lines {
				if n.guards(l.rule.Destination, a) != No {
					near = append(near, l)
				}
			}
			if len(near) > 0 && key == "" {
				key = p.Policy.VM.Key()
			}
			for _, port := range p.Policy.Ports {
				for _, c := range bothOf(port.Protocol, a, port.Number) {
					for _, r := range n.effective(near, c) {
						at := slices.IndexFunc(found[first:], func(b bearer) bool { return b.port == port.Number && b.rule == r })
						if at < 0 {
							at = len(found) - first
							found = append(found, bearer{vm: p.Policy.VM, key: key, port: port.Number, rule: r})
						}
						found[first+at].open = found[first+at].open || !outranked(r, guards[a], c)
					}
				}
			}
		}
	}
	return foreignOf(found)
}

// from gives the rules with those of their sources that are of the address's family.
func (n Names) from(rules []*jit.Rule, a netip.Addr) []line {
	all := familyOf(a)
	out := make([]line, 0, len(rules))
	for _, r := range rules {
		l := n.line(r)
		out = append(out, line{rule: r, sure: l.sure.and(all), possible: l.possible.and(all)})
	}
	return out
}

// guardsOf gives our denies by the addresses that they close.
func guardsOf(ours []jit.Rule) map[netip.Addr][]*jit.Rule {
	guards := map[netip.Addr][]*jit.Rule{}
	for i := range ours {
		if r := &ours[i]; r.Access == jit.Deny && r.Direction == jit.Inbound {
			for _, p := range r.Destination.Prefixes {
				guards[p.Addr()] = append(guards[p.Addr()], r)
			}
		}
	}
	return guards
}

// foreignOf sorts what bears by machine, port and rule.
func foreignOf(found []bearer) (overridden, exposed []Foreign) {
	slices.SortFunc(found, func(a, b bearer) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.port, b.port), byPriority(a.rule, b.rule), cmp.Compare(a.rule.Name, b.rule.Name))
	})
	for _, b := range found {
		f := Foreign{Rule: *b.rule, VM: b.vm, Port: b.port}
		if b.open {
			exposed = append(exposed, f)
		} else {
			overridden = append(overridden, f)
		}
	}
	return overridden, exposed
}

func protectedPorts(policies []Protected) []uint16 {
	var out []uint16
	for _, p := range policies {
		for _, port := range p.Policy.Ports {
			out = append(out, port.Number)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// bothOf gives the cells of a protected port: TCP and UDP where it is *.
func bothOf(p jit.Protocol, a netip.Addr, port uint16) []cell {
	if p == jit.AnyProtocol {
		return []cell{{protocol: jit.TCP, dst: a, port: port}, {protocol: jit.UDP, dst: a, port: port}}
	}
	return []cell{{protocol: p, dst: a, port: port}}
}

// effective gives the allows among lines, sorted by priority, to which the denies
// before them leave something of the cell. A deny of some source ports only leaves the
// others: whoever comes in chooses the source port.
func (n Names) effective(lines []line, c cell) []*jit.Rule {
	var out []*jit.Rule
	var denied addresses
	for _, l := range lines {
		hit := n.reaches(l.rule, c)
		switch {
		case hit == No:
		case l.rule.Access == jit.Allow:
			if len(l.possible.minus(denied)) > 0 {
				out = append(out, l.rule)
			}
		case hit == Yes && slices.Contains(l.rule.SourcePorts, jit.AllPorts()):
			denied = denied.or(l.sure)
		}
	}
	return out
}

// outranked reports whether a deny of ours that holds the whole cell stands
// above the rule.
func outranked(r *jit.Rule, denies []*jit.Rule, c cell) bool {
	return slices.ContainsFunc(denies, func(d *jit.Rule) bool {
		return d.Priority < r.Priority && d.Source.Any && d.Protocol.Overlaps(c.protocol) && holdsPort(d.DestinationPorts, c.port)
	})
}
