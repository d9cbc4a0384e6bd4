package access_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/preview"
	"portcullis/core/store"
)

// closedWeb is web-nsg with web enabled and nothing open.
var closedWeb = []string{"0200 allow AllowWeb * -> * :443", "0299 deny ours * -> 10.0.0.4 :22,3389", "0300 allow AllowSshAny * -> * :22"}

func TestEnableRefuses(t *testing.T) {
	full := foreignRules()
	full[1].Priority = 100
	for _, tc := range []struct {
		name     string
		policies []jit.Policy
		arrange  func(*world)
		want     jit.Code
	}{
		{"nothing", nil, nil, jit.CodeNoVMs},
		{"a policy without ports", []jit.Policy{policyOf("web")}, nil, jit.CodeNoPorts},
		{"a machine twice", []jit.Policy{policyOf("web", 22), policyOf("WEB", 22)}, nil, jit.CodeDuplicateVM},
		{"an unknown machine", []jit.Policy{policyOf("web", 22), policyOf("nobody", 22)}, nil, network.CodeVMNotFound},
		{"a machine that nothing guards", []jit.Policy{policyOf("bare", 22)}, func(w *world) {
			w.cloud.Place(network.Machine{VM: vmID("bare"), Private: []netip.Addr{netip.MustParseAddr("10.0.9.9")}})
		}, network.CodeMissingNSG},
		{"a subscription that no sweep looks at", []jit.Policy{{VM: jit.ID{Subscription: "00000000-0000-0000-0000-00000000d3e1", ResourceGroup: "demo", Type: jit.TypeVM, Name: "web"}, Ports: jit.DefaultPorts()}}, nil, network.CodeNotManaged},
		{"no priority above a foreign allow", []jit.Policy{policyOf("web", 22)}, func(w *world) { w.cloud.SetRules(nsgID("web-nsg"), full...) }, plan.CodeNoPriorityLeft},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			if tc.arrange != nil {
				tc.arrange(w)
				w.start() // nothing is remembered of what stood before
			}
			writes := w.cloud.Writes()
			_, _, err := w.Enable(t.Context(), who("admin"), tc.policies, false)
			if code(err) != tc.want {
				t.Errorf("error %v, want %s", err, tc.want)
			}
			if all, _ := store.AllPolicies(t.Context(), w.mem); len(all) != 0 || w.cloud.Writes() != writes {
				t.Errorf("a refusal stored %d policies and made %d writes", len(all), w.cloud.Writes()-writes)
			}
		})
	}
}

func TestEnable(t *testing.T) {
	w := newWorld(t)
	_, dry, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("web", 22, 3389)}, true)
	if err != nil {
		t.Fatal(err)
	}
	w.stands("web-nsg", "0200 allow AllowWeb * -> * :443", "0300 allow AllowSshAny * -> * :22")
	enabled, wet, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("web", 22, 3389)}, false)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(dry, wet, cmpopts.EquateComparable(netip.Prefix{}, netip.AddrPort{}), cmpopts.IgnoreUnexported(preview.Change{})); diff != "" {
		t.Errorf("what was done (+) is not what dryRun said (-):\n%s", diff)
	}
	w.stands("web-nsg", closedWeb...)
	if len(enabled) != 1 || len(enabled[0].Overridden) != 1 || enabled[0].Overridden[0].Rule.Name != "AllowSshAny" {
		t.Errorf("enable does not name the rule that it overrides: %+v", enabled)
	}
	// One machine's policy is changed without the other's.
	w.enable("app1", "app2")
	w.stands("apps-nsg", "4096 deny ours * -> 10.0.1.4,10.0.1.5 :22,3389")
	if _, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("app2", 22)}, false); err != nil {
		t.Fatal(err)
	}
	w.stands("apps-nsg", "4095 deny ours * -> 10.0.1.5 :22", "4096 deny ours * -> 10.0.1.4 :22,3389")
}

func TestDisableLeavesWhatWas(t *testing.T) {
	w := newWorld(t)
	if _, err := w.Disable(t.Context(), who("admin"), []jit.ID{vmID("web")}); code(err) != jit.CodePolicyNotFound {
		t.Errorf("error %v, want %s", err, jit.CodePolicyNotFound)
	}
	w.enable("web", "app1", "app2")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	if _, err := w.Disable(t.Context(), who("admin"), []jit.ID{vmID("WEB")}); err != nil {
		t.Fatal(err)
	}
	w.stands("web-nsg", "0200 allow AllowWeb * -> * :443", "0300 allow AllowSshAny * -> * :22")
	w.stands("apps-nsg", "4096 deny ours * -> 10.0.1.4,10.0.1.5 :22,3389")
	if g := w.grant(id); !g.Closed() || g.Reason() != jit.PolicyRemoved {
		t.Errorf("the grant is %s %s, want Revoked %s", g.Status(), g.Reason(), jit.PolicyRemoved)
	}
	if known, _ := w.mem.Known(t.Context()); len(known) != 1 {
		t.Errorf("known targets %v, want apps-nsg only", known)
	}
}
