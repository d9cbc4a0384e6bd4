package pending

import (
	"context"
	"errors"
	"fmt"
	"time"

	"portcullis/core/access"
	"portcullis/core/guard"
	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/preview"
	"portcullis/core/round"
	"portcullis/core/store"
)

// The refusals of this package.
const (
	CodeOwnRequest      jit.Code = "OwnRequest"            // who asked does not approve
	CodeNotAPerson      jit.Code = "ApproverNotAPerson"    // an application, or a caller of whom that is not known
	CodeOtherTenant     jit.Code = "ApproverOfOtherTenant" // of another directory than who asked
	CodeAlreadyApproved jit.Code = "AlreadyApproved"       // by the same person
	CodeNotWaiting      jit.Code = "RequestNotWaiting"     // it was decided, or never needed an approval
	CodeExpired         jit.Code = "ApprovalExpired"       // the wait for approval is over
	CodeContentChanged  jit.Code = "ContentChanged"        // the digest is not that of what waits
	CodeTooEarly        jit.Code = "ApprovalTooEarly"      // an approval by app role would not count any more at the start
)

// Desk is where grants wait. It asks for nobody's permission but that of those whose names stand in a grant. Every field must be set; its
// methods are safe for concurrent use.
type Desk struct {
	Service *access.Service
	Permit  *permit.Permit
}

// Approvals are what people do at a desk, each behind its permission: the only form in which a door may have them.
type Approvals struct{ Desk *Desk }

// now returns the time as it is stored: UTC, in whole milliseconds.
func (d *Desk) now() time.Time { return jit.Instant(d.Service.Now()) }

// Approve stores that a person approves a grant with exactly the content that the digest names (see [access.Digest]), and lets it go where that was
// the last approval that it needed. It returns the grant as it is then: the caller opens one that is [jit.Initiating], see [Desk.Open]. A refusal is logged.
//
// It refuses: a request of which the caller cannot read every machine; who lacks the right; [CodeOwnRequest]; [CodeNotAPerson]; [CodeOtherTenant];
// [CodeNotWaiting]; [CodeExpired]; [CodeContentChanged]; [CodeAlreadyApproved]; [CodeTooEarly].
func (a *Approvals) Approve(ctx context.Context, who jit.Caller, id, digest string) (store.GrantRecord, error) {
	d := a.Desk
	rec, approval, err := d.mayDecide(ctx, who, id)
	if err == nil {
		err = d.mayApprove(rec, approval, digest)
	}
	if err != nil {
		return store.GrantRecord{}, d.Service.LogRefusedGrant(ctx, who, store.OpApprove, rec.Grant, err)
	}
	now := d.now() // whoever approves last may die before the grant is let go
	if err := d.Service.Alarm.Schedule(ctx, store.Wake{Grant: id, Generation: rec.Grant.Generation, At: now.Add(lookAgain), Attempt: int(now.Unix())}); err != nil {
		return store.GrantRecord{}, fmt.Errorf("schedule a look at the approved grant: %w", err)
	}
	found := rec.Grant
	rec, err = store.ChangeOrRefuse(ctx, d.Service.Grants, rec, func(g store.GrantRecord) (store.GrantRecord, bool, error) {
		approval.At = d.now()
		if err := d.mayApprove(g, approval, digest); err != nil {
			return g, false, err
		}
		g.Grant = g.Grant.Approved(approval)
		return g.Intend(who, store.OpApprove, store.Succeeded, "by "+words[approval.By], approval.At), true, nil
	})
	if jit.Refused(err) != nil {
		return store.GrantRecord{}, d.Service.LogRefusedGrant(ctx, who, store.OpApprove, found, err)
	}
	if err != nil {
		return store.GrantRecord{}, fmt.Errorf("approve grant %s: %w", id, err)
	}
	if rec, err = d.logged(ctx, rec); err != nil {
		return rec, nil // it is approved; what goes on later logs it first
	}
	released, err := d.Release(ctx, rec)
	if err != nil {
		return rec, nil // it is approved; the wake-up and the sweep let it go
	}
	return released, nil
}

var words = map[jit.Right]string{jit.ByWrite: "the permission to write the policy", jit.ByRole: "the app role " + jit.RoleApprover, jit.ByPolicy: "the policy's naming the approver"}

// lookAgain is how long after an approval the grant is looked at again.
const lookAgain = 15 * time.Second

// logged appends the approvals of a grant that the log may lack, and returns the grant without them.
func (d *Desk) logged(ctx context.Context, rec store.GrantRecord) (store.GrantRecord, error) {
	if len(rec.Intents) == 0 {
		return rec, nil
	}
	if err := d.Service.Activity.Append(ctx, rec.Intended()...); err != nil {
		return rec, fmt.Errorf("write the activity log: %w", err)
	}
	had := len(rec.Intents)
	return store.ChangeGrant(ctx, d.Service.Grants, rec, func(g store.GrantRecord) (store.GrantRecord, bool, error) {
		if len(g.Intents) != had || !g.Grant.Waits(d.now()) {
			return g, false, nil // somebody else has decided meanwhile, and logs them with his own
		}
		g.Intents = nil
		return g, true, nil
	})
}

// PreviewApprove tells what an approval would do: the grant as it would be opened now, the changes of the rules as far as the caller may see them, and who has
// the machines open now. It refuses what Approve refuses, but for a digest that is empty, and what the opening would be refused for. It writes nothing, a refusal included.
func (a *Approvals) PreviewApprove(ctx context.Context, who jit.Caller, id, digest string) (access.Decided, error) {
	d := a.Desk
	rec, approval, err := d.mayDecide(ctx, who, id)
	if err != nil {
		return access.Decided{}, err
	}
	if digest == "" {
		digest = access.Digest(rec.Grant)
	}
	if err := d.mayApprove(rec, approval, digest); err != nil {
		return access.Decided{}, err
	}
	out, err := d.Service.Redecide(ctx, rec)
	if err != nil {
		return access.Decided{}, err
	}
	out.Changes = guard.Shown(ctx, d.Permit, who, rec.Grant.Machines(), out.Changes)
	return out, nil
}

// Deny ends the wait of a grant, with a reason that is kept. Who may approve may deny, also after others have approved, and also what waits for its
// start alone, until the grant is let go. A refusal is logged.
func (a *Approvals) Deny(ctx context.Context, who jit.Caller, id, reason string) (store.GrantRecord, error) {
	d := a.Desk
	reason, err := why(reason)
	if err != nil {
		return store.GrantRecord{}, d.Service.LogRefusedCall(ctx, who, store.OpDeny, err)
	}
	rec, denial, err := d.mayDeny(ctx, who, id, reason)
	if err != nil {
		return store.GrantRecord{}, d.Service.LogRefusedGrant(ctx, who, store.OpDeny, rec.Grant, err)
	}
	found := rec.Grant
	rec, err = store.ChangeOrRefuse(ctx, d.Service.Grants, rec, func(g store.GrantRecord) (store.GrantRecord, bool, error) {
		now := d.now()
		if err := undecided(g.Grant, now); err != nil {
			return g, false, err
		}
		denial.At = now
		g = denied(g, denial)
		g.Tell = append(g.Tell, store.Letter{Message: store.Message{Kind: store.EventDenied, By: who.Name, Text: reason}})
		return g.Intend(who, store.OpDeny, store.Succeeded, reason, now), true, nil
	})
	if jit.Refused(err) != nil {
		return store.GrantRecord{}, d.Service.LogRefusedGrant(ctx, who, store.OpDeny, found, err)
	}
	if err != nil {
		return store.GrantRecord{}, fmt.Errorf("deny grant %s: %w", id, err)
	}
	return d.close(ctx, rec)
}

// PreviewDeny tells what a denial would make of a grant. It writes nothing, a refusal included.
func (a *Approvals) PreviewDeny(ctx context.Context, who jit.Caller, id, reason string) (store.GrantRecord, []preview.Change, error) {
	d := a.Desk
	reason, err := why(reason)
	if err != nil {
		return store.GrantRecord{}, nil, err
	}
	rec, denial, err := d.mayDeny(ctx, who, id, reason)
	if err != nil {
		return store.GrantRecord{}, nil, err
	}
	return denied(rec, denial), nil, nil
}

// why returns the reason of a denial as it is kept, or refuses one that says nothing.
func why(reason string) (string, error) {
	text, err := jit.Justification(reason)
	if err == nil && text == "" {
		err = &jit.Error{Code: jit.CodeJustificationRequired, Target: "justification", Message: "say why; who asked is told"}
	}
	return text, err
}

func (d *Desk) mayDeny(ctx context.Context, who jit.Caller, id, reason string) (store.GrantRecord, jit.Approval, error) {
	rec, denial, err := d.mayDecide(ctx, who, id)
	if err == nil {
		err = undecided(rec.Grant, d.now())
	}
	denial.Reason = reason
	return rec, denial, err
}

func denied(rec store.GrantRecord, denial jit.Approval) store.GrantRecord {
	rec.Grant = rec.Grant.Revoke(denial.At, jit.Denied)
	rec.Grant.Wait.Denied = denial
	return rec
}

// close stores as closed what was marked. Where the log does not answer the grant is given as it is stored, with its intents.
func (d *Desk) close(ctx context.Context, rec store.GrantRecord) (store.GrantRecord, error) {
	rec, err := d.Service.Rounds.Close(ctx, rec, round.Want{})
	if errors.Is(err, round.ErrNotLogged) && len(rec.Intents) > 0 {
		return rec, nil
	}
	return rec, err
}
