package roster_test

import (
	"net/netip"
	"testing"

	"portcullis/core/jit"
	"portcullis/core/roster"
)

// TestNote holds the notes that tables hold: one that changed its spelling would make every deny that stands one that nothing knows.
func TestNote(t *testing.T) {
	p := netip.MustParsePrefix
	for _, tc := range []struct {
		want string
		rule jit.Rule
	}{
		{"portcullis-deny-0123456789ab 7a8bfa35295f", jit.Rule{Name: "portcullis-deny-0123456789ab", Access: jit.Deny, Protocol: jit.TCP, Source: jit.AnyPeer(), SourcePorts: []jit.PortRange{jit.AllPorts()},
			Destination: jit.Peers{Prefixes: []netip.Prefix{p("10.0.0.5/32"), p("10.0.0.4/32"), p("fd00::4/128")}}, DestinationPorts: []jit.PortRange{jit.OnePort(22), {First: 3389, Last: 3390}}}},
		{"portcullis-deny-x 0525114aafd5", jit.Rule{Name: "Portcullis-Deny-x", Direction: jit.Outbound, Protocol: "tcp", Source: jit.Peers{Tags: []string{"Internet", "virtualnetwork"}, Groups: []string{"/g/B", "/g/a"}}}},
		{" 1cc4f4ee64ca", jit.Rule{}},
	} {
		if got := roster.Note(tc.rule); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}
