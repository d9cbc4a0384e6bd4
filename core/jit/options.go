package jit

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"
)

// Options restrict requests beyond the ports of a policy. A policy has them for its machine, an installation for
// all machines; the stricter of both is in force (see [Options.With]). The zero value restricts nothing.
//
// Options bound requests, not policies: a policy may allow any source while its options forbid requests for it.
// Then a request may still name any single address.
type Options struct {
	// ForbidAnySource refuses requests for every address: "*", and prefixes that together make up all of IPv4 or all
	// of IPv6.
	ForbidAnySource bool
	// WidestIPv4 and WidestIPv6 are the prefix lengths of the widest range that may be requested, such as 24 and 64.
	// Adjacent prefixes count as the prefix that they make up. Either both are set or neither; 0 is no bound.
	WidestIPv4, WidestIPv6 int
	// RequireJustification refuses requests whose justification has no visible character.
	RequireJustification bool
}

// IsZero reports whether the options restrict nothing.
func (o Options) IsZero() bool { return o == Options{} }

// Validate refuses with [CodeInvalidWidestSource] a bound outside 1 to 32 for IPv4 or 1 to 128 for IPv6, and a
// bound for one family without the other: anything could be requested in the unbounded family.
func (o Options) Validate() error {
	switch {
	case o.WidestIPv4 < 0 || o.WidestIPv4 > 32:
		return refuse(CodeInvalidWidestSource, "widestIPv4Prefix", "a widest prefix of /%d is outside /1 to /32 of IPv4", o.WidestIPv4)
	case o.WidestIPv6 < 0 || o.WidestIPv6 > 128:
		return refuse(CodeInvalidWidestSource, "widestIPv6Prefix", "a widest prefix of /%d is outside /1 to /128 of IPv6", o.WidestIPv6)
	case o.WidestIPv4 == 0 && o.WidestIPv6 != 0:
		return refuse(CodeInvalidWidestSource, "widestIPv4Prefix", "name the widest prefix of IPv4 too, such as /24: a bound of IPv6 alone leaves all of IPv4 to ask for")
	case o.WidestIPv6 == 0 && o.WidestIPv4 != 0:
		return refuse(CodeInvalidWidestSource, "widestIPv6Prefix", "name the widest prefix of IPv6 too, such as /64: a bound of IPv4 alone leaves all of IPv6 to ask for")
	}
	return nil
}

// With returns the stricter of both in every option.
func (o Options) With(p Options) Options {
	return Options{
		ForbidAnySource:      o.ForbidAnySource || p.ForbidAnySource,
		WidestIPv4:           max(o.WidestIPv4, p.WidestIPv4),
		WidestIPv6:           max(o.WidestIPv6, p.WidestIPv6),
		RequireJustification: o.RequireJustification || p.RequireJustification,
	}
}

// String describes the restrictions on one line; "" if there are none.
func (o Options) String() string {
	var says []string
	if o.ForbidAnySource {
		says = append(says, "no request from any source")
	}
	if o.WidestIPv4 > 0 || o.WidestIPv6 > 0 {
		says = append(says, fmt.Sprintf("sources no wider than /%d (IPv4) and /%d (IPv6)", o.WidestIPv4, o.WidestIPv6))
	}
	if o.RequireJustification {
		says = append(says, "a justification required")
	}
	return strings.Join(says, ", ")
}

// Permit reports whether these options allow a request for the sources.
func (o Options) Permit(s Sources) bool { return o.allowSources(s, 0) == nil }

// allowSources refuses sources that these options forbid.
func (o Options) allowSources(s Sources, port uint16) *Error {
	const at = "allowedSourceAddressPrefix"
	joined := s.joined()
	if o.ForbidAnySource && (s.any || joined.holdsFamily()) {
		return refuse(CodeSourceAnyForbidden, at, "port %d may not be opened for every address; name the addresses or ranges that you connect from", port)
	}
	if o.WidestIPv4 == 0 && o.WidestIPv6 == 0 {
		return nil
	}
	widest := o.widest()
	if s.any {
		return refuse(CodeSourceTooWide, at, "any source is wider than %s, the widest that may be asked for on port %d; name a narrower range or your own address", widest, port)
	}
	for _, p := range joined.prefixes {
		if p.Addr().Is4() && p.Bits() < o.WidestIPv4 || p.Addr().Is6() && p.Bits() < o.WidestIPv6 {
			return refuse(CodeSourceTooWide, at, "%s is wider than %s, the widest that may be asked for on port %d; name a narrower range or your own address", p, widest, port)
		}
	}
	return nil
}

// widest formats both bounds for messages.
func (o Options) widest() string {
	return fmt.Sprintf("/%d of IPv4 or /%d of IPv6", o.WidestIPv4, o.WidestIPv6)
}

// allowJustification refuses a justification without visible characters if one is required.
func (o Options) allowJustification(text string) *Error {
	if o.RequireJustification && !strings.ContainsFunc(text, func(r rune) bool { return unicode.IsGraphic(r) && !unicode.IsSpace(r) }) {
		return refuse(CodeJustificationRequired, "justification", "say why access is needed: a justification is required")
	}
	return nil
}

// joined returns the same addresses in as few prefixes as possible: adjacent prefixes become the prefix that they
// make up.
func (s Sources) joined() Sources {
	var out []netip.Prefix
	for _, p := range s.prefixes { // sorted, and none contains another
		out = append(out, p)
		for n := len(out); n > 1; n = len(out) {
			lower, upper := out[n-2], out[n-1]
			parent := netip.PrefixFrom(lower.Addr(), lower.Bits()-1).Masked()
			if lower.Bits() != upper.Bits() || lower.Bits() == 0 || !parent.Contains(upper.Addr()) {
				break
			}
			out = append(out[:n-2], parent)
		}
	}
	return Sources{any: s.any, prefixes: out}
}

// holdsFamily reports whether one prefix is all of IPv4 or all of IPv6.
func (s Sources) holdsFamily() bool {
	for _, p := range s.prefixes {
		if p.Bits() == 0 {
			return true
		}
	}
	return false
}
