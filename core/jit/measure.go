package jit

import (
	"math/big"
	"net/netip"
)

// The bounds on the union of sources; docs/decisions/022 gives the reasons.
const (
	// More public addresses of a family than a prefix of this length contains count as every address: 2^24 of IPv4 (one in 221
	// of the public ones), 2^109 of IPv6 (one in 65,536).
	anyIPv4Bits, anyIPv6Bits = 8, 19
	// widestTimes is how many times the addresses of the widest prefix the union may contain.
	widestTimes = 4
)

// NotPublic returns, sorted and disjoint, the prefixes that no address of the public Internet is in, by IANA's
// registries of special purposes. Documentation prefixes count as public.
func NotPublic() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range []string{"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3",
		"::/3", "4000::/2", "8000::/1"} {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// Union returns the addresses that are in s or in one of the others, each once, in the fewest prefixes.
func (s Sources) Union(others ...Sources) Sources {
	out := Sources{any: s.any, prefixes: s.Prefixes()}
	for _, o := range others {
		out.any = out.any || o.any
		out.prefixes = append(out.prefixes, o.prefixes...)
	}
	return out.canonical().joined()
}

// holdsMore reports whether the prefixes of one family contain more addresses than times a prefix of the given length. Addresses in
// apart do not count. The prefixes of s must be disjoint, and those of apart too.
func (s Sources) holdsMore(times int64, bits int, v6 bool, apart []netip.Prefix) bool {
	sum := new(big.Int)
	for _, p := range s.prefixes {
		if p.Addr().Is6() != v6 {
			continue
		}
		sum.Add(sum, size(p))
		for _, q := range apart {
			switch {
			case !p.Overlaps(q):
			case p.Bits() >= q.Bits():
				sum.Sub(sum, size(p))
			default:
				sum.Sub(sum, size(q))
			}
		}
	}
	whole := 32
	if v6 {
		whole = 128
	}
	most := new(big.Int).Lsh(big.NewInt(times), uint(whole-bits))
	return sum.Cmp(most) > 0
}

// size returns how many addresses a prefix holds.
func size(p netip.Prefix) *big.Int {
	return new(big.Int).Lsh(big.NewInt(1), uint(p.Addr().BitLen()-p.Bits()))
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
