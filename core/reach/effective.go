package reach

import (
	"cmp"
	"net/netip"
	"slices"

	"portcullis/core/jit"
)

// Truth is an answer that may depend on something unknown. The zero value is Maybe, which callers must treat
// neither as yes nor as no.
type Truth uint8

// The three answers.
const (
	Maybe Truth = iota
	No
	Yes
)

// String returns yes, no or maybe.
func (t Truth) String() string { return [...]string{"maybe", "no", "yes"}[min(t, Yes)] }

func truth(b bool) Truth {
	if b {
		return Yes
	}
	return No
}

// Guard is one network security group that a packet has to pass.
type Guard struct {
	Name  string     // how answers name it, such as its ARM id
	Rules []jit.Rule // its own rules, of both directions and in any order, without the default rules
}

// Packet is the first packet of a connection to a machine. Answers need no rule, since security groups are
// stateful.
type Packet struct {
	Protocol        jit.Protocol // TCP, UDP, ICMP, ESP or AH
	Source          netip.Addr
	SourcePort      uint16 // for TCP and UDP only, as DestinationPort
	Destination     netip.Addr
	DestinationPort uint16
}

// Decision is what one guard does with a packet, and the rule that decides it.
type Decision struct {
	Guard   string
	Rule    jit.Rule // the first rule that certainly matches or, if that is not decisive, the first that may
	Allowed Truth
}

// Verdict is what all guards together do with a packet.
type Verdict struct {
	Allowed Truth
	By      []Decision // the decision of each guard in order, up to the first that denies; empty without guards
}

// DefaultRules returns the three inbound rules at the end of every security group, as Azure documents them.
func DefaultRules() []jit.Rule {
	all := []jit.PortRange{jit.AllPorts()}
	rule := func(name string, priority int, a jit.Access, src, dst jit.Peers) jit.Rule {
		return jit.Rule{Name: name, Priority: priority, Access: a, Protocol: jit.AnyProtocol, Source: src, Destination: dst, SourcePorts: all, DestinationPorts: all}
	}
	vnet := jit.Peers{Tags: []string{tagVirtualNetwork}}
	return []jit.Rule{
		rule("AllowVnetInBound", 65000, jit.Allow, vnet, vnet),
		rule("AllowAzureLoadBalancerInBound", 65001, jit.Allow, jit.Peers{Tags: []string{tagLoadBalancer}}, jit.AnyPeer()),
		rule("DenyAllInBound", 65500, jit.Deny, jit.AnyPeer(), jit.AnyPeer()),
	}
}

// Evaluate reports whether the packet passes all guards: that of the machine's subnet, then that of its network
// interface; either may be absent. In each, the matching rule with the lowest priority number decides. The
// packet's destination is a private address of a machine: Azure translates public addresses before it evaluates
// inbound rules.
//
// The result is Maybe if it depends on a name that n does not know. Each use of an unknown name is independent:
// two rules with the same unknown tag are not assumed to match the same addresses. Security admin rules of Azure
// Virtual Network Manager come before all of this: [Names.Reach] includes them.
func (n Names) Evaluate(p Packet, guards ...Guard) Verdict {
	n, v := n.settled(), Verdict{Allowed: Yes}
	p.Source, p.Destination = p.Source.Unmap(), p.Destination.Unmap()
	for _, g := range guards {
		d := n.decide(p, g)
		v.By = append(v.By, d)
		switch d.Allowed {
		case No:
			v.Allowed = No
			return v
		case Maybe:
			v.Allowed = Maybe
		}
	}
	return v
}

func (n Names) decide(p Packet, g Guard) Decision {
	var first *jit.Rule // the first rule that may match
	agree := true       // whether all rules that may match so far have the same access
	rules := inbound(g.Rules)
	for i, r := range rules {
		m := n.matches(r, p)
		if m == No {
			continue
		}
		if first == nil {
			first = &rules[i]
		}
		agree = agree && r.Access == first.Access
		switch {
		case m == Yes && agree:
			return Decision{Guard: g.Name, Rule: r, Allowed: truth(r.Access == jit.Allow)}
		case !agree:
			return Decision{Guard: g.Name, Rule: *first, Allowed: Maybe}
		}
	}
	// DenyAllInBound matches every packet, so only an invalid address gets here.
	return Decision{Guard: g.Name, Allowed: No}
}

// inbound returns the inbound rules and the default rules in the order of evaluation.
func inbound(rules []jit.Rule) []jit.Rule {
	out := make([]jit.Rule, 0, len(rules)+3)
	for _, r := range rules {
		if r.Direction == jit.Inbound {
			out = append(out, r)
		}
	}
	out = append(out, DefaultRules()...)
	slices.SortStableFunc(out, func(a, b jit.Rule) int { return cmp.Compare(a.Priority, b.Priority) })
	return out
}

func (n Names) matches(r jit.Rule, p Packet) Truth {
	if r.Protocol != p.Protocol && r.Protocol != jit.AnyProtocol {
		return No
	}
	ports := Yes
	if p.Protocol == jit.TCP || p.Protocol == jit.UDP {
		ports = truth(jit.HoldsPort(r.SourcePorts, p.SourcePort) && jit.HoldsPort(r.DestinationPorts, p.DestinationPort))
	} else if !slices.Contains(r.SourcePorts, jit.AllPorts()) || !slices.Contains(r.DestinationPorts, jit.AllPorts()) {
		ports = Maybe // it is not documented whether a rule with ports matches a protocol without ports
	}
	destination := n.Covers(r.Destination, p.Destination)
	if ports == No || destination == No {
		return No // most rules end here, before the more expensive sets below
	}
	sure, possible := n.set(r.Source, n.spaceAt(p.Destination))
	source := No
	switch {
	case sure.has(p.Source):
		source = Yes
	case possible.has(p.Source):
		source = Maybe
	}
	return all(ports, source, destination)
}

// all returns No if any is No, Yes if all are Yes, else Maybe.
func all(ts ...Truth) Truth {
	switch {
	case slices.Contains(ts, No):
		return No
	case slices.Contains(ts, Maybe):
		return Maybe
	}
	return Yes
}
