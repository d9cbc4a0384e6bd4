package jit

import (
	"fmt"
	"strings"
)

// Options restrict requests beyond the ports of a policy. A policy has them for its machine, an installation for
// all machines; the stricter of both is in force (see [Options.With]). The zero value restricts nothing.
//
// Options on sources apply to the union of all windows of one requestor on one port of one machine (core/limit.Together). They
// bound requests, not policies: a policy may allow any source while its options forbid requests for it. Then a request may
// still name any single address.
type Options struct {
	// ForbidAnySource refuses requests for every address: "*", and prefixes that together contain more public
	// addresses than a /8 of IPv4 or a /19 of IPv6.
	ForbidAnySource bool
	// WidestIPv4 and WidestIPv6 are the prefix lengths of the widest range that may be requested, such as 24 and 64.
	// Adjacent prefixes count as the prefix that they make up, and all prefixes of a family together may contain at most four
	// times as many addresses as the widest. Either both are set or neither; 0 is no bound.
	WidestIPv4, WidestIPv6 int
	// RequireJustification refuses requests whose justification has no visible character.
	RequireJustification bool
	// Approvers is how many distinct people must approve a request before it is opened, 0 to [MaxApprovers]; never who asked.
	Approvers int
	// ApprovedBy are those who may; where nobody is named, everybody who holds the right does (see [Right]). Without Approvers it has no effect.
	ApprovedBy People
}

// IsZero reports whether the options restrict nothing.
func (o Options) IsZero() bool { return o == Options{} }

// Validate refuses with [CodeInvalidWidestSource] a bound outside 1 to 32 for IPv4 or 1 to 128 for IPv6, and a
// bound for one family without the other: anything could be requested in the unbounded family. It refuses with [CodeInvalidApprovers]
// more than [MaxApprovers], fewer than none, and more than [MaxPeople] who may approve.
func (o Options) Validate() error {
	switch {
	case o.Approvers < 0 || o.Approvers > MaxApprovers:
		return refuse(CodeInvalidApprovers, "approvers", "%d approvers are outside 0 to %d", o.Approvers, MaxApprovers)
	case len(o.ApprovedBy.IDs()) > MaxPeople:
		return refuse(CodeInvalidApprovers, "approverObjectIds", "%d object ids; a policy names at most %d: name a group", len(o.ApprovedBy.IDs()), MaxPeople)
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
		Approvers:            max(o.Approvers, p.Approvers),
		ApprovedBy:           o.ApprovedBy.And(p.ApprovedBy),
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
	if o.Approvers > 0 {
		says = append(says, fmt.Sprintf("to be approved by %d", o.Approvers))
	}
	if o.ApprovedBy.Named() {
		says = append(says, "approvers "+o.ApprovedBy.String())
	}
	return strings.Join(says, ", ")
}

// Permit reports whether these options allow a request for the sources.
func (o Options) Permit(s Sources) bool { return o.Excess(s) == "" }

// Excess says in words which bound of these options the sources exceed, "" for none. The sources are those of one window, or the
// union of several; the result does not depend on how they are split into prefixes.
func (o Options) Excess(s Sources) string {
	if e := o.exceeded(s.Union()); e != nil {
		return e.what + ", which is " + e.is
	}
	return ""
}

// AllowSources refuses sources that these options forbid for a port.
func (o Options) AllowSources(s Sources, port uint16) *Error {
	const at = "allowedSourceAddressPrefix"
	e := o.exceeded(s.Union())
	switch {
	case e == nil:
		return nil
	case e.code == CodeSourceAnyForbidden && s.any:
		return refuse(e.code, at, "port %d may not be opened for every address; name the addresses or ranges that you connect from", port)
	case e.code == CodeSourceAnyForbidden:
		return refuse(e.code, at, "port %d may not be opened for every address, and these are %s; name the addresses or ranges that you connect from", port, e.what)
	}
	return refuse(e.code, at, "%s is %s on port %d; name a narrower range or your own address", e.what, e.is, port)
}

// excess is a bound that sources exceed.
type excess struct {
	code     Code
	what, is string // such as a prefix, and wider than the widest
}

// exceeded returns the first bound that the sources exceed, or nil. s must come from [Sources.Union].
func (o Options) exceeded(s Sources) *excess {
	if o.ForbidAnySource {
		switch apart := NotPublic(); {
		case s.any:
			return &excess{CodeSourceAnyForbidden, "every address", "more than may be asked for"}
		case s.holdsMore(1, anyIPv4Bits, false, apart), s.holdsMore(1, anyIPv6Bits, true, apart):
			return &excess{CodeSourceAnyForbidden, fmt.Sprintf("more public addresses than a /%d of IPv4 or a /%d of IPv6 holds", anyIPv4Bits, anyIPv6Bits), "taken for every address"}
		}
	}
	if o.WidestIPv4 == 0 && o.WidestIPv6 == 0 {
		return nil
	}
	widest := fmt.Sprintf("/%d of IPv4 or /%d of IPv6, the widest that may be asked for", o.WidestIPv4, o.WidestIPv6)
	if s.any {
		return &excess{CodeSourceTooWide, "any source", "wider than " + widest}
	}
	for _, p := range s.prefixes {
		if p.Addr().Is4() && p.Bits() < o.WidestIPv4 || p.Addr().Is6() && p.Bits() < o.WidestIPv6 {
			return &excess{CodeSourceTooWide, p.String(), "wider than " + widest}
		}
	}
	if s.holdsMore(widestTimes, o.WidestIPv4, false, nil) || s.holdsMore(widestTimes, o.WidestIPv6, true, nil) {
		return &excess{CodeSourcesTogether, "the sum of these ranges", fmt.Sprintf("more than %d times %s", widestTimes, widest)}
	}
	return nil
}
