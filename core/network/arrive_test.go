package network_test

import (
	"net/netip"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
)

// TestNeverArrives: a source from which nothing can come in is told, a private one only where the window is dialled at a public address, one for
// documentation only where the machine has a real one. What may come in is not told.
func TestNeverArrives(t *testing.T) {
	vm := jit.ID{Subscription: "s", ResourceGroup: "g", Type: jit.TypeVM, Name: "web"}
	const public, private, example = "20.50.1.2", "10.0.0.4", "203.0.113.10"
	for name, tc := range map[string]struct {
		host string
		from []string
		want []string // how what is told begins
	}{
		"public":                         {public, []string{"8.8.8.8", "2a01:4f8::/32"}, nil},
		"any":                            {public, []string{"*"}, nil},
		"all of IPv4":                    {public, []string{"0.0.0.0/0"}, nil},
		"wider than what is private":     {public, []string{"10.0.0.0/7"}, nil},
		"private":                        {public, []string{"10.1.2.3"}, []string{"10.1.2.3: a private address cannot come in at 20.50.1.2, only over a private network (VPN, peering, Bastion)"}},
		"private ranges":                 {public, []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.7.0/24", "100.64.0.1", "8.8.8.8"}, []string{"10.0.0.0/8, 100.64.0.1 and 2 more: a private"}},
		"unique local":                   {public, []string{"fd00::/8"}, []string{"fd00::/8: a private"}},
		"private, by a private network":  {private, []string{"10.1.2.3", "192.168.1.1"}, nil},
		"loopback":                       {public, []string{"127.0.0.1"}, []string{"127.0.0.1: no connection comes in from a loopback"}},
		"loopback, by a private network": {private, []string{"::1"}, []string{"::1: no connection comes in from a loopback"}},
		"link-local":                     {private, []string{"169.254.1.1", "fe80::/10"}, []string{"169.254.1.1, fe80::/10: no connection comes in from a link-local"}},
		"multicast":                      {public, []string{"224.0.0.251", "ff02::1"}, []string{"224.0.0.251, ff02::1: no connection comes in from a multicast"}},
		"reserved":                       {public, []string{"0.0.0.0", "255.255.255.255"}, []string{"0.0.0.0, 255.255.255.255: no connection comes in from a reserved"}},
		"documentation":                  {public, []string{"203.0.113.7", "2001:db8::7"}, []string{"203.0.113.7, 2001:db8::7: no connection comes in from a documentation"}},
		"documentation, in an example":   {example, []string{"203.0.113.7", "198.51.100.0/24"}, nil},
		"loopback, in an example":        {example, []string{"127.0.0.1"}, nil},
		"private, in an example":         {example, []string{"10.1.2.3"}, []string{"10.1.2.3: a private"}},
		"two kinds":                      {public, []string{"127.0.0.1", "10.1.2.3"}, []string{"127.0.0.1: no", "10.1.2.3: a private"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := jit.ParseSources(tc.from...)
			if err != nil {
				t.Fatal(err)
			}
			rec := store.GrantRecord{Connect: map[string][]netip.Addr{vm.Key(): {netip.MustParseAddr(tc.host)}}}
			w := jit.Window{Number: 22, Protocol: jit.TCP, Sources: s, Status: jit.Initiated}
			got := network.NeverArrives(rec, vm, w)
			ok := len(got) == len(tc.want)
			for i := range min(len(got), len(tc.want)) {
				ok = ok && strings.HasPrefix(got[i], tc.want[i])
			}
			if !ok {
				t.Error(gocmp.Diff(tc.want, got))
			}
			w.Status = jit.Revoked
			if got := network.NeverArrives(rec, vm, w); got != nil {
				t.Errorf("of a closed window: %q", got)
			}
			w.Status, rec.Connect = jit.Initiated, nil
			if got := network.NeverArrives(rec, vm, w); got != nil {
				t.Errorf("not known where it is dialled: %q", got)
			}
		})
	}
}

// TestEnters: of the addresses of a machine those are dialled that a source of the window can come in at.
func TestEnters(t *testing.T) {
	vm := jit.ID{Subscription: "s", ResourceGroup: "g", Type: jit.TypeVM, Name: "web"}
	for name, tc := range map[string]struct{ from, want string }{
		"IPv4":               {"8.8.8.8", "20.50.1.2:22 10.0.0.4:22"},
		"IPv6":               {"2a01:4f8::1", "[2603::5]:22"},
		"both":               {"8.8.8.8 2a01:4f8::/32", "20.50.1.2:22 10.0.0.4:22 [2603::5]:22"},
		"any":                {"*", "20.50.1.2:22 10.0.0.4:22 [2603::5]:22"},
		"private":            {"10.1.2.3", "10.0.0.4:22"},
		"unique local":       {"fd00::1", ""},
		"private and public": {"10.1.2.3 8.8.8.8", "20.50.1.2:22 10.0.0.4:22"},
	} {
		sources, err := jit.ParseSources(strings.Fields(tc.from)...)
		if err != nil {
			t.Fatal(err)
		}
		rec := store.GrantRecord{Connect: map[string][]netip.Addr{vm.Key(): {netip.MustParseAddr("20.50.1.2"), netip.MustParseAddr("10.0.0.4"), netip.MustParseAddr("2603::5")}}}
		var got []string
		for _, a := range network.Enters(rec, vm, jit.Window{Number: 22, Sources: sources}) {
			got = append(got, a.String())
		}
		if s := strings.Join(got, " "); s != tc.want {
			t.Errorf("%s: dialled at %q, want %q", name, s, tc.want)
		}
	}
}
