// Package permit decides what callers may do: the verbs, the Azure RBAC actions that each needs, and which parts
// of a list a caller may read. It asks an [Authority]; in doubt it refuses.
package permit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/parallel"
	"portcullis/core/store"
)

// CodeForbidden is the code for a missing permission; the message names the action and the scope.
const CodeForbidden jit.Code = "AuthorizationFailed"

// The Azure RBAC actions that verbs need: the same that Defender for Cloud asks for.
const (
	ActionRead     = "Microsoft.Security/locations/jitNetworkAccessPolicies/read"
	ActionWrite    = "Microsoft.Security/locations/jitNetworkAccessPolicies/write"
	ActionDelete   = "Microsoft.Security/locations/jitNetworkAccessPolicies/delete"
	ActionInitiate = "Microsoft.Security/locations/jitNetworkAccessPolicies/initiate/action"
	ActionReadVM   = "Microsoft.Compute/virtualMachines/read"
	ActionWriteVM  = "Microsoft.Compute/virtualMachines/write"
)

// Verb is an operation as far as permissions go.
type Verb string

// The verbs.
const (
	VerbRead        Verb = "read"
	VerbRequest     Verb = "request"
	VerbExtend      Verb = "extend"
	VerbRevokeOther Verb = "revoke another's"
	VerbEnable      Verb = "enable"
	VerbDisable     Verb = "disable"
	VerbList        Verb = "change what a named policy lists"
	VerbSweep       Verb = "sweep"
	VerbLockdown    Verb = "lock down"
	VerbApprove     Verb = "approve" // beside reading; the app role, or a policy, may stand for it: see package pending
	VerbReview      Verb = "review"  // what happened after a break-glass; who has the app role Portcullis.Approver needs VerbRead instead
)

// needs lists the actions that the caller's role assignments must all include, on every machine concerned (for a
// sweep: on every managed subscription). Reading never implies requesting. Closing one's own grant needs no
// action: a caller who has lost a role must still be able to close what is open in their name.
var needs = map[Verb][]string{
	VerbRead:        {ActionRead},
	VerbRequest:     {ActionInitiate, ActionReadVM},
	VerbExtend:      {ActionInitiate, ActionReadVM},
	VerbRevokeOther: {ActionWrite},
	VerbEnable:      {ActionWrite, ActionWriteVM},
	VerbDisable:     {ActionDelete},
	VerbList:        {ActionWrite}, // at the policy's resource group, and at machines that are taken out
	VerbSweep:       {ActionWrite},
	VerbLockdown:    {ActionWrite}, // at the scope; of a person and of everything at every managed subscription
	VerbApprove:     {ActionWrite},
	VerbReview:      {ActionWrite},
}

// Needs returns the actions that a verb needs; none for an unknown verb, which is always refused.
func Needs(v Verb) []string { return slices.Clone(needs[v]) }

// Authority decides which actions callers may do.
type Authority interface {
	// Missing returns the first of the actions that the caller may not do at the scope, which is the ARM id of a
	// machine, a resource group or a subscription; "" if the caller may do them all. In doubt an action is missing. On
	// an error nothing is known and the caller may do nothing.
	Missing(ctx context.Context, who jit.Caller, scope string, actions ...string) (string, error)
}

// Permit decides what callers may do in the managed subscriptions.
type Permit struct {
	Authority     Authority
	Subscriptions network.Subscriptions
}

// May refuses with [CodeForbidden] unless the caller may do the verb at every scope. It refuses a scope outside
// the managed subscriptions with [network.CodeNotManaged] without asking the authority: callers can name any
// subscription, and made-up ones must cost nothing.
func (p *Permit) May(ctx context.Context, who jit.Caller, v Verb, scopes ...string) error {
	for _, scope := range scopes {
		if !p.Subscriptions.Within(scope) {
			return network.NotManaged(scope)
		}
	}
	return p.MayStored(ctx, who, v, scopes...)
}

// MayStored is [Permit.May] for scopes that come from stored records and not from the caller. It includes
// subscriptions that are no longer managed, where open grants still have to be closed.
func (p *Permit) MayStored(ctx context.Context, who jit.Caller, v Verb, scopes ...string) error {
	actions := needs[v]
	if len(actions) == 0 || len(scopes) == 0 || who.ID == "" {
		return Forbidden(who, string(v), "/")
	}
	return parallel.Each(scopes, func(_ int, scope string) error {
		missing, err := p.Authority.Missing(ctx, who, scope, actions...)
		if err != nil {
			return fmt.Errorf("find out what the caller may do: %w", err)
		}
		if missing != "" {
			return Forbidden(who, missing, scope)
		}
		return nil
	})
}

// Lacks returns the first action that the caller lacks for a verb at a machine, or "": a page uses it to show or
// hide controls. It permits nothing: every verb checks again.
func (p *Permit) Lacks(ctx context.Context, who jit.Caller, v Verb, vm jit.ID) (string, error) {
	actions := needs[v]
	if len(actions) == 0 || who.ID == "" {
		return string(v), nil
	}
	if p.Subscriptions.Manages(vm, "") != nil {
		return "", nil // the app has no right to ask there, and the verb itself explains its refusal
	}
	missing, err := p.Authority.Missing(ctx, who, vm.String(), actions...)
	if err != nil {
		return "", fmt.Errorf("find out what the caller may do: %w", err)
	}
	return missing, nil
}

func Forbidden(who jit.Caller, action, scope string) error {
	return &jit.Error{Code: CodeForbidden, Target: scope, Message: fmt.Sprintf("%s does not have the permission %s at %s; ask for a role that holds it", who.Name, action, scope)}
}

// Managed refuses machines in subscriptions that are not managed, before the authority is asked: the app need not
// have a role there.
func (p *Permit) Managed(vms []jit.ID) error {
	for i, vm := range vms {
		if err := p.Subscriptions.Manages(vm, fmt.Sprintf("virtualMachines[%d].id", i)); err != nil {
			return err
		}
	}
	return nil
}

// Reads reports whether the caller may read at the scope, which comes from a stored record. Records of
// subscriptions that are no longer managed, where the app has no role, are readable by nobody; they must not make
// other lists fail.
func (p *Permit) Reads(ctx context.Context, who jit.Caller, scope string) (bool, error) {
	err := p.MayStored(ctx, who, VerbRead, scope)
	if jit.Refused(err) != nil || errors.Is(err, store.ErrForbidden) && !p.Subscriptions.Within(scope) {
		return false, nil
	}
	return err == nil, err
}

// Visible returns the grant reduced to the machines that the caller may read.
func (p *Permit) Visible(ctx context.Context, who jit.Caller, grant jit.Grant) (jit.Grant, error) {
	var err error
	grant.VMs = slices.DeleteFunc(slices.Clone(grant.VMs), func(vm jit.GrantVM) bool {
		ok, failed := p.Reads(ctx, who, vm.VM.String())
		if failed != nil {
			err = failed
		}
		return !ok
	})
	return grant, err
}

func ScopesOf(vms []jit.ID) []string {
	var out []string
	for _, vm := range vms {
		out = append(out, vm.String())
	}
	return out
}
