package reach

import (
	"net/netip"
	"slices"

	"portcullis/core/jit"
)

// Chain is inbound rules in the order of evaluation, with their sources resolved to addresses, so that it can be
// queried for many addresses. It does not include the default rules.
type Chain struct {
	names  Names
	v4, v6 []line
}

// Chain returns the inbound rules among rules as a chain.
func (n Names) Chain(rules []*jit.Rule) Chain {
	c := Chain{names: n}
	inOrder := slices.DeleteFunc(slices.Clone(rules), func(r *jit.Rule) bool { return r.Direction != jit.Inbound })
	slices.SortStableFunc(inOrder, jit.ComparePriority)
	v4, v6 := familyOf(netip.IPv4Unspecified()), familyOf(netip.IPv6Unspecified())
	for _, r := range inOrder {
		l := n.line(r)
		c.v4 = append(c.v4, line{rule: r, sure: l.sure.and(v4), possible: l.possible.and(v4)})
		c.v6 = append(c.v6, line{rule: r, sure: l.sure.and(v6), possible: l.possible.and(v6)})
	}
	return c
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
	var lines []line
	switch {
	case out.address.Is4():
		lines = c.v4
	case out.address.Is6():
		lines = c.v6
	}
	for _, l := range lines {
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
// others, since a client chooses its source port. An unknown name counts as letting in.
func (e Ingress) Passes(protocol jit.Protocol, port uint16) []Pass {
	var out []Pass
	for _, c := range cellsOf(protocol, e.address, port) {
		var denied addresses
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
	if p == jit.AnyProtocol {
		return []cell{{protocol: jit.TCP, dst: a, port: port}, {protocol: jit.UDP, dst: a, port: port}}
	}
	return []cell{{protocol: p, dst: a, port: port}}
}
