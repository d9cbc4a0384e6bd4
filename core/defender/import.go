package defender

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"portcullis/core/guard"
	"portcullis/core/jit"
	"portcullis/core/narrow"
	"portcullis/core/network"
	"portcullis/core/parallel"
	"portcullis/core/permit"
	"portcullis/core/round"
	"portcullis/core/side"
	"portcullis/core/store"
)

// Imported is the result for one machine of an imported policy.
type Imported struct {
	VM       jit.ID
	Enabled  bool
	Err      error       // why it was not enabled
	Leftover []Leftover  // Defender's rules that still exist for it
	Narrowed narrow.Ends // what was open and is not allowed any more
}

// Leftover is a rule that Defender for Cloud made and that we leave alone.
type Leftover struct {
	Target jit.ID
	Rule   jit.Rule
}

// defenderRules are the prefixes of the names that Defender for Cloud gives its rules: the current one and that
// from before 2023 (release notes, "Revised JIT rule naming conventions").
var defenderRules = []string{"MicrosoftDefenderForCloud-JITRule", "SecurityCenter-JITRule"}

func defenders(name string) bool {
	return slices.ContainsFunc(defenderRules, func(prefix string) bool {
		return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
	})
}

// ToImport is machines to add to a named policy.
type ToImport struct {
	Name     store.PolicyName
	Policies []jit.ValidPolicy
}

// Import adds machines to named policies and returns the result for each, in the given order. A machine that is
// refused, or that the caller may not enable, does not stop the others. Machines that a policy already lists get
// the imported ports; none is dropped. For each enabled machine it reports the rules that Defender for Cloud has
// left, and does not touch them. It logs one entry for each kind of refusal.
// With dryRun it writes and logs nothing.
func (s *Named) Import(ctx context.Context, who jit.Caller, lists []ToImport, dryRun bool) [][]Imported {
	out := make([][]Imported, len(lists))
	var policies []jit.Policy
	var errs []*error
	for n, list := range lists {
		out[n] = make([]Imported, len(list.Policies))
		added := policiesOf(list.Policies)
		_ = parallel.Each(added, func(i int, p jit.Policy) error {
			out[n][i] = Imported{VM: p.VM, Err: s.Permit.May(ctx, who, permit.VerbEnable, p.VM.String())}
			return nil
		})
		s.importMachines(ctx, who, list.Name, added, out[n], dryRun)
		policies = append(policies, added...)
		for i := range added {
			errs = append(errs, &out[n][i].Err)
		}
	}
	if !dryRun {
		s.logRefused(ctx, who, policies, errs)
	}
	return out
}

// logRefused logs the refused machines, grouped by code, with the message of the first. A machine that was not
// reached is not a refusal. errs points to the result for each policy.
func (s *Named) logRefused(ctx context.Context, who jit.Caller, policies []jit.Policy, errs []*error) {
	first, together := map[jit.Code]*error{}, map[jit.Code][]jit.Policy{}
	for i, p := range policies {
		why := jit.Refused(*errs[i])
		if why == nil || why.Code == CodeNotReached {
			continue
		}
		if first[why.Code] == nil {
			first[why.Code] = errs[i]
		}
		together[why.Code] = append(together[why.Code], p)
	}
	for _, why := range slices.Sorted(maps.Keys(together)) {
		*first[why] = s.Protection.LogRefusedPolicies(ctx, who, store.OpEnable, together[why], *first[why])
	}
}

// importMachines imports all machines that have no error in out, in bulk where possible, and stores the results in
// out.
func (s *Named) importMachines(ctx context.Context, who jit.Caller, name store.PolicyName, policies []jit.Policy, out []Imported, dryRun bool) {
	records := s.importing(ctx, who, name, policies, out, dryRun)
	stored := slices.Collect(maps.Values(records))
	narrow := s.Protection.Narrow
	if dryRun {
		narrow = s.Protection.PreviewNarrow
	}
	narrowed, failed := narrow(ctx, policiesIn(stored))
	targets := targetsOfRecords(stored)
	snaps, errs := make([]network.Standing, len(targets)), map[string]error{}
	var mu sync.Mutex
	_ = parallel.Each(targets, func(i int, t jit.ID) error {
		var err error
		if !dryRun {
			_, err = s.Protection.Rounds.ReconcileAll(ctx, []jit.ID{t}, round.Want{})
		}
		if err == nil {
			snaps[i], err = s.Protection.Rounds.Shown(ctx, t)
		}
		mu.Lock()
		defer mu.Unlock()
		errs[t.Key()] = err
		return nil
	})
	failed = errors.Join(failed, s.Protection.Settle(ctx, narrowed))
	for i, rec := range records {
		out[i].Err, out[i].Narrowed = errors.Join(out[i].Err, failed), guard.Told(ctx, s.Permit, who, narrowed.At(rec.Policy.VM.Equal))
		for _, p := range rec.Placements {
			out[i].Err = errors.Join(out[i].Err, errs[p.Target.Key()])
		}
		out[i].Enabled = out[i].Err == nil
		out[i].Leftover = leftovers(rec, snaps)
	}
	if dryRun {
		return
	}
	for _, i := range slices.Sorted(maps.Keys(records)) {
		if err := s.Protection.Activity.Append(ctx, store.Noted(s.Protection.PolicyEntries(who, store.OpEnable, []store.PolicyRecord{records[i]}, out[i].Err), narrowed.Says)...); err != nil {
			out[i].Enabled, out[i].Err = false, errors.Join(out[i].Err, err)
		}
	}
}

// importable returns the records of the policies that can be enabled, by index in out, and which of them differ from
// what is stored.
func (s *Named) importable(ctx context.Context, who jit.Caller, name store.PolicyName, policies []jit.Policy, out []Imported) (records map[int]store.PolicyRecord, changed map[int]bool) {
	records, changed = map[int]store.PolicyRecord{}, map[int]bool{}
	var allowed []jit.ID // nothing is read of what is refused
	for i, p := range policies {
		if out[i].Err == nil {
			out[i].Err = s.checkNamed(name, []jit.Policy{p})
		}
		if out[i].Err == nil {
			allowed = append(allowed, p.VM)
		}
	}
	byVM, err := store.PolicyRecords(ctx, s.Protection.Policies, store.Distinct(allowed))
	seen := map[string]bool{}
	for i, p := range policies {
		if out[i].Err == nil {
			out[i].Err = err
		}
		if out[i].Err != nil {
			continue
		}
		if seen[p.VM.Key()] {
			out[i].Err = &jit.Error{Code: jit.CodeDuplicateVM, Target: p.VM.String(), Message: p.VM.Name + " stands twice"}
			continue
		}
		seen[p.VM.Key()] = true
		if _, known := byVM[p.VM.Key()]; !known {
			if out[i].Err = s.mayList(ctx, who, name, p.VM); out[i].Err != nil {
				continue
			}
		}
		rec, isNew, bad := s.listed(who, name, byVM, p, byVM[p.VM.Key()].Form)
		if bad != nil {
			out[i].Err = bad.At(p.VM.String())
			continue
		}
		records[i], changed[i] = rec, isNew
	}
	return records, changed
}

// importing stores the policies that can be enabled and returns their records, by index in out.
func (s *Named) importing(ctx context.Context, who jit.Caller, name store.PolicyName, policies []jit.Policy, out []Imported, dryRun bool) map[int]store.PolicyRecord {
	records, changed := s.importable(ctx, who, name, policies, out)
	var moved []jit.ID
	for i, p := range policies {
		if changed[i] {
			moved = append(moved, p.VM)
		}
	}
	if len(moved) == 0 {
		return records
	}
	machines, err := s.Protection.Network.Locate(ctx, moved)
	r := replacement{}
	for i, rec := range records {
		if !changed[i] {
			continue
		}
		out[i].Err = err
		if err == nil {
			rec, out[i].Err = locatedRecord(rec, machines, rec.Policy.VM.String())
		}
		records[i] = rec
		if out[i].Err == nil {
			r.changed = append(r.changed, rec)
		}
	}
	hindered, err := s.hindered(ctx, r)
	leavesRoom := map[string]bool{}
	for _, rec := range r.changed {
		leavesRoom[rec.Policy.VM.Key()] = rec.Policy.LeavesRoom
	}
	for _, i := range slices.Sorted(maps.Keys(records)) {
		if changed[i] && out[i].Err == nil {
			rec := records[i]
			rec.Policy.LeavesRoom = leavesRoom[rec.Policy.VM.Key()]
			records[i], out[i].Err = s.importOne(ctx, name, rec, hindered, err, dryRun)
		}
		if out[i].Err != nil {
			delete(records, i)
		}
	}
	return records
}

// importOne stores one machine's policy unless it cannot be protected.
func (s *Named) importOne(ctx context.Context, name store.PolicyName, rec store.PolicyRecord, hindered side.Hindered, err error, dryRun bool) (store.PolicyRecord, error) {
	if err == nil {
		err = hindered.Why(rec.Policy.VM)
	}
	if err != nil || dryRun {
		return rec, err
	}
	return s.putListed(ctx, name, rec)
}

// leftovers returns Defender's rules that apply to a machine.
func leftovers(rec store.PolicyRecord, snaps []network.Standing) []Leftover {
	var out []Leftover
	for _, snap := range snaps {
		for _, p := range rec.Placements {
			if !p.Target.Equal(snap.Target) {
				continue
			}
			for _, rule := range snap.Rules {
				if defenders(rule.Name) && bearsOn(rule.Destination, p.Addresses) {
					out = append(out, Leftover{Target: p.Target, Rule: rule})
				}
			}
		}
	}
	return out
}

func bearsOn(to jit.Peers, addresses []netip.Addr) bool {
	return to.Any || slices.ContainsFunc(to.Prefixes, func(p netip.Prefix) bool { return slices.ContainsFunc(addresses, p.Contains) })
}
