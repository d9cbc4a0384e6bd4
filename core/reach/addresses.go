package reach

import (
	"net/netip"
	"slices"
	"sync"

	"portcullis/core/jit"
)

// span is the addresses first to last of one family, both included.
type span struct{ first, last netip.Addr }

// addresses is a set of IP addresses: sorted, disjoint spans. IPv4 sorts before IPv6, and no span contains both.
type addresses []span

// everyAddress returns all addresses of both families.
var everyAddress = sync.OnceValue(func() addresses {
	return addressesOf(netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0))
})

func addressesOf(prefixes ...netip.Prefix) addresses {
	if len(prefixes) == 0 {
		return nil
	}
	out := make(addresses, 0, len(prefixes))
	for _, p := range prefixes {
		if p = unmapped(p); p.IsValid() {
			out = append(out, span{p.Addr(), lastOf(p)})
		}
	}
	return out.joined()
}

// unmapped returns the masked prefix, with IPv4 in IPv6 form as IPv4.
func unmapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

// joined sorts the spans and joins those that overlap or are adjacent.
func (a addresses) joined() addresses {
	slices.SortFunc(a, func(x, y span) int { return x.first.Compare(y.first) })
	var out addresses
	for _, s := range a {
		if n := len(out); n > 0 && (s.first.Compare(out[n-1].last) <= 0 || s.first == out[n-1].last.Next()) {
			if s.last.Compare(out[n-1].last) > 0 {
				out[n-1].last = s.last
			}
			continue
		}
		out = append(out, s)
	}
	return out
}

func (a addresses) or(b addresses) addresses {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	return slices.Concat(a, b).joined()
}

func (a addresses) and(b addresses) addresses {
	var out addresses
	for len(a) > 0 && len(b) > 0 {
		first, last := a[0].first, a[0].last
		if b[0].first.Compare(first) > 0 {
			first = b[0].first
		}
		if b[0].last.Compare(last) < 0 {
			last = b[0].last
		}
		if first.Compare(last) <= 0 {
			out = append(out, span{first, last})
		}
		if a[0].last.Compare(b[0].last) <= 0 {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return out
}

func (a addresses) minus(b addresses) addresses {
	if len(a) == 0 || len(b) == 0 {
		return a
	}
	var out addresses
	for _, s := range a {
		for len(b) > 0 && b[0].last.Compare(s.first) < 0 {
			b = b[1:]
		}
		// A span of b may extend into the next span of a, so b is not advanced here.
		rest, ended := s, false
		for _, t := range b {
			if t.first.Compare(rest.last) > 0 {
				break
			}
			if t.first.Compare(rest.first) > 0 {
				out = append(out, span{rest.first, t.first.Prev()})
			}
			if t.last.Compare(rest.last) >= 0 {
				ended = true
				break
			}
			rest.first = t.last.Next()
		}
		if !ended {
			out = append(out, rest)
		}
	}
	return out
}

func (a addresses) has(x netip.Addr) bool {
	i, found := slices.BinarySearchFunc(a, x, func(s span, x netip.Addr) int { return s.first.Compare(x) })
	return found || i > 0 && x.Compare(a[i-1].last) <= 0
}

// prefixes returns the fewest prefixes that make up the set, sorted.
func (a addresses) prefixes() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range a {
		for first := s.first; first.IsValid() && first.Compare(s.last) <= 0; {
			p := netip.PrefixFrom(first, first.BitLen())
			for p.Bits() > 0 {
				wider := netip.PrefixFrom(first, p.Bits()-1)
				if wider != wider.Masked() || lastOf(wider).Compare(s.last) > 0 {
					break
				}
				p = wider
			}
			out = append(out, p)
			first = lastOf(p).Next()
		}
	}
	return out
}

// fromSources returns the addresses of s.
func fromSources(s jit.Sources) addresses {
	if s.IsAny() {
		return everyAddress()
	}
	return addressesOf(s.Prefixes()...)
}

// sources returns the set as [jit.Sources].
func (a addresses) sources() jit.Sources {
	if slices.Equal(a, everyAddress()) {
		return jit.AnySource()
	}
	return jit.SourcesOf(a.prefixes()...)
}
