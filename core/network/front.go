package network

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"portcullis/core/dial"
	"portcullis/core/jit"
	"portcullis/core/plan"
	"portcullis/core/roster"
	"portcullis/core/store"
)

// Fronts finds ports at the firewalls in front of machines. It reads each firewall once.
type Fronts struct {
	Kinds   Kinds
	State   func(context.Context, jit.ID) (roster.State, error)
	Rules   func(context.Context, jit.ID) (Standing, error)
	Policy  func(jit.ID) (jit.Policy, bool)
	Now     time.Time
	Lenient bool // leaves a window unchanged if no port is available; the round at the firewall reports it

	read map[string]plan.Input // by target
}

// input returns the rules and the stored state of a firewall.
func (f *Fronts) input(ctx context.Context, target jit.ID) (plan.Input, error) {
	if in, ok := f.read[target.Key()]; ok {
		return in, nil
	}
	snap, err := f.Rules(ctx, target)
	if err != nil {
		return plan.Input{}, fmt.Errorf("read the rules of %s: %w", target.Name, err)
	}
	state, err := f.State(ctx, target)
	if err != nil {
		return plan.Input{}, fmt.Errorf("read what is stored of %s: %w", target.Name, err)
	}
	in := plan.Input{State: state, Current: snap.Rules, Public: snap.Addresses, Now: f.Now}
	if f.read == nil {
		f.read = map[string]plan.Input{}
	}
	f.read[target.Key()] = in
	return in, nil
}

// Mapped returns the record with a firewall port for each window of a machine behind a firewall. A window that
// already has a port at that firewall keeps it; without a firewall a window has none. If there are several
// firewalls, one maps all windows of a machine: the one whose address the policy names or a window already has,
// else that of the primary interface.
func (f *Fronts) Mapped(ctx context.Context, rec store.GrantRecord, machines map[string]Machine) (store.GrantRecord, error) {
	rec.Grant.VMs = slices.Clone(rec.Grant.VMs)
	for i, vm := range rec.Grant.VMs {
		m, ok := machines[vm.VM.Key()]
		if !ok {
			continue
		}
		front, in, err := f.front(ctx, vm, m)
		if err != nil {
			return rec, err
		}
		vm.Ports = slices.Clone(vm.Ports)
		rec.Grant.VMs[i] = vm
		dialled := false
		for j := range vm.Ports {
			w := &vm.Ports[j]
			had := w.Mapped
			if err := f.window(front, in, rec.Grant, vm.VM, w); err != nil && f.Lenient {
				w.Mapped = had
			} else if err != nil {
				return rec, err.At(fmt.Sprintf("virtualMachines[%d].ports[%d]", i, j))
			}
			dialled = dialled || w.Mapped.IsValid()
		}
		if !dialled {
			front = store.Placement{}
		}
		rec.Placements = f.only(rec.Placements, vm.VM, front.Target)
	}
	return rec, nil
}

// window sets the address and port to dial for one window.
func (f *Fronts) window(front store.Placement, in plan.Input, g jit.Grant, vm jit.ID, w *jit.Window) *jit.Error {
	if front.Target.IsZero() || !reachesIPv4(w.Sources) {
		w.Mapped, w.Via = netip.AddrPort{}, jit.Sources{}
		return nil
	}
	w.Via = jit.SourcesOf(front.Inside...)
	if slices.Contains(in.Public, w.Mapped.Addr()) {
		return nil
	}
	policy, ok := f.Policy(vm)
	port, named := policy.Port(w.Number)
	if !ok || !named { // the policy is gone, so the window ends
		return nil
	}
	w.Mapped = netip.AddrPort{}
	in.Openings = append(slices.Clone(in.Openings), roster.Opening{Grant: g}) // ports already given to this grant are taken
	var err *jit.Error
	w.Mapped, err = dial.Firewall{Policies: in.Policies, Openings: in.Openings, Rules: in.Current, Public: in.Public}.Map(policy, port)
	return err
}

// front returns the firewall in front of a machine and its input; zero if there is none.
func (f *Fronts) front(ctx context.Context, vm jit.GrantVM, m Machine) (store.Placement, plan.Input, error) {
	var found store.Placement
	var at plan.Input
	best := -1
	for _, p := range m.Placements {
		if !f.Kinds.Maps(p.Target) || !slices.ContainsFunc(p.Addresses, netip.Addr.Is4) {
			continue
		}
		in, err := f.input(ctx, p.Target)
		if err != nil {
			return store.Placement{}, plan.Input{}, err
		}
		policy, _ := f.Policy(vm.VM)
		score := 0
		switch {
		case slices.ContainsFunc(vm.Ports, func(w jit.Window) bool { return slices.Contains(in.Public, w.Mapped.Addr()) }):
			score = 3
		case slices.Contains(in.Public, policy.PublicAddress):
			score = 2
		case len(m.Private) > 0 && slices.Contains(p.Addresses, m.Private[0]):
			score = 1
		}
		if score > best {
			found, at, best = p, in, score
		}
	}
	return found, at, nil
}

// only removes a machine from every firewall placement except front.
func (f *Fronts) only(placements []store.GrantPlacement, vm, front jit.ID) []store.GrantPlacement {
	var out []store.GrantPlacement
	for _, p := range placements {
		if f.Kinds.Maps(p.Target) && !p.Target.Equal(front) {
			kept := map[string][]netip.Addr{}
			for key, addrs := range p.Addresses {
				if key != vm.Key() {
					kept[key] = addrs
				}
			}
			if len(kept) == 0 {
				continue
			}
			p.Addresses = kept
		}
		out = append(out, p)
	}
	return out
}

// reachesIPv4 reports whether any source is IPv4; a firewall translates only IPv4.
func reachesIPv4(s jit.Sources) bool {
	return s.IsAny() || slices.ContainsFunc(s.Prefixes(), func(p netip.Prefix) bool { return p.Addr().Is4() })
}
