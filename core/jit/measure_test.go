package jit_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"portcullis/core/jit"
)

// TestExcessAgainstCounting: what is more than may be let in is told as counting block by block tells it, however the addresses are
// written and in how many sets. The spaces are small enough to count: IPv4 in blocks of a /16, each of which is public or not as a whole,
// and parts of both families.
func TestExcessAgainstCounting(t *testing.T) {
	for name, space := range map[string]struct {
		of     string
		block  int // the length of a block's prefix
		o      jit.Options
		most   int // blocks that may be let in together
		widest int // the length of the widest prefix; 0 for none
	}{
		"any of IPv4":    {"0.0.0.0/0", 16, jit.Options{ForbidAnySource: true}, 256, 0},
		"any of IPv6":    {"2000::/11", 27, jit.Options{ForbidAnySource: true}, 256, 0},
		"ULA of IPv6":    {"fc00::/11", 27, jit.Options{ForbidAnySource: true}, 256, 0},
		"widest of IPv4": {"203.0.112.0/20", 30, jit.Options{WidestIPv4: 25, WidestIPv6: 64}, 4 * 32, 25},
		"widest of IPv6": {"2001:db8::/52", 64, jit.Options{WidestIPv4: 24, WidestIPv6: 58}, 4 * 64, 58},
	} {
		t.Run(name, func(t *testing.T) {
			of := netip.MustParsePrefix(space.of)
			exceeded, allowed := 0, 0
			rapid.Check(t, func(t *rapid.T) {
				blocks := map[netip.Addr]bool{}
				var sets []jit.Sources
				for range rapid.IntRange(1, 4).Draw(t, "sets") {
					var prefixes []netip.Prefix
					for range rapid.IntRange(1, 6).Draw(t, "prefixes") {
						p := drawPrefix(t, of, max(of.Bits(), space.block-10), space.block)
						prefixes = append(prefixes, p)
						for _, a := range blocksOf(p, space.block) {
							blocks[a] = true
						}
					}
					sets = append(sets, jit.SourcesOf(prefixes...))
				}
				count, whole := 0, map[netip.Prefix]int{}
				for a := range blocks {
					if space.widest > 0 || public(a) {
						count++
					}
					whole[netip.PrefixFrom(a, max(0, space.widest-1)).Masked()]++
				}
				want := count > space.most
				for _, n := range whole {
					want = want || space.widest > 0 && n == 1<<(space.block-space.widest+1)
				}
				all := sets[0].Union(sets[1:]...)
				if excess := space.o.Excess(all); (excess != "") != want {
					t.Fatalf("%d public blocks of %d at most, yet %q of %s", count, space.most, excess, all)
				}
				if want {
					exceeded++
				} else {
					allowed++
				}
			})
			if allowed == 0 || exceeded == 0 && name != "ULA of IPv6" {
				t.Errorf("%d sets exceeded, %d did not: one side was not looked at", exceeded, allowed)
			}
		})
	}
}

// drawPrefix draws a prefix within another.
func drawPrefix(t *rapid.T, of netip.Prefix, shortest, longest int) netip.Prefix {
	bits := rapid.IntRange(shortest, longest).Draw(t, "bits")
	b := of.Addr().AsSlice()
	drawn := rapid.Uint64().Draw(t, "address")
	var random [16]byte
	binary.BigEndian.PutUint64(random[:], drawn)
	for i := of.Bits(); i < bits; i++ {
		b[i/8] |= random[(i-of.Bits())/8] >> (7 - (i-of.Bits())%8) & 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.PrefixFrom(a, bits)
}

// blocksOf returns the first addresses of the blocks of a length in a prefix.
func blocksOf(p netip.Prefix, length int) []netip.Addr {
	out := []netip.Addr{p.Addr()}
	for bits := p.Bits(); bits < length; bits++ {
		for _, a := range slices.Clone(out) {
			b := a.AsSlice()
			b[bits/8] |= 1 << (7 - bits%8)
			other, _ := netip.AddrFromSlice(b)
			out = append(out, other)
		}
	}
	return out
}

// public tells it of a block as net/netip and the registries do, without a list of prefixes.
func public(a netip.Addr) bool {
	if a.Is6() {
		return a.As16()[0]>>5 == 1
	}
	b := a.As4()
	return b[0] != 0 && b[0] < 224 && !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !(b[0] == 100 && b[1]>>6 == 1)
}

// TestUnion: a union holds what one of its parts holds, each address once, in prefixes of which no two make up a third.
func TestUnion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSources(t, "a"), drawSources(t, "b")
		got := a.Union(b)
		if !got.Equal(b.Union(a)) || !got.Equal(got.Union()) || !got.Contains(a) || !got.Contains(b) {
			t.Fatalf("%s and %s make %s", a, b, got)
		}
		list := got.Prefixes()
		for i, p := range list {
			for _, q := range list[i+1:] {
				if p.Overlaps(q) || p.Bits() > 0 && p.Bits() == q.Bits() && netip.PrefixFrom(p.Addr(), p.Bits()-1).Masked() == netip.PrefixFrom(q.Addr(), q.Bits()-1).Masked() {
					t.Fatalf("%s and %s in %s", p, q, got)
				}
			}
		}
	})
}
