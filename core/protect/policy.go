package protect

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"portcullis/core/jit"
	"portcullis/core/narrow"
	"portcullis/core/network"
	"portcullis/core/parallel"
	"portcullis/core/plan"
	"portcullis/core/preview"
	"portcullis/core/roster"
	"portcullis/core/round"
	"portcullis/core/side"
	"portcullis/core/store"
)

// Enabled is what [Protection.Enable] says of one machine.
type Enabled struct {
	Policy     jit.Policy
	InForce    jit.Options // what requests must meet: the stricter of the policy's and the installation's
	Location   string
	Targets    []jit.ID
	Overridden []plan.Foreign // foreign allows that our deny now outranks
	Exposed    []plan.Foreign // foreign allows that still open a protected port, which no other security group closes
	Blocked    []plan.Foreign // security admin rules that keep out everybody whom the policy allows
	Unguarded  []string       // network interfaces that no security group guards
	Shared     []netip.Addr   // addresses that another machine has behind the same security group: no request is granted
	Unchecked  string         // what could not be looked at and why; "" for nothing
	Narrowed   narrow.Ends    // what was open and is not allowed any more
}

// Enable protects machines: it stores their policies and closes their ports. It
// replaces the policies of machines that have one and leaves all others. A policy that says
// nothing of its options keeps those that are stored: who does not know of them
// does not take them off. Windows that the policies do not allow end, or end earlier: see [Protection.Narrow].
// With dryRun it computes the same changes and writes nothing.
//
// An [*jit.Error] means that nothing was written: an unknown machine, one that
// nothing guards, or a target without room for the deny and for a window above it. Any other error may leave policies stored whose rules are not there
// yet; the same call, or the next sweep, completes them.
func (s *Protection) Enable(ctx context.Context, who jit.Caller, checked jit.ValidPolicies, dryRun bool) ([]Enabled, []preview.Change, error) {
	return s.EnableIf(ctx, who, checked, nil, dryRun)
}

// EnableIf is [Protection.Enable] of policies that are still what the caller has seen; else it refuses with [store.CodePrecondition]. If a policy changes between
// that look and its write, those before it are stored.
func (s *Protection) EnableIf(ctx context.Context, who jit.Caller, checked jit.ValidPolicies, seen Seen, dryRun bool) ([]Enabled, []preview.Change, error) {
	records, known, machines, err := s.enabling(ctx, who, checked.Policies())
	for _, rec := range records {
		if err == nil {
			err = s.unchanged(ctx, seen, rec.Policy.VM, known[rec.Policy.VM.Key()])
		}
	}
	if err != nil {
		return nil, nil, err
	}
	outs, hindered, err := s.Protecting(records, func() ([]round.Outcome, error) { return s.previewPolicies(ctx, records, known) })
	if err != nil {
		return nil, nil, err
	}
	for _, rec := range records {
		if err := hindered.Why(rec.Policy.VM); err != nil {
			return nil, nil, err
		}
	}
	var narrowed narrow.Ends
	if dryRun {
		narrowed, err = s.PreviewNarrow(ctx, narrowing(records, known))
	} else {
		var done []round.Outcome
		done, narrowed, err = s.enable(ctx, who, records, seen)
		outs = append(keep(outs, func(o round.Outcome) bool { return s.Kinds.Maps(o.Target) }), done...)
	}
	if err != nil {
		return nil, nil, err
	}
	list := s.enabled(records, known, machines, outs)
	for i := range list {
		list[i].Narrowed = narrowed.At(list[i].Policy.VM.Equal)
	}
	s.ruled(ctx, list, machines)
	return list, preview.Of(outs), nil
}

// enabling builds the records to store of machines that are managed and exist. It gives those that
// are stored, too, by machine.
func (s *Protection) enabling(ctx context.Context, who jit.Caller, policies []jit.Policy) ([]store.PolicyRecord, map[string]store.PolicyRecord, map[string]network.Machine, error) {
	var vms []jit.ID
	for i, p := range policies {
		if err := s.Subscriptions.Manages(p.VM, fmt.Sprintf("virtualMachines[%d].id", i)); err != nil {
			return nil, nil, nil, err
		}
		vms = append(vms, p.VM)
	}
	known, machines, err := s.find(ctx, vms)
	if err != nil {
		return nil, nil, nil, err
	}
	records := make([]store.PolicyRecord, len(policies))
	for i, p := range policies {
		m, err := network.Exists(p.VM, machines, fmt.Sprintf("virtualMachines[%d].id", i))
		if err != nil {
			return nil, nil, nil, err
		}
		rec := known[p.VM.Key()] // keeps the version and the placements left behind
		rec.Policy, rec.Location, rec.ChangedBy, rec.ChangedAt = p, m.Location, who.Name, s.now()
		rec.Policy.VM = m.VM
		if rec.Version == "" {
			rec.Since = rec.ChangedAt
		}
		rec.Placements = m.Placements
		records[i] = rec
	}
	return records, known, machines, nil
}

func (s *Protection) previewPolicies(ctx context.Context, records []store.PolicyRecord, known map[string]store.PolicyRecord) ([]round.Outcome, error) {
	policies := narrowing(records, known)
	var all [][]store.Placement
	for _, r := range records {
		all = append(all, r.Placements)
	}
	return s.Rounds.Project(ctx, store.TargetsOf(all...), func(t jit.ID, state *roster.State) {
		for _, rec := range records {
			state.Policies = slices.DeleteFunc(state.Policies, func(p roster.Protected) bool { return p.Policy.VM.Equal(rec.Policy.VM) })
			for _, p := range rec.Placements {
				if p.Target.Equal(t) {
					state.Policies = append(state.Policies, p.Protected(rec.Policy))
				}
			}
		}
		for i, o := range state.Openings {
			state.Openings[i].Grant, _ = s.narrowed(o.Grant, policies)
		}
	})
}

// enable stores the policies, reconciles every target where they stand or stood, and closes what they do not allow.
func (s *Protection) enable(ctx context.Context, who jit.Caller, records []store.PolicyRecord, seen Seen) ([]round.Outcome, narrow.Ends, error) {
	var placements [][]store.Placement
	var before []store.PolicyRecord
	for i, rec := range records {
		stored, err := s.putPolicy(ctx, &records[i], seen)
		before = append(before, stored)
		placements = append(placements, stored.Placements, rec.Placements)
		if err != nil { // those before it are stored, and the log says so
			return nil, narrow.Ends{}, errors.Join(err, s.Activity.Append(ctx, s.EditEntries(who, store.OpEnable, records[:i+1], before, err)...))
		}
	}
	narrowed, bad := s.Narrow(ctx, narrowing(keep(records, func(r store.PolicyRecord) bool {
		return slices.ContainsFunc(before, func(b store.PolicyRecord) bool { return b.Version != "" && b.Policy.VM.Equal(r.Policy.VM) })
	}), nil))
	// Where ports are mapped a policy changes no rule, and a round may take minutes.
	targets := slices.DeleteFunc(store.TargetsOf(placements...), s.Kinds.Maps)
	outs, err := s.Rounds.ReconcileAll(ctx, targets, round.Want{})
	err = errors.Join(err, bad, s.Settle(ctx, narrowed))
	logged := s.Activity.Append(ctx, store.Noted(s.EditEntries(who, store.OpEnable, records, before, err), narrowed.Says)...)
	return outs, narrowed, errors.Join(err, logged)
}

// putPolicy stores a policy over whatever version is there now, and gives the one
// before it; one without a version where there was none. Options that the policy says nothing of
// become those that it has stored.
func (s *Protection) putPolicy(ctx context.Context, put *store.PolicyRecord, seen Seen) (store.PolicyRecord, error) {
	rec := *put
	var stored store.PolicyRecord
	err := store.Retry(func(bool) error {
		var err error
		stored, err = s.Policies.Policy(ctx, rec.Policy.VM)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("read the policy of %s: %w", rec.Policy.VM.Name, err)
		}
		if err = s.unchanged(ctx, seen, rec.Policy.VM, stored); err != nil {
			return err
		}
		rec.Version, rec.Listed = stored.Version, stored.Listed
		if put.Policy.Options == nil {
			rec.Policy.Options = stored.Policy.Options
		}
		if _, err = s.Policies.PutPolicy(ctx, rec); err != nil {
			return fmt.Errorf("store the policy of %s: %w", rec.Policy.VM.Name, err)
		}
		return nil
	})
	if errors.Is(err, store.ErrConflict) {
		err = store.ContendedPolicy(rec.Policy.VM)
	}
	if err != nil {
		return store.PolicyRecord{}, err
	}
	put.Policy.Options = rec.Policy.Options
	return stored, nil
}

func (s *Protection) enabled(records []store.PolicyRecord, known map[string]store.PolicyRecord, machines map[string]network.Machine, outs []round.Outcome) []Enabled {
	var list []Enabled
	sides := s.sides(outs)
	for _, rec := range records {
		if rec.Policy.Options == nil { // a dry run: nothing was stored
			rec.Policy.Options = known[rec.Policy.VM.Key()].Policy.Options
		}
		e := Enabled{Policy: rec.Policy, InForce: rec.Policy.InForce(s.Floor), Location: rec.Location, Targets: store.TargetsOf(rec.Placements), Unguarded: machines[rec.Policy.VM.Key()].Unguarded}
		for _, t := range machines[rec.Policy.VM.Key()].Twins {
			if !slices.Contains(e.Shared, t.Address) {
				e.Shared = append(e.Shared, t.Address)
			}
		}
		of := func(f plan.Foreign) bool { return f.VM.Equal(rec.Policy.VM) }
		for _, out := range outs {
			e.Overridden = append(e.Overridden, keep(out.Plan.Overridden, of)...)
			e.Exposed = append(e.Exposed, keep(out.Plan.Exposed, func(f plan.Foreign) bool { return of(f) && !side.ClosedElsewhere(sides, out.Target, f.VM, f.Port) })...)
		}
		list = append(list, e)
	}
	return list
}

func keep[T any](list []T, f func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(list), func(v T) bool { return !f(v) })
}

// Disable closes the windows of machines, removes their policies and, where
// nothing else needs them, our rules. A machine without a policy is refused with
// [jit.CodePolicyNotFound] before anything changes. Machines that no longer exist can
// be disabled too. It returns the windows that it has closed.
func (s *Protection) Disable(ctx context.Context, who jit.Caller, vms []jit.ID) (narrow.Ends, error) {
	return s.DisableBy(ctx, who, vms, Removal{Check: func([]store.PolicyRecord) error { return nil }, Remove: s.Policies.DeletePolicy, Done: func(context.Context) {}})
}

// Removal is how policies are removed.
type Removal struct {
	Check  func([]store.PolicyRecord) error                // refuses what is stored, before anything changes
	Remove func(context.Context, store.PolicyRecord) error // as [store.Policies.DeletePolicy]
	Done   func(context.Context)                           // called once all are removed, before a target is written
}

// DisableBy is Disable with a removal of the caller's own.
func (s *Protection) DisableBy(ctx context.Context, who jit.Caller, vms []jit.ID, how Removal) (narrow.Ends, error) {
	vms, records, err := s.disabling(ctx, vms)
	if err == nil {
		err = how.Check(records)
	}
	if err != nil {
		return narrow.Ends{}, err
	}
	narrowed, err := s.narrow(ctx, vms, s.without(vms))
	if err != nil {
		return narrowed, err
	}
	var placements [][]store.Placement
	for i, rec := range records {
		placements = append(placements, rec.Placements)
		if err := s.deletePolicy(ctx, rec, how.Remove); err != nil { // those before it are removed, and the log says so
			return narrowed, errors.Join(err, s.Activity.Append(ctx, s.PolicyEntries(who, store.OpDisable, records[:i+1], err)...))
		}
	}
	how.Done(ctx)
	// What was stored while the policies were still there may have opened meanwhile; what is stored from now on finds them gone.
	late, unmarked := s.narrow(ctx, vms, s.without(vms))
	narrowed = narrow.Ends{Grants: slices.Concat(narrowed.Grants, late.Grants), Marked: late.Marked}
	targets := store.TargetsOf(placements...)
	outs, err := s.Rounds.ReconcileAll(ctx, targets, round.Want{})
	settled := errors.Join(unmarked, s.Settle(ctx, narrowed))
	if err == nil {
		err = parallel.Each(outs, func(_ int, out round.Outcome) error { return s.Rounds.Forget(ctx, out) })
	}
	logged := s.Activity.Append(ctx, store.Noted(s.PolicyEntries(who, store.OpDisable, records, err), narrowed.Says)...)
	return narrowed, errors.Join(err, settled, logged)
}

// disabling gives the machines, each once, and their policies, or refuses.
func (s *Protection) disabling(ctx context.Context, vms []jit.ID) ([]jit.ID, []store.PolicyRecord, error) {
	vms = store.Distinct(slices.Clone(vms))
	if len(vms) == 0 {
		return nil, nil, &jit.Error{Code: jit.CodeNoVMs, Target: "virtualMachines", Message: "name at least one virtual machine"}
	}
	records := make([]store.PolicyRecord, len(vms))
	for i, vm := range vms {
		rec, err := s.Policies.Policy(ctx, vm)
		if errors.Is(err, store.ErrNotFound) {
			return nil, nil, &jit.Error{Code: jit.CodePolicyNotFound, Target: vm.String(), Message: vm.Name + " has no just-in-time policy"}
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read the policy of %s: %w", vm.Name, err)
		}
		records[i] = rec
	}
	return vms, records, nil
}

func (s *Protection) deletePolicy(ctx context.Context, rec store.PolicyRecord, remove func(context.Context, store.PolicyRecord) error) error {
	err := store.Retry(func(first bool) error {
		var err error
		if !first {
			rec, err = s.Policies.Policy(ctx, rec.Policy.VM)
		}
		if err == nil {
			err = remove(ctx, rec)
		}
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	if errors.Is(err, store.ErrConflict) {
		return store.ContendedPolicy(rec.Policy.VM)
	}
	if err != nil {
		return fmt.Errorf("remove the policy of %s: %w", rec.Policy.VM.Name, err)
	}
	return nil
}

// ruled adds to what enable says what security admin rules do to the ports that it protects.
func (s *Protection) ruled(ctx context.Context, list []Enabled, machines map[string]network.Machine) {
	var guarded []network.Machine
	for _, e := range list {
		guarded = append(guarded, machines[e.Policy.VM.Key()])
	}
	rules, left := s.Admins.Look(ctx, s.Network, s.now, guarded)
	for i, e := range list {
		m := machines[e.Policy.VM.Key()]
		for _, r := range network.RuledBy(m, e.Policy, rules[m.VirtualNetwork]) {
			if r.Opens {
				list[i].Exposed = append(list[i].Exposed, r.Foreign)
			} else {
				list[i].Blocked = append(list[i].Blocked, r.Foreign)
			}
		}
		if _, known := rules[m.VirtualNetwork]; !known {
			list[i].Unchecked = left
		}
	}
}
