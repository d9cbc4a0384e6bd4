package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"portcullis/core/jit"
)

// bearing finds the foreign allows of protected ports, and tells those that our
// deny outranks from those that still expose the port. One that foreign denies
// wholly keep from having an effect is neither. What names does not know counts as
// exposing.
func (n Names) bearing(policies []Protected, foreign []*jit.Rule, ours []jit.Rule) (overridden, exposed []Foreign) {
	protected := protectedPorts(policies)
	var theirs []line
	for _, r := range foreign {
		if r.Direction == jit.Inbound && slices.ContainsFunc(protected, func(n uint16) bool { return holdsPort(r.DestinationPorts, n) }) {
			theirs = append(theirs, n.line(r))
		}
	}
	if len(theirs) == 0 { // as it should be
		return nil, nil
	}
	slices.SortFunc(theirs, func(a, b line) int { return byPriority(a.rule, b.rule) })
	guards := map[netip.Addr][]*jit.Rule{} // our denies by address
	for i := range ours {
		if r := &ours[i]; r.Access == jit.Deny && r.Direction == jit.Inbound {
			for _, p := range r.Destination.Prefixes {
				guards[p.Addr()] = append(guards[p.Addr()], r)
			}
		}
	}
	var near []line // those that bear on one address
	for _, p := range policies {
		type at struct {
			port uint16
			rule string
		}
		found := map[at]Foreign{}
		open := map[at]bool{}
		for _, a := range p.Addresses {
			a = a.Unmap()
			near = near[:0]
			for _, l := range theirs {
				if n.guards(l.rule.Destination, a) != No {
					near = append(near, l)
				}
			}
			for _, port := range p.Policy.Ports {
				for _, c := range bothOf(port.Protocol, a, port.Number) {
					for _, r := range n.effective(near, c) {
						k := at{port.Number, r.Name}
						found[k] = Foreign{Rule: *r, VM: p.Policy.VM, Port: port.Number}
						open[k] = open[k] || !outranked(r, guards[a], c)
					}
				}
			}
		}
		for k, f := range found {
			if open[k] {
				exposed = append(exposed, f)
			} else {
				overridden = append(overridden, f)
			}
		}
	}
	for _, list := range [][]Foreign{overridden, exposed} {
		slices.SortFunc(list, compareForeign)
	}
	return overridden, exposed
}

func compareForeign(a, b Foreign) int {
	return cmp.Or(cmp.Compare(a.VM.Key(), b.VM.Key()), cmp.Compare(a.Port, b.Port), byPriority(&a.Rule, &b.Rule), cmp.Compare(a.Rule.Name, b.Rule.Name))
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
	from := familyOf(c.dst)
	for _, l := range lines {
		hit := n.reaches(l.rule, c)
		switch {
		case hit == No:
		case l.rule.Access == jit.Allow:
			if len(l.possible.and(from).minus(denied)) > 0 {
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
