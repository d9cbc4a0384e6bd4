package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
	"portcullis/core/parallel"
	"portcullis/core/store"
)

// What a named policy shows of its requests.
const (
	shownFor      = 7 * 24 * time.Hour
	shownRequests = 100
	// scannedRequests bounds how many requests of all machines are looked through for them.
	scannedRequests = 5000
	scannedAtOnce   = 1000
)

// NamedPolicies gives at most limit named policies after the one of a name, if that is not zero, with the machines that the
// caller may read, and the name to go on after, zero at the end. A policy of which he may read no machine is left out.
func (g *Guard) NamedPolicies(ctx context.Context, who jit.Caller, f store.PolicyFilter, after store.PolicyName, limit int) ([]NamedPolicy, store.PolicyName, error) {
	var out []NamedPolicy
	var one []store.PolicyRecord // of one name, until the next one comes
	full := errors.New("the page is full")
	add := func() error {
		if len(one) == 0 {
			return nil
		}
		p := named(one)[0]
		one = nil
		var err error
		if p.Machines, err = g.readable(ctx, who, p.Machines); err != nil || len(p.Machines) == 0 {
			return err
		}
		if len(out) == limit {
			return full
		}
		out = append(out, p)
		return nil
	}
	err := g.Service.Policies.EachListed(ctx, f, after, func(rec store.PolicyRecord) error {
		if len(one) > 0 && one[0].Listing().Key() != rec.Listing().Key() {
			if err := add(); err != nil {
				return err
			}
		}
		one = append(one, rec)
		return nil
	})
	if err == nil {
		err = add()
	}
	next := store.PolicyName{}
	switch {
	case errors.Is(err, full):
		next = out[limit-1].Name
	case err != nil:
		return nil, next, fmt.Errorf("read the policies: %w", err)
	}
	return out, next, g.showRequests(ctx, out)
}

// NamedPolicy gives one named policy with the machines that the caller may read.
// Who may read none of them is told that it does not exist if he may read the resource
// group, and otherwise that he may not, whether it exists or not.
func (g *Guard) NamedPolicy(ctx context.Context, who jit.Caller, name store.PolicyName) (NamedPolicy, error) {
	p, err := g.Service.policyNamed(ctx, name)
	if err != nil {
		return p, err
	}
	if p.Machines, err = g.readable(ctx, who, p.Machines); err != nil {
		return NamedPolicy{}, err
	}
	if len(p.Machines) == 0 {
		if err := g.may(ctx, who, VerbRead, name.Scope()); err != nil {
			return NamedPolicy{}, err
		}
		return NamedPolicy{}, noPolicy(name)
	}
	return g.withRequests(ctx, p)
}

func (g *Guard) withRequests(ctx context.Context, p NamedPolicy) (NamedPolicy, error) {
	one := []NamedPolicy{p}
	err := g.showRequests(ctx, one)
	return one[0], err
}

// readable gives the records of the machines that the caller may read.
func (g *Guard) readable(ctx context.Context, who jit.Caller, records []store.PolicyRecord) ([]store.PolicyRecord, error) {
	ok := make([]bool, len(records))
	err := parallel.Each(records, func(i int, r store.PolicyRecord) (err error) {
		ok[i], err = g.reads(ctx, who, r.Policy.VM.String())
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

// showRequests adds to policies the requests of their machines in the last
// [shownFor], newest first, at most [shownRequests] each.
func (g *Guard) showRequests(ctx context.Context, policies []NamedPolicy) error {
	in := map[string]int{}
	for i, p := range policies {
		for _, m := range p.Machines {
			in[m.Policy.VM.Key()] = i
		}
	}
	f := store.GrantFilter{From: g.Service.now().Add(-shownFor)}
	cursor := ""
	for seen := 0; len(policies) > 0 && seen < scannedRequests; {
		grants, next, err := g.Service.History.ListGrants(ctx, f, cursor, scannedAtOnce)
		if err != nil {
			return fmt.Errorf("read the requests: %w", err)
		}
		for _, grant := range grants {
			addRequest(policies, in, grant)
		}
		seen += scannedAtOnce
		full := !slices.ContainsFunc(policies, func(p NamedPolicy) bool { return len(p.Requests) < shownRequests })
		if cursor = next; cursor == "" || full {
			break
		}
	}
	return nil
}

// addRequest adds a grant to each of the policies that list one of its machines, with those machines only.
func addRequest(policies []NamedPolicy, in map[string]int, grant jit.Grant) {
	parts := map[int][]jit.GrantVM{}
	for _, vm := range grant.VMs {
		if i, ok := in[vm.VM.Key()]; ok {
			parts[i] = append(parts[i], vm)
		}
	}
	for i, vms := range parts {
		if len(policies[i].Requests) < shownRequests {
			part := grant
			part.VMs = vms
			policies[i].Requests = append(policies[i].Requests, part)
		}
	}
}

// ReplacePolicy makes a named policy list these machines and no others, for those
// who may write policies and machines: of the machines that are named, and of those
// that are not any more. (Who may write a policy may take all that it protects out of it,
// so that dropping a machine asks for no more than Defender for Cloud does.) It
// gives the whole policy, which its writer may read. A refusal is logged.
func (g *Guard) ReplacePolicy(ctx context.Context, who jit.Caller, name store.PolicyName, policies []jit.Policy, c Precondition) (NamedPolicy, error) {
	p, err := g.replacePolicy(ctx, who, name, policies, c)
	return p, g.Service.refusedPolicies(ctx, who, store.OpEnable, policies, err)
}

func (g *Guard) replacePolicy(ctx context.Context, who jit.Caller, name store.PolicyName, policies []jit.Policy, c Precondition) (NamedPolicy, error) {
	scopes := []string{name.Scope()}
	if len(policies) > 0 {
		scopes = scopesOf(policyVMs(policies))
	}
	if err := g.may(ctx, who, VerbEnable, scopes...); err != nil {
		return NamedPolicy{}, err
	}
	p, err := g.Service.replacePolicy(ctx, who, name, policies, c, func(vms []jit.ID) error {
		return g.mayUnnamed(ctx, who, VerbEnable, name, vms)
	})
	if err != nil {
		return NamedPolicy{}, err
	}
	return g.withRequests(ctx, p)
}

func policyVMs(policies []jit.Policy) []jit.ID {
	var out []jit.ID
	for _, p := range policies {
		out = append(out, p.VM)
	}
	return out
}

// mayUnnamed is may for machines that the caller has not named and may not know
// of: the refusal tells of the resource group instead.
func (g *Guard) mayUnnamed(ctx context.Context, who jit.Caller, v Verb, name store.PolicyName, vms []jit.ID) error {
	if len(vms) == 0 {
		return nil
	}
	err := g.may(ctx, who, v, scopesOf(vms)...)
	if jit.Refused(err) == nil {
		return err
	}
	return &jit.Error{Code: CodeForbidden, Target: name.Scope(), Message: fmt.Sprintf("%s does not have the permission %s on every virtual machine of the policy; ask for a role that holds it at %s", who.Name, strings.Join(needs[v], " and "), name.Scope())}
}

// DeletePolicy disables every machine that a named policy lists, for those who
// may delete policies. The flag reports that there was one. A refusal is logged.
func (g *Guard) DeletePolicy(ctx context.Context, who jit.Caller, name store.PolicyName, c Precondition) (bool, error) {
	was, err := g.deletePolicy(ctx, who, name, c)
	if jit.Refused(err) == nil {
		return was, err
	}
	p, failed := g.Service.policyNamed(ctx, name)
	return was, errors.Join(g.Service.refusedPolicies(ctx, who, store.OpDisable, policiesOf(p.vms()), err), failed)
}

func (g *Guard) deletePolicy(ctx context.Context, who jit.Caller, name store.PolicyName, c Precondition) (bool, error) {
	for range attempts {
		p, err := g.Service.policyNamed(ctx, name)
		if err != nil {
			return false, err
		}
		if len(p.Machines) == 0 {
			if err := g.may(ctx, who, VerbDisable, name.Scope()); err != nil {
				return false, err
			}
			return false, c.check(p)
		}
		if err := g.mayUnnamed(ctx, who, VerbDisable, name, p.vms()); err != nil {
			return false, err
		}
		if err := c.check(p); err != nil {
			return false, err
		}
		err = g.Service.Disable(ctx, who, p.vms())
		if refused := jit.Refused(err); refused != nil && refused.Code == jit.CodePolicyNotFound {
			continue // somebody else has disabled one of them meanwhile; nothing was changed
		}
		return true, err
	}
	return false, &jit.Error{Code: store.CodeConcurrent, Target: name.String(), Message: "the policy is being changed by others; ask again"}
}

// Initiate is [Guard.Request] of machines that the named policy lists. A broken
// request is told before anything is looked up, a missing permission before the policy.
func (g *Guard) Initiate(ctx context.Context, who jit.Caller, name store.PolicyName, r jit.Request) (store.GrantRecord, bool, error) {
	r.RequestorID, r.Requestor = who.ID, who.Name
	if err := g.mayRequest(ctx, who, r); err != nil {
		return store.GrantRecord{}, false, err
	}
	if err := g.Service.inPolicy(ctx, name, requested(r)); err != nil {
		if jit.Refused(err) != nil {
			err = errors.Join(err, g.Service.refused(ctx, who, r, err))
		}
		return store.GrantRecord{}, false, err
	}
	return g.Service.Request(ctx, who, r, "")
}
