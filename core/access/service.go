package access

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"portcullis/core/jit"
)

// The refusals of this package, beside those of jit and plan.
const (
	CodeVMNotFound      jit.Code = "VirtualMachineNotFound"      // no network interface names it
	CodeMissingNSG      jit.Code = "MissingNetworkSecurityGroup" // nothing guards it, so nothing can close it
	CodeNotManaged      jit.Code = "SubscriptionNotManaged"      // not among the subscriptions that the sweep looks at
	CodeRequestNotFound jit.Code = "RequestNotFound"
	CodeKeyReused       jit.Code = "IdempotencyKeyReused"  // the same key with another body
	CodeSourceFamily    jit.Code = "SourceFamilyMismatch"  // an IPv6 source for a machine with IPv4 only, or the reverse
	CodeConcurrent      jit.Code = "ConcurrentChange"      // somebody else kept changing the same thing
	CodeTargetGone      jit.Code = "SecurityGroupNotFound" // it was deleted while the port was being opened
)

// Caller is who calls a verb.
type Caller struct {
	ID          string // directory and object id, "tid/oid": what owns a grant
	Name        string // for people to read: goes into grants and the activity log
	Correlation string // the invocation's id
}

// self is the caller of what the app does by itself.
func self() Caller { return Caller{Name: "portcullis"} }

// Service holds the ports. Every field must be set, but for Floor; its methods are safe for
// concurrent use.
type Service struct {
	Network       Network
	Kinds         map[string]Kind // by Kind.Type in lower case, see [KindsOf]
	Policies      Policies
	Grants        Grants
	Keys          KeyStore
	History       History
	Targets       Targets
	Alarm         Alarm
	Activity      Activity
	Sweeps        Sweeps
	Subscriptions []string    // the subscriptions that the sweep looks at
	Floor         jit.Options // what this installation demands of every request, whatever the policies do
	Now           func() time.Time
	NewID         func() string // a new UUID each time, in the order of time (version 7)

	rounds   rounds
	seen     snapshots // the rules of targets as they were last confirmed
	cold     cold
	closer   closer
	editing  editing
	surveys  memo[surveyed]
	standing memo[map[string]Snapshot] // by target, without what the adapter needs to write
	past     memo[recent]
	admins   admins
}

// now gives the time as it is stored: UTC, in whole milliseconds.
func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Millisecond) }

// attempts bounds how often a verb starts again after somebody else wrote first.
const attempts = 8

// width is how many targets one verb works on at a time.
const width = 16

// each calls f for every item, at most width at a time, and joins the errors:
// one that fails does not stop the others. Results are f's own business.
func each[T any](items []T, f func(int, T) error) error {
	errs := make([]error, len(items))
	slots := make(chan struct{}, width)
	var wg sync.WaitGroup
	for i, item := range items {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = f(i, item)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// atOnce is each for what waits for its turn elsewhere: one slow item keeps no other one waiting.
func atOnce[T any](items []T, f func(int, T) error) error {
	errs := make([]error, len(items))
	var wg sync.WaitGroup
	for i, item := range items {
		wg.Go(func() { errs[i] = f(i, item) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// targetsOf gives the distinct targets of placements, sorted.
func targetsOf(placements ...[]Placement) []jit.ID {
	var ids []jit.ID
	for _, list := range placements {
		for _, p := range list {
			ids = append(ids, p.Target)
		}
	}
	return distinct(ids)
}

func (g GrantRecord) targets() []jit.ID {
	var ids []jit.ID
	for _, p := range g.Placements {
		ids = append(ids, p.Target)
	}
	return distinct(ids)
}

func distinct(ids []jit.ID) []jit.ID {
	slices.SortFunc(ids, func(a, b jit.ID) int { return strings.Compare(a.Key(), b.Key()) })
	return slices.CompactFunc(ids, jit.ID.Equal)
}

// place says where a grant's machines stand: what it opens on which target, and
// what people dial.
func place(g jit.Grant, machines map[string]Machine) GrantRecord {
	rec := GrantRecord{Grant: g, Connect: map[string][]netip.Addr{}, Interfaces: map[string][]string{}}
	at := map[string]int{}
	for _, vm := range g.VMs {
		m, ok := machines[vm.VM.Key()]
		if !ok {
			continue
		}
		rec.Connect[vm.VM.Key()], rec.Interfaces[vm.VM.Key()] = m.dial(), m.Interfaces
		for _, p := range m.Placements {
			i, ok := at[p.Target.Key()]
			if !ok {
				i = len(rec.Placements)
				at[p.Target.Key()] = i
				rec.Placements = append(rec.Placements, GrantPlacement{Target: p.Target, Addresses: map[string][]netip.Addr{}})
			}
			rec.Placements[i].Addresses[vm.VM.Key()] = p.Addresses
		}
	}
	slices.SortFunc(rec.Placements, func(a, b GrantPlacement) int { return cmp.Compare(a.Target.Key(), b.Target.Key()) })
	return rec
}

// Dial gives what to dial for a window of the grant: the firewall that maps it, and where none does
// the machine's own addresses.
func (g GrantRecord) Dial(vm jit.ID, w jit.Window) []netip.AddrPort {
	if w.Mapped.IsValid() {
		return []netip.AddrPort{w.Mapped}
	}
	var out []netip.AddrPort
	for _, a := range g.Connect[vm.Key()] {
		out = append(out, netip.AddrPortFrom(a, w.Number))
	}
	return out
}

func (m Machine) dial() []netip.Addr {
	if len(m.Public) > 0 {
		return m.Public
	}
	return m.Private
}

// managed refuses machines of subscriptions that no sweep would look at: what it
// cannot guarantee to close is not opened.
func (s *Service) managed(vm jit.ID, at string) error {
	if slices.ContainsFunc(s.Subscriptions, func(sub string) bool { return strings.EqualFold(sub, vm.Subscription) }) {
		return nil
	}
	return &jit.Error{Code: CodeNotManaged, Target: at, Message: "subscription " + vm.Subscription + " is not one that this installation manages; add it to its settings first"}
}

// find gives the policies of machines, and the machines themselves.
func (s *Service) find(ctx context.Context, vms []jit.ID) (map[string]PolicyRecord, map[string]Machine, error) {
	machines, err := s.Network.Locate(ctx, vms)
	if err != nil {
		return nil, nil, fmt.Errorf("locate the virtual machines: %w", err)
	}
	policies, err := s.policiesOf(ctx, vms)
	return policies, machines, err
}

// recalled gives machines as [Recaller] has them, where nothing of them is missing.
func (s *Service) recalled(ctx context.Context, vms []jit.ID) (map[string]Machine, error) {
	r, ok := s.Network.(Recaller)
	if !ok {
		return s.Network.Locate(ctx, vms)
	}
	machines, err := r.Recall(ctx, vms)
	if err != nil || slices.ContainsFunc(vms, func(vm jit.ID) bool { return len(machines[vm.Key()].Placements) == 0 }) {
		return s.Network.Locate(ctx, vms) // nobody is refused for what is old
	}
	return machines, nil
}

// exists refuses machines that no network interface names, or that nothing guards.
func exists(vm jit.ID, machines map[string]Machine, at string) (Machine, error) {
	m, ok := machines[vm.Key()]
	switch {
	case !ok:
		return m, &jit.Error{Code: CodeVMNotFound, Target: at, Message: vm.Name + " was not found: no network interface in its subscription belongs to it"}
	case len(m.Placements) == 0:
		return m, &jit.Error{Code: CodeMissingNSG, Target: at, Message: vm.Name + " has no network security group on its network interfaces or subnets, and no firewall in front of it; attach one first"}
	}
	return m, nil
}
