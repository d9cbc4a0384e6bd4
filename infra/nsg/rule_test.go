package nsg_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"portcullis/core/jit"
	"portcullis/infra/nsg/document"
)

func samePrefix(a, b netip.Prefix) bool { return a == b }

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// widest is what becomes of a rule of which nothing is understood.
func widest(change func(*jit.Rule)) jit.Rule {
	r := jit.Rule{
		Access: jit.Allow, Protocol: jit.AnyProtocol, Source: jit.AnyPeer(), Destination: jit.AnyPeer(),
		SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.AllPorts()},
	}
	if change != nil {
		change(&r)
	}
	return r
}

// properties is a rule called r with these properties.
func properties(text string) string { return `{"name":"r","properties":{` + text + `}}` }

func TestDecodeRule(t *testing.T) {
	named := func(change func(*jit.Rule)) jit.Rule {
		return widest(func(r *jit.Rule) {
			r.Name = "r"
			change(r)
		})
	}
	for _, tc := range []struct {
		name string
		text string
		want jit.Rule
	}{
		// What is not understood counts as possibly matching.
		{"not an object", `"rule"`, widest(nil)},
		{"null", `null`, widest(nil)},
		{"no properties", `{"name":"r"}`, named(func(r *jit.Rule) {})},
		{"properties of another kind", `{"name":"r","properties":[1]}`, named(func(r *jit.Rule) {})},
		{"unknown access", properties(`"access":"AlwaysAllow"`), named(func(r *jit.Rule) {})},
		{"unknown direction", properties(`"direction":"Sideways"`), named(func(r *jit.Rule) {})},
		{"unknown protocol", properties(`"protocol":"Icmpv6"`), named(func(r *jit.Rule) {})},
		{"protocol of another kind", properties(`"protocol":6`), named(func(r *jit.Rule) {})},
		{"priority of another kind", properties(`"priority":"200"`), named(func(r *jit.Rule) {})},
		{"unreadable prefix", properties(`"sourceAddressPrefix":"10.0.0.1-10.0.0.9"`), named(func(r *jit.Rule) { r.Source = jit.Peers{Tags: []string{"10.0.0.1-10.0.0.9"}} })},
		{"IPv4 in IPv6 form", properties(`"sourceAddressPrefix":"::ffff:10.0.0.1"`), named(func(r *jit.Rule) { r.Source = jit.Peers{Tags: []string{"::ffff:10.0.0.1"}} })},
		{"address with a zone", properties(`"sourceAddressPrefix":"fe80::1%eth0"`), named(func(r *jit.Rule) { r.Source = jit.Peers{Tags: []string{"fe80::1%eth0"}} })},
		{"prefix of another kind", properties(`"sourceAddressPrefix":{"id":"x"}`), named(func(r *jit.Rule) { r.Source = jit.Peers{Tags: []string{`{"id":"x"}`}} })},
		{"list of another kind", properties(`"sourceAddressPrefixes":"10.0.0.1"`), named(func(r *jit.Rule) { r.Source = jit.Peers{Tags: []string{`"10.0.0.1"`}} })},
		{"empty text in a list", properties(`"sourceAddressPrefixes":["10.0.0.1",""]`), named(func(r *jit.Rule) {})},
		{"unreadable port", properties(`"destinationPortRange":"ssh"`), named(func(r *jit.Rule) {})},
		{"port range the wrong way round", properties(`"destinationPortRange":"23-22"`), named(func(r *jit.Rule) {})},
		{"port too high", properties(`"destinationPortRange":"65536"`), named(func(r *jit.Rule) {})},
		{"group without an id", properties(`"destinationApplicationSecurityGroups":[{"name":"g"}]`), named(func(r *jit.Rule) { r.Destination = jit.Peers{Groups: []string{`{"name":"g"}`}} })},
		{"groups of another kind", properties(`"destinationApplicationSecurityGroups":{"id":"g"}`), named(func(r *jit.Rule) { r.Destination = jit.Peers{Groups: []string{"g"}} })},

		{"singular", properties(`"description":"d","protocol":"Tcp","sourcePortRange":"*","destinationPortRange":"22","sourceAddressPrefix":"203.0.113.7","destinationAddressPrefix":"10.0.0.0/24","access":"Deny","priority":200,"direction":"Inbound","sourcePortRanges":[],"destinationPortRanges":[],"sourceAddressPrefixes":[],"destinationAddressPrefixes":[]`),
			named(func(r *jit.Rule) {
				r.Description, r.Protocol, r.Access, r.Priority = "d", jit.TCP, jit.Deny, 200
				r.Source.Any, r.Source.Prefixes = false, prefixes("203.0.113.7/32")
				r.Destination.Any, r.Destination.Prefixes = false, prefixes("10.0.0.0/24")
				r.DestinationPorts = []jit.PortRange{jit.OnePort(22)}
			})},
		{"plural", properties(`"protocol":"udp","access":"allow","direction":"outbound","sourceAddressPrefixes":["2001:DB8::/32","fd00::1"],"destinationAddressPrefixes":["10.0.0.4/32"],"destinationPortRanges":["0","22-23","65535"],"sourcePortRanges":["1024-65535"]`),
			named(func(r *jit.Rule) {
				r.Protocol, r.Direction = jit.UDP, jit.Outbound
				r.Source.Any, r.Source.Prefixes = false, prefixes("2001:db8::/32", "fd00::1/128")
				r.Destination.Any, r.Destination.Prefixes = false, prefixes("10.0.0.4/32")
				r.SourcePorts = []jit.PortRange{{First: 1024, Last: 65535}}
				r.DestinationPorts = []jit.PortRange{jit.OnePort(0), {First: 22, Last: 23}, jit.OnePort(65535)}
			})},
		{"singular and plural", properties(`"sourceAddressPrefix":"192.0.2.1","sourceAddressPrefixes":["192.0.2.2"],"destinationPortRange":"22","destinationPortRanges":["23"]`),
			named(func(r *jit.Rule) {
				r.Source.Any, r.Source.Prefixes = false, prefixes("192.0.2.1/32", "192.0.2.2/32")
				r.DestinationPorts = []jit.PortRange{jit.OnePort(22), jit.OnePort(23)}
			})},
		{"any in words", properties(`"protocol":"Any","sourceAddressPrefix":"any","destinationAddressPrefix":"Any"`), named(func(r *jit.Rule) {})},
		{"any in a list", properties(`"sourceAddressPrefixes":["192.0.2.1","*"]`), named(func(r *jit.Rule) {})},
		{"every IPv4 address is not any", properties(`"sourceAddressPrefix":"0.0.0.0/0"`), named(func(r *jit.Rule) { r.Source.Any, r.Source.Prefixes = false, prefixes("0.0.0.0/0") })},
		{"host bits", properties(`"sourceAddressPrefix":"10.1.2.3/8"`), named(func(r *jit.Rule) { r.Source.Any, r.Source.Prefixes = false, prefixes("10.0.0.0/8") })},
		{"tags", properties(`"sourceAddressPrefix":"Internet","destinationAddressPrefixes":["VirtualNetwork","Storage.WestEurope"]`),
			named(func(r *jit.Rule) {
				r.Source, r.Destination = jit.Peers{Tags: []string{"Internet"}}, jit.Peers{Tags: []string{"VirtualNetwork", "Storage.WestEurope"}}
			})},
		{"groups", properties(`"sourceApplicationSecurityGroups":[{"id":"/g/1"},{"id":"/g/2","tags":{}}]`), named(func(r *jit.Rule) { r.Source = jit.Peers{Groups: []string{"/g/1", "/g/2"}} })},
		{"other protocols", properties(`"protocol":"Esp"`), named(func(r *jit.Rule) { r.Protocol = jit.ESP })},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := document.DecodeRule(json.RawMessage(tc.text))
			if diff := cmp.Diff(tc.want, got, cmp.Comparer(samePrefix)); diff != "" {
				t.Errorf("rule (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEncodeRuleRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*jit.Rule)
	}{
		{"no protocol", func(r *jit.Rule) { r.Protocol = "" }},
		{"unknown protocol", func(r *jit.Rule) { r.Protocol = "SCTP" }},
		{"no source", func(r *jit.Rule) { r.Source = jit.Peers{} }},
		{"no destination", func(r *jit.Rule) { r.Destination = jit.Peers{} }},
		{"a prefix that is none", func(r *jit.Rule) { r.Source = jit.Peers{Prefixes: []netip.Prefix{{}}} }},
		{"no source ports", func(r *jit.Rule) { r.SourcePorts = nil }},
		{"no destination ports", func(r *jit.Rule) { r.DestinationPorts = nil }},
		{"an empty port range", func(r *jit.Rule) { r.DestinationPorts = []jit.PortRange{{First: 2, Last: 1}} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if text, err := document.EncodeRule(widest(tc.change)); err == nil {
				t.Errorf("no error, and %s", text)
			}
		})
	}
}

func TestEncodeRule(t *testing.T) {
	for _, tc := range []struct {
		name string
		rule jit.Rule
		want string
	}{
		{"any", widest(func(r *jit.Rule) { r.Name, r.Priority = "portcullis-a", 100 }),
			`{"name":"portcullis-a","properties":{"protocol":"*","sourcePortRange":"*","destinationPortRange":"*","sourceAddressPrefix":"*","destinationAddressPrefix":"*","access":"Allow","priority":100,"direction":"Inbound"}}`},
		{"one of each", widest(func(r *jit.Rule) {
			r.Name, r.Priority, r.Access, r.Protocol, r.Description = "portcullis-b", 4096, jit.Deny, jit.TCP, "<a> & b"
			r.Source = jit.Peers{Prefixes: prefixes("203.0.113.7/32")}
			r.Destination = jit.Peers{Prefixes: prefixes("10.0.0.0/24")}
			r.DestinationPorts = []jit.PortRange{jit.OnePort(22)}
		}),
			`{"name":"portcullis-b","properties":{"description":"<a> & b","protocol":"Tcp","sourcePortRange":"*","destinationPortRange":"22","sourceAddressPrefix":"203.0.113.7","destinationAddressPrefix":"10.0.0.0/24","access":"Deny","priority":4096,"direction":"Inbound"}}`},
		{"several of each", widest(func(r *jit.Rule) {
			r.Name, r.Priority, r.Protocol, r.Direction = "portcullis-c", 101, jit.UDP, jit.Outbound
			r.Source = jit.Peers{Prefixes: prefixes("2001:db8::/32", "fd00::1/128")}
			r.Destination = jit.Peers{Prefixes: prefixes("fd00::4/128", "fd00::5/128")}
			r.SourcePorts = []jit.PortRange{{First: 1024, Last: 2048}, jit.OnePort(5000)}
			r.DestinationPorts = []jit.PortRange{jit.OnePort(22), jit.OnePort(3389)}
		}),
			`{"name":"portcullis-c","properties":{"protocol":"Udp","sourcePortRanges":["1024-2048","5000"],"destinationPortRanges":["22","3389"],"sourceAddressPrefixes":["2001:db8::/32","fd00::1"],"destinationAddressPrefixes":["fd00::4","fd00::5"],"access":"Allow","priority":101,"direction":"Outbound"}}`},
		{"all ports among others", widest(func(r *jit.Rule) {
			r.Name, r.DestinationPorts = "portcullis-d", []jit.PortRange{jit.OnePort(22), jit.AllPorts()}
		}),
			`{"name":"portcullis-d","properties":{"protocol":"*","sourcePortRange":"*","destinationPortRange":"*","sourceAddressPrefix":"*","destinationAddressPrefix":"*","access":"Allow","priority":0,"direction":"Inbound"}}`},
		{"tag and groups", widest(func(r *jit.Rule) {
			r.Name, r.Source, r.Destination = "portcullis-e", jit.Peers{Tags: []string{"Internet"}}, jit.Peers{Groups: []string{"/g/1"}}
		}),
			`{"name":"portcullis-e","properties":{"protocol":"*","sourcePortRange":"*","destinationPortRange":"*","sourceAddressPrefix":"Internet","destinationApplicationSecurityGroups":[{"id":"/g/1"}],"access":"Allow","priority":0,"direction":"Inbound"}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := document.EncodeRule(tc.rule)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, string(got)); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
		})
	}
}

// anyRule draws a rule such as package plan makes them.
func anyRule(t *rapid.T) jit.Rule {
	peers := func(label string) jit.Peers {
		if rapid.Bool().Draw(t, label+" any") {
			return jit.AnyPeer()
		}
		var p jit.Peers
		v6 := rapid.Bool().Draw(t, label+" v6")
		for _, n := range rapid.SliceOfNDistinct(rapid.Byte(), 1, 5, rapid.ID).Draw(t, label) {
			a := netip.AddrFrom4([4]byte{10, 0, n, 4})
			if v6 {
				a = netip.AddrFrom16([16]byte{0xfd, 14: n, 15: 4})
			}
			bits := rapid.IntRange(a.BitLen()-2, a.BitLen()).Draw(t, "bits")
			p.Prefixes = append(p.Prefixes, netip.PrefixFrom(a, bits).Masked())
		}
		return p
	}
	ports := func(label string) []jit.PortRange {
		if rapid.Bool().Draw(t, label+" all") {
			return []jit.PortRange{jit.AllPorts()}
		}
		var out []jit.PortRange
		for _, n := range rapid.SliceOfN(rapid.Uint16Range(1, 65000), 1, 5).Draw(t, label) {
			out = append(out, jit.PortRange{First: n, Last: n + rapid.Uint16Range(0, 500).Draw(t, "width")})
		}
		return out
	}
	return jit.Rule{
		Name:        "portcullis-" + rapid.StringMatching(`[a-z0-9]{1,12}`).Draw(t, "name"),
		Priority:    rapid.IntRange(100, 4096).Draw(t, "priority"),
		Direction:   jit.Direction(rapid.IntRange(0, 1).Draw(t, "direction")),
		Access:      jit.Access(rapid.IntRange(0, 1).Draw(t, "access")),
		Protocol:    rapid.SampledFrom([]jit.Protocol{jit.TCP, jit.UDP, jit.ICMP, jit.ESP, jit.AH, jit.AnyProtocol}).Draw(t, "protocol"),
		Source:      peers("source"),
		Destination: peers("destination"), SourcePorts: ports("source ports"), DestinationPorts: ports("destination ports"),
		Description: strings.TrimSpace(rapid.StringN(0, 140, -1).Draw(t, "description")),
	}
}

func TestRuleComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyRule(t)
		text, err := document.EncodeRule(want)
		if err != nil {
			t.Fatal(err)
		}
		if got := document.DecodeRule(text); !got.Equal(want) {
			t.Fatalf("%s comes back as %+v, want %+v", text, got, want)
		}
	})
}

// FuzzDecodeRule holds that nothing is too odd to be read, and that what was read and can be
// written means the same when it is read again.
func FuzzDecodeRule(f *testing.F) {
	for _, seed := range []string{
		`null`, `{}`, `[`, `{"name":"r","properties":{"priority":1e9,"sourceAddressPrefix":"10.0.0.0/33"}}`,
		`{"name":"r","properties":{"protocol":"Tcp","sourceAddressPrefixes":["::/0",null,7],"destinationPortRanges":["1-2"," 3 "]}}`,
		"{\"name\":[\"\xbe\"],\"properties\":{\"sourceAddressPrefixes\":\"\xbe\",\"sourceApplicationSecurityGroups\":[\"\xbe\"]}}",
		`{"properties":{"sourceAddressPrefix":"Internet","sourceApplicationSecurityGroups":[{"id":"/g"}]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r := document.DecodeRule(text)
		if !r.Source.Any && len(r.Source.Prefixes)+len(r.Source.Tags)+len(r.Source.Groups) == 0 || len(r.DestinationPorts) == 0 {
			t.Fatalf("a rule that matches nothing: %+v", r)
		}
		again, err := document.EncodeRule(r)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if slices.Contains(r.SourcePorts, jit.AllPorts()) {
			r.SourcePorts = []jit.PortRange{jit.AllPorts()}
		}
		if slices.Contains(r.DestinationPorts, jit.AllPorts()) {
			r.DestinationPorts = []jit.PortRange{jit.AllPorts()}
		}
		if got := document.DecodeRule(again); !got.Equal(r) {
			t.Fatalf("%q: %+v written as %s comes back as %+v", text, r, again, got)
		}
	})
}
