package jit_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"portcullis/core/decide"
	"portcullis/core/jit"
)

// TestDecideOptions holds what options refuse, be they the policy's or the installation's.
func TestDecideOptions(t *testing.T) {
	noAny, narrow, why := jit.Options{ForbidAnySource: true}, jit.Options{WidestIPv4: 24, WidestIPv6: 64}, jit.Options{RequireJustification: true}
	const from, reason = "virtualMachines[0].ports[0].allowedSourceAddressPrefix", "justification"
	tests := []struct {
		name    string
		o       jit.Options
		sources []string
		why     string
		want    jit.Code
		target  string
	}{
		{"any source", noAny, []string{"*"}, "", jit.CodeSourceAnyForbidden, from},
		{"any source beside an address", noAny, []string{"*", "203.0.113.7"}, "", jit.CodeSourceAnyForbidden, from},
		{"all of IPv4", noAny, []string{"0.0.0.0/0"}, "", jit.CodeSourceAnyForbidden, from},
		{"all of IPv6", noAny, []string{"::/0"}, "", jit.CodeSourceAnyForbidden, from},
		{"all of IPv6 beside an address of IPv4", noAny, []string{"203.0.113.7", "::/0"}, "", jit.CodeSourceAnyForbidden, from},
		{"all of IPv4 in halves", noAny, []string{"128.0.0.0/1", "0.0.0.0/1"}, "", jit.CodeSourceAnyForbidden, from},
		{"all of IPv4 in pieces", noAny, []string{"0.0.0.0/2", "64.0.0.0/3", "96.0.0.0/3", "128.0.0.0/1"}, "", jit.CodeSourceAnyForbidden, from},
		{"all of IPv6 in halves", noAny, []string{"::/1", "8000::/1"}, "", jit.CodeSourceAnyForbidden, from},
		{"half of IPv4", noAny, []string{"0.0.0.0/1"}, "", jit.CodeSourceAnyForbidden, from},
		{"the other half of IPv4", noAny, []string{"128.0.0.0/1"}, "", jit.CodeSourceAnyForbidden, from},
		{"all of public IPv6", noAny, []string{"2000::/3"}, "", jit.CodeSourceAnyForbidden, from},
		{"all that one registry of IPv6 has", noAny, []string{"2a00::/12"}, "", jit.CodeSourceAnyForbidden, from},
		{"all of IPv4 but one address", noAny, allBut(netip.MustParseAddr("203.0.113.7")), "", jit.CodeSourceAnyForbidden, from},
		{"all of public IPv6 but one address", noAny, allBut(netip.MustParseAddr("2001:db8::7"))[3:], "", jit.CodeSourceAnyForbidden, from},
		{"one address more than counts as any", noAny, []string{"1.0.0.0/8", "2.0.0.1"}, "", jit.CodeSourceAnyForbidden, from},
		{"one network of IPv6 more than counts as any", noAny, []string{"2c00::/19", "2001:db8::/128"}, "", jit.CodeSourceAnyForbidden, from},
		{"a hundred alternate /24, where that is the widest", narrow, alternate(100, 0), "", jit.CodeSourcesTogether, from},
		{"five of the widest apart", narrow, alternate(5, 0), "", jit.CodeSourcesTogether, from},
		{"four of the widest apart, and an address", narrow, append(alternate(4, 0), "198.51.100.7"), "", jit.CodeSourcesTogether, from},
		{"five of the widest of IPv6 apart", narrow, []string{"2001:db8::/64", "2001:db8:2::/64", "2001:db8:4::/64", "2001:db8:6::/64", "2001:db8:8::/64"}, "", jit.CodeSourcesTogether, from},
		{"any source, where there is a bound", narrow, []string{"*"}, "", jit.CodeSourceTooWide, from},
		{"a bit wider than the widest of IPv4", narrow, []string{"203.0.112.0/23"}, "", jit.CodeSourceTooWide, from},
		{"one of two wider", narrow, []string{"198.51.100.7", "10.0.0.0/8"}, "", jit.CodeSourceTooWide, from},
		{"all of IPv4, where there is a bound", narrow, []string{"0.0.0.0/0"}, "", jit.CodeSourceTooWide, from},
		{"a bit wider than the widest of IPv6", narrow, []string{"2001:db8::/63"}, "", jit.CodeSourceTooWide, from},
		{"neighbours that make up a wider one", narrow, []string{"203.0.112.0/24", "203.0.113.0/24"}, "", jit.CodeSourceTooWide, from},
		{"quarters that make up a wider one", narrow, []string{"203.0.113.0/25", "203.0.112.128/25", "203.0.113.128/25", "203.0.112.0/25"}, "", jit.CodeSourceTooWide, from},
		{"both are said: every address", noAny.With(narrow), []string{"*"}, "", jit.CodeSourceAnyForbidden, from},
		{"no justification", why, []string{"203.0.113.7"}, "", jit.CodeJustificationRequired, reason},
		{"spaces", why, []string{"203.0.113.7"}, " \t\r\n\u00a0\u2003", jit.CodeJustificationRequired, reason},
		{"characters that nobody sees", why, []string{"203.0.113.7"}, "\u200b\u2060\ufeff\u0000", jit.CodeTextNotPrintable, reason},
		{"the justification is told before the source", why.With(noAny), []string{"*"}, "", jit.CodeJustificationRequired, reason},

		{"nothing is demanded", jit.Options{}, []string{"*"}, "", "", ""},
		{"as many public addresses as count as any", noAny, []string{"1.0.0.0/8", "2c00::/19"}, "", "", ""},
		{"as many in pieces, and private ones beside them", noAny, []string{"8.0.0.0/9", "20.0.0.0/9", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fe80::/10"}, "", "", ""},
		{"a range of which half is not public", noAny, []string{"0.0.0.0/7"}, "", "", ""},
		{"an address", narrow, []string{"203.0.113.7"}, "", "", ""},
		{"the widest of IPv4", narrow, []string{"203.0.113.0/24"}, "", "", ""},
		{"the widest of IPv6", narrow, []string{"2001:db8::/64"}, "", "", ""},
		{"neighbours that make up the widest", narrow, []string{"203.0.113.0/25", "203.0.113.128/25"}, "", "", ""},
		{"neighbours that no prefix holds alone", narrow, []string{"203.0.113.0/24", "203.0.114.0/24"}, "", "", ""},
		{"four of the widest apart", narrow, alternate(4, 0), "", "", ""},
		{"many addresses that are fewer together", narrow, single(100), "", "", ""},
		{"four of the widest of each family", narrow, append(alternate(4, 0), "2001:db8::/64", "2001:db8:2::/64", "2001:db8:4::/64", "2001:db8:6::/64"), "", "", ""},
		{"a word", why, []string{"203.0.113.7"}, " é ", "", ""},
	}
	for _, tt := range tests {
		own, none := tt.o, jit.Options{}
		for by, set := range map[string]struct {
			own   *jit.Options
			floor jit.Options
		}{"policy": {&own, none}, "installation": {nil, tt.o}, "installation, and a policy that takes nothing off": {&none, tt.o}} {
			t.Run(tt.name+"/"+by, func(t *testing.T) {
				p := jit.Policy{VM: vm("web"), Options: set.own, Ports: []jit.PortRule{{Number: 22, Protocol: jit.TCP, Sources: jit.AnySource(), Maximum: time.Hour}}}
				r := jit.Request{Requestor: "ann", Justification: tt.why, VMs: []jit.RequestVM{{VM: p.VM, Ports: []jit.RequestPort{{Number: 22, Duration: time.Minute, Sources: sources(t, tt.sources...)}}}}}
				g, err := decided(func(jit.ID) (jit.Policy, bool) { return p, true }, set.floor, r, "id", now)
				wantCode(t, err, tt.want)
				if e, ok := err.(*jit.Error); ok && (e.Target != tt.target || len(g.VMs) > 0) {
					t.Errorf("target %q, want %q; gives %+v", e.Target, tt.target, g)
				}
			})
		}
	}
}

// allBut returns the prefixes that make up the family of an address without it: one of each length.
func allBut(a netip.Addr) []string {
	var out []string
	for bits := 1; bits <= a.BitLen(); bits++ {
		p := netip.PrefixFrom(a, bits).Masked()
		b := p.Addr().AsSlice()
		b[(bits-1)/8] ^= 1 << (7 - (bits-1)%8)
		other, _ := netip.AddrFromSlice(b)
		out = append(out, netip.PrefixFrom(other, bits).String())
	}
	return out[:min(len(out), 90)] // of IPv6 all but a network of 38 bits: a port takes 100 prefixes
}

// alternate returns n prefixes of 24 bits below 198.18.0.0/15, every second one from the given one on.
func alternate(n, from int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("198.18.%d.0/24", from+2*i))
	}
	return out
}

// single returns n addresses that are no neighbours.
func single(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("198.18.0.%d", 2*i))
	}
	return out
}

// TestDecideOptionsOfOne: of two machines, the options of each hold for its own ports, and a
// justification that one of them requires is required of the request.
func TestDecideOptionsOfOne(t *testing.T) {
	strict := jit.Options{ForbidAnySource: true, RequireJustification: true}
	policy := func(id jit.ID) (jit.Policy, bool) {
		p := jit.Policy{VM: id, Ports: []jit.PortRule{{Number: 22, Protocol: jit.TCP, Sources: jit.AnySource(), Maximum: time.Hour}}}
		if id.Name == "strict" {
			p.Options = &strict
		}
		return p, true
	}
	ask := func(why, ofStrict string) error {
		r := jit.Request{Requestor: "ann", Justification: why, VMs: []jit.RequestVM{
			{VM: vm("lax"), Ports: []jit.RequestPort{{Number: 22, Duration: time.Minute, Sources: jit.AnySource()}}},
			{VM: vm("strict"), Ports: []jit.RequestPort{{Number: 22, Duration: time.Minute, Sources: sources(t, ofStrict)}}}}}
		_, err := decided(policy, jit.Options{}, r, "id", now)
		return err
	}
	wantCode(t, ask("", "203.0.113.7"), jit.CodeJustificationRequired)
	err := ask("why", "*")
	wantCode(t, err, jit.CodeSourceAnyForbidden)
	if e, ok := err.(*jit.Error); !ok || e.Target != "virtualMachines[1].ports[0].allowedSourceAddressPrefix" {
		t.Errorf("got %v", err)
	}
	wantCode(t, ask("why", "203.0.113.7"), "")
}

// TestExtendOptions: what is demanded now is demanded of an extension, whatever was when it was granted.
func TestExtendOptions(t *testing.T) {
	p := jit.Policy{VM: vm("web"), Ports: []jit.PortRule{{Number: 22, Protocol: jit.TCP, Sources: jit.AnySource(), Maximum: 3 * time.Hour}}}
	g := jit.Grant{ID: "g", Start: now, Generation: 1, VMs: []jit.GrantVM{{VM: vm("web"), Ports: []jit.Window{
		{Number: 22, Protocol: jit.TCP, Sources: jit.AnySource(), End: now.Add(time.Hour), Status: jit.Initiated}}}}}
	for name, tt := range map[string]struct {
		o    jit.Options
		why  string
		want jit.Code
	}{
		"any source":             {jit.Options{ForbidAnySource: true}, "", jit.CodeSourceAnyForbidden},
		"wider than the widest":  {jit.Options{WidestIPv4: 1, WidestIPv6: 1}, "", jit.CodeSourceTooWide},
		"without justification":  {jit.Options{RequireJustification: true}, "", jit.CodeJustificationRequired},
		"with one":               {jit.Options{RequireJustification: true}, "why", ""},
		"where nothing is asked": {jit.Options{}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, own := range []bool{true, false} {
				policy, floor := p, tt.o
				if own {
					policy.Options, floor = &tt.o, jit.Options{}
				}
				asked := g
				asked.Justification = tt.why
				got, err := decide.Extend(asked, func(jit.ID) (jit.Policy, bool) { return policy, true }, floor, 2*time.Hour, time.Time{}, now.Add(time.Minute))
				wantCode(t, err, tt.want)
				if moved := got.End().After(g.End()); moved != (tt.want == "") {
					t.Errorf("moved: %v", moved)
				}
			}
		})
	}
}

func TestOptionsValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		o      jit.Options
		target string // "" for valid
	}{
		"below IPv4":     {jit.Options{WidestIPv4: -1, WidestIPv6: 64}, "options.widestIPv4Prefix"},
		"over IPv4":      {jit.Options{WidestIPv4: 33, WidestIPv6: 64}, "options.widestIPv4Prefix"},
		"below IPv6":     {jit.Options{WidestIPv4: 24, WidestIPv6: -1}, "options.widestIPv6Prefix"},
		"over IPv6":      {jit.Options{WidestIPv4: 24, WidestIPv6: 129}, "options.widestIPv6Prefix"},
		"IPv4 alone":     {jit.Options{WidestIPv4: 24}, "options.widestIPv6Prefix"},
		"IPv6 alone":     {jit.Options{WidestIPv6: 64}, "options.widestIPv4Prefix"},
		"nothing":        {jit.Options{}, ""},
		"single address": {jit.Options{WidestIPv4: 32, WidestIPv6: 128}, ""},
		"everything":     {jit.Options{ForbidAnySource: true, WidestIPv4: 1, WidestIPv6: 1, RequireJustification: true}, ""},
	} {
		_, err := jit.Policy{VM: vm("web"), Ports: jit.DefaultPorts(), Options: &tt.o}.Validate()
		e, refused := err.(*jit.Error)
		if refused != (tt.target != "") || refused && (e.Code != jit.CodeInvalidWidestSource || e.Target != tt.target) {
			t.Errorf("%s: got %v, want %q", name, err, tt.target)
		}
	}
}

func TestOptionsSay(t *testing.T) {
	all := jit.Options{ForbidAnySource: true, WidestIPv4: 24, WidestIPv6: 64, RequireJustification: true}
	for _, want := range []string{"any source", "/24", "/64", "justification"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("%q does not say %s", all, want)
		}
	}
	if !(jit.Options{}).IsZero() || (jit.Options{}).String() != "" || all.IsZero() {
		t.Error("nothing is not nothing")
	}
}

// TestOptionsStricter: what two options allow together is what both allow, for any request.
func TestOptionsStricter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) jit.Options {
			o := jit.Options{ForbidAnySource: rapid.Bool().Draw(t, name+" any"), RequireJustification: rapid.Bool().Draw(t, name+" why")}
			if rapid.Bool().Draw(t, name+" bounded") {
				o.WidestIPv4, o.WidestIPv6 = rapid.IntRange(1, 32).Draw(t, name+" v4"), rapid.IntRange(1, 128).Draw(t, name+" v6")
			}
			return o
		}
		a, b := draw("a"), draw("b")
		from := drawSources(t, "sources")
		if rapid.Bool().Draw(t, "wide") {
			from = jit.SourcesOf(netip.PrefixFrom(netip.IPv4Unspecified(), rapid.IntRange(0, 4).Draw(t, "bits")))
		}
		r := jit.Request{Requestor: "ann", Justification: rapid.SampledFrom([]string{"", " ", "why"}).Draw(t, "why"),
			VMs: []jit.RequestVM{{VM: vm("web"), Ports: []jit.RequestPort{{Number: 22, Duration: time.Minute, Sources: from}}}}}
		allowed := func(own *jit.Options, floor jit.Options) bool {
			p := jit.Policy{VM: vm("web"), Options: own, Ports: []jit.PortRule{{Number: 22, Protocol: jit.TCP, Sources: jit.AnySource(), Maximum: time.Hour}}}
			_, err := decided(func(jit.ID) (jit.Policy, bool) { return p, true }, floor, r, "id", now)
			return err == nil
		}
		both := allowed(&a, jit.Options{}) && allowed(&b, jit.Options{})
		if got := allowed(&a, b); got != both || allowed(&b, a) != both {
			t.Fatalf("%v under %v: %v, but alone they allow %v", a, b, got, both)
		}
	})
}
