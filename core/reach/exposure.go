package reach

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"portcullis/core/jit"
)

// cell is the packets to one port of one address, of one protocol with ports and from one source port. The packets
// of a cell that a rule matches are a set of source addresses.
type cell struct {
	protocol   jit.Protocol
	dst        netip.Addr
	port, from uint16
}

// line is a rule with its sources resolved to addresses.
type line struct {
	rule           *jit.Rule
	sure, possible addresses
	open           []string // the open tags among them
}

// line resolves a rule's sources where VirtualNetwork holds vnet.
func (n Names) line(r *jit.Rule, vnet *space) line {
	l := line{rule: r, open: n.strangers(r.Source)}
	l.sure, l.possible = n.set(r.Source, vnet)
	return l
}

// hits reports whether the rule matches packets of the cell from some source.
func (n Names) hits(r *jit.Rule, c cell) Truth {
	if !jit.HoldsPort(r.SourcePorts, c.from) {
		return No
	}
	return n.reaches(r, c)
}

// reaches is hits for any source port.
func (n Names) reaches(r *jit.Rule, c cell) Truth {
	if !r.Protocol.Overlaps(c.protocol) || !jit.HoldsPort(r.DestinationPorts, c.port) {
		return No
	}
	return n.Covers(r.Destination, c.dst)
}

// share is what one rule decides: certainly where no earlier rule may match, possibly where no earlier rule
// certainly does.
type share struct {
	rule           *jit.Rule
	sure, possible addresses
	strangers      bool // an open tag with unknown addresses matches, and no earlier rule has decided about it
}

// shares divides the packets of a cell from some sources among the rules that decide them; lines are in the order
// of evaluation. Packets that no rule matches are in no share.
func (n Names) shares(lines []line, c cell, from addresses) []share {
	var out []share
	leftSure, leftPossible := from, from
	var decided []string // tags
	for _, l := range lines {
		sure, possible := l.sure, l.possible
		hit := n.hits(l.rule, c)
		switch hit {
		case No:
			continue
		case Maybe:
			sure = nil
		}
		if mine := leftPossible.and(possible); len(mine) > 0 {
			open := slices.ContainsFunc(l.open, func(t string) bool {
				return !slices.ContainsFunc(decided, func(d string) bool { return tagHolds(d, t) || strings.EqualFold(d, tagAzure) })
			})
			out = append(out, share{rule: l.rule, sure: leftSure.and(sure), possible: mine, strangers: open && hit == Yes})
		}
		if hit == Yes {
			decided = append(decided, l.rule.Source.Tags...)
		}
		leftSure, leftPossible = leftSure.minus(possible), leftPossible.minus(sure)
		if len(leftPossible) == 0 {
			break
		}
	}
	return out
}

// fromPorts returns one source port of each class that the rules distinguish.
func fromPorts(ruleSets ...[]jit.Rule) []uint16 {
	out := []uint16{0}
	for _, rules := range ruleSets {
		for _, r := range rules {
			for _, p := range r.SourcePorts {
				out = append(out, p.First)
				if p.Last < 65535 {
					out = append(out, p.Last+1)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Endpoint is one private address of a machine and its guards: the security group of its subnet, then that of its
// network interface.
type Endpoint struct {
	VM      jit.ID
	Address netip.Addr
	Admin   []AdminRule // the security admin rules in effect on its virtual network, evaluated before all guards
	Guards  []Guard
}

// Exposure is a port of a machine that can be reached.
type Exposure struct {
	VM       jit.ID
	Address  netip.Addr
	Port     uint16
	Protocol jit.Protocol // TCP, UDP, or * for both
	By       []Decision   // the rule that lets it in at each guard; empty without guards
	Sources  jit.Sources  // the sources that may come in by these rules: no earlier rule certainly decides about them
	Certain  jit.Sources  // the sources among them that certainly come in
	// Strangers reports that a service tag with unknown addresses lets strangers in ([OpenTag]) and no other guard keeps
	// them out. It has no meaning where Certain is not empty.
	Strangers bool
}

// ManagementPorts returns the well-known management ports, which scanners try first: SSH, Telnet, RPC, SMB, RDP,
// VNC, WinRM.
func ManagementPorts() []uint16 { return []uint16{22, 23, 135, 445, 3389, 5900, 5985, 5986} }

// Exposures returns how the given TCP and UDP ports of the endpoint can be reached from the given sources
// ([Names.Internet], [jit.AnySource] or the caller's own set), one exposure for each port, protocol and
// combination of rules. It is exact except for names that n does not know, where it errs towards exposure. Default
// rules count: with AnySource, every port that nobody closes appears as AllowVnetInBound. Our own rules count too.
func (n Names) Exposures(e Endpoint, ports []uint16, from jit.Sources) []Exposure {
	e.Address = e.Address.Unmap()
	n = n.settled()
	vnet := n.spaceAt(e.Address)
	sources := fromSources(from).and(familyOf(e.Address))
	var chains [][]line
	var ruleSets [][]jit.Rule
	e.Admin = adminOrder(e.Admin)
	for _, r := range e.Admin {
		ruleSets = append(ruleSets, []jit.Rule{r.Rule})
	}
	for _, g := range e.Guards {
		rules := inbound(g.Rules)
		rules = slices.DeleteFunc(rules, func(r jit.Rule) bool { return n.Covers(r.Destination, e.Address) == No })
		ruleSets = append(ruleSets, rules)
		var lines []line
		for i := range rules {
			lines = append(lines, n.line(&rules[i], vnet))
		}
		chains = append(chains, lines)
	}
	classes := fromPorts(ruleSets...)
	ports = slices.Clone(ports)
	slices.Sort(ports)
	var out []Exposure
	for _, port := range slices.Compact(ports) {
		tcp := n.through(e, chains, classes, cell{protocol: jit.TCP, dst: e.Address, port: port}, sources)
		udp := n.through(e, chains, classes, cell{protocol: jit.UDP, dst: e.Address, port: port}, sources)
		out = append(out, bothProtocols(tcp, udp)...)
	}
	return out
}

func familyOf(a netip.Addr) addresses {
	return addressesOf(netip.PrefixFrom(a, 0))
}

// path is the sources that pass the guards so far by the same rules.
type path struct {
	by             []Decision
	key            string
	sure, possible addresses
	strangers      bool // each guard so far lets everybody in, or an open tag
}

func (n Names) through(e Endpoint, chains [][]line, classes []uint16, c cell, from addresses) []Exposure {
	found := map[string]path{}
	for _, c.from = range classes {
		decided, sure, possible := n.admitted(e.Admin, c, from)
		paths := []path{{sure: sure, possible: possible, strangers: len(sure) > 0}}
		var always []path // accepted whatever the guards say
		for _, s := range decided {
			if s.rule.Action == AdminAlways {
				d := Decision{Guard: s.rule.Manager, Rule: s.rule.Rule, Allowed: truth(slices.Equal(s.sure, s.possible))}
				if d.Allowed != Yes {
					d.Allowed = Maybe
				}
				always = append(always, path{by: []Decision{d}, key: "admin/" + s.rule.Manager + "/" + s.rule.Name, sure: s.sure, possible: s.possible})
			}
		}
		for i, lines := range chains {
			var next []path
			for _, p := range paths {
				for _, s := range n.shares(lines, c, p.possible) {
					if s.rule.Access != jit.Allow {
						continue
					}
					d := Decision{Guard: e.Guards[i].Name, Rule: *s.rule, Allowed: truth(slices.Equal(s.sure, s.possible))}
					if d.Allowed != Yes {
						d.Allowed = Maybe
					}
					next = append(next, path{by: append(slices.Clone(p.by), d), key: p.key + "/" + s.rule.Name, sure: p.sure.and(s.sure), possible: s.possible, strangers: p.strangers && (s.strangers || anybody(s.rule.Source))})
				}
			}
			paths = next
		}
		for _, p := range append(paths, always...) {
			if old, ok := found[p.key]; ok {
				p.sure, p.possible, p.strangers = old.sure.or(p.sure), old.possible.or(p.possible), old.strangers || p.strangers
			}
			found[p.key] = p
		}
	}
	var out []Exposure
	for _, p := range found {
		if len(p.possible) > 0 {
			out = append(out, Exposure{VM: e.VM, Address: e.Address, Port: c.port, Protocol: c.protocol, By: p.by, Sources: p.possible.sources(), Certain: p.sure.sources(), Strangers: p.strangers})
		}
	}
	slices.SortFunc(out, compareExposures)
	return out
}

func compareExposures(a, b Exposure) int {
	for i := range min(len(a.By), len(b.By)) {
		if c := cmp.Or(cmp.Compare(a.By[i].Rule.Priority, b.By[i].Rule.Priority), cmp.Compare(a.By[i].Rule.Name, b.By[i].Rule.Name)); c != 0 {
			return c
		}
	}
	return cmp.Compare(a.Protocol, b.Protocol)
}

// bothProtocols merges exposures that are the same for TCP and UDP.
func bothProtocols(tcp, udp []Exposure) []Exposure {
	var out []Exposure
	for _, t := range tcp {
		i := slices.IndexFunc(udp, func(u Exposure) bool {
			t.Protocol = u.Protocol
			return compareExposures(t, u) == 0 && t.Sources.Equal(u.Sources) && t.Certain.Equal(u.Certain) && t.Strangers == u.Strangers
		})
		t.Protocol = jit.TCP
		if i >= 0 {
			t.Protocol = jit.AnyProtocol
			udp = slices.Delete(slices.Clone(udp), i, i+1)
		}
		out = append(out, t)
	}
	return append(out, udp...)
}

// Block is what foreign denies take from one of our allows.
type Block struct {
	By    []jit.Rule // the denies that take something, in the order of evaluation
	Whole Truth      // Yes: no packet comes through. No: some do. Maybe: it depends on unknown names
}

// Blocked returns what the rules with a lower priority number take from allow, which is or would be among them at
// allow.Priority. By is empty if they take nothing. A packet that an earlier allow accepts is not blocked, and the
// Azure host's own packets do not count: nobody asks for a window to let them in.
func (n Names) Blocked(allow *jit.Rule, rules []*jit.Rule) Block {
	n = n.settled()
	var earlier []*jit.Rule // those that overlap it; default rules come after all of ours
	denies := false
	for _, r := range rules {
		if r.Direction == jit.Inbound && r.Priority < allow.Priority && n.Meets(r, allow) {
			earlier = append(earlier, r)
			denies = denies || r.Access == jit.Deny
		}
	}
	if !denies {
		return Block{Whole: No}
	}
	slices.SortStableFunc(earlier, jit.ComparePriority)
	b := Block{Whole: Yes}
	by := map[string]jit.Rule{}
	chain := append(earlier, allow)
	lines := map[*space][]line{}
	from, _ := n.set(allow.Source, n.other)
	from = from.minus(hosts())
	for _, c := range cells(allow, chain) {
		vnet := n.spaceAt(c.dst)
		if lines[vnet] == nil {
			for _, r := range chain {
				lines[vnet] = append(lines[vnet], n.line(r, vnet))
			}
		}
		for _, s := range n.shares(lines[vnet], c, from.and(familyOf(c.dst))) {
			switch {
			case s.rule.Access == jit.Deny:
				by[s.rule.Name] = *s.rule
			case len(s.sure) > 0:
				b.Whole = No
			case b.Whole == Yes:
				b.Whole = Maybe
			}
		}
	}
	for _, r := range by {
		b.By = append(b.By, r)
	}
	slices.SortFunc(b.By, func(a, b jit.Rule) int { return cmp.Compare(a.Priority, b.Priority) })
	if len(b.By) == 0 {
		b.Whole = No
	}
	return b
}

// cells returns the cells of a rule of ours, whose destinations are addresses and whose ports are single.
func cells(allow *jit.Rule, chain []*jit.Rule) []cell {
	var rules []jit.Rule
	for _, r := range chain {
		rules = append(rules, *r)
	}
	var out []cell
	for _, dst := range allow.Destination.Prefixes {
		for _, port := range allow.DestinationPorts {
			for _, c := range cellsOf(allow.Protocol, dst.Addr().Unmap(), port.First) {
				for _, c.from = range fromPorts(rules) {
					out = append(out, c)
				}
			}
		}
	}
	return out
}
