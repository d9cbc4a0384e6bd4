package defender

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"portcullis/core/claim"
	"portcullis/core/jit"
	"portcullis/core/narrow"
	"portcullis/core/network"
	"portcullis/core/protect"
	"portcullis/core/roster"
	"portcullis/core/round"
	"portcullis/core/side"
	"portcullis/core/store"
)

// Written is how a client wrote a named policy.
type Written struct {
	Kind   string   // "" for the usual one
	Append bool     // machines that are listed and not named stay
	Forms  []string // of the machines, by index, as [store.PolicyRecord.Form]; those left out are ""
}

// replacement is the changes to make to a named policy.
type replacement struct {
	before   NamedPolicy
	changed  []store.PolicyRecord // new machines, and machines whose policy changes
	kept     []store.PolicyRecord // machines that stay as they are
	reworded []store.PolicyRecord // those of kept that were written differently
	dropped  []store.PolicyRecord
	head     *store.NamedRecord // what is to be stored of the policy itself; nil if that is stored
}

// replace makes a named policy list exactly these machines and disables those that are dropped. For machines that
// stay, it keeps what this face cannot express: ExistingRules and Options. What only words the same differently is
// stored, and touches no rule and no log.
//
// Refusals come before the first write. Of two callers with the same precondition one is refused, and of two without
// one the later replaces the list of the earlier: what is written is written under a [claim.Claim].
//
// Repeating what has been done, or what was begun and not finished, succeeds whatever the precondition (RFC 9110,
// section 13.1.1), since clients resend a PUT after an error.
func (s *Named) replace(ctx context.Context, who jit.Caller, name store.PolicyName, policies []jit.Policy, w Written, c Precondition, mayDrop func([]jit.ID) error) (NamedPolicy, error) {
	unlock, err := s.editing.Lock(ctx, name.Key())
	if err != nil {
		return NamedPolicy{}, err
	}
	defer unlock()
	var p NamedPolicy
	err = claim.Unclaimed(ctx, name, func(last bool) error {
		r, err := s.replacing(ctx, who, name, policies, w, last)
		if err != nil {
			return err
		}
		if len(r.changed)+len(r.dropped) == 0 {
			p, err = s.confirm(ctx, r)
			return err
		}
		if !s.lists().Begun(r.before.list(), r.makes()) {
			if err := c.check(r.before); err != nil {
				return err
			}
		}
		if err := mayDrop(idsOf(r.dropped)); err != nil {
			return err
		}
		if err := s.previewReplacement(ctx, r); err != nil {
			return err
		}
		p, err = s.carryOut(ctx, who, r)
		return err
	})
	return p, err
}

// makes names the list that the replacement makes.
func (r replacement) makes() string {
	return NamedPolicy{Machines: slices.Concat(r.kept, r.changed)}.sealed().ETag
}

// checkNamed refuses valid policies that one named policy cannot list, regardless of what is stored.
func (s *Named) checkNamed(name store.PolicyName, policies []jit.Policy) error {
	seen := map[string]bool{}
	for i, p := range policies {
		at := fmt.Sprintf("virtualMachines[%d]", i)
		if seen[p.VM.Key()] {
			return &jit.Error{Code: jit.CodeDuplicateVM, Target: at + ".id", Message: p.VM.Name + " stands twice"}
		}
		seen[p.VM.Key()] = true
		if !strings.EqualFold(p.VM.Subscription, name.Subscription) {
			return &jit.Error{Code: CodeOtherSubscription, Target: at + ".id", Message: p.VM.Name + " is in subscription " + p.VM.Subscription + ", the policy in " + name.Subscription}
		}
		if err := s.Protection.Subscriptions.Manages(p.VM, at+".id"); err != nil {
			return err
		}
	}
	return nil
}

// replacing compares the wanted policies with what is stored. last is as in [claim.Unclaimed].
func (s *Named) replacing(ctx context.Context, who jit.Caller, name store.PolicyName, policies []jit.Policy, w Written, last bool) (replacement, error) {
	before, byVM, err := s.storedNamed(ctx, name, policyVMs(policies))
	if err != nil {
		return replacement{}, err
	}
	if err := s.unecho(ctx, before, byVM, policies); err != nil {
		return replacement{}, err
	}
	r := replacement{before: before, head: s.headOf(name, before, policies, w)}
	stays := map[string]bool{}
	var at []int
	for i, p := range policies {
		stays[p.VM.Key()] = true
		rec, changed, bad := s.listed(who, name, byVM, p, w.form(i))
		switch {
		case bad != nil:
			return r, bad.At(fmt.Sprintf("virtualMachines[%d].id", i))
		case changed:
			r.changed, at = append(r.changed, rec), append(at, i)
		case rec.Form != byVM[p.VM.Key()].Form:
			r.reworded = append(r.reworded, rec)
			fallthrough
		default:
			r.kept = append(r.kept, rec)
		}
	}
	if len(r.changed) > jit.MaxVMs {
		return r, &jit.Error{Code: jit.CodeTooManyVMs, Target: "virtualMachines", Message: fmt.Sprintf("%d virtual machines are new or changed; one call takes at most %d", len(r.changed), jit.MaxVMs)}
	}
	r.unnamed(stays, w.Append)
	if n := len(r.changed) + len(r.kept); n > jit.MaxListedVMs {
		return r, &jit.Error{Code: jit.CodeTooManyVMs, Target: "virtualMachines", Message: fmt.Sprintf("the policy would list %d virtual machines; one lists at most %d", n, jit.MaxListedVMs)}
	}
	if s.lists().Held(before.list(), r.makes(), last) {
		return r, claim.ErrHeld
	}
	machines, err := s.Protection.Network.Locate(ctx, idsOf(r.changed))
	if err != nil {
		return r, fmt.Errorf("locate the virtual machines: %w", err)
	}
	for i := range r.changed {
		if r.changed[i], err = locatedRecord(r.changed[i], machines, fmt.Sprintf("virtualMachines[%d].id", at[i])); err != nil {
			return r, err
		}
	}
	return r, nil
}

// unnamed keeps or drops the machines that are listed and not named.
func (r *replacement) unnamed(named map[string]bool, keep bool) {
	for _, m := range r.before.Machines {
		switch {
		case named[m.Policy.VM.Key()]:
		case keep:
			r.kept = append(r.kept, m)
		default:
			r.dropped = append(r.dropped, m)
		}
	}
}

// listed returns the record that makes a machine part of a named policy, and whether it says anything else than what
// is stored. Its form may differ in either case. It refuses if another policy lists the machine.
func (s *Named) listed(who jit.Caller, name store.PolicyName, byVM map[string]store.PolicyRecord, p jit.Policy, form string) (store.PolicyRecord, bool, *jit.Error) {
	rec, known := byVM[p.VM.Key()]
	if known && rec.Listing().Key() != name.Key() {
		return rec, false, inOther(rec)
	}
	p = claim.Meant(p, rec.Policy)
	rec.Form = form
	if known && claim.Same(rec.Policy, p) {
		return rec, false, nil
	}
	rec.Policy, rec.ChangedBy, rec.ChangedAt = p, who.Name, s.now()
	if !known {
		rec.Since = rec.ChangedAt
	}
	rec.Listed = store.Listed{ResourceGroup: name.ResourceGroup, Location: name.Location, Name: name.Name}
	return rec, true, nil
}

// locatedRecord returns the record with where its machine is now.
func locatedRecord(r store.PolicyRecord, machines map[string]network.Machine, at string) (store.PolicyRecord, error) {
	m, err := network.Exists(r.Policy.VM, machines, at)
	if err != nil {
		return r, err
	}
	r.Location, r.Placements = m.Location, m.Placements
	return r, nil
}

func inOther(rec store.PolicyRecord) *jit.Error {
	return &jit.Error{Code: CodeOtherPolicy, Message: rec.Policy.VM.Name + " is in the policy " + rec.Listing().String() + "; take it out there first"}
}

func policiesIn(records []store.PolicyRecord) []jit.Policy {
	var out []jit.Policy
	for _, r := range records {
		out = append(out, r.Policy)
	}
	return out
}

func idsOf(records []store.PolicyRecord) []jit.ID {
	var out []jit.ID
	for _, r := range records {
		out = append(out, r.Policy.VM)
	}
	return out
}

func targetsOfRecords(records []store.PolicyRecord) []jit.ID {
	var placements [][]store.Placement
	for _, r := range records {
		placements = append(placements, r.Placements)
	}
	return store.TargetsOf(placements...)
}

// previewReplacement refuses if a deny would not stand at all. What else is wrong with a machine is told with the answer
// and hinders no other (docs/decisions/032).
func (s *Named) previewReplacement(ctx context.Context, r replacement) error {
	hindered, err := s.hindered(ctx, r)
	if err != nil {
		return err
	}
	for _, rec := range r.changed {
		if err := hindered.Bars(rec.Policy.VM); err != nil {
			return err
		}
	}
	return nil
}

// hindered returns what would be wrong with the protection of the machines that change, and settles which of them leave room for windows.
func (s *Named) hindered(ctx context.Context, r replacement) (side.Hindered, error) {
	goes := func(p roster.Protected) bool {
		same := func(rec store.PolicyRecord) bool { return rec.Policy.VM.Equal(p.Policy.VM) }
		return slices.ContainsFunc(r.changed, same) || slices.ContainsFunc(r.dropped, same)
	}
	_, hindered, err := s.Protection.Protecting(r.changed, func() ([]round.Outcome, error) {
		return s.Protection.Rounds.Project(ctx, targetsOfRecords(r.changed), func(t jit.ID, state *roster.State) {
			state.Policies = slices.DeleteFunc(state.Policies, goes)
			for _, rec := range r.changed {
				for _, p := range rec.Placements {
					if p.Target.Equal(t) {
						state.Policies = append(state.Policies, p.Protected(rec.Policy))
					}
				}
			}
		})
	})
	return hindered, err
}

// carryOut stores the new policies, disables the dropped machines, and reconciles every target. After an error
// some of it may be done; repeating the call completes it. With a precondition, read the policy again first.
func (s *Named) carryOut(ctx context.Context, who jit.Caller, r replacement) (NamedPolicy, error) {
	c, err := s.lists().Claim(ctx, r.before.list(), r.makes())
	if err != nil {
		return NamedPolicy{}, err
	}
	defer c.Leave(ctx)
	targets := store.Distinct(slices.Concat(targetsOfRecords(slices.Concat(r.before.Machines, r.changed)), r.before.list().Dropped()))
	for i, rec := range r.changed {
		stored, err := c.Put(ctx, rec)
		if err != nil {
			if i > 0 { // those before it are stored, and the log says so
				err = errors.Join(err, s.Protection.Activity.Append(ctx, s.Protection.EditEntries(who, store.OpEnable, r.changed[:i+1], r.before.Machines, err)...))
			}
			return NamedPolicy{}, err
		}
		r.changed[i] = stored
	}
	var p NamedPolicy
	var finished error
	stored := slices.Concat(r.kept, r.changed)                    // by an earlier try, some of it
	narrowed, bad := s.Protection.Narrow(ctx, policiesIn(stored)) // now: to bring the targets of the dropped machines in order may take minutes
	dropped, err := s.drop(ctx, who, idsOf(r.dropped), protect.Removal{Check: c.Check, Remove: c.Remove, Done: func(ctx context.Context) {
		p, finished = s.reword(ctx, r, c.Finish) // what is stored by then is enforced in any case
	}})
	if errors.Is(err, claim.ErrTaken) {
		return NamedPolicy{}, err
	}
	hindered, failed := s.enforce(ctx, stored, targets, narrowed)
	narrowed, err = narrowed.With(dropped), errors.Join(err, bad, failed)
	if len(r.changed) > 0 {
		entries := store.Noted(store.Noted(s.Protection.EditEntries(who, store.OpEnable, r.changed, r.before.Machines, err), narrowed.Says), hindered.Says)
		err = errors.Join(err, s.Protection.Activity.Append(ctx, entries...))
	}
	if err = errors.Join(err, finished); err == nil {
		err = c.Confirmed(ctx)
	}
	if err != nil {
		return NamedPolicy{Narrowed: narrowed}, err
	}
	p.Narrowed, p.Hindered = narrowed, hindered
	return p, nil
}

// enforce brings targets in order, and closes what was marked for it. It returns what hinders the protection of the machines, too.
func (s *Named) enforce(ctx context.Context, stored []store.PolicyRecord, targets []jit.ID, narrowed narrow.Ends) (side.Hindered, error) {
	outs, err := s.Protection.Rounds.ReconcileAll(ctx, targets, round.Want{})
	return s.Protection.Hindrances(outs, stored), errors.Join(err, s.Protection.Settle(ctx, narrowed))
}

// drop disables machines. It skips those that somebody else has disabled meanwhile.
func (s *Named) drop(ctx context.Context, who jit.Caller, vms []jit.ID, how protect.Removal) (narrow.Ends, error) {
	for len(vms) > 0 {
		narrowed, err := s.Protection.DisableBy(ctx, who, vms, how)
		refused := jit.Refused(err)
		if refused == nil || refused.Code != jit.CodePolicyNotFound {
			return narrowed, err
		}
		n := len(vms)
		vms = slices.DeleteFunc(vms, func(vm jit.ID) bool { return vm.String() == refused.Target })
		if len(vms) == n {
			return narrowed, err
		}
	}
	how.Done(ctx)
	return narrow.Ends{}, nil
}

// putListed stores a machine's policy as part of a named one, replacing whatever is there now unless another named
// policy lists the machine.
func (s *Named) putListed(ctx context.Context, name store.PolicyName, rec store.PolicyRecord) (store.PolicyRecord, error) {
	err := store.Retry(func(first bool) error {
		if !first {
			now, err := s.Protection.Policies.Policy(ctx, rec.Policy.VM)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return fmt.Errorf("read the policy of %s: %w", rec.Policy.VM.Name, err)
			}
			if err == nil && now.Listing().Key() != name.Key() {
				return inOther(now).At(rec.Policy.VM.String())
			}
			rec.Version = now.Version
			if err == nil {
				rec.Policy.ExistingRules, rec.Policy.Options = now.Policy.ExistingRules, now.Policy.Options
				rec.Policy = rec.Policy.WithPins(now.Policy)
			}
		}
		stored, err := s.Protection.Policies.PutPolicy(ctx, rec)
		if err != nil {
			return fmt.Errorf("store the policy of %s: %w", rec.Policy.VM.Name, err)
		}
		rec = stored
		return nil
	})
	if errors.Is(err, store.ErrConflict) {
		err = store.ContendedPolicy(rec.Policy.VM)
	}
	return rec, err
}
