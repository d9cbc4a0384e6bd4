package table_test

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// day is when the tests take place.
var day = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

const subscription = "11111111-1111-1111-1111-111111111111"

func vm(n int) jit.ID {
	return jit.ID{Subscription: subscription, ResourceGroup: "rg", Type: jit.TypeVM, Name: fmt.Sprintf("vm%d", n)}
}

func nsg(n int) jit.ID {
	return jit.ID{Subscription: subscription, ResourceGroup: "rg", Type: jit.TypeNSG, Name: fmt.Sprintf("nsg%d", n)}
}

func address(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}) }

// policyRecord gives a policy of machine n at the targets 0 to targets-1.
func policyRecord(n, targets int) store.PolicyRecord {
	p := store.PolicyRecord{Policy: jit.Policy{VM: vm(n), Ports: jit.DefaultPorts()}, Location: "westeurope", ChangedBy: "ann", ChangedAt: day}
	for i := range targets {
		p.Placements = append(p.Placements, store.Placement{Target: nsg(i), Addresses: []netip.Addr{address(n)}})
	}
	return p
}

// grantRecord gives grant n, of machine n at the targets 0 to targets-1. Its id tells its start.
func grantRecord(n, targets int) store.GrantRecord {
	ms := day.UnixMilli()
	g := store.GrantRecord{Grant: jit.Grant{ID: fmt.Sprintf("%08x-%04x-7000-8000-%012x", ms>>16, ms&0xffff, n), Requestor: "ann", Start: day, OpenBy: day.Add(jit.OpeningTimeout), Generation: 1,
		VMs: []jit.GrantVM{{VM: vm(n), Ports: []jit.Window{{Number: 22, Protocol: jit.TCP, Sources: jit.AnySource(), End: day.Add(time.Hour), Status: jit.Initiating}}}}}}
	for i := range targets {
		g.Placements = append(g.Placements, store.GrantPlacement{Target: nsg(i), Addresses: map[string][]netip.Addr{vm(n).Key(): {address(n)}}})
	}
	return g
}

// closed gives the record with its grant closed.
func closed(g store.GrantRecord) store.GrantRecord {
	g.Grant = g.Grant.Revoke(day, jit.UserRequested).Settled(day)
	return g
}

func key(value string, g store.GrantRecord) store.Key {
	return store.Key{Requestor: "ann", Value: value, Grant: g.Grant.ID, Expires: day.Add(time.Hour)}
}

// cleared says that nothing stands in the way of forgetting.
func cleared(context.Context) (bool, error) { return true, nil }
