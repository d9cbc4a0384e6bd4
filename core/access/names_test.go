package access_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/reach"
	"portcullis/core/reach/reachtest"
	"portcullis/core/store"
)

// at places a machine at an address, with what is known of where it is.
func (w *world) at(vm, nsg, address string, site reach.Site, twins ...network.Twin) {
	w.t.Helper()
	a := []netip.Addr{netip.MustParseAddr(address)}
	w.cloud.Place(network.Machine{VM: vmID(vm), Private: a, Twins: twins, Placements: []store.Placement{{Target: nsgID(nsg), Addresses: a, Site: site}}})
}

// TestWhatIsKnownReachesThePlan: what the list of interfaces says of a machine decides about rules that name groups and tags, in enable and in
// requests; and what it says later is taken over by a sweep.
func TestWhatIsKnownReachesThePlan(t *testing.T) {
	a := netip.MustParseAddr("10.0.0.4")
	in := func(groups ...string) reach.Site {
		return reach.Site{Network: reach.Network{Inside: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}, Whole: true}, Groups: map[netip.Addr][]string{a: groups}}
	}
	for name, tc := range map[string]struct {
		site         reach.Site
		rule, source string
		enable, ask  jit.Code
	}{
		"a deny of others":               {in("/asg/web"), "deny 100 tcp * -> asg:/asg/db :22", "203.0.113.7", "", ""},
		"a deny of its group":            {in("/asg/db"), "deny 100 tcp * -> asg:/asg/db :22", "203.0.113.7", plan.CodeBlocked, ""}, // whoever asks
		"groups are not known":           {reach.Site{}, "deny 100 tcp * -> asg:/asg/db :22", "203.0.113.7", plan.CodeBlocked, ""},
		"an allow to others":             {in(), "allow 100 tcp * -> asg:/asg/db :22", "203.0.113.7", "", ""},
		"an allow to its group":          {in("/asg/db"), "allow 100 tcp * -> asg:/asg/db :22", "203.0.113.7", plan.CodeNoPriorityLeft, ""},
		"a deny of Internet":             {in(), "deny 100 * Internet -> * :*", "10.0.7.7", "", ""},
		"a deny of Internet, from there": {in(), "deny 100 * Internet -> * :*", "203.0.113.7", "", plan.CodeBlocked},
		"a deny of the network":          {in(), "deny 100 * VirtualNetwork -> * :*", "203.0.113.7", "", ""},
		"an allow of health probes":      {in(), "allow 100 * AzureLoadBalancer -> * :*", "203.0.113.7", "", ""},
		"an allow of ping":               {in(), "allow 100 icmp * -> * :*", "203.0.113.7", "", ""},
		"a deny of ESP":                  {in(), "deny 100 esp * -> * :*", "203.0.113.7", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.cloud.SetRules(nsgID("names-nsg"), reachtest.Rule(t, "Theirs", tc.rule))
			w.at("web", "names-nsg", "10.0.0.4", tc.site)
			_, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("web", 22)}, false)
			if got := codeOf(err); got != tc.enable || got == "" && err != nil {
				t.Fatalf("enable: %q (%v), want %q", got, err, tc.enable)
			}
			if tc.enable != "" {
				return
			}
			if _, err = w.ask(want("ann", 22, time.Hour, tc.source, "web")); codeOf(err) != tc.ask {
				t.Errorf("request: %v, want %q", err, tc.ask)
			}
		})
	}
}

// TestTwinIsRefused: what no rule can tell from another machine is protected and told of, and not opened; the sweep names both.
func TestTwinIsRefused(t *testing.T) {
	w := newWorld(t)
	w.cloud.SetRules(nsgID("shared-nsg"))
	w.at("web", "shared-nsg", "10.0.0.4", reach.Site{}, network.Twin{VM: vmID("twin"), Target: nsgID("shared-nsg"), Address: netip.MustParseAddr("10.0.0.4")})
	for _, dry := range []bool{true, false} {
		list, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("web", 22)}, dry)
		if err != nil || len(list[0].Shared) != 1 || list[0].Shared[0] != netip.MustParseAddr("10.0.0.4") {
			t.Fatalf("enable, dry %t: %+v, %v", dry, list, err)
		}
	}
	rec, err := w.ask(want("ann", 22, time.Hour, "203.0.113.7", "web"))
	if codeOf(err) != network.CodeSharedAddress || rec.Version != "" || strings.Contains(err.Error(), "twin") {
		t.Errorf("request: %v, want %s without a name", err, network.CodeSharedAddress)
	}
	if n := w.allows("shared-nsg"); n != 0 {
		t.Errorf("%d allows stand", n)
	}
	if got := findings(w.sweep(), store.FindingShared); !strings.Contains(got, "web and twin") {
		t.Errorf("findings %q, want one of both", got)
	}
	w.at("web", "shared-nsg", "10.0.0.4", reach.Site{})
	if _, err := w.ask(want("ann", 22, time.Hour, "203.0.113.7", "web")); err != nil {
		t.Errorf("once they are apart: %v", err)
	}
	if got := findings(w.sweep(), store.FindingShared); got != "" {
		t.Errorf("once they are apart: %q", got)
	}
}

// TestTwinIsNotExtended: a window at a machine that has got a twin since it opened is not extended, nor is it said that it would be; its end
// stands. Once they are apart, it is.
func TestTwinIsNotExtended(t *testing.T) {
	w := newWorld(t)
	w.cloud.SetRules(nsgID("shared-nsg"))
	w.at("web", "shared-nsg", "10.0.0.4", reach.Site{})
	w.enable("web")
	id := w.mustAsk(want("ann", 22, time.Hour, "203.0.113.7", "web"))
	rec, err := w.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	extend := func(dry bool) error {
		if dry {
			_, _, err := w.PreviewExtend(t.Context(), id, 2*time.Hour, time.Time{})
			return err
		}
		_, err := w.Extend(t.Context(), who("ann"), id, 2*time.Hour, time.Time{})
		return err
	}
	w.at("web", "shared-nsg", "10.0.0.4", reach.Site{}, network.Twin{VM: vmID("twin"), Target: nsgID("shared-nsg"), Address: netip.MustParseAddr("10.0.0.4")})
	for _, dry := range []bool{true, false} {
		refused := jit.Refused(extend(dry))
		if refused == nil || refused.Code != network.CodeSharedAddress || refused.Target != "id" || strings.Contains(refused.Message, "twin") {
			t.Errorf("dry run %t: %v, want %s without a name", dry, refused, network.CodeSharedAddress)
		}
	}
	if after, err := w.Find(t.Context(), id); err != nil || !after.Grant.End().Equal(rec.Grant.End()) {
		t.Errorf("ends %s, %v, want %s", after.Grant.End(), err, rec.Grant.End())
	}
	w.at("web", "shared-nsg", "10.0.0.4", reach.Site{})
	for _, dry := range []bool{true, false} {
		if err := extend(dry); err != nil {
			t.Errorf("once they are apart, dry run %t: %v", dry, err)
		}
	}
}

func codeOf(err error) jit.Code {
	if refused := jit.Refused(err); refused != nil {
		return refused.Code
	}
	return ""
}
