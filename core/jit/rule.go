package jit

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// Access is what a rule does with a matching packet. The zero value is Deny.
type Access uint8

// The two kinds of access.
const (
	Deny Access = iota
	Allow
)

// String returns ARM's spelling.
func (a Access) String() string {
	if a == Allow {
		return "Allow"
	}
	return "Deny"
}

// Direction is the direction of the traffic that a rule matches. The zero value is Inbound, the only one that the
// product writes.
type Direction uint8

// The two directions. Priorities are unique within each.
const (
	Inbound Direction = iota
	Outbound
)

// PortRange is the ports First to Last, both included.
type PortRange struct{ First, Last uint16 }

// AllPorts returns the range of every port, which ARM writes "*".
func AllPorts() PortRange { return PortRange{0, 65535} }

// OnePort returns the range of one port.
func OnePort(n uint16) PortRange { return PortRange{n, n} }

// Contains reports whether port n is in the range.
func (r PortRange) Contains(n uint16) bool { return r.First <= n && n <= r.Last }

// Peers is one side of a rule, source or destination. It matches an address if Any is set, or if a prefix, tag or
// group contains the address.
type Peers struct {
	Any      bool
	Prefixes []netip.Prefix
	Tags     []string // service tags such as Internet, VirtualNetwork, Storage.WestEurope
	Groups   []string // ARM ids of application security groups
}

// PeersOf returns the peers for single addresses.
func PeersOf(addrs ...netip.Addr) Peers {
	if len(addrs) == 0 {
		return Peers{}
	}
	p := Peers{Prefixes: make([]netip.Prefix, 0, len(addrs))}
	for _, a := range addrs {
		p.Prefixes = append(p.Prefixes, netip.PrefixFrom(a, a.BitLen()))
	}
	return p
}

// AnyPeer returns the peers that match every address.
func AnyPeer() Peers { return Peers{Any: true} }

// Rule is one security rule, ours or foreign, in the terms in which Azure evaluates it, independent of the kind of
// firewall it is on.
//
// If Translated is set, it is a NAT rule: matching traffic is sent on to that address and port. Its Destination is
// public addresses of the firewall, its priority is its collection's and 0 here, and it ignores source ports.
type Rule struct {
	Name             string // unique in its target, at most 80 characters
	Priority         int    // 100 to 4096, the lowest first; 65000 and up for default rules
	Direction        Direction
	Access           Access
	Protocol         Protocol
	Source           Peers
	Destination      Peers
	SourcePorts      []PortRange
	DestinationPorts []PortRange
	Description      string         // at most 140 characters
	Translated       netip.AddrPort // where a NAT rule sends matching traffic; zero for every other rule
}

// Canonical returns the rule with sorted lists, no duplicates and one spelling, so that equivalent rules compare
// equal in whatever order ARM returns them. Lists that are already canonical are shared with r.
func (r Rule) Canonical() Rule {
	r.Protocol = Protocol(strings.ToUpper(string(r.Protocol)))
	r.Source, r.Destination = r.Source.canonical(), r.Destination.canonical()
	r.SourcePorts, r.DestinationPorts = canonicalPorts(r.SourcePorts), canonicalPorts(r.DestinationPorts)
	if r.Translated.IsValid() {
		r.SourcePorts = []PortRange{AllPorts()}
		r.Translated = netip.AddrPortFrom(r.Translated.Addr().Unmap(), r.Translated.Port())
	}
	return r
}

// Equal reports whether the canonical forms of both rules are the same in every field.
func (r Rule) Equal(o Rule) bool {
	return r.same(o) || r.Canonical().same(o.Canonical())
}

func (r Rule) same(o Rule) bool {
	return r.Name == o.Name && r.Priority == o.Priority && r.Direction == o.Direction && r.Access == o.Access &&
		r.Protocol == o.Protocol && r.Source.equal(o.Source) && r.Destination.equal(o.Destination) &&
		slices.Equal(r.SourcePorts, o.SourcePorts) && slices.Equal(r.DestinationPorts, o.DestinationPorts) &&
		r.Description == o.Description && r.Translated == o.Translated
}

// Clone returns a copy that shares no slices with r.
func (r Rule) Clone() Rule {
	for _, p := range []*Peers{&r.Source, &r.Destination} {
		p.Prefixes, p.Tags, p.Groups = slices.Clone(p.Prefixes), slices.Clone(p.Tags), slices.Clone(p.Groups)
	}
	r.SourcePorts, r.DestinationPorts = slices.Clone(r.SourcePorts), slices.Clone(r.DestinationPorts)
	return r
}

func (p Peers) canonical() Peers {
	if p.Any {
		return Peers{Any: true}
	}
	out := Peers{Prefixes: p.Prefixes, Tags: canonicalNames(p.Tags), Groups: canonicalNames(p.Groups)}
	if masked := func(q netip.Prefix) bool { return q == q.Masked() }; !strictlySorted(p.Prefixes, ComparePrefix) || !all(p.Prefixes, masked) {
		out.Prefixes = make([]netip.Prefix, 0, len(p.Prefixes))
		for _, q := range p.Prefixes {
			out.Prefixes = append(out.Prefixes, q.Masked())
		}
		slices.SortFunc(out.Prefixes, ComparePrefix)
		out.Prefixes = slices.Compact(out.Prefixes)
	}
	return out
}

// strictlySorted reports whether a list is sorted and free of duplicates. Most are, and then canonicalizing needs
// no copy.
func strictlySorted[T any](list []T, compare func(a, b T) int) bool {
	for i := 1; i < len(list); i++ {
		if compare(list[i-1], list[i]) >= 0 {
			return false
		}
	}
	return true
}

func all[T any](list []T, is func(T) bool) bool {
	return !slices.ContainsFunc(list, func(v T) bool { return !is(v) })
}

func canonicalNames(names []string) []string {
	var out []string
	for _, n := range names {
		out = append(out, strings.ToLower(n))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (p Peers) equal(o Peers) bool {
	return p.Any == o.Any && slices.Equal(p.Prefixes, o.Prefixes) && slices.Equal(p.Tags, o.Tags) && slices.Equal(p.Groups, o.Groups)
}

func canonicalPorts(in []PortRange) []PortRange {
	order := func(a, b PortRange) int { return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last)) }
	if strictlySorted(in, order) {
		return in
	}
	out := slices.Clone(in)
	slices.SortFunc(out, order)
	return slices.Compact(out)
}

// HoldsPort reports whether one of the ranges contains the port.
func HoldsPort(ranges []PortRange, port uint16) bool {
	return slices.ContainsFunc(ranges, func(r PortRange) bool { return r.Contains(port) })
}

// ComparePriority orders rules as Azure evaluates them: lowest priority number first.
func ComparePriority(a, b *Rule) int { return cmp.Compare(a.Priority, b.Priority) }
