package access_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/plan"
	"portcullis/core/reach"
	"portcullis/core/store"
)

// managed is a network with security admin rules.
type managed struct {
	*coretest.Cloud
	rules map[string][]reach.AdminRule
	err   error
	asked *atomic.Int64
}

func (m managed) AdminRules(_ context.Context, vnet string) ([]reach.AdminRule, error) {
	m.asked.Add(1)
	return m.rules[vnet], m.err
}

func adminRule(name string, priority int, a reach.AdminAction, source string, port uint16) reach.AdminRule {
	r := jit.Rule{Name: name, Priority: priority, Protocol: jit.TCP, Source: jit.AnyPeer(), Destination: jit.AnyPeer(),
		SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(port)}}
	if source != "*" {
		r.Source = jit.Peers{Prefixes: []netip.Prefix{netip.MustParsePrefix(source)}}
	}
	return reach.AdminRule{Rule: r, Action: a, Manager: "corp"}
}

// underAdmin is a world whose machines are in one virtual network each, or share one.
func underAdmin(t *testing.T, err error, rules ...reach.AdminRule) (*world, *atomic.Int64) {
	w, asked := newWorld(t), new(atomic.Int64)
	for vm, at := range map[string][2]string{"web": {"web-nsg", "10.0.0.4"}, "app1": {"apps-nsg", "10.0.1.4"}, "app2": {"apps-nsg", "10.0.1.5"}} {
		addrs := []netip.Addr{netip.MustParseAddr(at[1])}
		vnet := "apps-vnet"
		if vm == "web" {
			vnet = "web-vnet"
		}
		w.cloud.Place(network.Machine{VM: vmID(vm), Private: addrs, VirtualNetwork: vnet, Placements: []store.Placement{{Target: nsgID(at[0]), Addresses: addrs}}})
	}
	w.startWith(func(p *core.Ports) {
		p.Network = managed{w.cloud, map[string][]reach.AdminRule{"web-vnet": rules}, err, asked}
	})
	return w, asked
}

func findings(rec store.SweepRecord, kind store.FindingKind) string {
	var out []string
	for _, f := range rec.Findings {
		if f.Kind == kind {
			out = append(out, f.Message)
		}
	}
	return strings.Join(out, "; ")
}

// TestAdminRuleRefusesRequest: who asks for what a security admin rule lets nobody in is told at once, at the
// cost of no call; and no longer once what is known is old.
func TestAdminRuleRefusesRequest(t *testing.T) {
	w, asked := underAdmin(t, nil, adminRule("NoSsh", 7, reach.AdminDeny, "203.0.113.0/24", 22))
	w.enable("web")
	before := asked.Load()
	_, err := w.ask(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	if code(err) != plan.CodeBlocked || !strings.Contains(fmt.Sprint(err), "security admin rule NoSsh of network manager corp (priority 7)") {
		t.Errorf("refused with %v", err)
	}
	if n := asked.Load() - before; n != 0 {
		t.Errorf("a request costs %d calls", n)
	}
	w.stands("web-nsg", closedWeb...)
	w.mustAsk(want("alice", 22, time.Hour, "198.51.100.7", "web")) // whom the rule does not name
	w.mustAsk(want("alice", 3389, time.Hour, "203.0.113.7", "web"))
	w.leap(11 * time.Minute)
	w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	if got := findings(w.sweep(), store.FindingBlocked); !strings.Contains(got, "an open window for port 22 of web is blocked by the security admin rule NoSsh of network manager corp (priority 7)") {
		t.Errorf("the sweep says %q", got)
	}
}

// TestAdminRulesAreFound: enable and sweep tell what admin rules open and block, and ask once for
// each virtual network.
func TestAdminRulesAreFound(t *testing.T) {
	w, asked := underAdmin(t, nil, adminRule("Bastion", 1, reach.AdminAlways, "192.0.2.0/24", 22), adminRule("NoRdp", 2, reach.AdminDeny, "*", 3389))
	list, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("web", 22, 3389), policyOf("app1", 22), policyOf("app2", 22)}, false)
	if err != nil {
		t.Fatal(err)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("enable of three machines in two networks asks %d times", n)
	}
	if e := list[0]; len(e.Exposed) != 1 || e.Exposed[0].Port != 22 || e.Exposed[0].Rule.Name != "security admin rule Bastion of network manager corp" || len(e.Blocked) != 1 || e.Blocked[0].Port != 3389 || e.Unchecked != "" {
		t.Errorf("enable says %+v", e)
	}
	asked.Store(0)
	rec := w.sweep()
	if n := asked.Load(); n != 2 {
		t.Errorf("a sweep asks %d times", n)
	}
	if got, want := findings(rec, store.FindingExposed), "the security admin rule Bastion of network manager corp (priority 1) opens port 22 of web, whatever the security groups say"; got != want {
		t.Errorf("exposed: %q, want %q", got, want)
	}
	if got, want := findings(rec, store.FindingBlocked), "port 3389 of web cannot be opened: it is blocked by the security admin rule NoRdp of network manager corp (priority 2)"; got != want {
		t.Errorf("blocked: %q, want %q", got, want)
	}
	if got := findings(rec, store.FindingUnchecked); got != "" {
		t.Errorf("not looked at: %q", got)
	}
}

// TestAdminRulesCannotBeRead: a missing permission is told and stops nothing.
func TestAdminRulesCannotBeRead(t *testing.T) {
	w, _ := underAdmin(t, store.ErrForbidden)
	list, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("web", 22)}, false)
	if err != nil || !strings.Contains(list[0].Unchecked, "the app lacks a permission") {
		t.Errorf("enable says %+v, %v", list, err)
	}
	w.mustAskAs(ann, 22, "203.0.113.7", "web")
	if got, want := findings(w.sweep(), store.FindingUnchecked), "not looked at: the security admin rules of 1 of 1 virtual networks, which decide before any security group: the app lacks a permission"; got != want {
		t.Errorf("the sweep says %q, want %q", got, want)
	}
}

// TestAdminRulesThatDoNotCome: who waits for an enable does not wait for them for ever.
func TestAdminRulesThatDoNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := underAdmin(t, nil)
		w.startWith(func(p *core.Ports) { p.Network = silent{w.cloud} })
		began := time.Now()
		list, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("web", 22)}, false)
		if err != nil || !strings.Contains(list[0].Unchecked, "did not come in time") {
			t.Errorf("enable says %+v, %v", list, err)
		}
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("it waited %s", took)
		}
	})
}

// silent is a network that never answers for admin rules.
type silent struct{ *coretest.Cloud }

func (silent) AdminRules(ctx context.Context, _ string) ([]reach.AdminRule, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
