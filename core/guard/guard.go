package guard

import (
	"context"
	"errors"
	"time"

	"portcullis/core/access"
	"portcullis/core/decide"
	"portcullis/core/jit"
	"portcullis/core/narrow"
	"portcullis/core/permit"
	"portcullis/core/preview"
	"portcullis/core/protect"
	"portcullis/core/store"
)

// Verbs are the verbs behind the permissions: the only form in which a door for
// people and scripts may have them. They check every call before it looks anything else up
// that the caller might learn from, and show of lists what the caller may read.
type Verbs struct {
	Service    *access.Service
	Protection *protect.Protection
	Permit     *permit.Permit
}

func machinesOf(policies []jit.Policy) []jit.ID {
	var out []jit.ID
	for _, p := range policies {
		out = append(out, p.VM)
	}
	return out
}

// Enable is [protect.Protection.Enable] for those who may write policies and machines. A refusal
// is logged, but for a dry run's.
func (g *Verbs) Enable(ctx context.Context, who jit.Caller, policies []jit.Policy, dryRun bool) ([]protect.Enabled, []preview.Change, error) {
	return g.EnableIf(ctx, who, policies, nil, dryRun)
}

// EnableIf is [protect.Protection.EnableIf], as Enable is. What a policy has become is told to those who may read it.
func (g *Verbs) EnableIf(ctx context.Context, who jit.Caller, policies []jit.Policy, seen protect.Seen, dryRun bool) ([]protect.Enabled, []preview.Change, error) {
	enabled, changes, err := g.enable(ctx, who, policies, seen, dryRun)
	if refused := jit.Refused(err); refused != nil && refused.Code == store.CodePrecondition {
		if reads, _ := g.Permit.Reads(ctx, who, refused.Target); !reads {
			err = &jit.Error{Code: refused.Code, Target: refused.Target, Message: "the policy is not what you have seen, and nothing was saved"}
		}
	}
	if err != nil && !dryRun {
		err = g.Protection.LogRefusedPolicies(ctx, who, store.OpEnable, policies, err)
	}
	for i := range enabled {
		enabled[i].Narrowed = Told(ctx, g.Permit, who, enabled[i].Narrowed)
	}
	return enabled, Shown(ctx, g.Permit, who, machinesOf(policies), changes), err
}

func (g *Verbs) enable(ctx context.Context, who jit.Caller, policies []jit.Policy, seen protect.Seen, dryRun bool) ([]protect.Enabled, []preview.Change, error) {
	if vms := machinesOf(policies); len(vms) > 0 {
		if err := g.Permit.Managed(vms); err != nil {
			return nil, nil, err
		}
		if err := g.Permit.May(ctx, who, permit.VerbEnable, permit.ScopesOf(vms)...); err != nil {
			return nil, nil, err
		}
	}
	checked, err := jit.ValidatePolicies(policies)
	if err != nil {
		return nil, nil, err
	}
	return g.Protection.EnableIf(ctx, who, checked, seen, dryRun)
}

// Disable is [protect.Protection.Disable] for those who may delete policies. A refusal is logged.
func (g *Verbs) Disable(ctx context.Context, who jit.Caller, vms []jit.ID) (narrow.Ends, error) {
	var narrowed narrow.Ends
	err := g.mayDisable(ctx, who, vms)
	if err == nil {
		narrowed, err = g.Protection.Disable(ctx, who, vms)
	}
	return Told(ctx, g.Permit, who, narrowed), g.Protection.LogRefusedPolicies(ctx, who, store.OpDisable, protect.PoliciesOf(vms), err)
}

// PreviewDisable is [protect.Protection.PreviewDisable] for those who may delete policies. Nothing is written, a refusal included.
func (g *Verbs) PreviewDisable(ctx context.Context, who jit.Caller, vms []jit.ID) (narrow.Ends, []preview.Change, error) {
	if err := g.mayDisable(ctx, who, vms); err != nil {
		return narrow.Ends{}, nil, err
	}
	closing, changes, err := g.Protection.PreviewDisable(ctx, vms)
	return Told(ctx, g.Permit, who, closing), Shown(ctx, g.Permit, who, vms, changes), err
}

func (g *Verbs) mayDisable(ctx context.Context, who jit.Caller, vms []jit.ID) error {
	err := g.Permit.Managed(vms)
	if err == nil && len(vms) > 0 {
		err = g.Permit.May(ctx, who, permit.VerbDisable, permit.ScopesOf(vms)...)
	}
	return err
}

// Request is [access.Service.Request] for those who may initiate. The grant is the
// caller's, whatever r says. A refusal for want of a permission is logged as any other is.
func (g *Verbs) Request(ctx context.Context, who jit.Caller, r jit.Request, key string) (store.GrantRecord, bool, error) {
	checked, err := g.MayRequest(ctx, who, r)
	if err != nil {
		rec, err := g.Known(ctx, checked, key, err)
		return rec, err == nil, err
	}
	return g.Service.Request(ctx, who, checked, key)
}

// Known gives what came of the same request of the same caller where it cannot be found out whether he may still ask, and else
// the error: a retry while Resource Manager is down learns of what is his already, and begins nothing.
func (g *Verbs) Known(ctx context.Context, r decide.ValidRequest, key string, err error) (store.GrantRecord, error) {
	if _, down := errors.AsType[*store.Unavailable](err); !down || jit.Refused(err) != nil || r.Request().RequestorID == "" {
		return store.GrantRecord{}, err
	}
	rec, failed := g.Service.Known(ctx, r, key)
	if failed != nil || rec.Version == "" {
		return store.GrantRecord{}, err
	}
	return rec, nil
}

// Open is [access.Service.Open] of one's own grant, which was permitted when it was requested.
func (g *Verbs) Open(ctx context.Context, who jit.Caller, rec store.GrantRecord) (store.GrantRecord, error) {
	if !owns(who, rec.Grant) {
		return store.GrantRecord{}, &jit.Error{Code: permit.CodeForbidden, Target: "id", Message: "the request is another's; only who sent it may open it"}
	}
	out := store.GrantRecord{}
	err := g.Service.Rounds.Recovered("the opening of grant "+rec.Grant.ID, func() (err error) { // most wait for it in the background
		out, err = g.Service.Open(ctx, who, rec)
		return err
	})
	return out, err
}

// Preview is [access.Service.Preview] for those who may initiate. Nothing is written, a
// refusal included.
func (g *Verbs) Preview(ctx context.Context, who jit.Caller, r jit.Request) (store.GrantRecord, []preview.Change, error) {
	checked, err := g.allowsRequest(ctx, who, r)
	if err != nil {
		return store.GrantRecord{}, nil, err
	}
	rec, changes, err := g.Service.Preview(ctx, checked)
	return rec, Shown(ctx, g.Permit, who, r.Machines(), changes), err
}

// MayRequest returns a request as the caller's own, checked, and an error unless he may initiate. A refusal is logged.
// With an error the request is checked too, unless it is the request that is refused.
func (g *Verbs) MayRequest(ctx context.Context, who jit.Caller, r jit.Request) (decide.ValidRequest, error) {
	checked, err := g.allowsRequest(ctx, who, r)
	if jit.Refused(err) != nil {
		err = g.Service.LogRefusedRequest(ctx, who, r, err)
	}
	return checked, err
}

// allowsRequest checks the body first, as the contract has it: a broken one is a
// 400 to everybody.
func (g *Verbs) allowsRequest(ctx context.Context, who jit.Caller, r jit.Request) (decide.ValidRequest, error) {
	r.RequestorID, r.Requestor = who.ID, who.Name
	checked, err := decide.Validate(r, g.Service.Now(), g.Service.Ahead)
	if err != nil {
		return decide.ValidRequest{}, err
	}
	if err := g.Permit.Managed(r.Machines()); err != nil {
		return checked, err
	}
	if err := g.Service.Glass.May(who, r.BreakGlass); err != nil {
		return checked, err
	}
	return checked, g.Permit.May(ctx, who, permit.VerbRequest, permit.ScopesOf(r.Machines())...)
}

// Again returns the request that asks once more for what the caller asked for in a request of his own, from the given sources: [decide.Again].
// [Verbs.Request] and [Verbs.Preview] then ask for the permission as for any other. Nobody repeats another's. A refusal is logged, but for a dry run's.
func (g *Verbs) Again(ctx context.Context, who jit.Caller, id string, from jit.Sources, dryRun bool) (jit.Request, error) {
	rec, err := g.whole(ctx, who, id)
	if err != nil {
		return jit.Request{}, err
	}
	var r jit.Request
	if owns(who, rec.Grant) {
		r, err = decide.Again(rec.Grant, from)
	} else {
		err = &jit.Error{Code: permit.CodeForbidden, Target: "id", Message: "the request is another's; only who sent it may send it again"}
	}
	if err != nil && !dryRun {
		err = g.Service.LogRefusedGrant(ctx, who, store.OpRequest, rec.Grant, err)
	}
	return r, err
}

// Find is [access.Service.Find] of what the caller may read, and of what became of one's own once no window of it is open. Nobody learns of
// another's request that he may not read a machine of.
func (g *Verbs) Find(ctx context.Context, who jit.Caller, id string) (store.GrantRecord, error) {
	rec, err := g.Service.Find(ctx, id)
	if err != nil {
		return rec, err
	}
	if owns(who, rec.Grant) && !rec.Grant.AnyLive(g.Service.Now()) {
		return rec, nil
	}
	shown, err := g.Permit.VisibleRecord(ctx, who, rec)
	if err != nil {
		return store.GrantRecord{}, err
	}
	if len(shown.Grant.VMs) == 0 {
		return store.GrantRecord{}, access.RequestNotFound()
	}
	return shown, nil
}

// whole returns a grant with all of its machines, for a change: the caller's own, or one of which the caller may read
// some machine.
func (g *Verbs) whole(ctx context.Context, who jit.Caller, id string) (store.GrantRecord, error) {
	rec, err := g.Service.Find(ctx, id)
	if err != nil || owns(who, rec.Grant) {
		return rec, err
	}
	_, err = g.Find(ctx, who, id)
	return rec, err
}

// Closing gives a grant while it closes, for who may close it: one's own whole, as [Verbs.Revoke] gives it, whatever became of the
// role and whether Azure answers or not, and of another's what the caller may read.
func (g *Verbs) Closing(ctx context.Context, who jit.Caller, id string) (store.GrantRecord, error) {
	if rec, err := g.Service.Find(ctx, id); err != nil || owns(who, rec.Grant) {
		return rec, err
	}
	return g.Find(ctx, who, id)
}

// owns reports whether the caller asked for the grant. A caller without an id owns none.
func owns(who jit.Caller, grant jit.Grant) bool {
	return who.ID != "" && grant.SameRequestor(who.ID, who.Name)
}

// Revoke is [access.Service.Revoke] of one's own grant for everybody, whatever became of the role by which it was
// asked for and whether Azure answers or not, and of another's for those who may write policies. A refusal is logged.
func (g *Verbs) Revoke(ctx context.Context, who jit.Caller, id string) (store.GrantRecord, error) {
	out := store.GrantRecord{}
	err := g.Service.Rounds.Recovered("the revoke of grant "+id, func() error { // some wait for it in the background
		rec, err := g.mayRevoke(ctx, who, id)
		if err != nil {
			return g.Service.LogRefusedGrant(ctx, who, store.OpRevoke, rec.Grant, err)
		}
		out, err = g.Service.Revoke(ctx, who, id)
		return err
	})
	return out, err
}

// PreviewRevoke is [access.Service.PreviewRevoke] for those who may revoke. Nothing is written, a refusal included.
func (g *Verbs) PreviewRevoke(ctx context.Context, who jit.Caller, id string) (store.GrantRecord, []preview.Change, error) {
	if _, err := g.mayRevoke(ctx, who, id); err != nil {
		return store.GrantRecord{}, nil, err
	}
	rec, changes, err := g.Service.PreviewRevoke(ctx, id)
	return rec, Shown(ctx, g.Permit, who, rec.Grant.Machines(), changes), err
}

// mayRevoke gives the grant, and refuses unless the caller may revoke it. What he may not know of comes with
// an empty grant.
func (g *Verbs) mayRevoke(ctx context.Context, who jit.Caller, id string) (store.GrantRecord, error) {
	rec, err := g.whole(ctx, who, id)
	if err != nil {
		return store.GrantRecord{}, err
	}
	if owns(who, rec.Grant) {
		return rec, nil
	}
	err = g.Permit.MayStored(ctx, who, permit.VerbRevokeOther, permit.ScopesOf(rec.Grant.Machines())...)
	return rec, g.unnamed(ctx, who, err)
}

// unnamed gives a refusal for want of the permission to write without the machine that it names, where the caller may not learn of that here.
func (g *Verbs) unnamed(ctx context.Context, who jit.Caller, err error) error {
	if refused := jit.Refused(err); refused != nil {
		if reads, _ := g.Permit.Reads(ctx, who, refused.Target); !reads {
			return &jit.Error{Code: permit.CodeForbidden, Target: "id", Message: who.Name + " does not have the permission " + permit.ActionWrite + " at every machine of the request; ask for a role that holds it"}
		}
	}
	return err
}

// Extend is [access.Service.Extend] of one's own grant for those who may initiate. Nobody
// extends another's: the window would go on in the other's name. A refusal is logged.
func (g *Verbs) Extend(ctx context.Context, who jit.Caller, id string, duration time.Duration, end time.Time) (store.GrantRecord, error) {
	rec, err := g.mayExtend(ctx, who, id)
	if err != nil {
		return store.GrantRecord{}, g.Service.LogRefusedGrant(ctx, who, store.OpExtend, rec.Grant, err)
	}
	return g.Service.Extend(ctx, who, id, duration, end)
}

// PreviewExtend is [access.Service.PreviewExtend] for those who may extend. Nothing is written, a refusal included.
func (g *Verbs) PreviewExtend(ctx context.Context, who jit.Caller, id string, duration time.Duration, end time.Time) (store.GrantRecord, []preview.Change, error) {
	if _, err := g.mayExtend(ctx, who, id); err != nil {
		return store.GrantRecord{}, nil, err
	}
	rec, changes, err := g.Service.PreviewExtend(ctx, id, duration, end)
	return rec, Shown(ctx, g.Permit, who, rec.Grant.Machines(), changes), err
}

// mayExtend gives the grant, and refuses unless the caller may extend it. What he may not know of comes with
// an empty grant.
func (g *Verbs) mayExtend(ctx context.Context, who jit.Caller, id string) (store.GrantRecord, error) {
	rec, err := g.whole(ctx, who, id)
	if err != nil {
		return store.GrantRecord{}, err
	}
	if !owns(who, rec.Grant) {
		return rec, &jit.Error{Code: permit.CodeForbidden, Target: "id", Message: "the request is another's; only who sent it may extend it"}
	}
	if err := g.Service.Glass.May(who, rec.Grant.BreakGlass); err != nil {
		return rec, err
	}
	// Not MayStored: in a subscription that is not managed any more no sweep would close what goes on.
	return rec, g.Permit.May(ctx, who, permit.VerbExtend, permit.ScopesOf(rec.Grant.Machines())...)
}

// LogRefusedCall is [access.Service.LogRefusedCall].
func (g *Verbs) LogRefusedCall(ctx context.Context, who jit.Caller, op store.Operation, err error) error {
	return g.Service.LogRefusedCall(ctx, who, op, err)
}
