package reach

import (
	"net/netip"
	"slices"

	"portcullis/core/jit"
)

// Chain is inbound rules in the order of evaluation, with their sources resolved to addresses, so that it can be
// queried for many addresses. It does not include the default rules.
//
// It is not safe for concurrent use.
type Chain struct {
	names Names
	rules []*jit.Rule
	lines map[family][]line
}

// family is the packets of one IP version to where VirtualNetwork holds one space.
type family struct {
	vnet *space
	v4   bool
}

// Chain returns the inbound rules among rules as a chain.
func (n Names) Chain(rules []*jit.Rule) Chain {
	inOrder := slices.DeleteFunc(slices.Clone(rules), func(r *jit.Rule) bool { return r.Direction != jit.Inbound })
	slices.SortStableFunc(inOrder, jit.ComparePriority)
	return Chain{names: n.settled(), rules: inOrder, lines: map[family][]line{}}
}

// of returns the rules with their sources as they are at an address.
func (c Chain) of(a netip.Addr) []line {
	key := family{c.names.spaceAt(a), a.Is4()}
	if lines, ok := c.lines[key]; ok || !a.IsValid() {
		return lines
	}
	all := familyOf(a)
	lines := make([]line, 0, len(c.rules))
	for _, r := range c.rules {
		l := c.names.line(r, key.vnet)
		lines = append(lines, line{rule: r, sure: l.sure.and(all), possible: l.possible.and(all)})
	}
	c.lines[key] = lines
	return lines
}

// Ingress is the rules of a chain that may match packets to one address.
type Ingress struct {
	names   Names
	address netip.Addr
	lines   []line
}

// To returns the rules that may match packets to an address.
func (c Chain) To(a netip.Addr) Ingress {
	out := Ingress{names: c.names, address: a.Unmap()}
	for _, l := range c.of(out.address) {
		if c.names.Covers(l.rule.Destination, out.address) != No {
			out.lines = append(out.lines, l)
		}
	}
	return out
}

// Pass is an allow rule that lets in some packets of one protocol.
type Pass struct {
	Rule     *jit.Rule
	Protocol jit.Protocol
}

// Passes returns the allow rules that may still let in packets to one port after the denies before them, in the
// order of evaluation; TCP before UDP if the protocol is *. A deny of some source ports has no effect on the
// others, since a client chooses its source port. An unknown name counts as letting in. What lets in the Azure host alone
// lets nobody in (see [Names.Bears]).
func (e Ingress) Passes(protocol jit.Protocol, port uint16) []Pass {
	var out []Pass
	for _, c := range cellsOf(protocol, e.address, port) {
		denied := hosts()
		for _, l := range e.lines {
			match := e.names.reaches(l.rule, c)
			switch {
			case match == No:
			case l.rule.Access == jit.Allow:
				if len(l.possible.minus(denied)) > 0 {
					out = append(out, Pass{l.rule, c.protocol})
				}
			case match == Yes && slices.Contains(l.rule.SourcePorts, jit.AllPorts()):
				denied = denied.or(l.sure)
			}
		}
	}
	return out
}

// cellsOf returns the cells of a port: TCP and UDP if the protocol is *.
func cellsOf(p jit.Protocol, a netip.Addr, port uint16) []cell {
	var out []cell
	for _, one := range withPorts(p) {
		out = append(out, cell{protocol: one, dst: a, port: port})
	}
	return out
}
