package azfirewall_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"portcullis/core/jit"
	"portcullis/infra/azfirewall"
)

var same = cmpopts.EquateComparable(netip.Prefix{}, netip.AddrPort{})

func peers(list ...string) jit.Peers {
	var p jit.Peers
	for _, s := range list {
		p.Prefixes = append(p.Prefixes, netip.MustParsePrefix(s))
	}
	return p
}

// mine is a rule of ours, with some of it changed.
func mine(name string, port uint16, change ...func(*jit.Rule)) jit.Rule {
	r := jit.Rule{
		Name: "portcullis-" + name, Access: jit.Allow, Protocol: jit.TCP, Source: peers("203.0.113.7/32"),
		Destination: peers("198.51.100.1/32"), SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(port)},
		Translated: netip.MustParseAddrPort("10.0.1.4:22"), Description: "until <then> & \"no longer\"",
	}
	for _, f := range change {
		f(&r)
	}
	return r
}

func TestEncodeRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*jit.Rule)
		want   string
	}{
		{"a deny", func(r *jit.Rule) { r.Access = jit.Deny }, "only lets in"},
		{"outbound", func(r *jit.Rule) { r.Direction = jit.Outbound }, "only lets in"},
		{"a priority", func(r *jit.Rule) { r.Priority = 100 }, "collection's"},
		{"another protocol", func(r *jit.Rule) { r.Protocol = jit.ICMP }, "protocol"},
		{"no protocol", func(r *jit.Rule) { r.Protocol = "" }, "protocol"},
		{"no source", func(r *jit.Rule) { r.Source = jit.Peers{} }, "no addresses"},
		{"an IPv6 source", func(r *jit.Rule) { r.Source = peers("203.0.113.7/32", "2001:db8::/32") }, "not IPv4"},
		{"a zero source", func(r *jit.Rule) { r.Source.Prefixes = []netip.Prefix{{}} }, "not IPv4"},
		{"a tag as source", func(r *jit.Rule) { r.Source = jit.Peers{Tags: []string{"Internet"}} }, "tags"},
		{"a group as source", func(r *jit.Rule) { r.Source = jit.Peers{Groups: []string{"/g"}} }, "groups"},
		{"any destination", func(r *jit.Rule) { r.Destination = jit.AnyPeer() }, "one IPv4 address"},
		{"no destination", func(r *jit.Rule) { r.Destination = jit.Peers{} }, "one IPv4 address"},
		{"two destinations", func(r *jit.Rule) { r.Destination = peers("198.51.100.1/32", "198.51.100.2/32") }, "one IPv4 address"},
		{"a network as destination", func(r *jit.Rule) { r.Destination = peers("198.51.100.0/24") }, "one IPv4 address"},
		{"an IPv6 destination", func(r *jit.Rule) { r.Destination = peers("2001:db8::1/128") }, "one IPv4 address"},
		{"no port", func(r *jit.Rule) { r.DestinationPorts = nil }, "one port"},
		{"two ports", func(r *jit.Rule) { r.DestinationPorts = append(r.DestinationPorts, jit.OnePort(1)) }, "one port"},
		{"a range", func(r *jit.Rule) { r.DestinationPorts[0].Last++ }, "one port"},
		{"port 0", func(r *jit.Rule) { r.DestinationPorts = []jit.PortRange{jit.OnePort(0)} }, "one port"},
		{"source ports", func(r *jit.Rule) { r.SourcePorts = []jit.PortRange{jit.OnePort(1)} }, "source ports"},
		{"translated to nothing", func(r *jit.Rule) { r.Translated = netip.AddrPort{} }, "translated"},
		{"translated to port 0", func(r *jit.Rule) { r.Translated = netip.MustParseAddrPort("10.0.1.4:0") }, "translated"},
		{"translated to IPv6", func(r *jit.Rule) { r.Translated = netip.MustParseAddrPort("[fd00::4]:22") }, "translated"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text, err := azfirewall.EncodeRule(mine("a", 50022, tc.change))
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "portcullis-a") {
				t.Errorf("error %v, want one with %q; %s", err, tc.want, text)
			}
		})
	}
}

func TestRoundTrip(t *testing.T) {
	for _, r := range []jit.Rule{
		mine("a", 50022),
		mine("any", 1, func(r *jit.Rule) { r.Source, r.Protocol, r.Description = jit.AnyPeer(), jit.AnyProtocol, "" }),
		mine("many", 65535, func(r *jit.Rule) { r.Source, r.Protocol = peers("10.0.0.0/8", "203.0.113.7/32"), jit.UDP }),
		mine("plain", 7, func(r *jit.Rule) { r.SourcePorts = nil }),
	} {
		text, err := azfirewall.EncodeRule(r)
		if err != nil {
			t.Errorf("%s: %v", r.Name, err)
			continue
		}
		if got := azfirewall.DecodeRule(text); !got.Equal(r) {
			t.Errorf("%s: %s reads as %+v", r.Name, text, got)
		}
	}
	text, _ := azfirewall.EncodeRule(mine("a", 50022))
	want := `{"name":"portcullis-a","description":"until <then> & \"no longer\"","protocols":["TCP"],"sourceAddresses":["203.0.113.7"],"destinationAddresses":["198.51.100.1"],"destinationPorts":["50022"],"translatedAddress":"10.0.1.4","translatedPort":"22"}`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("on the wire (-want +got):\n%s", diff)
	}
}

// TestDecode decodes foreign rules; unreadable parts have the widest meaning.
func TestDecode(t *testing.T) {
	all := []jit.PortRange{jit.AllPorts()}
	widest := jit.Rule{Access: jit.Allow, Protocol: jit.AnyProtocol, Source: jit.AnyPeer(), Destination: jit.AnyPeer(), SourcePorts: all, DestinationPorts: all}
	with := func(change func(*jit.Rule)) jit.Rule {
		r := widest
		change(&r)
		return r
	}
	for _, tc := range []struct {
		raw  string
		want jit.Rule
	}{
		{`null`, widest},
		{`[1]`, widest},
		{`{"protocols":"TCP","destinationPorts":{}}`, widest},
		{`{"protocols":["tcp","TCP"]}`, with(func(r *jit.Rule) { r.Protocol = jit.TCP })},
		{`{"protocols":["TCP","UDP"]}`, widest},
		{`{"protocols":["ICMP"]}`, widest},
		{`{"sourceAddresses":["*"],"sourceIpGroups":["/g"]}`, widest},
		{`{"sourceAddresses":[],"sourceIpGroups":["/g"]}`, with(func(r *jit.Rule) { r.Source = jit.Peers{Groups: []string{"/g"}} })},
		{`{"sourceAddresses":["10.0.0.5-10.0.0.8","192.0.2.1"]}`, with(func(r *jit.Rule) {
			r.Source = peers("10.0.0.5/32", "10.0.0.6/31", "10.0.0.8/32", "192.0.2.1/32")
		})},
		{`{"sourceAddresses":["0.0.0.0-255.255.255.255"]}`, with(func(r *jit.Rule) { r.Source = peers("0.0.0.0/0") })},
		{`{"sourceAddresses":["10.0.0.9-10.0.0.1","AzureCloud"]}`, with(func(r *jit.Rule) { r.Source = jit.Peers{Tags: []string{"10.0.0.9-10.0.0.1", "AzureCloud"}} })},
		{`{"destinationPorts":["80","90-99","x","9-1"]}`, with(func(r *jit.Rule) {
			r.DestinationPorts = []jit.PortRange{jit.OnePort(80), {First: 90, Last: 99}, jit.AllPorts(), jit.AllPorts()}
		})},
		{`{"translatedAddress":"10.0.0.4","translatedPort":"x"}`, widest},
		{`{"translatedFqdn":"vm.example","translatedPort":"22"}`, widest},
		{`{"translatedAddress":"10.0.0.4","translatedPort":22}`, with(func(r *jit.Rule) { r.Translated = netip.MustParseAddrPort("10.0.0.4:22") })},
	} {
		if diff := cmp.Diff(tc.want, azfirewall.DecodeRule(json.RawMessage(tc.raw)), same); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.raw, diff)
		}
	}
}

// FuzzDecode: any text is decoded without a panic, and a range decodes to exactly its addresses.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{}`, `{"name":"a","protocols":["TCP"],"sourceAddresses":["10.0.0.1-10.0.0.9"],"destinationPorts":["1-2"],"translatedPort":"1"}`, `[`, `{"sourceAddresses":[null,1,"::1"]}`} {
		f.Add(seed, uint32(1), uint32(9))
	}
	f.Fuzz(func(t *testing.T, raw string, a, b uint32) {
		azfirewall.DecodeRule(json.RawMessage(raw))
		at := func(n uint32) netip.Addr {
			return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
		}
		r := azfirewall.DecodeRule(json.RawMessage(fmt.Sprintf(`{"sourceAddresses":["%s-%s"]}`, at(a), at(b))))
		if a > b {
			if len(r.Source.Prefixes) > 0 {
				t.Fatalf("a range backwards is %v", r.Source)
			}
			return
		}
		var n uint64
		for i, p := range r.Source.Prefixes {
			n += 1 << (32 - p.Bits())
			if i > 0 && r.Source.Prefixes[i-1].Overlaps(p) || p != p.Masked() {
				t.Fatalf("%v", r.Source.Prefixes)
			}
		}
		first, last := r.Source.Prefixes[0], r.Source.Prefixes[len(r.Source.Prefixes)-1]
		if n != uint64(b)-uint64(a)+1 || first.Addr() != at(a) || !last.Contains(at(b)) {
			t.Fatalf("%s-%s is %v", at(a), at(b), r.Source.Prefixes)
		}
	})
}
