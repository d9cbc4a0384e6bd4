package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
)

// maxPlacements is the largest number of targets for which a store can write a grant in one transaction of 100
// rows: two for the grant, one for the holds by which it was decided, two for each target, and up to three for each of its two keys. A crash may leave a
// larger grant half written, so each sweep writes it again.
const maxPlacements = 45

// follow updates policies and open grants to where their machines are now, so that no rule of ours names an
// address that another machine has taken over.
func (w *sweep) follow(ctx context.Context) {
	open := map[string]bool{}
	for _, rec := range w.grants {
		for _, vm := range rec.Grant.VMs {
			open[vm.VM.Key()] = true
		}
	}
	err := w.Policies.EachPolicy(ctx, func(rec store.PolicyRecord) error {
		if key := rec.Policy.VM.Key(); open[key] {
			w.granted[key] = rec.Policy
		}
		w.followPolicy(ctx, rec)
		return nil
	})
	if w.whole = err == nil; !w.whole {
		w.failed(fmt.Errorf("read the policies: %w", err))
	}
	fronts := &network.Fronts{Kinds: w.Kinds, State: w.Targets.State, Rules: w.listedRules, Policy: w.policyOf, Now: w.now(), Lenient: true}
	for i, rec := range w.grants {
		if w.grants[i], err = w.followGrant(ctx, fronts, rec); err != nil {
			w.failed(fmt.Errorf("move grant %s: %w", rec.Grant.ID, err))
		}
	}
}

// followGrant updates one grant. If the grant changes meanwhile, such as by an extension, it is read and updated
// again.
func (w *sweep) followGrant(ctx context.Context, fronts *network.Fronts, rec store.GrantRecord) (store.GrantRecord, error) {
	if rec.Grant.Waiting() {
		return rec, nil // it stands nowhere yet
	}
	if w.dry {
		next, _ := w.moved(ctx, fronts, rec)
		return next, nil
	}
	follow := false
	rec, err := store.ChangeGrant(ctx, w.Grants, rec, func(g store.GrantRecord) (store.GrantRecord, bool, error) {
		if g.Grant.Closed() || g.Grant.AnyOpen(w.now()) && !w.began[g.Grant.ID] {
			return g, false, nil // it was opened after the rules were listed: the next sweep sees whether they stand
		}
		next, moved := w.moved(ctx, fronts, g)
		follow = moved && g.Grant.Status() == jit.Initiated && w.stands(ctx, g)
		return next, moved || len(g.Placements) > maxPlacements, nil
	})
	if follow && err == nil {
		w.after = append(w.after, w.Rounds.Moves.Follow(rec.Grant.ID, rec.Targets()))
	}
	if errors.Is(err, store.ErrConflict) {
		return rec, nil // the next sweep tries again
	}
	return rec, err
}

// followPolicy updates one policy to where its machine is now.
func (w *sweep) followPolicy(ctx context.Context, rec store.PolicyRecord) {
	vm := rec.Policy.VM
	if !w.listed[strings.ToLower(vm.Subscription)] {
		return
	}
	m, exists := w.machines[vm.Key()]
	if !exists {
		if w.movedAway(ctx, rec) {
			return
		}
		w.found(network.Gone(vm))
	}
	if m.VirtualNetwork != "" {
		w.networks[m.VirtualNetwork] = m
	}
	for _, nic := range m.Unguarded {
		w.found(network.Unguarded(vm, nic))
	}
	for _, f := range network.Shared(m) {
		w.found(f)
	}
	if w.dry || slices.EqualFunc(rec.Placements, m.Placements, store.Placement.Same) {
		return
	}
	rec.Placements = m.Placements
	if _, err := w.Policies.PutPolicy(ctx, rec); err != nil && !errors.Is(err, store.ErrConflict) {
		w.failed(fmt.Errorf("move the policy of %s: %w", vm.Name, err))
	}
}

// movedAway reports whether a machine that is gone stands, by its name and an address behind the same target, in another resource group of its
// subscription, without a policy there. Then its policy stays where it is, so that its ports stay closed, and a finding names both: whether it is the same machine, and
// who may have it opened there, is for people to say (docs/decisions/040).
func (w *sweep) movedAway(ctx context.Context, rec store.PolicyRecord) bool {
	was := rec.Policy.VM
	for _, m := range w.machines {
		if !strings.EqualFold(m.VM.Name, was.Name) || !strings.EqualFold(m.VM.Subscription, was.Subscription) {
			continue
		}
		for _, p := range m.Placements {
			i := slices.IndexFunc(rec.Placements, func(o store.Placement) bool { return o.Target.Equal(p.Target) })
			if i < 0 || !slices.ContainsFunc(p.Addresses, func(a netip.Addr) bool { return slices.Contains(rec.Placements[i].Addresses, a) }) {
				continue
			}
			if _, err := w.Policies.Policy(ctx, m.VM); err == nil {
				return false // it is protected there, and the old policy protects nothing any more
			}
			w.found(network.Moved(was, m.VM, p.Target))
			return true
		}
	}
	return false
}

// moved returns the grant with where its machines are now. It marks windows for closing if their machine is gone,
// or if the machine shares no network interface with the one that the grant was for: then it is another machine of
// the same name. Old targets remain as placements without addresses while the grant is open, so that rules left
// there are removed.
func (w *sweep) moved(ctx context.Context, fronts *network.Fronts, rec store.GrantRecord) (store.GrantRecord, bool) {
	now, changed := w.now(), false
	next := rec
	for _, vm := range rec.Grant.VMs {
		if !w.listed[strings.ToLower(vm.VM.Subscription)] {
			return rec, false
		}
		m, exists := w.machines[vm.VM.Key()]
		if (!exists || another(rec.Interfaces[vm.VM.Key()], m.Interfaces)) && slices.ContainsFunc(vm.Ports, func(p jit.Window) bool { return rec.Grant.Live(p, now) }) {
			next.Grant = next.Grant.RevokeVM(vm.VM, now, jit.MachineGone)
			changed = true
		}
	}
	placed, err := fronts.Mapped(ctx, network.Place(next.Grant, w.machines), w.machines)
	if err != nil { // keep what it has; the round at the firewall reports the problem
		w.failed(fmt.Errorf("find where grant %s is dialled: %w", rec.Grant.ID, err))
		return next, changed
	}
	changed = changed || !slices.Equal(dialled(rec.Grant), dialled(placed.Grant))
	next.Grant = placed.Grant
	for _, old := range rec.Placements {
		if !slices.ContainsFunc(placed.Placements, func(p store.GrantPlacement) bool { return p.Target.Equal(old.Target) }) {
			placed.Placements = append(placed.Placements, store.GrantPlacement{Target: old.Target, Addresses: map[string][]netip.Addr{}})
		}
	}
	slices.SortFunc(placed.Placements, func(a, b store.GrantPlacement) int { return cmp.Compare(a.Target.Key(), b.Target.Key()) })
	if !changed && slices.EqualFunc(rec.Placements, placed.Placements, sameGrantPlacement) {
		return rec, false
	}
	next.Placements = placed.Placements
	if len(placed.Connect) > 0 {
		next.Connect = placed.Connect
	}
	return next, true
}

// policyOf returns the policy, as read by this sweep, of a machine with an open grant.
func (w *sweep) policyOf(vm jit.ID) (jit.Policy, bool) {
	p, ok := w.granted[vm.Key()]
	return p, ok
}

// listedRules returns a target's rules as listed by this sweep.
func (w *sweep) listedRules(_ context.Context, target jit.ID) (network.Standing, error) {
	snap, ok := w.snaps[target.Key()]
	if !ok {
		return network.Standing{}, fmt.Errorf("%s is not in the list: %w", target.Name, store.ErrNotFound)
	}
	return snap, nil
}

// dialled returns the mapped address and the sources of each window of a grant, in order.
func dialled(g jit.Grant) []string {
	var out []string
	for _, vm := range g.VMs {
		for _, w := range vm.Ports {
			out = append(out, fmt.Sprint(w.Mapped, w.Via))
		}
	}
	return out
}

// another reports whether a machine shares no network interface with its former self. If nothing is known about
// that, it counts as the same machine.
func another(was, is []string) bool {
	return len(was) > 0 && !slices.ContainsFunc(was, func(nic string) bool { return slices.Contains(is, nic) })
}

func sameGrantPlacement(a, b store.GrantPlacement) bool {
	if !a.Target.Equal(b.Target) || len(a.Addresses) != len(b.Addresses) {
		return false
	}
	for vm, addrs := range a.Addresses {
		if !slices.Equal(addrs, b.Addresses[vm]) {
			return false
		}
	}
	return true
}
