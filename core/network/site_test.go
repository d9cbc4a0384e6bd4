package network_test

import (
	"net/netip"
	"strings"
	"testing"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/reach"
	"portcullis/core/reach/reachtest"
	"portcullis/core/store"
)

// TestReachableByNames: an allow counts as open to the Internet by what its names stand for at the machine.
func TestReachableByNames(t *testing.T) {
	vm, nsg := jit.ID{Name: "web", Type: jit.TypeVM}, jit.ID{Name: "web-nsg", Type: jit.TypeNSG}
	a := netip.MustParseAddr("10.0.0.4")
	machine := func(inside string, groups ...string) network.Machine {
		site := reach.Site{Groups: map[netip.Addr][]string{a: groups}}
		if inside != "" {
			site.Network.Inside = []netip.Prefix{netip.MustParsePrefix(inside)}
		}
		return network.Machine{VM: vm, Private: []netip.Addr{a}, Placements: []store.Placement{{Target: nsg, Addresses: []netip.Addr{a}, Site: site}}}
	}
	for name, tc := range map[string]struct {
		m    network.Machine
		rule string
		want bool
	}{
		"Internet":                            {machine("10.0.0.0/16"), "allow 300 tcp Internet -> * :22", true},
		"to its group":                        {machine("10.0.0.0/16", "/asg/web"), "allow 300 tcp Internet -> asg:/asg/web :22", true},
		"to another group":                    {machine("10.0.0.0/16", "/asg/web"), "allow 300 tcp Internet -> asg:/asg/db :22", false},
		"from a group":                        {machine("10.0.0.0/16"), "allow 300 tcp asg:/asg/jump -> * :22", false},
		"its own network":                     {machine("10.0.0.0/16"), "allow 300 tcp VirtualNetwork -> * :22", false},
		"public addresses of its network":     {machine("203.0.113.0/24"), "allow 300 tcp 203.0.113.0/24 -> * :22", false},
		"public addresses of nobody's":        {machine("10.0.0.0/16"), "allow 300 tcp 203.0.113.0/24 -> * :22", true},
		"health probes":                       {machine("10.0.0.0/16"), "allow 300 tcp AzureLoadBalancer -> * :22", false},
		"ping":                                {machine("10.0.0.0/16"), "allow 300 icmp Internet -> * :*", false},
		"a network of which nothing is known": {machine(""), "allow 300 tcp Internet -> * :22", true},
	} {
		t.Run(name, func(t *testing.T) {
			rules := []jit.Rule{reachtest.Rule(t, "r", tc.rule)}
			got := network.Reachable(tc.m, jit.Policy{VM: vm}, func(jit.ID) ([]jit.Rule, bool) { return rules, true })
			if (len(got) > 0) != tc.want {
				t.Errorf("reachable %+v, want %t", got, tc.want)
			}
		})
	}
}

// TestApart: a machine with a twin is refused without a word of who the twin is, and each twin is a finding that names both.
func TestApart(t *testing.T) {
	m := network.Machine{VM: jit.ID{Subscription: "s", ResourceGroup: "g", Type: jit.TypeVM, Name: "web"}}
	if err := network.Apart(m, "virtualMachines[0].id"); err != nil || network.Shared(m) != nil {
		t.Errorf("a machine alone: %v, %v", err, network.Shared(m))
	}
	m.Twins = []network.Twin{{VM: jit.ID{Subscription: "s", ResourceGroup: "other", Type: jit.TypeVM, Name: "secret"}, Target: jit.ID{Name: "shared-nsg"}, Address: netip.MustParseAddr("10.0.0.4")}}
	refused := jit.Refused(network.Apart(m, "virtualMachines[0].id"))
	if refused == nil || refused.Code != network.CodeSharedAddress || refused.Target != "virtualMachines[0].id" || strings.Contains(refused.Message, "secret") ||
		!strings.Contains(refused.Message, "10.0.0.4") || !strings.Contains(refused.Message, "shared-nsg") {
		t.Errorf("refused %+v", refused)
	}
	found := network.Shared(m)
	if len(found) != 1 || found[0].Kind != store.FindingShared || !found[0].VM.Equal(m.VM) || !strings.Contains(found[0].Message, "web") || !strings.Contains(found[0].Message, "secret") {
		t.Errorf("findings %+v", found)
	}
}
