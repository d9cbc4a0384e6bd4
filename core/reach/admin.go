package reach

import (
	"cmp"
	"net/netip"
	"slices"

	"portcullis/core/jit"
)

// AdminAction is what a security admin rule does with a matching packet. The zero value drops it.
type AdminAction uint8

// The three actions, as Azure Virtual Network Manager documents them.
const (
	AdminDeny   AdminAction = iota // drops the packet; security groups are not evaluated
	AdminAllow                     // leaves the decision to the security groups; no later admin rule is evaluated
	AdminAlways                    // AlwaysAllow: accepts the packet; security groups are not evaluated
)

// String returns ARM's spelling.
func (a AdminAction) String() string {
	return [...]string{"Deny", "Allow", "AlwaysAllow"}[min(a, AdminAlways)]
}

// AdminRule is one security admin rule in effect on a virtual network. Admin rules are evaluated before every
// security group. Priorities are 1 to 4096, the lowest first. The order of rules with the same priority (of
// several network managers) is not known here (unverified): denies are assumed to come last, so that what may be
// open counts as open.
type AdminRule struct {
	jit.Rule // its Access is ignored
	Action   AdminAction
	Manager  string // the name of the network manager that deployed it
}

// Title returns a display name for the rule.
func (r AdminRule) Title() string {
	return "security admin rule " + r.Name + " of network manager " + r.Manager
}

// adminOrder returns the inbound rules in the order of evaluation.
func adminOrder(rules []AdminRule) []AdminRule {
	out := slices.DeleteFunc(slices.Clone(rules), func(r AdminRule) bool { return r.Direction != jit.Inbound })
	slices.SortStableFunc(out, func(a, b AdminRule) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Action, a.Action), cmp.Compare(a.Manager, b.Manager), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// Reach reports whether the packet reaches the endpoint: past the security admin rules of its virtual network,
// then through its guards (see [Names.Evaluate]).
func (n Names) Reach(p Packet, e Endpoint) Verdict {
	n = n.settled()
	p.Source, p.Destination = p.Source.Unmap(), p.Destination.Unmap()
	var verdicts []Verdict
	for _, r := range adminOrder(e.Admin) {
		m := n.matches(r.Rule, p)
		if m == No {
			continue
		}
		v := Verdict{Allowed: truth(r.Action == AdminAlways), By: []Decision{{Guard: r.Manager, Rule: r.Rule, Allowed: truth(r.Action == AdminAlways)}}}
		if r.Action == AdminAllow {
			v = n.Evaluate(p, e.Guards...)
		}
		verdicts = append(verdicts, v)
		if m == Yes {
			return agreed(verdicts)
		}
	}
	return agreed(append(verdicts, n.Evaluate(p, e.Guards...)))
}

// agreed returns the first of the possible verdicts, with Maybe if they differ.
func agreed(possible []Verdict) Verdict {
	v := possible[0]
	for _, o := range possible {
		if o.Allowed != v.Allowed {
			v.Allowed = Maybe
		}
	}
	return v
}

// adminShare is the part of a cell that one security admin rule decides.
type adminShare struct {
	rule           AdminRule
	sure, possible addresses
}

// admitted divides the packets of a cell among the admin rules, which are in order. What no rule decides, or an
// Allow does, is left to the security groups.
func (n Names) admitted(rules []AdminRule, c cell, from addresses) (decided []adminShare, sure, possible addresses) {
	if len(rules) == 0 {
		return nil, from, from
	}
	lines := make([]line, 0, len(rules)+1)
	for i, r := range rules {
		r.Priority = i // identifies the rule of a share
		lines = append(lines, n.line(&r.Rule, n.spaceAt(c.dst)))
	}
	rest := &jit.Rule{Priority: len(rules), Protocol: jit.AnyProtocol, Source: jit.AnyPeer(), Destination: jit.AnyPeer(),
		SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.AllPorts()}}
	for _, s := range n.shares(append(lines, n.line(rest, n.spaceAt(c.dst))), c, from) {
		if s.rule.Priority == len(rules) || rules[s.rule.Priority].Action == AdminAllow {
			sure, possible = sure.or(s.sure), possible.or(s.possible)
			continue
		}
		decided = append(decided, adminShare{rules[s.rule.Priority], s.sure, s.possible})
	}
	return decided, sure, possible
}

// AdminEffect is the effect of a virtual network's security admin rules on one port of an address, before security
// groups are evaluated.
type AdminEffect struct {
	Opened []AdminRule // rules that let some of the sources in, whatever the security groups say
	Denied []AdminRule // rules that keep some of the sources out
	Whole  Truth       // whether they keep all sources out
}

// Admin returns the effect of security admin rules on packets from the sources to one port of an address; protocol
// * means TCP and UDP. A rule with an unknown name counts as matching and as not matching.
func (n Names) Admin(rules []AdminRule, dst netip.Addr, protocol jit.Protocol, port uint16, sources jit.Sources) AdminEffect {
	n, rules = n.settled(), adminOrder(rules)
	plain := make([]jit.Rule, 0, len(rules))
	for _, r := range rules {
		plain = append(plain, r.Rule)
	}
	e := AdminEffect{Whole: Yes}
	from := fromSources(sources).and(familyOf(dst.Unmap()))
	if len(rules) == 0 || len(from) == 0 {
		return AdminEffect{Whole: No}
	}
	note := func(list []AdminRule, r AdminRule) []AdminRule {
		if slices.ContainsFunc(list, func(o AdminRule) bool { return o.Name == r.Name && o.Manager == r.Manager }) {
			return list
		}
		return append(list, r)
	}
	for _, c := range cellsOf(protocol, dst.Unmap(), port) {
		for _, c.from = range fromPorts(plain) {
			decided, sure, possible := n.admitted(rules, c, from)
			for _, s := range decided {
				if s.rule.Action == AdminDeny {
					e.Denied = note(e.Denied, s.rule)
					continue
				}
				e.Opened = note(e.Opened, s.rule)
				sure, possible = sure.or(s.sure), possible.or(s.possible)
			}
			switch {
			case len(sure) > 0:
				e.Whole = No
			case len(possible) > 0 && e.Whole == Yes:
				e.Whole = Maybe
			}
		}
	}
	if len(e.Denied) == 0 {
		e.Whole = No
	}
	return e
}
