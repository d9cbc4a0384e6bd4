package access

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/plan"
)

// sweep is one pass over everything.
type sweep struct {
	*Service
	rec      SweepRecord
	machines map[string]Machine // of the subscriptions that could be listed
	listed   map[string]bool    // those subscriptions, in lower case
	snaps    map[string]Snapshot
	policies []PolicyRecord
	grants   []GrantRecord
	errs     []error
}

// Sweep is the guarantee behind the alarm. In this order it
//
//   - lists machines, targets, policies and open grants;
//   - moves policies and grants to where their machines stand now;
//   - reconciles every target whose rules are not what they should be, ours and those
//     that hold rules of ours without being known;
//   - settles every grant with something past its end, and undoes openings that were never confirmed;
//   - stores what it found. That record is the heartbeat.
//
// What cannot be done for one subscription, target or grant does not stop the
// rest: the record and the error name it. Running it twice, or beside any other verb, is safe.
func (s *Service) Sweep(ctx context.Context, who Caller) (SweepRecord, error) {
	w := &sweep{Service: s, machines: map[string]Machine{}, listed: map[string]bool{}, snaps: map[string]Snapshot{}}
	w.rec.Started = s.now()
	w.list(ctx)
	w.follow(ctx)
	w.repair(ctx)
	w.settle(ctx)
	w.rec.Ended = s.now()
	err := errors.Join(w.errs...)
	if err != nil {
		w.rec.Error = publicly(err)
	}
	slices.SortFunc(w.rec.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Target.Key(), b.Target.Key()), cmp.Compare(a.VM.Key(), b.VM.Key()), cmp.Compare(a.Message, b.Message))
	})
	entry := Entry{ID: s.NewID(), Time: w.rec.Ended, Operation: OpSweep, Result: Succeeded, Requestor: who.Name, Correlation: who.Correlation,
		Message: fmt.Sprintf("%d targets, %d changed, %d grants closed, %d findings", w.rec.Targets, w.rec.Changed, w.rec.Closed, len(w.rec.Findings))}
	if err != nil {
		entry.Result, entry.Reason = Failed, w.rec.Error
	}
	return w.rec, errors.Join(err, s.Sweeps.PutSweep(ctx, w.rec), s.Activity.Append(ctx, entry))
}

func (w *sweep) failed(err error) {
	if err != nil {
		w.errs = append(w.errs, err)
	}
}

func (w *sweep) found(f Finding) {
	f.Since = w.rec.Started
	w.rec.Findings = append(w.rec.Findings, f)
}

// list reads everything once: the rules of all targets of a subscription are one paged list.
func (w *sweep) list(ctx context.Context) {
	var err error
	if w.policies, err = w.Policies.AllPolicies(ctx); err != nil {
		w.failed(fmt.Errorf("read the policies: %w", err))
	}
	if w.grants, err = w.Grants.OpenGrants(ctx); err != nil {
		w.failed(fmt.Errorf("read the open grants: %w", err))
	}
	machines := make([][]Machine, len(w.Subscriptions))
	snaps := make([][]Snapshot, len(w.Subscriptions))
	ok := make([]bool, len(w.Subscriptions))
	w.failed(each(w.Subscriptions, func(i int, sub string) (err error) {
		if machines[i], err = w.Network.Machines(ctx, sub); err != nil {
			return fmt.Errorf("list the machines of subscription %s: %w", sub, err)
		}
		if snaps[i], err = w.Firewall.All(ctx, sub); err != nil {
			return fmt.Errorf("list the security groups of subscription %s: %w", sub, err)
		}
		ok[i] = true
		return nil
	}))
	for i, sub := range w.Subscriptions {
		w.listed[strings.ToLower(sub)] = ok[i]
		for _, m := range machines[i] {
			w.machines[m.VM.Key()] = m
		}
		for _, snap := range snaps[i] {
			w.snaps[snap.Target.Key()] = snap
		}
	}
}

// follow moves policies and open grants to where their machines stand now, so
// that no rule of ours names an address that has become another's.
func (w *sweep) follow(ctx context.Context) {
	for i, rec := range w.policies {
		vm := rec.Policy.VM
		if !w.listed[strings.ToLower(vm.Subscription)] {
			continue
		}
		m, exists := w.machines[vm.Key()]
		if !exists {
			w.found(Finding{Kind: FindingVMGone, VM: vm, Message: vm.Name + " has a policy but no longer exists: disable it, or leave the policy for when it comes back"})
		}
		for _, nic := range m.Unguarded {
			w.found(Finding{Kind: FindingUnguarded, VM: vm, Message: "the network interface " + nic + " of " + vm.Name + " has no security group: its ports cannot be closed"})
		}
		if !slices.EqualFunc(rec.Placements, m.Placements, samePlacement) {
			rec.Placements = m.Placements
			var err error
			if w.policies[i], err = w.Policies.PutPolicy(ctx, rec); err != nil && !errors.Is(err, ErrConflict) {
				w.failed(fmt.Errorf("move the policy of %s: %w", vm.Name, err))
			}
		}
	}
	for i, rec := range w.grants {
		next, moved := w.moved(rec)
		if !moved {
			continue
		}
		updated, err := w.Grants.UpdateGrants(ctx, next)
		if err == nil {
			w.grants[i] = updated[0]
		} else if !errors.Is(err, ErrConflict) {
			w.failed(fmt.Errorf("move grant %s: %w", rec.Grant.ID, err))
		}
	}
}

// moved gives the grant where its machines stand now. Windows of machines that
// are gone are to be closed, and so are those of a machine none of whose network
// interfaces it had when it was granted: it is another under the same name. Where it stood stays a placement as long as the grant is open, with no
// address, so that what is left there is still cleaned up.
func (w *sweep) moved(rec GrantRecord) (GrantRecord, bool) {
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
	placed := place(next.Grant, w.machines)
	for _, old := range rec.Placements {
		if !slices.ContainsFunc(placed.Placements, func(p GrantPlacement) bool { return p.Target.Equal(old.Target) }) {
			placed.Placements = append(placed.Placements, GrantPlacement{Target: old.Target, Addresses: map[string][]netip.Addr{}})
		}
	}
	slices.SortFunc(placed.Placements, func(a, b GrantPlacement) int { return cmp.Compare(a.Target.Key(), b.Target.Key()) })
	if !changed && slices.EqualFunc(rec.Placements, placed.Placements, sameGrantPlacement) {
		return rec, false
	}
	next.Placements = placed.Placements
	if len(placed.Connect) > 0 {
		next.Connect = placed.Connect
	}
	return next, true
}

// another reports whether a machine shares no network interface with what it was.
// One of which nothing is known is taken as the same.
func another(was, is []string) bool {
	return len(was) > 0 && !slices.ContainsFunc(was, func(nic string) bool { return slices.Contains(is, nic) })
}

func samePlacement(a, b Placement) bool {
	return a.Target.Equal(b.Target) && slices.Equal(a.Addresses, b.Addresses)
}

func sameGrantPlacement(a, b GrantPlacement) bool {
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

// repair reconciles the targets whose rules, as listed, are not what they
// should be. Only those cost a read and a write of their own.
func (w *sweep) repair(ctx context.Context) {
	known, err := w.Targets.Known(ctx)
	if err != nil {
		w.failed(fmt.Errorf("read the known targets: %w", err))
	}
	targets := slices.Clone(known)
	for _, snap := range w.snaps {
		if slices.ContainsFunc(snap.Rules, func(r jit.Rule) bool { return plan.Owned(r.Name) }) {
			targets = append(targets, snap.Target)
		}
	}
	targets = distinct(targets)
	w.rec.Targets = len(targets)
	outs := make([]outcome, len(targets))
	wrote := make([]bool, len(targets))
	errs := make([]error, len(targets))
	_ = each(targets, func(i int, t jit.ID) error {
		outs[i], wrote[i], errs[i] = w.look(ctx, t)
		return nil
	})
	for i, out := range outs {
		if errs[i] != nil {
			w.failed(errs[i])
			w.found(Finding{Kind: FindingBroken, Target: targets[i], Message: targets[i].Name + " could not be brought in order: " + publicly(errs[i])})
			continue
		}
		if wrote[i] {
			w.rec.Changed++
		}
		if len(out.repaired) > 0 {
			w.found(Finding{Kind: FindingRepaired, Target: out.target, Message: out.target.Name + ": " + strings.Join(out.repaired, ", ")})
		}
		w.report(out)
	}
}

// look computes one target from the list and reconciles it where it differs.
func (w *sweep) look(ctx context.Context, t jit.ID) (outcome, bool, error) {
	snap, listed := w.snaps[t.Key()]
	if !listed {
		if w.listed[strings.ToLower(t.Subscription)] {
			return outcome{target: t, gone: true}, false, w.Targets.Forget(ctx, t)
		}
		return outcome{target: t}, false, nil // its subscription could not be listed, which is reported already
	}
	out, err := w.compute(ctx, snap)
	if err != nil || out.plan.Changes.Empty() && !snap.Unconfirmed {
		return out, false, err
	}
	out, err = w.reconcile(ctx, t, true)
	return out, !out.written.Empty(), err
}

// report turns what a plan says of a target into findings.
func (w *sweep) report(out outcome) {
	if out.gone || out.target.IsZero() {
		return
	}
	if !out.state.Known && len(out.plan.Rules) > 0 {
		w.found(Finding{Kind: FindingLost, Target: out.target, Message: fmt.Sprintf("%s holds %d rules of ours of which nothing is stored: enable its machines again, or delete the rules", out.target.Name, len(out.plan.Rules))})
	}
	for _, f := range out.plan.Exposed {
		w.found(Finding{Kind: FindingExposed, Target: out.target, VM: f.VM, Rule: f.Rule.Name,
			Message: fmt.Sprintf("the rule %s (priority %d) of %s opens port %d of %s", f.Rule.Name, f.Rule.Priority, out.target.Name, f.Port, f.VM.Name)})
	}
	for _, r := range out.plan.Refused {
		w.found(Finding{Kind: FindingRefused, Target: out.target, Grant: r.Grant, Rule: r.Rule, Message: r.Err.Message})
	}
}

// settle closes what is past its end. It comes after the repair: the rules
// are gone by then, where they could be.
func (w *sweep) settle(ctx context.Context) {
	now := w.now()
	due := keep(w.grants, func(g GrantRecord) bool { return g.Grant.Overdue(now) })
	closed := make([]GrantRecord, len(due))
	errs := make([]error, len(due))
	_ = each(due, func(i int, g GrantRecord) error {
		closed[i], errs[i] = w.Service.settle(ctx, g)
		return nil
	})
	for i, g := range due {
		vm := g.Grant.VMs[0].VM
		switch {
		case errs[i] != nil:
			w.failed(errs[i])
			w.found(Finding{Kind: FindingOverdue, VM: vm, Grant: g.Grant.ID, Message: fmt.Sprintf("a window of %s for %s ended at %s and is not confirmed closed: %s", g.Grant.Requestor, vm.Name, g.Grant.End().Format(time.RFC3339), publicly(errs[i]))})
		case closed[i].Grant.Closed():
			w.rec.Closed++
			if closed[i].Grant.Reason() == jit.OpeningFailed {
				w.found(Finding{Kind: FindingOpeningFailed, VM: vm, Grant: g.Grant.ID, Message: "an opening for " + vm.Name + " was never confirmed and has been undone"})
			}
		}
	}
}

// Overdue gives the age at now of the oldest window that should be closed and is
// not confirmed to be; 0 where there is none.
func (s *Service) Overdue(ctx context.Context) (time.Duration, error) {
	open, err := s.Grants.OpenGrants(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the open grants: %w", err)
	}
	now, oldest := s.now(), time.Duration(0)
	for _, g := range open {
		for _, vm := range g.Grant.VMs {
			for _, p := range vm.Ports {
				if p.Status != jit.Revoked && !g.Grant.Live(p, now) {
					end := p.End
					if g.Grant.OpenBy.Before(end) && p.Status == jit.Initiating {
						end = g.Grant.OpenBy
					}
					oldest = max(oldest, now.Sub(end))
				}
			}
		}
	}
	return oldest, nil
}
