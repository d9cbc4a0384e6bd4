package defender

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"portcullis/core/claim"
	"portcullis/core/guard"
	"portcullis/core/jit"
	"portcullis/core/narrow"
	"portcullis/core/network"
	"portcullis/core/parallel"
	"portcullis/core/permit"
	"portcullis/core/protect"
	"portcullis/core/round"
	"portcullis/core/store"
)

// Bounds on the requests that a named policy shows.
const (
	shownFor      = 7 * 24 * time.Hour
	shownRequests = 100
	// shownParts bounds what the requests of one policy hold together: machines, ports and sources. With the policy they
	// must fit into the body of a replacement, since clients send back what they read.
	shownParts = 4000
	// scannedRequests bounds how many requests of all machines are read to find them.
	scannedRequests = 5000
	scannedAtOnce   = 1000
)

// NamedPolicies returns at most limit named policies, starting after the given name if it is not zero, with the
// machines that the caller may read, and the name to continue after, zero at the end. It skips a policy if the
// caller may read none of its machines.
func (s *Named) NamedPolicies(ctx context.Context, who jit.Caller, f store.PolicyFilter, after store.PolicyName, limit int) ([]NamedPolicy, store.PolicyName, error) {
	var out []NamedPolicy
	full := errors.New("the page is full")
	err := s.eachReadable(ctx, who, f, after, func(p NamedPolicy) error {
		if len(out) == limit {
			return full
		}
		out = append(out, p.ordered())
		return nil
	})
	next := store.PolicyName{}
	switch {
	case errors.Is(err, full):
		next = out[limit-1].Name
	case err != nil:
		return nil, next, fmt.Errorf("read the policies: %w", err)
	}
	return out, next, s.showRequests(ctx, out)
}

// NamedPolicy returns one named policy with the machines that the caller may read. A caller who may read none of
// them gets "not found" if they may read the resource group, and otherwise a refusal, whether the policy exists or
// not.
func (s *Named) NamedPolicy(ctx context.Context, who jit.Caller, name store.PolicyName) (NamedPolicy, error) {
	if !s.Permit.Subscriptions.Within(name.Scope()) {
		return NamedPolicy{}, network.NotManaged(name.Scope())
	}
	p, err := s.policyNamed(ctx, name)
	if err != nil {
		return p, err
	}
	empty := p.exists() && len(p.Machines) == 0
	if p.Machines, err = s.readable(ctx, who, p.Machines); err != nil {
		return NamedPolicy{}, err
	}
	if len(p.Machines) == 0 {
		if err := s.Permit.May(ctx, who, permit.VerbRead, name.Scope()); err != nil {
			return NamedPolicy{}, err
		}
		if !empty {
			return NamedPolicy{}, noPolicy(name)
		}
	}
	return s.withRequests(ctx, p.ordered())
}

func (s *Named) withRequests(ctx context.Context, p NamedPolicy) (NamedPolicy, error) {
	one := []NamedPolicy{p}
	err := s.showRequests(ctx, one)
	return one[0], err
}

// readable returns the records of the machines that the caller may read.
func (s *Named) readable(ctx context.Context, who jit.Caller, records []store.PolicyRecord) ([]store.PolicyRecord, error) {
	ok := make([]bool, len(records))
	err := parallel.Each(records, func(i int, r store.PolicyRecord) (err error) {
		ok[i], err = s.Permit.Reads(ctx, who, r.Policy.VM.String())
		return err
	})
	var out []store.PolicyRecord
	for i, r := range records {
		if ok[i] {
			out = append(out, r)
		}
	}
	return out, err
}

// showRequests adds to policies the requests for their machines in the last [shownFor], newest first, at most
// [shownRequests] and [shownParts] each. Requests from before a policy came into being are another one's of its name.
func (s *Named) showRequests(ctx context.Context, policies []NamedPolicy) error {
	in := map[string]shownIn{}
	parts := make([]int, len(policies))
	for i, p := range policies {
		for _, m := range p.Machines {
			at := shownIn{policy: i, since: m.Since}
			if p.Head != nil {
				at.since = p.Head.Since
			}
			in[m.Policy.VM.Key()] = at
		}
	}
	f := store.GrantFilter{From: s.now().Add(-shownFor)}
	cursor := ""
	for seen := 0; len(policies) > 0 && seen < scannedRequests; {
		grants, next, err := s.History.ListGrants(ctx, f, cursor, scannedAtOnce)
		if err != nil {
			return fmt.Errorf("read the requests: %w", err)
		}
		for _, grant := range grants {
			addRequest(policies, in, parts, grant)
		}
		seen += scannedAtOnce
		open := false
		for i, p := range policies {
			open = open || len(p.Requests) < shownRequests && parts[i] < shownParts
		}
		if cursor = next; cursor == "" || !open {
			break
		}
	}
	return nil
}

// shownIn says in which policy the requests for a machine are shown, and from when on.
type shownIn struct {
	policy int
	since  time.Time
}

// addRequest adds a grant to each policy that lists one of its machines, with those machines only, unless the policy
// shows enough. parts counts what each policy shows; one that is full takes no more.
func addRequest(policies []NamedPolicy, in map[string]shownIn, parts []int, grant jit.Grant) {
	shown := map[int][]jit.GrantVM{}
	for _, vm := range grant.VMs {
		if at, ok := in[vm.VM.Key()]; ok && !grant.Start.Before(at.since) {
			shown[at.policy] = append(shown[at.policy], vm)
		}
	}
	for i, vms := range shown {
		n := 0
		for _, vm := range vms {
			n++
			for _, w := range vm.Ports {
				n += 1 + len(w.Sources.Prefixes())
			}
		}
		if parts[i] += n; len(policies[i].Requests) == shownRequests || parts[i] > shownParts {
			parts[i] = shownParts
			continue
		}
		part := grant
		part.VMs = vms
		policies[i].Requests = append(policies[i].Requests, part)
	}
}

// ReplacePolicy makes a named policy list exactly these machines, or with w.Append these besides those that it lists. The
// caller must be allowed to write policies in its resource group and on every machine that is dropped, and to write
// policies and machines for all that are named (docs/decisions/027). It returns the whole policy, which its writer may
// read. It logs a refusal.
func (s *Named) ReplacePolicy(ctx context.Context, who jit.Caller, name store.PolicyName, checked []jit.ValidPolicy, w Written, c Precondition) (NamedPolicy, error) {
	policies := policiesOf(checked)
	p, err := s.replacePolicy(ctx, who, name, policies, w, c)
	return p, s.Protection.LogRefusedPolicies(ctx, who, store.OpEnable, policies, err)
}

func (s *Named) replacePolicy(ctx context.Context, who jit.Caller, name store.PolicyName, policies []jit.Policy, w Written, c Precondition) (NamedPolicy, error) {
	if !s.Permit.Subscriptions.Within(name.Scope()) {
		return NamedPolicy{}, network.NotManaged(name.Scope())
	}
	if err := s.checkNamed(name, policies); err != nil {
		return NamedPolicy{}, err
	}
	if err := s.Permit.May(ctx, who, permit.VerbList, name.Scope()); err != nil {
		return NamedPolicy{}, err
	}
	if len(policies) > 0 {
		if err := s.Permit.May(ctx, who, permit.VerbEnable, permit.ScopesOf(policyVMs(policies))...); err != nil {
			return NamedPolicy{}, err
		}
	}
	p, err := s.replace(ctx, who, name, policies, w, c, func(vms []jit.ID) error {
		return s.mayUnnamed(ctx, who, permit.VerbList, name, vms)
	})
	if err != nil {
		return NamedPolicy{}, err
	}
	p.Narrowed = guard.Told(ctx, s.Permit, who, p.Narrowed)
	return s.withRequests(ctx, p.ordered())
}

// mayList refuses to add a machine to the list of a named policy, unless the caller may change what that lists. In the default policy of
// its own resource group it stands whenever it is enabled: whoever may write that policy may write the machine's own.
func (s *Named) mayList(ctx context.Context, who jit.Caller, name store.PolicyName, vm jit.ID) error {
	if strings.EqualFold(name.ResourceGroup, vm.ResourceGroup) && strings.EqualFold(name.Name, store.DefaultName) {
		return nil
	}
	return s.Permit.May(ctx, who, permit.VerbList, name.Scope())
}

func policiesOf(checked []jit.ValidPolicy) []jit.Policy {
	var out []jit.Policy
	for _, p := range checked {
		out = append(out, p.Policy())
	}
	return out
}

func policyVMs(policies []jit.Policy) []jit.ID {
	var out []jit.ID
	for _, p := range policies {
		out = append(out, p.VM)
	}
	return out
}

// mayUnnamed is [permit.Permit.MayStored] for machines that the caller has not named and may not know of: the
// refusal names the resource group instead.
func (s *Named) mayUnnamed(ctx context.Context, who jit.Caller, v permit.Verb, name store.PolicyName, vms []jit.ID) error {
	if len(vms) == 0 {
		return nil
	}
	err := s.Permit.MayStored(ctx, who, v, permit.ScopesOf(vms)...)
	if jit.Refused(err) == nil {
		return err
	}
	return &jit.Error{Code: permit.CodeForbidden, Target: name.Scope(), Message: fmt.Sprintf("%s does not have the permission %s on every virtual machine of the policy; ask for a role that holds it at %s", who.Name, strings.Join(permit.Needs(v), " and "), name.Scope())}
}

// DeletePolicy disables every machine that a named policy lists, for callers who may delete policies in its resource
// group and on each of the machines. It returns what it has ended and whether the policy existed, and logs a refusal.
func (s *Named) DeletePolicy(ctx context.Context, who jit.Caller, name store.PolicyName, c Precondition) (narrow.Ends, bool, error) {
	if err := s.Permit.May(ctx, who, permit.VerbDisable, name.Scope()); err != nil {
		return narrow.Ends{}, false, s.Protection.LogRefusedPolicies(ctx, who, store.OpDisable, nil, err) // which machines it lists is not looked up for that
	}
	vms, ends, found, err := s.deletePolicy(ctx, who, name, c)
	return guard.Told(ctx, s.Permit, who, ends), found, s.Protection.LogRefusedPolicies(ctx, who, store.OpDisable, protect.PoliciesOf(vms), err)
}

// deletePolicy returns the machines that the policy listed, what it has ended, and whether it existed.
func (s *Named) deletePolicy(ctx context.Context, who jit.Caller, name store.PolicyName, c Precondition) (vms []jit.ID, ends narrow.Ends, found bool, err error) {
	unlock, err := s.editing.Lock(ctx, name.Key())
	if err != nil {
		return nil, ends, false, err
	}
	defer unlock()
	err = claim.Unclaimed(ctx, name, func(last bool) error {
		p, err := s.policyNamed(ctx, name)
		if err != nil {
			return err
		}
		if s.lists().Held(p.list(), makesNothing, last) {
			return claim.ErrHeld
		}
		vms, found = p.vms(), p.exists() || len(p.list().Dropped()) > 0
		if err := s.mayUnnamed(ctx, who, permit.VerbDisable, name, vms); err != nil {
			return err
		}
		if !s.lists().Begun(p.list(), makesNothing) {
			if err := c.check(p); err != nil {
				return err
			}
		}
		if !found {
			return nil
		}
		some, err := s.carryOutDeletion(ctx, who, p)
		ends = ends.With(some) // what a try has marked that began again, too
		return err
	})
	return vms, ends, found, err
}

// makesNothing is what a deletion makes.
const makesNothing = "nothing"

// carryOutDeletion disables what the policy lists under a claim, gives it up before a target is written, and removes the
// policy's record last, so that who repeats a deletion that failed finds the policy.
func (s *Named) carryOutDeletion(ctx context.Context, who jit.Caller, p NamedPolicy) (ends narrow.Ends, err error) {
	c, err := s.lists().Claim(ctx, p.list(), makesNothing)
	if err != nil {
		return ends, err
	}
	defer c.Leave(ctx)
	if len(p.Machines) > 0 {
		ends, err = s.Protection.DisableBy(ctx, who, p.vms(), protect.Removal{Check: c.Check, Remove: c.Remove, Done: c.Leave})
	}
	if refused := jit.Refused(err); refused != nil && refused.Code == jit.CodePolicyNotFound {
		return ends, claim.ErrTaken // somebody else has disabled one of them; nothing was changed
	}
	if err == nil && len(p.list().Dropped()) > 0 { // by who could not bring their targets in order
		c.Leave(ctx)
		_, err = s.Protection.Rounds.ReconcileAll(ctx, p.list().Dropped(), round.Want{})
	}
	if err != nil {
		return ends, err
	}
	return ends, c.Drop(ctx)
}

// Initiate is [guard.Verbs.Request] for machines that the named policy lists. An invalid request is refused
// before anything is looked up, a missing permission before the policy is.
func (s *Named) Initiate(ctx context.Context, who jit.Caller, name store.PolicyName, r jit.Request) (store.GrantRecord, bool, error) {
	checked, err := s.Guard.MayRequest(ctx, who, r)
	if err != nil {
		rec, err := s.Guard.Known(ctx, checked, "", err)
		return rec, err == nil, err
	}
	if err := s.inPolicy(ctx, name, r.Machines()); err != nil {
		return store.GrantRecord{}, false, s.Guard.Service.LogRefusedRequest(ctx, who, r, err)
	}
	return s.Guard.Service.Request(ctx, who, checked, "")
}
