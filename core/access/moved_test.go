package access_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
)

// TestMovedToAnotherGroup: a machine that was moved to another resource group stays closed, its windows end, and one finding names both ids until it is
// protected there. What merely has its address, its name or its place is not taken for it, and gets no rule of ours.
func TestMovedToAnotherGroup(t *testing.T) {
	there := func(name, group string) jit.ID {
		id := vmID(name)
		id.ResourceGroup = group
		return id
	}
	for _, tt := range []struct {
		name          string
		is            jit.ID
		nsg, address  string
		follows       bool
		alsoProtected bool
	}{
		{"moved", there("app1", "elsewhere"), "apps-nsg", "10.0.1.4", true, false},
		{"moved, and protected there", there("app1", "elsewhere"), "apps-nsg", "10.0.1.4", false, true},
		{"another name at its address", there("app9", "elsewhere"), "apps-nsg", "10.0.1.4", false, false},
		{"another name in its group", there("app9", "demo"), "apps-nsg", "10.0.1.4", false, false},
		{"its name at another address", there("app1", "elsewhere"), "apps-nsg", "10.0.1.9", false, false},
		{"its name and address behind another group", there("app1", "elsewhere"), "web-nsg", "10.0.1.4", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.enable("app1", "app2")
			id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "app1"))
			w.cloud.RemoveMachine(vmID("app1"))
			addrs := []netip.Addr{netip.MustParseAddr(tt.address)}
			w.cloud.Place(network.Machine{VM: tt.is, Location: "westeurope", Private: addrs, Placements: []store.Placement{{Target: nsgID(tt.nsg), Addresses: addrs}}})
			if tt.alsoProtected {
				p := policyOf("app1", 22, 3389)
				p.VM = tt.is
				if _, _, err := w.Enable(t.Context(), who("admin"), []jit.Policy{p}, false); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // and it stays so
				rec := w.sweep()
				if g := w.grant(id); !g.Closed() || g.Reason() != jit.MachineGone || w.allows("apps-nsg") != 0 {
					t.Errorf("the grant is %s %s, %d rules allow", g.Status(), g.Reason(), w.allows("apps-nsg"))
				}
				to := "10.0.1.5"
				if tt.follows || tt.alsoProtected {
					to = "10.0.1.4,10.0.1.5"
				}
				w.stands("apps-nsg", "4096 deny ours * -> "+to+" :22,3389")
				moved := found(rec, store.FindingVMMoved)
				if tt.follows != (len(moved) == 1) || tt.follows == (len(found(rec, store.FindingVMGone)) == 1) {
					t.Errorf("found %v", rec.Findings)
				}
				if tt.follows && !slices.ContainsFunc(rec.Findings, func(f store.Finding) bool {
					return f.Kind == store.FindingVMMoved && f.VM.Equal(vmID("app1")) && strings.Contains(f.Message, "resource group elsewhere") && strings.Contains(f.Message, "resource group demo")
				}) {
					t.Errorf("the finding does not name both: %v", rec.Findings)
				}
			}
			if _, err := w.Disable(t.Context(), who("admin"), []jit.ID{vmID("app1")}); err != nil {
				t.Fatal(err)
			}
			if lines := w.lines("apps-nsg"); !tt.alsoProtected && strings.Contains(strings.Join(lines, ""), "10.0.1.4") {
				t.Errorf("after disable: %v", lines)
			}
		})
	}
}
