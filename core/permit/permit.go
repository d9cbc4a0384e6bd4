// Package permit tells what callers may do: the verbs, the actions of Azure RBAC that each asks for, and what of a list somebody may read.
// It finds out through an [Authority]; on doubt nobody may do anything.
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

// CodeForbidden heads a refusal for want of a permission; its message names the
// action and the scope.
const CodeForbidden jit.Code = "AuthorizationFailed"

// The actions of Azure RBAC that verbs ask for: those that Defender for Cloud asks for.
const (
	ActionRead     = "Microsoft.Security/locations/jitNetworkAccessPolicies/read"
	ActionWrite    = "Microsoft.Security/locations/jitNetworkAccessPolicies/write"
	ActionDelete   = "Microsoft.Security/locations/jitNetworkAccessPolicies/delete"
	ActionInitiate = "Microsoft.Security/locations/jitNetworkAccessPolicies/initiate/action"
	ActionReadVM   = "Microsoft.Compute/virtualMachines/read"
	ActionWriteVM  = "Microsoft.Compute/virtualMachines/write"
)

// Verb is something that a caller wants to do, as far as permissions go.
type Verb string

// The verbs.
const (
	VerbRead        Verb = "read"
	VerbRequest     Verb = "request"
	VerbExtend      Verb = "extend"
	VerbRevokeOther Verb = "revoke another's"
	VerbEnable      Verb = "enable"
	VerbDisable     Verb = "disable"
	VerbSweep       Verb = "sweep"
)

// needs is who may: the actions that the caller's role assignments must hold,
// all of them, on every machine concerned (for a sweep: on every subscription managed).
// Viewing never implies requesting. Closing what one opened oneself asks for nothing: who lost
// a role must be able to close what is open in his name.
var needs = map[Verb][]string{
	VerbRead:        {ActionRead},
	VerbRequest:     {ActionInitiate, ActionReadVM},
	VerbExtend:      {ActionInitiate, ActionReadVM},
	VerbRevokeOther: {ActionWrite},
	VerbEnable:      {ActionWrite, ActionWriteVM},
	VerbDisable:     {ActionDelete},
	VerbSweep:       {ActionWrite},
}

// Needs returns the actions that a verb asks for; none for an unknown verb, which
// nobody may do.
func Needs(v Verb) []string { return slices.Clone(needs[v]) }

// Authority knows what callers may do.
type Authority interface {
	// Missing gives the first of the actions that the caller may not do at the scope,
	// an ARM id of a machine, a resource group or a subscription; "" where the caller may do them
	// all. On doubt an action is missing. An error means that it could not be found
	// out, and that the caller may do nothing.
	Missing(ctx context.Context, who jit.Caller, scope string, actions ...string) (string, error)
}

// Permit tells what callers may do in the subscriptions that are managed.
type Permit struct {
	Authority     Authority
	Subscriptions network.Subscriptions
}

// May refuses with [CodeForbidden] unless the caller may do the verb at every scope, and with [network.CodeNotManaged], without
// asking anybody, where one of them is in no subscription that is managed: a caller may name whatever he likes, and
// what he makes up must cost nothing.
func (p *Permit) May(ctx context.Context, who jit.Caller, v Verb, scopes ...string) error {
	for _, scope := range scopes {
		if !p.Subscriptions.Within(scope) {
			return network.NotManaged(scope)
		}
	}
	return p.MayStored(ctx, who, v, scopes...)
}

// MayStored is [Permit.May] for scopes that come from what is stored and not from the caller: also of subscriptions that are
// not managed any more, where what is open has to be closed.
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

// Lacks returns the first action that the caller lacks for a verb at a machine, "" where it is
// none: what a page shows or leaves out. It permits nothing: every verb asks again.
func (p *Permit) Lacks(ctx context.Context, who jit.Caller, v Verb, vm jit.ID) (string, error) {
	actions := needs[v]
	if len(actions) == 0 || who.ID == "" {
		return string(v), nil
	}
	if p.Subscriptions.Manages(vm, "") != nil {
		return "", nil // the app may ask nothing there, and the verb says why it does nothing
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

// Managed refuses machines of subscriptions that are not managed, before anybody is
// asked what the caller may do there: the app need not have a role in them.
func (p *Permit) Managed(vms []jit.ID) error {
	for i, vm := range vms {
		if err := p.Subscriptions.Manages(vm, fmt.Sprintf("virtualMachines[%d].id", i)); err != nil {
			return err
		}
	}
	return nil
}

// Reads reports whether the caller may read at the scope, which comes from what is stored. What is kept of subscriptions
// that are not managed any more, and where the app may ask nothing, nobody may read: it must
// not spoil the lists of the others.
func (p *Permit) Reads(ctx context.Context, who jit.Caller, scope string) (bool, error) {
	err := p.MayStored(ctx, who, VerbRead, scope)
	if jit.Refused(err) != nil || errors.Is(err, store.ErrForbidden) && !p.Subscriptions.Within(scope) {
		return false, nil
	}
	return err == nil, err
}

// Visible returns the grant with the machines that the caller may read.
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

func Requested(r jit.Request) []jit.ID {
	var out []jit.ID
	for _, vm := range r.VMs {
		out = append(out, vm.VM)
	}
	return out
}
