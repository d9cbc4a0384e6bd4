package pending

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"portcullis/core/access"
	"portcullis/core/decide"
	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// demand is what the policies ask for of who approves a grant, as they are stored now.
type demand struct {
	approvers int       // how many
	at        []machine // where somebody has to approve
}

// machine is one at which somebody has to approve, and those who are named for it.
type machine struct {
	vm    jit.ID
	named jit.People
}

// demandOf reads what the policies ask for. A machine without a policy asks for nothing here: the grant is refused when it is decided again.
func (d *Desk) demandOf(ctx context.Context, g jit.Grant) (demand, error) {
	var out demand
	policies, err := store.PolicyRecords(ctx, d.Service.Policies, g.Machines())
	if err != nil {
		return out, err
	}
	for _, vm := range g.VMs {
		p := policies[vm.VM.Key()].Policy
		options, here := p.InForce(d.Service.Floor), 0
		for _, w := range vm.Ports {
			here = max(here, decide.Approvers(p, options, w.Number))
		}
		if here > 0 {
			out.at = append(out.at, machine{vm.VM, options.ApprovedBy})
		}
		out.approvers = max(out.approvers, here)
	}
	return out, nil
}

// mayDecide returns a grant, and by what right the caller may decide it, or refuses. What he may not know of comes with an empty grant.
func (d *Desk) mayDecide(ctx context.Context, who jit.Caller, id string) (store.GrantRecord, jit.Approval, error) {
	out := jit.Approval{ID: who.ID, Name: who.Name, At: d.now()}
	rec, err := d.Service.Find(ctx, id)
	if err != nil {
		return store.GrantRecord{}, out, err
	}
	own := who.ID != "" && rec.Grant.SameRequestor(who.ID, who.Name)
	shown, err := d.Permit.Visible(ctx, who, rec.Grant)
	switch {
	case err != nil:
		return store.GrantRecord{}, out, err
	case own || sameObject(who.ID, rec.Grant.RequestorID):
		return rec, out, &jit.Error{Code: CodeOwnRequest, Target: "id", Message: "you asked for this yourself; another person has to decide it"}
	case len(shown.VMs) == 0:
		return store.GrantRecord{}, out, access.RequestNotFound()
	case len(shown.VMs) < len(rec.Grant.VMs):
		return rec, out, &jit.Error{Code: permit.CodeForbidden, Target: "id", Message: who.Name + " may not read every machine of the request, and nobody decides what he cannot see; ask for a role that holds " + permit.ActionRead}
	case who.Kind != jit.Person:
		return rec, out, &jit.Error{Code: CodeNotAPerson, Target: "id", Message: "people approve and deny; sign in as one"}
	case tenantOf(who.ID) != tenantOf(rec.Grant.RequestorID):
		return rec, out, &jit.Error{Code: CodeOtherTenant, Target: "id", Message: "the request was sent from another directory than yours, where one person may have two accounts; somebody of that directory has to decide it"}
	}
	wanted, err := d.demandOf(ctx, rec.Grant)
	if err != nil {
		return store.GrantRecord{}, out, err
	}
	if len(wanted.at) == 0 { // the policies have changed, and ask for nobody: who may write all of them still may
		for _, vm := range rec.Grant.Machines() {
			wanted.at = append(wanted.at, machine{vm: vm})
		}
	}
	out.By = jit.ByPolicy
	for _, m := range wanted.at {
		if err := d.rightAt(ctx, who, m, &out); err != nil {
			return rec, out, err
		}
	}
	return rec, out, nil
}

// rightAt adds to an approval by what right the caller may decide at a machine, or refuses: the weakest of all machines counts.
func (d *Desk) rightAt(ctx context.Context, who jit.Caller, m machine, out *jit.Approval) error {
	if m.named.Named() {
		ids := append([]string{who.Actor().Object}, who.Groups.IDs()...)
		i := slices.IndexFunc(ids, m.named.Has)
		if i < 0 {
			return &jit.Error{Code: permit.CodeForbidden, Target: m.vm.String(), Message: who.Name + " is not among those whom the policy of " + m.vm.Name + " names as approvers"}
		}
		if i > 0 || out.Named == "" {
			out.Named = ids[i]
		}
		return nil
	}
	may, err := d.may(ctx, who, permit.VerbApprove, m.vm)
	switch {
	case err != nil:
		return err
	case may && out.By == jit.ByPolicy:
		out.By = jit.ByWrite
	case may:
	case who.Roles.Approver:
		out.By = jit.ByRole
	default:
		return &jit.Error{Code: permit.CodeForbidden, Target: m.vm.String(), Message: fmt.Sprintf("%s has neither the permission %s at %s nor the app role %s", who.Name, permit.ActionWrite, m.vm.Name, jit.RoleApprover)}
	}
	return nil
}

// may reports whether somebody may do a verb at a machine. Nobody may where the subscription is not managed any more.
func (d *Desk) may(ctx context.Context, who jit.Caller, v permit.Verb, vm jit.ID) (bool, error) {
	err := d.Permit.May(ctx, who, v, vm.String())
	if jit.Refused(err) != nil {
		return false, nil
	}
	return err == nil, err
}

// counts reports whether an approval still counts: its right is there, as far as that can be found out of somebody who does not call.
func (d *Desk) counts(ctx context.Context, a jit.Approval, g jit.Grant, wanted demand, now time.Time) (bool, error) {
	who := jit.Caller{ID: a.ID, Name: a.Name}
	for _, vm := range g.Machines() {
		if may, err := d.may(ctx, who, permit.VerbRead, vm); err != nil || !may {
			return false, err
		}
	}
	for _, m := range wanted.at {
		if m.named.Named() {
			if !m.named.Has(who.Actor().Object) && (a.Named == "" || !m.named.Has(a.Named)) {
				return false, nil
			}
			continue
		}
		if a.By == jit.ByRole && now.Sub(a.At) <= d.Service.Wait {
			continue
		}
		if may, err := d.may(ctx, who, permit.VerbApprove, m.vm); err != nil || !may {
			return false, err
		}
	}
	return true, nil
}

// undecided refuses a grant that does not wait any more: nobody can deny it.
func undecided(g jit.Grant, now time.Time) error {
	if g.Waits(now) {
		return nil
	}
	return waits(g, now)
}

// waits refuses a grant that does not wait to be approved.
func waits(g jit.Grant, now time.Time) error {
	switch {
	case g.Status() == jit.AwaitingApproval && g.Waits(now):
		return nil
	case g.Status() == jit.AwaitingApproval, g.Reason() == jit.ApprovalExpired:
		return &jit.Error{Code: CodeExpired, Target: "id", Message: "too few have approved the request until " + g.OpenBy.UTC().Format(time.RFC3339) + "; it has to be sent again"}
	}
	return &jit.Error{Code: CodeNotWaiting, Target: "id", Message: "the request does not wait for a decision: it is " + g.Status().String()}
}

// mayApprove refuses what nobody may approve now, whatever his right.
func (d *Desk) mayApprove(rec store.GrantRecord, a jit.Approval, digest string) error {
	now := d.now()
	if err := waits(rec.Grant, now); err != nil {
		return err
	}
	switch {
	case digest != access.Digest(rec.Grant):
		return &jit.Error{Code: CodeContentChanged, Target: "digest", Message: "the digest is not that of the request; look at the request again, and send the digest that it has"}
	case slices.ContainsFunc(rec.Grant.Wait.Approvals, func(b jit.Approval) bool { return sameObject(a.ID, b.ID) }):
		return &jit.Error{Code: CodeAlreadyApproved, Target: "id", Message: "you have approved this already; the others have to be other people"}
	case a.By == jit.ByRole && rec.Grant.Wait.Opens.Sub(now) > d.Service.Wait:
		return &jit.Error{Code: CodeTooEarly, Target: "id", Message: fmt.Sprintf("an approval by the app role counts for %s, and this begins later; approve it shortly before, or have somebody approve it who may write the policy", jit.Length(d.Service.Wait))}
	}
	return nil
}

// sameObject reports whether two callers are one person: by the object id, whatever the directory that is named with it.
func sameObject(a, b string) bool {
	_, x, _ := strings.Cut(a, "/")
	_, y, _ := strings.Cut(b, "/")
	return x != "" && strings.EqualFold(x, y)
}

func tenantOf(id string) string {
	tenant, _, _ := strings.Cut(id, "/")
	return strings.ToLower(tenant)
}
