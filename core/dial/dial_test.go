package dial_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"portcullis/core/dial"
	"portcullis/core/jit"
	"portcullis/core/roster"
)

var public = []netip.Addr{netip.MustParseAddr("203.0.113.20"), netip.MustParseAddr("203.0.113.21")}

func vmID(name string) jit.ID {
	return jit.ID{Subscription: "00000000-0000-0000-0000-00000000d3e0", ResourceGroup: "demo", Type: jit.TypeVM, Name: name}
}

func rule(name string, p jit.Protocol, at netip.AddrPort) jit.Rule {
	return jit.Rule{Name: name, Access: jit.Allow, Protocol: p, Source: jit.AnyPeer(), Destination: jit.PeersOf(at.Addr()), SourcePorts: []jit.PortRange{jit.AllPorts()},
		DestinationPorts: []jit.PortRange{jit.OnePort(at.Port())}, Translated: netip.MustParseAddrPort("10.9.9.9:1")}
}

// TestMap: what is chosen is in the range, nobody else's, the same whatever the order, and the
// same again while it is open; many machines never share one.
func TestMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := dial.Firewall{Public: public[:1]}
		n := rapid.IntRange(1, 40).Draw(t, "machines")
		for i := range n {
			f.Policies = append(f.Policies, roster.Protected{Policy: jit.Policy{VM: vmID(fmt.Sprint("vm", i)), Ports: []jit.PortRule{{Number: 22, Protocol: jit.TCP}, {Number: 3389, Protocol: jit.AnyProtocol}}}})
		}
		first := map[string]netip.AddrPort{}
		for _, p := range f.Policies { // foreign rules take what some of them would have
			if at, err := f.Map(p.Policy, p.Policy.Ports[0]); err == nil && rapid.IntRange(0, 4).Draw(t, "taken") == 0 {
				f.Rules = append(f.Rules, rule("foreign-"+p.Policy.VM.Name, jit.TCP, at))
			}
		}
		seen := map[netip.AddrPort]string{}
		for _, p := range f.Policies {
			for _, port := range p.Policy.Ports {
				at, err := f.Map(p.Policy, port)
				if err != nil {
					t.Fatal(err)
				}
				if at.Port() < dial.FirstMapped || at.Port() > dial.LastMapped || at.Addr() != public[0] {
					t.Fatalf("%s is outside the range", at)
				}
				who := fmt.Sprint(p.Policy.VM.Name, ":", port.Number)
				if other := seen[at]; other != "" {
					t.Fatalf("%s and %s are both at %s", other, who, at)
				}
				if slices.ContainsFunc(f.Rules, func(r jit.Rule) bool { return r.DestinationPorts[0].First == at.Port() }) {
					t.Fatalf("%s is at %s, which a foreign rule has", who, at)
				}
				seen[at], first[who] = who, at
			}
		}
		f.Policies = rapid.Permutation(f.Policies).Draw(t, "order")
		for _, p := range f.Policies {
			port := p.Policy.Ports[1]
			at, _ := f.Map(p.Policy, port)
			if who := fmt.Sprint(p.Policy.VM.Name, ":", port.Number); at != first[who] {
				t.Fatalf("%s is at %s, was at %s", who, at, first[who])
			}
			open := f
			open.Openings = []roster.Opening{{Grant: jit.Grant{ID: "g", Start: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC), VMs: []jit.GrantVM{{VM: p.Policy.VM, Ports: []jit.Window{{Number: port.Number, Status: jit.Initiated, Mapped: netip.AddrPortFrom(public[0], 50505)}}}}}}}
			if again, _ := open.Map(p.Policy, port); again.Port() != 50505 {
				t.Fatalf("a second window of the same port is at %s", again)
			}
		}
	})
}

// TestMapRefuses holds the refusals, pinned and not.
func TestMapRefuses(t *testing.T) {
	web := jit.Policy{VM: vmID("web")}
	port := jit.PortRule{Number: 22, Protocol: jit.TCP}
	pin := func(n uint16) jit.PortRule { p := port; p.Mapped = n; return p }
	at := func(n uint16) netip.AddrPort { return netip.AddrPortFrom(public[0], n) }
	full := rule("all", jit.AnyProtocol, at(1))
	full.DestinationPorts = []jit.PortRange{{First: 1, Last: 65535}}
	other := roster.Opening{Grant: jit.Grant{VMs: []jit.GrantVM{{VM: vmID("app"), Ports: []jit.Window{{Number: 22, Status: jit.Initiated, Mapped: at(2222)}}}}}}
	elsewhere := web
	elsewhere.PublicAddress = netip.MustParseAddr("203.0.113.99")
	second := web
	second.PublicAddress = public[1]
	for _, tc := range []struct {
		name    string
		policy  jit.Policy
		port    jit.PortRule
		public  []netip.Addr
		current []jit.Rule
		open    []roster.Opening
		code    jit.Code
		want    string
	}{
		{"no address", web, port, nil, nil, nil, dial.CodePublicAddressNotFound, ""},
		{"another's address", elsewhere, port, public, nil, nil, dial.CodePublicAddressNotFound, ""},
		{"nothing free", web, port, public[:1], []jit.Rule{full}, nil, dial.CodeNoMappedPort, ""},
		{"pinned and taken by a rule", web, pin(443), public[:1], []jit.Rule{full}, nil, dial.CodeMappedPortTaken, ""},
		{"pinned and taken by a window", web, pin(2222), public[:1], nil, []roster.Opening{other}, dial.CodeMappedPortTaken, ""},
		{"pinned, and the window is at another address", second, pin(2222), public, nil, []roster.Opening{other}, "", "203.0.113.21:2222"},
		{"pinned, and free at the second address", web, pin(2222), public, nil, []roster.Opening{other}, "", "203.0.113.21:2222"},
	} {
		f := dial.Firewall{Openings: tc.open, Public: tc.public, Rules: tc.current}
		got, err := f.Map(tc.policy, tc.port)
		switch {
		case tc.code == "" && (err != nil || got.String() != tc.want):
			t.Errorf("%s: %s, %v", tc.name, got, err)
		case tc.code != "" && (err == nil || err.Code != tc.code):
			t.Errorf("%s: %s, %v, want %s", tc.name, got, err, tc.code)
		}
	}
}
