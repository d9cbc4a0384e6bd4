package coretest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
)

// Interface is a network interface that [NetworkFixture] creates.
type Interface struct {
	Primary bool
	Guard   jit.ID // zero for none
	Configs []Config
}

// Config is one IP configuration of an interface.
type Config struct {
	Primary bool
	Subnet  string     // as returned by NetworkFixture.Subnet
	Private netip.Addr // invalid for none yet
	Public  netip.Addr // invalid for none
}

// NetworkFixture sets up a network. If the platform ignores the case of ids, it writes references in another case
// than the resources' names.
type NetworkFixture interface {
	// Subscription is the subscription of everything that it creates.
	Subscription() string
	// Guard creates a target.
	Guard(t *testing.T, name string) jit.ID
	// Subnet creates a subnet behind guard, or unguarded if it is zero, and returns its id.
	Subnet(t *testing.T, name string, guard jit.ID) string
	// Machine creates a virtual machine and returns its id and those of its interfaces.
	Machine(t *testing.T, name string, interfaces ...Interface) (jit.ID, []string)
	// Remove deletes a machine and its interfaces.
	Remove(t *testing.T, vm jit.ID)
	// Fail makes every call fail: Forbidden, Throttled or Down.
	Fail(t *testing.T, how Failure)
}

// TestNetwork tests a network against the contract of [network.Network]. newNetwork creates one and its fixture
// for each subtest.
func TestNetwork(t *testing.T, newNetwork func(t *testing.T) (network.Network, NetworkFixture)) {
	for _, tc := range []struct {
		name string
		test func(estate, *testing.T)
	}{
		{"gives an error and no part of the answer", estate.fails},
		{"leaves out machines that do not exist", estate.missing},
		{"tells what no security group guards", estate.unguarded},
		{"finds both guards of one interface", estate.bothGuards},
		{"finds every address of every interface", estate.manyInterfaces},
		{"finds a shared guard once for each machine", estate.shared},
		{"finds both families", estate.dual},
		{"gives every machine, sorted", estate.sorted},
		{"finds machines whatever the case of the id", estate.anyCase},
		{"reads anew every time", estate.anew},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n, fix := newNetwork(t)
			tc.test(estate{n, fix}, t)
		})
	}
}

type estate struct {
	network.Network
	fix NetworkFixture
}

func cmpKeys(a, b jit.ID) int { return strings.Compare(a.Key(), b.Key()) }

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// nic is an interface with one configuration.
func nic(guard jit.ID, subnet, private string) Interface {
	return Interface{Primary: true, Guard: guard, Configs: []Config{{Primary: true, Subnet: subnet, Private: ip(private)}}}
}

// seen is a machine in a comparable form, ignoring the case of its ids.
type seen struct {
	VM         string
	Placements []string // target, then its addresses
	Private    []string
	Public     []string
	Unguarded  []string
}

func see(m network.Machine) seen {
	s := seen{VM: m.VM.Key()}
	for _, p := range m.Placements {
		s.Placements = append(s.Placements, behind(p.Target, p.Addresses...))
	}
	for _, a := range m.Private {
		s.Private = append(s.Private, a.String())
	}
	for _, a := range m.Public {
		s.Public = append(s.Public, a.String())
	}
	for _, id := range m.Unguarded {
		s.Unguarded = append(s.Unguarded, strings.ToLower(id))
	}
	return s
}

func behind(target jit.ID, addrs ...netip.Addr) string {
	s := target.Key()
	for _, a := range addrs {
		s += " " + a.String()
	}
	return s
}

// one locates a machine and compares it.
func (n estate) one(t *testing.T, vm jit.ID, want seen) {
	t.Helper()
	found, err := n.Locate(t.Context(), []jit.ID{vm})
	if err != nil {
		t.Fatalf("Locate: %v", err)
	}
	m, ok := found[vm.Key()]
	if !ok || len(found) != 1 {
		t.Fatalf("Locate gave %d machines, want %s alone", len(found), vm)
	}
	want.VM = vm.Key()
	slices.Sort(want.Placements)
	if diff := cmp.Diff(want, see(m)); diff != "" {
		t.Errorf("machine (-want +got):\n%s", diff)
	}
	if m.Location == "" {
		t.Error("the machine has no location")
	}
}

func (n estate) fails(t *testing.T) {
	vm, _ := n.fix.Machine(t, "vm", nic(n.fix.Guard(t, "g"), n.fix.Subnet(t, "s", jit.ID{}), "10.0.0.4"))
	for _, tc := range []struct {
		how  Failure
		want func(error) bool
	}{
		{Forbidden, func(err error) bool { return errors.Is(err, store.ErrForbidden) }},
		{Throttled, isUnavailable},
		{Down, isUnavailable},
	} {
		n.fix.Fail(t, tc.how)
		list, err := n.Machines(t.Context(), n.fix.Subscription())
		if len(list) != 0 || !tc.want(err) {
			t.Errorf("%s: Machines gave %d machines and %v", tc.how, len(list), err)
		}
		found, err := n.Locate(t.Context(), []jit.ID{vm})
		if len(found) != 0 || !tc.want(err) {
			t.Errorf("%s: Locate gave %d machines and %v", tc.how, len(found), err)
		}
	}
}

func isUnavailable(err error) bool {
	var u *store.Unavailable
	return errors.As(err, &u) && u.Dependency != ""
}

func (n estate) missing(t *testing.T) {
	guard := n.fix.Guard(t, "g")
	vm, _ := n.fix.Machine(t, "vm", nic(guard, n.fix.Subnet(t, "s", jit.ID{}), "10.0.0.4"))
	other := vm
	other.Name = "nobody"
	found, err := n.Locate(t.Context(), []jit.ID{other})
	if err != nil || len(found) != 0 {
		t.Errorf("Locate gave %d machines and %v, want none", len(found), err)
	}
	found, err = n.Locate(t.Context(), nil)
	if err != nil || len(found) != 0 {
		t.Errorf("Locate of nothing gave %d machines and %v, want none", len(found), err)
	}
	n.one(t, vm, seen{Placements: []string{behind(guard, ip("10.0.0.4"))}, Private: []string{"10.0.0.4"}})
}

func (n estate) unguarded(t *testing.T) {
	guard := n.fix.Guard(t, "g")
	open, closed := n.fix.Subnet(t, "open", jit.ID{}), n.fix.Subnet(t, "closed", guard)
	bare, ids := n.fix.Machine(t, "bare", nic(jit.ID{}, open, "10.0.0.4"))
	n.one(t, bare, seen{Private: []string{"10.0.0.4"}, Unguarded: []string{strings.ToLower(ids[0])}})

	for _, primaryIsOpen := range []bool{true, false} {
		half, ids := n.fix.Machine(t, fmt.Sprintf("half-%t", primaryIsOpen), Interface{Primary: true, Configs: []Config{
			{Primary: primaryIsOpen, Subnet: open, Private: ip("10.0.0.5")}, {Primary: !primaryIsOpen, Subnet: closed, Private: ip("10.0.1.4")},
		}})
		want := seen{Placements: []string{behind(guard, ip("10.0.1.4"))}, Private: []string{"10.0.0.5", "10.0.1.4"}, Unguarded: []string{strings.ToLower(ids[0])}}
		if !primaryIsOpen {
			slices.Reverse(want.Private)
		}
		n.one(t, half, want)
	}
}

func (n estate) bothGuards(t *testing.T) {
	mine, shared := n.fix.Guard(t, "mine"), n.fix.Guard(t, "shared")
	vm, _ := n.fix.Machine(t, "vm", nic(mine, n.fix.Subnet(t, "s", shared), "10.0.0.4"))
	n.one(t, vm, seen{
		Placements: []string{behind(mine, ip("10.0.0.4")), behind(shared, ip("10.0.0.4"))}, Private: []string{"10.0.0.4"},
	})
}

func (n estate) manyInterfaces(t *testing.T) {
	a, b := n.fix.Guard(t, "a"), n.fix.Guard(t, "b")
	s := n.fix.Subnet(t, "s", jit.ID{})
	vm, _ := n.fix.Machine(t, "vm",
		Interface{Guard: a, Configs: []Config{{Primary: true, Subnet: s, Private: ip("10.0.0.9"), Public: ip("203.0.113.9")}}},
		Interface{Primary: true, Guard: b, Configs: []Config{
			{Subnet: s, Private: ip("10.0.0.5"), Public: ip("203.0.113.5")},
			{Primary: true, Subnet: s, Private: ip("10.0.0.7"), Public: ip("203.0.113.7")},
			{Subnet: s},
		}},
	)
	n.one(t, vm, seen{
		Placements: []string{behind(a, ip("10.0.0.9")), behind(b, ip("10.0.0.5"), ip("10.0.0.7"))},
		Private:    []string{"10.0.0.7", "10.0.0.5", "10.0.0.9"},
		Public:     []string{"203.0.113.7", "203.0.113.5", "203.0.113.9"},
	})
}

func (n estate) shared(t *testing.T) {
	guard := n.fix.Guard(t, "g")
	s := n.fix.Subnet(t, "s", guard)
	vm1, _ := n.fix.Machine(t, "vm1", nic(guard, s, "10.0.0.4"))
	vm2, _ := n.fix.Machine(t, "vm2", nic(jit.ID{}, s, "10.0.0.5"))
	n.one(t, vm1, seen{Placements: []string{behind(guard, ip("10.0.0.4"))}, Private: []string{"10.0.0.4"}})
	n.one(t, vm2, seen{Placements: []string{behind(guard, ip("10.0.0.5"))}, Private: []string{"10.0.0.5"}})
}

func (n estate) dual(t *testing.T) {
	guard := n.fix.Guard(t, "g")
	s := n.fix.Subnet(t, "s", guard)
	vm, _ := n.fix.Machine(t, "vm", Interface{Primary: true, Configs: []Config{
		{Subnet: s, Private: ip("fd00::4"), Public: ip("2001:db8::4")},
		{Primary: true, Subnet: s, Private: ip("10.0.0.4"), Public: ip("203.0.113.4")},
	}})
	n.one(t, vm, seen{
		Placements: []string{behind(guard, ip("10.0.0.4"), ip("fd00::4"))},
		Private:    []string{"10.0.0.4", "fd00::4"},
		Public:     []string{"203.0.113.4", "2001:db8::4"},
	})
}

func (n estate) sorted(t *testing.T) {
	s := n.fix.Subnet(t, "s", n.fix.Guard(t, "g"))
	var want []string
	for _, name := range []string{"m3", "M1", "m5", "m2", "m4"} {
		vm, _ := n.fix.Machine(t, name, nic(jit.ID{}, s, "10.0.0."+name[1:]))
		want = append(want, vm.Key())
	}
	slices.Sort(want)
	list, err := n.Machines(t.Context(), n.fix.Subscription())
	if err != nil {
		t.Fatalf("Machines: %v", err)
	}
	var got []string
	for _, m := range list {
		got = append(got, m.VM.Key())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("machines (-want +got):\n%s", diff)
	}
}

func (n estate) anyCase(t *testing.T) {
	vm, _ := n.fix.Machine(t, "Web-01", nic(jit.ID{}, n.fix.Subnet(t, "s", n.fix.Guard(t, "g")), "10.0.0.4"))
	shouted := jit.ID{Subscription: strings.ToUpper(vm.Subscription), ResourceGroup: strings.ToUpper(vm.ResourceGroup), Type: strings.ToUpper(vm.Type), Name: strings.ToUpper(vm.Name)}
	for _, id := range []jit.ID{vm, shouted} {
		found, err := n.Locate(t.Context(), []jit.ID{id, vm})
		if _, ok := found[vm.Key()]; err != nil || !ok || len(found) != 1 {
			t.Errorf("Locate %s gave %d machines and %v", id, len(found), err)
		}
	}
}

func (n estate) anew(t *testing.T) {
	s := n.fix.Subnet(t, "s", n.fix.Guard(t, "g"))
	vm, _ := n.fix.Machine(t, "vm", nic(jit.ID{}, s, "10.0.0.4"))
	for _, exists := range []bool{true, false} {
		if !exists {
			n.fix.Remove(t, vm)
		}
		found, err := n.Locate(t.Context(), []jit.ID{vm})
		if err != nil || len(found) == 1 != exists {
			t.Errorf("exists=%t: Locate gave %d machines and %v", exists, len(found), err)
		}
		list, err := n.Machines(t.Context(), n.fix.Subscription())
		if err != nil || len(list) == 1 != exists {
			t.Errorf("exists=%t: Machines gave %d machines and %v", exists, len(list), err)
		}
	}
}
