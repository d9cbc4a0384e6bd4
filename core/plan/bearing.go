package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"portcullis/core/jit"
	"portcullis/core/reach"
	"portcullis/core/roster"
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
func bearing(names reach.Names, policies []roster.Protected, foreign []*jit.Rule, ours []jit.Rule) (overridden, exposed []Foreign) {
	protected := protectedPorts(policies)
	theirs := slices.DeleteFunc(slices.Clone(foreign), func(r *jit.Rule) bool {
		return r.Direction != jit.Inbound || !slices.ContainsFunc(protected, func(n uint16) bool { return jit.HoldsPort(r.DestinationPorts, n) })
	})
	if len(theirs) == 0 {
		return nil, nil
	}
	chain, guards := names.Chain(theirs), guardsOf(ours)
	var found []bearer
	for _, p := range policies {
		found = append(found, bearingOn(p, chain, guards)...)
	}
	return foreignOf(found)
}

// bearingOn returns the foreign allows of the protected ports of one machine.
func bearingOn(p roster.Protected, chain reach.Chain, guards map[netip.Addr][]*jit.Rule) []bearer {
	var found []bearer
	for _, a := range p.Addresses {
		a = a.Unmap()
		ingress := chain.To(a)
		for _, port := range p.Policy.Ports {
			for _, pass := range ingress.Passes(port.Protocol, port.Number) {
				at := slices.IndexFunc(found, func(b bearer) bool { return b.port == port.Number && b.rule == pass.Rule })
				if at < 0 {
					at = len(found)
					found = append(found, bearer{vm: p.Policy.VM, key: p.Policy.VM.Key(), port: port.Number, rule: pass.Rule})
				}
				found[at].open = found[at].open || !outranked(pass, guards[a], port.Number)
			}
		}
	}
	return found
}

// guardsOf returns our denies by the addresses that they close.
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
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.port, b.port), jit.ComparePriority(a.rule, b.rule), cmp.Compare(a.rule.Name, b.rule.Name))
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

func protectedPorts(policies []roster.Protected) []uint16 {
	var out []uint16
	for _, p := range policies {
		for _, port := range p.Policy.Ports {
			out = append(out, port.Number)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// outranked reports whether a deny of ours stands above the pass and closes the whole port
// in its protocol.
func outranked(p reach.Pass, denies []*jit.Rule, port uint16) bool {
	return slices.ContainsFunc(denies, func(d *jit.Rule) bool {
		return d.Priority < p.Rule.Priority && d.Source.Any && d.Protocol.Overlaps(p.Protocol) && jit.HoldsPort(d.DestinationPorts, port)
	})
}
