package access

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
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
	VerbRevokeOwn   Verb = "revoke own"
	VerbRevokeOther Verb = "revoke another's"
	VerbEnable      Verb = "enable"
	VerbDisable     Verb = "disable"
	VerbSweep       Verb = "sweep"
)

// needs is who may: the actions that the caller's role assignments must hold,
// all of them, on every machine concerned (for a sweep: on every subscription managed).
// Viewing never implies requesting.
var needs = map[Verb][]string{
	VerbRead:        {ActionRead},
	VerbRequest:     {ActionInitiate, ActionReadVM},
	VerbExtend:      {ActionInitiate, ActionReadVM},
	VerbRevokeOwn:   {ActionInitiate},
	VerbRevokeOther: {ActionWrite},
	VerbEnable:      {ActionWrite, ActionWriteVM},
	VerbDisable:     {ActionDelete},
	VerbSweep:       {ActionWrite},
}

// Needs gives the actions that a verb asks for; none for an unknown verb, which
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

// Guard is the verbs behind the permissions: the only form in which a door for
// people and scripts may have them. It checks every call before it looks anything else up
// that the caller might learn from, and shows of lists what the caller may read.
type Guard struct {
	Service   *Service
	Authority Authority
}

// may refuses with [CodeForbidden] unless the caller may do the verb at every scope.
func (g *Guard) may(ctx context.Context, who jit.Caller, v Verb, scopes ...string) error {
	actions := needs[v]
	if len(actions) == 0 || len(scopes) == 0 || who.ID == "" {
		return forbidden(who, string(v), "/")
	}
	return parallel.Each(scopes, func(_ int, scope string) error {
		missing, err := g.Authority.Missing(ctx, who, scope, actions...)
		if err != nil {
			return fmt.Errorf("find out what the caller may do: %w", err)
		}
		if missing != "" {
			return forbidden(who, missing, scope)
		}
		return nil
	})
}

// Lacks gives the first action that the caller lacks for a verb at a machine, "" where it is
// none: what a page shows or leaves out. It permits nothing: every verb asks again.
func (g *Guard) Lacks(ctx context.Context, who jit.Caller, v Verb, vm jit.ID) (string, error) {
	actions := needs[v]
	if len(actions) == 0 || who.ID == "" {
		return string(v), nil
	}
	if g.Service.managed(vm, "") != nil {
		return "", nil // the app may ask nothing there, and the verb says why it does nothing
	}
	missing, err := g.Authority.Missing(ctx, who, vm.String(), actions...)
	if err != nil {
		return "", fmt.Errorf("find out what the caller may do: %w", err)
	}
	return missing, nil
}

func forbidden(who jit.Caller, action, scope string) error {
	return &jit.Error{Code: CodeForbidden, Target: scope, Message: fmt.Sprintf("%s does not have the permission %s at %s; ask for a role that holds it", who.Name, action, scope)}
}

// managed refuses machines of subscriptions that are not managed, before anybody is
// asked what the caller may do there: the app need not have a role in them.
func (g *Guard) managed(vms []jit.ID) error {
	for i, vm := range vms {
		if err := g.Service.managed(vm, fmt.Sprintf("virtualMachines[%d].id", i)); err != nil {
			return err
		}
	}
	return nil
}

func scopesOf(vms []jit.ID) []string {
	var out []string
	for _, vm := range vms {
		out = append(out, vm.String())
	}
	return out
}

func requested(r jit.Request) []jit.ID {
	var out []jit.ID
	for _, vm := range r.VMs {
		out = append(out, vm.VM)
	}
	return out
}

func granted(g jit.Grant) []jit.ID {
	var out []jit.ID
	for _, vm := range g.VMs {
		out = append(out, vm.VM)
	}
	return out
}

// Enable is [Service.Enable] for those who may write policies and machines. A refusal
// is logged, but for a dry run's.
func (g *Guard) Enable(ctx context.Context, who jit.Caller, policies []jit.Policy, dryRun bool) ([]Enabled, []TargetChange, error) {
	enabled, changes, err := g.enable(ctx, who, policies, dryRun)
	if err != nil && !dryRun {
		err = g.Service.refusedPolicies(ctx, who, store.OpEnable, policies, err)
	}
	return enabled, changes, err
}

func (g *Guard) enable(ctx context.Context, who jit.Caller, policies []jit.Policy, dryRun bool) ([]Enabled, []TargetChange, error) {
	var vms []jit.ID
	for _, p := range policies {
		vms = append(vms, p.VM)
	}
	if len(vms) > 0 {
		if err := g.managed(vms); err != nil {
			return nil, nil, err
		}
		if err := g.may(ctx, who, VerbEnable, scopesOf(vms)...); err != nil {
			return nil, nil, err
		}
	}
	return g.Service.Enable(ctx, who, policies, dryRun)
}

// Disable is [Service.Disable] for those who may delete policies. A refusal is logged.
func (g *Guard) Disable(ctx context.Context, who jit.Caller, vms []jit.ID) error {
	err := error(nil)
	if len(vms) > 0 {
		err = g.may(ctx, who, VerbDisable, scopesOf(vms)...)
	}
	if err == nil {
		err = g.Service.Disable(ctx, who, vms)
	}
	return g.Service.refusedPolicies(ctx, who, store.OpDisable, policiesOf(vms), err)
}

// Request is [Service.Request] for those who may initiate. The grant is the
// caller's, whatever r says. A refusal for want of a permission is logged as any other is.
func (g *Guard) Request(ctx context.Context, who jit.Caller, r jit.Request, key string) (store.GrantRecord, bool, error) {
	r.RequestorID, r.Requestor = who.ID, who.Name
	if err := g.mayRequest(ctx, who, r); err != nil {
		return store.GrantRecord{}, false, err
	}
	return g.Service.Request(ctx, who, r, key)
}

// Open is [Service.Open] of one's own grant, which was permitted when it was requested.
func (g *Guard) Open(ctx context.Context, who jit.Caller, rec store.GrantRecord) (store.GrantRecord, error) {
	if !owns(who, rec.Grant) {
		return store.GrantRecord{}, &jit.Error{Code: CodeForbidden, Target: "id", Message: "the request is another's; only who sent it may open it"}
	}
	return g.Service.Open(ctx, who, rec)
}

// Preview is [Service.Preview] for those who may initiate. Nothing is written, a
// refusal included.
func (g *Guard) Preview(ctx context.Context, who jit.Caller, r jit.Request) (store.GrantRecord, []TargetChange, error) {
	r.RequestorID, r.Requestor = who.ID, who.Name
	if err := g.allowsRequest(ctx, who, r); err != nil {
		return store.GrantRecord{}, nil, err
	}
	return g.Service.Preview(ctx, r)
}

// mayRequest is allowsRequest, and logs a refusal.
func (g *Guard) mayRequest(ctx context.Context, who jit.Caller, r jit.Request) error {
	err := g.allowsRequest(ctx, who, r)
	if jit.Refused(err) != nil {
		return errors.Join(err, g.Service.refused(ctx, who, r, err))
	}
	return err
}

// allowsRequest checks the body first, as the contract has it: a broken one is a
// 400 to everybody.
func (g *Guard) allowsRequest(ctx context.Context, who jit.Caller, r jit.Request) error {
	if err := r.Validate(g.Service.now()); err != nil {
		return err
	}
	if err := g.managed(requested(r)); err != nil {
		return err
	}
	return g.may(ctx, who, VerbRequest, scopesOf(requested(r))...)
}

// Find is [Service.Find] of what the caller may read. Nobody learns of a request
// that he may not read a machine of.
func (g *Guard) Find(ctx context.Context, who jit.Caller, id string) (store.GrantRecord, error) {
	rec, err := g.Service.Find(ctx, id)
	if err != nil {
		return rec, err
	}
	shown, err := g.visible(ctx, who, rec.Grant)
	if err != nil {
		return store.GrantRecord{}, err
	}
	if len(shown.VMs) == 0 {
		return store.GrantRecord{}, notFound()
	}
	return shownOf(rec, shown), nil
}

// shownOf gives the record of a grant as far as its machines are shown: where the others
// stand, and what went wrong with it, is not.
func shownOf(rec store.GrantRecord, shown jit.Grant) store.GrantRecord {
	addresses := map[string][]netip.Addr{}
	for _, vm := range granted(shown) {
		addresses[vm.Key()] = rec.Connect[vm.Key()]
	}
	out := store.GrantRecord{Grant: shown, Connect: addresses, Version: rec.Version}
	for _, p := range rec.Placements {
		here := map[string][]netip.Addr{}
		for _, vm := range granted(shown) {
			if a := p.Addresses[vm.Key()]; len(a) > 0 {
				here[vm.Key()] = a
			}
		}
		if len(here) > 0 {
			out.Placements = append(out.Placements, store.GrantPlacement{Target: p.Target, Addresses: here, Confirmed: p.Confirmed})
		}
	}
	return out
}

// visible gives the grant with the machines that the caller may read.
func (g *Guard) visible(ctx context.Context, who jit.Caller, grant jit.Grant) (jit.Grant, error) {
	var err error
	grant.VMs = slices.DeleteFunc(slices.Clone(grant.VMs), func(vm jit.GrantVM) bool {
		ok, failed := g.reads(ctx, who, vm.VM.String())
		if failed != nil {
			err = failed
		}
		return !ok
	})
	return grant, err
}

// reads reports whether the caller may read at the scope. What is kept of subscriptions
// that are not managed any more, and where the app may ask nothing, nobody may read: it must
// not spoil the lists of the others.
func (g *Guard) reads(ctx context.Context, who jit.Caller, scope string) (bool, error) {
	err := g.may(ctx, who, VerbRead, scope)
	if jit.Refused(err) != nil || errors.Is(err, store.ErrForbidden) && !g.within(scope) {
		return false, nil
	}
	return err == nil, err
}

// within reports whether the scope is in a subscription that is managed.
func (g *Guard) within(scope string) bool {
	return slices.ContainsFunc(g.Service.Subscriptions, func(sub string) bool {
		head := "/subscriptions/" + sub
		return len(scope) >= len(head) && strings.EqualFold(scope[:len(head)], head) && (len(scope) == len(head) || scope[len(head)] == '/')
	})
}

// whole gives a grant that is the caller's own or of which the caller may read some
// machine, with all of its machines: what is to be changed, not shown.
func (g *Guard) whole(ctx context.Context, who jit.Caller, id string) (store.GrantRecord, error) {
	rec, err := g.Service.Find(ctx, id)
	if err != nil || owns(who, rec.Grant) {
		return rec, err
	}
	if _, err := g.Find(ctx, who, id); err != nil {
		return store.GrantRecord{}, err
	}
	return rec, nil
}

// owns reports whether the caller asked for the grant. Who has no id asked for nothing.
func owns(who jit.Caller, grant jit.Grant) bool {
	return who.ID != "" && grant.SameRequestor(who.ID, who.Name)
}

// Revoke is [Service.Revoke] of one's own grant for those who may initiate, and of
// another's for those who may write policies.
func (g *Guard) Revoke(ctx context.Context, who jit.Caller, id string) (store.GrantRecord, error) {
	rec, err := g.whole(ctx, who, id)
	if err != nil {
		return rec, err
	}
	verb := VerbRevokeOther
	if owns(who, rec.Grant) {
		verb = VerbRevokeOwn
	}
	if err := g.may(ctx, who, verb, scopesOf(granted(rec.Grant))...); err != nil {
		return store.GrantRecord{}, g.Service.refusedGrant(ctx, who, store.OpRevoke, rec.Grant, err)
	}
	return g.Service.Revoke(ctx, who, id)
}

// Extend is [Service.Extend] of one's own grant for those who may initiate. Nobody
// extends another's: the window would go on in the other's name.
func (g *Guard) Extend(ctx context.Context, who jit.Caller, id string, duration time.Duration, end time.Time) (store.GrantRecord, error) {
	rec, err := g.whole(ctx, who, id)
	if err != nil {
		return rec, err
	}
	if !owns(who, rec.Grant) {
		bad := &jit.Error{Code: CodeForbidden, Target: "id", Message: "the request is another's; only who sent it may extend it"}
		return store.GrantRecord{}, g.Service.refusedGrant(ctx, who, store.OpExtend, rec.Grant, bad)
	}
	if err := g.may(ctx, who, VerbExtend, scopesOf(granted(rec.Grant))...); err != nil {
		return store.GrantRecord{}, g.Service.refusedGrant(ctx, who, store.OpExtend, rec.Grant, err)
	}
	return g.Service.Extend(ctx, who, id, duration, end)
}

// Sweep is [Service.Sweep] for those who may write policies in every subscription managed.
func (g *Guard) Sweep(ctx context.Context, who jit.Caller) (store.SweepRecord, error) {
	var scopes []string
	for _, sub := range g.Service.Subscriptions {
		scopes = append(scopes, "/subscriptions/"+sub)
	}
	if err := g.may(ctx, who, VerbSweep, scopes...); err != nil {
		return store.SweepRecord{}, g.Service.refusedPolicies(ctx, who, store.OpSweep, nil, err)
	}
	return g.Service.Sweep(ctx, who)
}
