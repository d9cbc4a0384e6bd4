package jit_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"portcullis/core/jit"
)

func TestParseSources(t *testing.T) {
	v := func(s ...string) []string { return s }
	tests := []struct {
		name string
		in   []string
		want string // as printed; a code where it is refused
	}{
		{"empty string", v(""), "InvalidSourceAddressPrefix"},
		{"blank", v(" "), "InvalidSourceAddressPrefix"},
		{"service tag", v("Internet"), "InvalidSourceAddressPrefix"},
		{"the word any", v("Any"), "InvalidSourceAddressPrefix"},
		{"two stars", v("**"), "InvalidSourceAddressPrefix"},
		{"a star in quotes", v(`"*"`), "InvalidSourceAddressPrefix"},
		{"host name", v("example.com"), "InvalidSourceAddressPrefix"},
		{"several in one string", v("10.0.0.1,10.0.0.2"), "InvalidSourceAddressPrefix"},
		{"several with blanks", v("10.0.0.1 10.0.0.2"), "InvalidSourceAddressPrefix"},
		{"several with semicolons", v("10.0.0.1;10.0.0.2"), "InvalidSourceAddressPrefix"},
		{"several lines", v("10.0.0.1\n10.0.0.2"), "InvalidSourceAddressPrefix"},
		{"dash range", v("10.0.0.1-10.0.0.9"), "InvalidSourceAddressPrefix"},
		{"wildcard", v("10.0.0.*"), "InvalidSourceAddressPrefix"},
		{"port", v("10.0.0.1:22"), "InvalidSourceAddressPrefix"},
		{"hexadecimal", v("0x0a000001"), "InvalidSourceAddressPrefix"},
		{"hexadecimal octet", v("0xa.0.0.1"), "InvalidSourceAddressPrefix"},
		{"octal", v("012.0.0.1"), "InvalidSourceAddressPrefix"},
		{"one number", v("167772161"), "InvalidSourceAddressPrefix"},
		{"three octets", v("10.0.1"), "InvalidSourceAddressPrefix"},
		{"octet of 256", v("10.0.0.256"), "InvalidSourceAddressPrefix"},
		{"full-width digits", v("１０.0.0.1"), "InvalidSourceAddressPrefix"},
		{"Arabic digits", v("١٠.0.0.1"), "InvalidSourceAddressPrefix"},
		{"right-to-left override", v("\u202e10.0.0.1"), "InvalidSourceAddressPrefix"},
		{"byte order mark", v("\ufeff10.0.0.1"), "InvalidSourceAddressPrefix"},
		{"percent sign", v("10.0.0.1%20"), "InvalidSourceAddressPrefix"},
		{"zone", v("fe80::1%eth0"), "InvalidSourceAddressPrefix"},
		{"zone with a prefix", v("fe80::%eth0/64"), "InvalidSourceAddressPrefix"},
		{"brackets", v("[2001:db8::1]"), "InvalidSourceAddressPrefix"},
		{"two double colons", v("2001::db8::1"), "InvalidSourceAddressPrefix"},
		{"host bits", v("10.1.2.3/8"), "InvalidSourceAddressPrefix"},
		{"host bits of IPv6", v("2001:db8::1/64"), "InvalidSourceAddressPrefix"},
		{"everything with host bits", v("10.0.0.0/0"), "InvalidSourceAddressPrefix"},
		{"IPv4 in IPv6 with a length", v("::ffff:10.0.0.0/104"), "InvalidSourceAddressPrefix"},
		{"IPv4 in IPv6 as one address with a length", v("::ffff:10.0.0.1/128"), "InvalidSourceAddressPrefix"},
		{"length of 33", v("10.0.0.0/33"), "InvalidSourceAddressPrefix"},
		{"length of 129", v("2001:db8::/129"), "InvalidSourceAddressPrefix"},
		{"length with a zero", v("10.0.0.0/08"), "InvalidSourceAddressPrefix"},
		{"length with a sign", v("10.0.0.0/+8"), "InvalidSourceAddressPrefix"},
		{"negative length", v("10.0.0.0/-1"), "InvalidSourceAddressPrefix"},
		{"no length", v("10.0.0.0/"), "InvalidSourceAddressPrefix"},
		{"netmask", v("10.0.0.0/255.0.0.0"), "InvalidSourceAddressPrefix"},
		{"two lengths", v("10.0.0.0/8/8"), "InvalidSourceAddressPrefix"},
		{"only a length", v("/8"), "InvalidSourceAddressPrefix"},
		{"a good one and a bad one", v("10.0.0.1", "x"), "InvalidSourceAddressPrefix"},
		{"any and a bad one", v("*", "x"), "InvalidSourceAddressPrefix"},
		{"a hundred and one", slices.Repeat(v("10.0.0.1"), 101), "TooManySources"},
		{"a megabyte", v(strings.Repeat("1", 1<<20)), "InvalidSourceAddressPrefix"},

		{"none", nil, ""},
		{"address", v("203.0.113.7"), "203.0.113.7"},
		{"address with its length", v("203.0.113.7/32"), "203.0.113.7"},
		{"prefix", v("203.0.113.0/24"), "203.0.113.0/24"},
		{"any", v("*"), "*"},
		{"any takes all", v("10.0.0.1", "*"), "*"},
		{"all of IPv4 is not any", v("0.0.0.0/0"), "0.0.0.0/0"},
		{"both halves of the Internet are not any", v("0.0.0.0/0", "::/0"), "0.0.0.0/0,::/0"},
		{"IPv6, long form", v("2001:0DB8:0000:0000:0000:0000:0000:0001"), "2001:db8::1"},
		{"IPv6 prefix", v("2001:db8::/32"), "2001:db8::/32"},
		{"IPv4 in IPv6 form is IPv4", v("::ffff:10.0.0.1"), "10.0.0.1"},
		{"twice", v("10.0.0.1", "10.0.0.1/32", "::ffff:10.0.0.1"), "10.0.0.1"},
		{"one holds the other", v("10.0.0.1", "10.0.0.0/8", "10.128.0.0/9"), "10.0.0.0/8"},
		{"sorted", v("2001:db8::1", "10.0.0.2", "10.0.0.1"), "10.0.0.1,10.0.0.2,2001:db8::1"},
		{"a line break behind it", v("10.0.0.1\n"), "10.0.0.1"},
		{"a CR LF behind it", v("10.0.0.1\r"), "10.0.0.1"},
		{"a blank before it", v(" 10.0.0.1"), "10.0.0.1"},
		{"any, with a line break behind it", v("*\n"), "*"},
		{"a hundred", slices.Repeat(v("10.0.0.1"), 100), "10.0.0.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := jit.ParseSources(tt.in...)
			if code := jit.Code(tt.want); code == jit.CodeInvalidSource || code == jit.CodeTooManySources {
				wantCode(t, err, code)
				if !s.IsEmpty() {
					t.Errorf("refused, but gives %s", s)
				}
				return
			}
			wantCode(t, err, "")
			if s.String() != tt.want || strings.Join(s.Strings(), ",") != tt.want {
				t.Errorf("got %s and %q, want %s", s, s.Strings(), tt.want)
			}
		})
	}
}

func TestZeroSourcesHoldNothing(t *testing.T) {
	var zero jit.Sources
	one := jit.SourcesOf(netip.MustParsePrefix("10.0.0.1/32"))
	for _, s := range []jit.Sources{one, jit.AnySource()} {
		if zero.Contains(s) || zero.Overlaps(s) || s.Overlaps(zero) || zero.Equal(s) {
			t.Errorf("the zero value meets %s", s)
		}
		if !s.Contains(zero) {
			t.Errorf("%s does not contain the empty set", s)
		}
	}
	if !zero.IsEmpty() || zero.IsAny() || zero.String() != "" {
		t.Errorf("the zero value is %q", zero)
	}
	if s := jit.SourcesOf(netip.Prefix{}); !s.IsEmpty() {
		t.Errorf("an invalid prefix gives %s", s)
	}
}

// SourcesOf has to know an IPv4 address in IPv6 form, or a rule of the wrong family follows.
func TestSourcesOfUnmaps(t *testing.T) {
	got := jit.SourcesOf(netip.MustParsePrefix("::ffff:10.0.0.0/104"), netip.PrefixFrom(netip.MustParseAddr("::ffff:10.0.0.1"), 128))
	if got.String() != "10.0.0.0/8" {
		t.Errorf("got %s", got)
	}
}

// The universe of the laws: sixteen addresses of either family.
func universe() []netip.Addr {
	var out []netip.Addr
	for i := range 16 {
		out = append(out, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), netip.AddrFrom16([16]byte{0x20, 1, 15: byte(i)}))
	}
	return out
}

func drawSources(t *rapid.T, label string) jit.Sources {
	if rapid.IntRange(0, 9).Draw(t, label+" any") == 0 {
		return jit.AnySource()
	}
	var ps []netip.Prefix
	for range rapid.IntRange(0, 5).Draw(t, label+" count") {
		a := rapid.SampledFrom(universe()).Draw(t, label)
		ps = append(ps, netip.PrefixFrom(a, a.BitLen()-rapid.IntRange(0, 4).Draw(t, label+" width")))
	}
	return jit.SourcesOf(ps...)
}

func has(s jit.Sources, a netip.Addr) bool {
	if s.IsAny() {
		return true
	}
	for _, p := range s.Prefixes() {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func TestSourcesAreSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSources(t, "a"), drawSources(t, "b")
		meets, inside := false, true
		for _, x := range universe() {
			meets = meets || has(a, x) && has(b, x)
			inside = inside && (!has(b, x) || has(a, x))
		}
		if b.IsAny() {
			inside = a.IsAny() // the universe is not all there is
		}
		if b.IsEmpty() {
			inside = true
		}
		if got := a.Overlaps(b); got != meets && !(a.IsAny() && b.IsAny()) {
			t.Fatalf("%s overlaps %s: %t, want %t", a, b, got, meets)
		}
		if a.Overlaps(b) != b.Overlaps(a) {
			t.Fatalf("%s overlaps %s one way only", a, b)
		}
		if a.Contains(b) && !inside {
			t.Fatalf("%s contains %s, which holds more", a, b)
		}
		// The other way is not promised, except where one prefix holds each prefix.
		if !a.Contains(b) && inside && !b.IsAny() {
			joined := slices.ContainsFunc(b.Prefixes(), func(p netip.Prefix) bool {
				return !slices.ContainsFunc(a.Prefixes(), func(q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Contains(p.Addr()) })
			})
			if !joined {
				t.Fatalf("%s does not contain %s", a, b)
			}
		}
		if !a.Contains(a) || a.Contains(b) && b.Contains(a) && !a.Equal(b) {
			t.Fatalf("%s and %s break the order", a, b)
		}
		again, err := jit.ParseSources(a.Strings()...)
		if err != nil || !again.Equal(a) {
			t.Fatalf("%s parses as %s, %v", a, again, err)
		}
	})
}

func FuzzParseSources(f *testing.F) {
	for _, s := range []string{"*", "203.0.113.7", "203.0.113.0/24", "2001:db8::/32", "::ffff:10.0.0.1", "10.1.2.3/8", "fe80::1%eth0", "0x7f.1", "10.0.0.1,10.0.0.2", "0.0.0.0/0"} {
		f.Add(s, "10.0.0.0/8")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		s, err := jit.ParseSources(a, b)
		if err != nil {
			if !s.IsEmpty() {
				t.Fatalf("refused, but gives %s", s)
			}
			return
		}
		if s.IsEmpty() {
			t.Fatalf("%q, %q give the empty set", a, b)
		}
		again, err := jit.ParseSources(s.Strings()...)
		if err != nil || !again.Equal(s) || again.String() != s.String() {
			t.Fatalf("%q, %q print as %s, then %s, %v", a, b, s, again, err)
		}
		other, err := jit.ParseSources(b, a)
		if err != nil || !other.Equal(s) {
			t.Fatalf("the order matters: %s, %s, %v", s, other, err)
		}
		for _, p := range s.Prefixes() {
			if p != p.Masked() || p.Addr().Is4In6() || p.Addr().Zone() != "" {
				t.Fatalf("%s is not canonical", p)
			}
		}
	})
}
