package jit

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"
	"strings"
)

// Sources is a set of source addresses: any address, or the union of prefixes. The zero value is the empty set.
// [ParseSources] and [SourcesOf] return canonical values: masked, sorted, without duplicates and without prefixes
// that another one contains. Canonical sets of the same prefixes are equal by [Sources.Equal].
type Sources struct {
	any      bool
	prefixes []netip.Prefix
}

// AnySource returns every address of both families, written "*".
func AnySource() Sources { return Sources{any: true} }

// MaxSources is how many prefixes one port of a policy or request may name.
// An NSG takes 4,000 source prefixes over all of its rules.
const MaxSources = 100

// ParseSources parses addresses ("203.0.113.7"), prefixes ("203.0.113.0/24", "2001:db8::/32") and "*". Several
// values form their union.
//
// Space and line breaks around a value do not count, as shells leave them. It refuses with [CodeInvalidSource]: service tags, ranges written with a dash, several values in one string (the
// plural field takes a list), zones, IPv4 in IPv6 form with a prefix length, and prefixes with host bits set,
// since 10.1.2.3/8 may mean the address or the network. It does NOT ensure that an address is public or belongs to
// the caller.
func ParseSources(values ...string) (Sources, error) {
	if len(values) > MaxSources {
		return Sources{}, refuse(CodeTooManySources, "", "%d source prefixes; one port takes at most %d", len(values), MaxSources)
	}
	var s Sources
	for _, v := range values {
		if v = strings.Trim(v, " \t\r\n"); v == "*" {
			s.any = true
			continue
		}
		p, err := parsePrefix(v)
		if err != nil {
			return Sources{}, err
		}
		s.prefixes = append(s.prefixes, p)
	}
	return s.canonical(), nil
}

func parsePrefix(v string) (netip.Prefix, error) {
	bad := func(why string) (netip.Prefix, error) {
		if len(v) > 80 {
			v = v[:80] + "..."
		}
		return netip.Prefix{}, refuse(CodeInvalidSource, "", "%q %s; give an address, a prefix such as 203.0.113.0/24, or *", v, why)
	}
	if strings.ContainsAny(v, " ,;\t\n") {
		return bad("looks like several values in one string: send them as a list in allowedSourceAddressPrefixes")
	}
	if !strings.Contains(v, "/") {
		a, err := netip.ParseAddr(v)
		if err != nil || a.Zone() != "" {
			return bad("is not an IP address")
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(v)
	if err != nil {
		return bad("is not a prefix")
	}
	if p.Addr().Is4In6() {
		return bad("writes IPv4 in IPv6 form")
	}
	if p != p.Masked() {
		return bad("has host bits set: write " + p.Masked().String() + " for the network or " + p.Addr().String() + " for the address")
	}
	return p, nil
}

// SourcesOf returns the union of prefixes, masked. IPv4-mapped IPv6 prefixes become IPv4.
func SourcesOf(prefixes ...netip.Prefix) Sources {
	return Sources{prefixes: slices.Clone(prefixes)}.canonical()
}

func (s Sources) canonical() Sources {
	if s.any {
		return Sources{any: true}
	}
	all := make([]netip.Prefix, 0, len(s.prefixes))
	for _, p := range s.prefixes {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		if p.IsValid() {
			all = append(all, p.Masked())
		}
	}
	// Wider prefixes come first at the same address, so one pass drops every prefix that another contains.
	slices.SortFunc(all, ComparePrefix)
	var kept []netip.Prefix
	for _, p := range all {
		if n := len(kept); n > 0 && kept[n-1].Bits() <= p.Bits() && kept[n-1].Contains(p.Addr()) {
			continue
		}
		kept = append(kept, p)
	}
	return Sources{prefixes: kept}
}

// ComparePrefix orders prefixes by family, address and length (the widest first).
func ComparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// IsAny reports whether the set is every address.
func (s Sources) IsAny() bool { return s.any }

// IsEmpty reports whether the set holds no address.
func (s Sources) IsEmpty() bool { return !s.any && len(s.prefixes) == 0 }

// Prefixes returns the prefixes, sorted; none if the set is any or empty.
func (s Sources) Prefixes() []netip.Prefix { return slices.Clone(s.prefixes) }

// All iterates over the prefixes, sorted; none if the set is any.
func (s Sources) All() iter.Seq[netip.Prefix] { return slices.Values(s.prefixes) }

// Strings returns the set as the API writes it: "*", or addresses and prefixes.
func (s Sources) Strings() []string {
	if s.any {
		return []string{"*"}
	}
	out := make([]string, 0, len(s.prefixes))
	for _, p := range s.prefixes {
		out = append(out, PrefixString(p))
	}
	return out
}

// String joins [Sources.Strings] with commas.
func (s Sources) String() string { return strings.Join(s.Strings(), ",") }

// PrefixString formats a single-address prefix as the address, as Azure's own tools do, and any other prefix in
// CIDR form.
func PrefixString(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// Equal reports whether both have the same prefixes.
func (s Sources) Equal(o Sources) bool { return s.any == o.any && slices.Equal(s.prefixes, o.prefixes) }

// Contains reports whether every address of o is in s. Only any contains any: a policy that allows 0.0.0.0/0 does
// not allow IPv6.
//
// It checks prefix by prefix. A prefix of o that only two adjacent prefixes of s contain together is therefore
// refused. Callers get the error, never a wider grant.
func (s Sources) Contains(o Sources) bool {
	if s.any {
		return true
	}
	if o.any {
		return false
	}
	for _, p := range o.prefixes {
		if !slices.ContainsFunc(s.prefixes, func(q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Contains(p.Addr()) }) {
			return false
		}
	}
	return true
}

// Overlaps reports whether some address is in both.
func (s Sources) Overlaps(o Sources) bool {
	if s.any || o.any {
		return !s.IsEmpty() && !o.IsEmpty()
	}
	for _, p := range s.prefixes {
		if slices.ContainsFunc(o.prefixes, p.Overlaps) {
			return true
		}
	}
	return false
}
