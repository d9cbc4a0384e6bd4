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
func (n Names) bearing(policies []Protected, foreign, ours []jit.Rule) (overridden, exposed []Foreign) {
	guards := map[netip.Addr][]jit.Rule{} // our denies by address
	for _, r := range ours {
		if r.Access == jit.Deny && r.Direction == jit.Inbound {
			for _, p := range r.Destination.Prefixes {
				guards[p.Addr()] = append(guards[p.Addr()], r)
			}
		}
	}
	protected := protectedPorts(policies)
	var theirs []jit.Rule
	for i := range foreign {
		if r := &foreign[i]; r.Direction == jit.Inbound && slices.ContainsFunc(protected, func(n uint16) bool { return holdsPort(r.DestinationPorts, n) }) {
			theirs = append(theirs, *r)
		}
	}
	slices.SortFunc(theirs, byPriority)
	for _, p := range policies {
		type at struct {
			port uint16
			rule string
		}
		found := map[at]Foreign{}
		open := map[at]bool{}
		for _, a := range p.Addresses {
			a = a.Unmap()
			var near []jit.Rule
			for i := range theirs {
				if n.guards(theirs[i].Destination, a) != No {
					near = append(near, theirs[i])
				}
			}
			for _, port := range p.Policy.Ports {
				for _, c := range bothOf(port.Protocol, a, port.Number) {
					for _, r := range n.effective(near, c) {
						k := at{port.Number, r.Name}
						found[k] = Foreign{Rule: r, VM: p.Policy.VM, Port: port.Number}
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
	return cmp.Or(cmp.Compare(a.VM.Key(), b.VM.Key()), cmp.Compare(a.Port, b.Port), byPriority(a.Rule, b.Rule), cmp.Compare(a.Rule.Name, b.Rule.Name))
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

// effective gives the allows among rules, sorted by priority, to which the denies
// before them leave something of the cell. A deny of some source ports only leaves the others.
func (n Names) effective(rules []jit.Rule, c cell) []jit.Rule {
	var out []jit.Rule
	var denied addresses
	for _, r := range rules {
		any := r
		any.SourcePorts = []jit.PortRange{jit.AllPorts()} // whoever comes in chooses the source port
		hit := n.hits(any, c)
		if hit == No {
			continue
		}
		if r.Access == jit.Deny {
			if hit == Yes && slices.Contains(r.SourcePorts, jit.AllPorts()) {
				sure, _ := n.set(r.Source)
				denied = denied.or(sure)
			}
			continue
		}
		if _, possible := n.set(r.Source); len(possible.and(familyOf(c.dst)).minus(denied)) > 0 {
			out = append(out, r)
		}
	}
	return out
}

// outranked reports whether a deny of ours that holds the whole cell stands
// above the rule.
func outranked(r jit.Rule, denies []jit.Rule, c cell) bool {
	return slices.ContainsFunc(denies, func(d jit.Rule) bool {
		return d.Priority < r.Priority && d.Source.Any && d.Protocol.Overlaps(c.protocol) && holdsPort(d.DestinationPorts, c.port)
	})
}
