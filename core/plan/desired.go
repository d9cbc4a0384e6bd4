package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/roster"
)

// wanted is a rule of ours without its priority, and what its placing depends on.
type wanted struct {
	rule    jit.Rule
	stands  *jit.Rule // the inbound rule of this name on a security group; nil where there is none
	respect bool      // a deny that stands below foreign allows
	yields  bool      // a deny that rather stands below one than take what is kept for windows
	grant   string    // an allow's grant id
	start   time.Time
	open    bool     // an allow of a grant that is confirmed open: people are told that it stands
	again   bool     // its rule is put back after others removed it
	names   []string // of the machines that a deny guards, as its description has them
	owner   string   // what a NAT rule's port of the firewall is for
}

func byName(a, b *wanted) int { return cmp.Compare(a.rule.Name, b.rule.Name) }

func byStart(a, b *wanted) int {
	return cmp.Or(a.start.Compare(b.start), cmp.Compare(a.grant, b.grant), byName(a, b))
}

// machines is those that share one rule.
type machines struct {
	keys, names []string
	addresses   []netip.Addr
}

func (m *machines) add(vm jit.ID, addrs []netip.Addr) {
	m.keys, m.names, m.addresses = append(m.keys, vm.Key()), append(m.names, vm.Name), append(m.addresses, addrs...)
}

// group is machines that share one deny: the rule is the cross product of addresses and
// ports, so all of them must want all of it.
type group struct {
	protocol jit.Protocol
	ports    []uint16
	respect  bool
	yields   bool
	machines
}

// denies returns the deny rules that the policies want, sorted by name.
func denies(policies []roster.Protected) []*wanted {
	groups := map[string]*group{} // by what tells their rule from all others
	for _, p := range policies {
		respect := p.Policy.ExistingRules == jit.Respect
		yields := !respect && p.Policy.LeavesRoom
		for protocol, ports := range portsOf(p.Policy) {
			for _, v6 := range []bool{false, true} {
				addrs := family(p.Addresses, v6)
				if len(addrs) == 0 {
					continue
				}
				id := fmt.Sprintf("respect=%t protocol=%s v6=%t ports=%s", respect, protocol, v6, list(ports))
				if yields {
					id = "leaves room " + id
				}
				if groups[id] == nil {
					groups[id] = &group{protocol: protocol, ports: ports, respect: respect, yields: yields}
				}
				groups[id].add(p.Policy.VM, addrs)
			}
		}
	}
	var out []*wanted
	for id, g := range groups {
		r := jit.Rule{Name: label.DenyName(id), Access: jit.Deny, Protocol: g.protocol, Source: jit.AnyPeer(), Description: label.DenyNote(g.names)}
		out = append(out, &wanted{rule: finish(r, g.addresses, g.ports), respect: g.respect, yields: g.yields, names: g.names})
	}
	slices.SortFunc(out, byName)
	return out
}

// portsOf returns the ports of a policy by protocol, sorted.
func portsOf(p jit.Policy) map[jit.Protocol][]uint16 {
	out := map[jit.Protocol][]uint16{}
	for _, port := range p.Ports {
		out[port.Protocol] = append(out[port.Protocol], port.Number)
	}
	for _, ports := range out {
		slices.Sort(ports)
	}
	return out
}

// list writes ports one behind the other, with blanks between them.
func list(ports []uint16) string {
	numbers := make([]string, len(ports))
	for i, p := range ports {
		numbers[i] = strconv.Itoa(int(p))
	}
	return strings.Join(numbers, " ")
}

// peersOf returns a set of sources as the source of a rule.
func peersOf(s jit.Sources) jit.Peers {
	if s.IsAny() {
		return jit.AnyPeer()
	}
	return jit.Peers{Prefixes: s.Prefixes()}
}

// finish returns the rule with the addresses and ports that it is for, in canonical form.
func finish(r jit.Rule, addrs []netip.Addr, ports []uint16) jit.Rule {
	r.Destination = jit.PeersOf(addrs...)
	r.SourcePorts = []jit.PortRange{jit.AllPorts()}
	for _, p := range ports {
		r.DestinationPorts = append(r.DestinationPorts, jit.OnePort(p))
	}
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
