package plan

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"portcullis/core/jit"
)

// Protected is one machine's policy as it bears on the target.
type Protected struct {
	Policy    jit.Policy
	Addresses []netip.Addr // the private addresses of the machine behind this target
}

// Opening is one grant as it bears on the target: its machines behind the
// target only, each with its private addresses there.
type Opening struct {
	Grant     jit.Grant
	Addresses map[string][]netip.Addr // by jit.ID.Key of the machine
}

// wanted is a rule of ours without its priority, and what its placing depends on.
type wanted struct {
	rule    jit.Rule
	stands  *jit.Rule // the inbound rule of this name on a security group; nil where there is none
	respect bool      // a deny that stands below foreign allows
	grant   string    // an allow's grant id
	start   time.Time
	owner   string // what a NAT rule's port of the firewall is for
}

func byName(a, b *wanted) int { return cmp.Compare(a.rule.Name, b.rule.Name) }

func byStart(a, b *wanted) int {
	return cmp.Or(a.start.Compare(b.start), cmp.Compare(a.grant, b.grant), byName(a, b))
}

// pointers gives the address of each element.
func pointers[T any](list []T) []*T {
	out := make([]*T, len(list))
	for i := range list {
		out[i] = &list[i]
	}
	return out
}

// group is machines that share one deny: the rule is the cross product of addresses and
// ports, so all of them must want all of it.
type group struct {
	protocol  jit.Protocol
	ports     []uint16
	respect   bool
	vms       []string // their names
	addresses []netip.Addr
}

// denies gives the deny rules that the policies want, sorted by name.
func denies(policies []Protected) []*wanted {
	groups := map[string]*group{} // by what tells their rule from all others
	var ports []uint16
	var id []byte
	for i := range policies {
		p := &policies[i]
		for j := range p.Policy.Ports {
			g := group{protocol: p.Policy.Ports[j].Protocol, respect: p.Policy.ExistingRules == jit.Respect}
			same := func(q jit.PortRule) bool { return q.Protocol == g.protocol }
			if slices.ContainsFunc(p.Policy.Ports[:j], same) {
				continue
			}
			ports = ports[:0]
			for k := range p.Policy.Ports[j:] {
				if q := &p.Policy.Ports[j+k]; same(*q) {
					ports = append(ports, q.Number)
				}
			}
			slices.Sort(ports)
			g.ports = ports
			for _, v6 := range []bool{false, true} {
				if addrs := family(p.Addresses, v6); len(addrs) > 0 {
					id = g.appendID(id[:0], v6)
					in := groups[string(id)]
					if in == nil {
						in = &group{protocol: g.protocol, respect: g.respect, ports: slices.Clone(ports)}
						groups[string(id)] = in
					}
					in.vms, in.addresses = append(in.vms, p.Policy.VM.Name), append(in.addresses, addrs...)
				}
			}
		}
	}
	var l lists
	out := make([]*wanted, 0, len(groups))
	for id, g := range groups {
		r := jit.Rule{Name: denyName(id), Access: jit.Deny, Protocol: g.protocol, Source: jit.AnyPeer(), Description: denyNote(g.vms)}
		out = append(out, &wanted{rule: l.finish(r, g.addresses, g.ports), respect: g.respect})
	}
	slices.SortFunc(out, byName)
	return out
}

// appendID writes what tells the group's rule from all others of the target.
func (g *group) appendID(to []byte, v6 bool) []byte {
	to = strconv.AppendBool(append(to, "respect="...), g.respect)
	to = append(append(to, " protocol="...), g.protocol...)
	to = strconv.AppendBool(append(to, " v6="...), v6)
	return appendPorts(append(to, " ports="...), g.ports)
}

func appendPorts(to []byte, sorted []uint16) []byte {
	for i, n := range sorted {
		if i > 0 {
			to = append(to, ' ')
		}
		to = strconv.AppendUint(to, uint64(n), 10)
	}
	return to
}

// lists is where the lists of rules lie, one behind the other: a full target has a thousand
// rules, each with four short ones. No list reaches into the next.
type lists struct {
	prefixes []netip.Prefix
	ports    []jit.PortRange
}

// sources gives a set of them as the source of a rule.
func (l *lists) sources(s jit.Sources) jit.Peers {
	if s.IsAny() {
		return jit.AnyPeer()
	}
	n := len(l.prefixes)
	for p := range s.All() {
		l.prefixes = append(l.prefixes, p)
	}
	return jit.Peers{Prefixes: slices.Clip(l.prefixes[n:])}
}

// finish gives the rule with the addresses and ports that it is for, in canonical form.
func (l *lists) finish(r jit.Rule, addrs []netip.Addr, ports []uint16) jit.Rule {
	n := len(l.prefixes)
	l.prefixes = slices.Grow(l.prefixes, len(addrs))
	for _, a := range addrs {
		l.prefixes = append(l.prefixes, netip.PrefixFrom(a, a.BitLen()))
	}
	r.Destination = jit.Peers{Prefixes: slices.Clip(l.prefixes[n:])}
	from := len(l.ports)
	l.ports = append(l.ports, jit.AllPorts())
	to := len(l.ports)
	for _, p := range ports {
		l.ports = append(l.ports, jit.OnePort(p))
	}
	r.SourcePorts, r.DestinationPorts = l.ports[from:to:to], slices.Clip(l.ports[to:])
	return r.Canonical()
}

// family keeps the addresses of one family: a rule cannot mix them. It may give the list that it got.
func family(addrs []netip.Addr, v6 bool) []netip.Addr {
	if !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return !a.IsValid() || a.Is4() == v6 || a.Is4In6() }) {
		return addrs
	}
	var out []netip.Addr
	for _, a := range addrs {
		if a.Unmap().Is6() == v6 {
			out = append(out, a.Unmap())
		}
	}
	return out
}

// sourcesOf keeps the sources of one family; any stays any.
func sourcesOf(s jit.Sources, v6 bool) jit.Sources {
	mixed := false // which any is not either
	for p := range s.All() {
		mixed = mixed || p.Addr().Is6() != v6
	}
	if !mixed {
		return s
	}
	var kept []netip.Prefix
	for p := range s.All() {
		if p.Addr().Is6() == v6 {
			kept = append(kept, p)
		}
	}
	return jit.SourcesOf(kept...)
}
