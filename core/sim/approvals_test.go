package sim_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"portcullis/core/access"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// everybody may do everything: the simulation looks at what comes of it. Approvals are held by their number and their people alone.
type everybody struct{}

func (everybody) Missing(context.Context, jit.Caller, string, ...string) (string, error) {
	return "", nil
}

var approvers = []string{"ann", "eve", "kim", "joe"} // ann also asks

// decide has somebody approve or deny a grant that waits, for approval or for its start, or did a moment ago. It reports whether there is one.
func (r *run) decide(a *app) bool {
	ids := slices.Sorted(maps.Keys(r.table.grants))
	ids = slices.DeleteFunc(ids, func(id string) bool { g := r.table.grants[id].rec.Grant; return g.Wait.Approvers == 0 && !g.Waiting() })
	if len(ids) == 0 {
		return false
	}
	waiting := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !r.table.grants[id].rec.Grant.Waiting() })
	if len(waiting) > 0 && r.chance(80) {
		ids = waiting
	}
	id := ids[len(ids)-1-min(r.pick(len(ids)), r.pick(4))]
	g := r.table.grants[id].rec.Grant
	who := jit.Caller{ID: "sim/" + approvers[r.pick(len(approvers))], Kind: jit.Person, Correlation: "sim"}
	who.Name = who.ID[len("sim/"):]
	if r.chance(20) {
		o := r.begin(a, "deny", func(ctx context.Context) error {
			_, err := a.Deny(ctx, who, id, "not now")
			return err
		})
		r.note("  %s denies %s", who.Name, id)
		o.after = func(o *op) { r.decided(o, store.OpDeny, who.Name, id) }
		return true
	}
	var got store.GrantRecord
	o := r.begin(a, "approve", func(ctx context.Context) (err error) {
		got, err = a.Approve(ctx, who, id, access.Digest(g))
		if err == nil && got.Grant.Status() == jit.Initiating {
			got, err = a.desk.Open(ctx, got)
		}
		return err
	})
	r.note("  %s approves %s", who.Name, id)
	o.after = func(o *op) {
		r.decided(o, store.OpApprove, who.Name, id)
		if l := r.table.grants[id]; o.err == nil && got.Grant.Status() == jit.Initiated && (l == nil || !l.opened) {
			r.violate("I8", "%s was told that grant %s is open, and it never was", o.name, id)
		}
	}
	return true
}

// decided is I5 for an approval or a denial that was refused. One that approved it, and was told that the opening was refused then, has a line of
// that in the name of who asked for the grant.
func (r *run) decided(o *op, operation store.Operation, who, grant string) {
	if operation == store.OpApprove && r.table.toldOf(store.OpApprove, store.Succeeded, grant, jit.ID{}, 0) && r.table.toldOf(store.OpOpen, store.Failed, grant, jit.ID{}, 0) {
		return
	}
	if bad, ok := errors.AsType[*jit.Error](o.err); ok && bad.Code != access.CodeRequestNotFound {
		r.refused(o, operation, who)
	}
}

// unapproved is I10 for a grant that is stored: one that needs approvers waits for them.
func (r *run) unapproved(g jit.Grant) {
	if g.Wait.Approvers > 0 && !g.Waiting() {
		r.violate("I10", "grant %s needs %d approvers, and is stored to be opened at once", g.ID, g.Wait.Approvers)
	}
}

// approved is I10: a grant that policies ask approvers for begins to open only when so many people have approved it who did not ask for it, before the wait was over.
func (r *run) approved(before, after jit.Grant) {
	switch {
	case !before.Waiting() || after.Waiting():
		return
	case after.Reason() == jit.Denied:
		r.seen.Denied++
	case after.Reason() == jit.ApprovalExpired:
		r.seen.Expired++
	}
	if after.Status() != jit.Initiating {
		return
	}
	if after.Wait.Approvers > 0 {
		r.seen.Approved++
	}
	people := map[string]bool{}
	for _, a := range after.Wait.Approvals {
		if a.ID != after.RequestorID {
			people[a.ID] = true
		}
	}
	until := before.OpenBy
	if r.skewed {
		until = until.Add(skewMax)
	}
	if len(people) < after.Wait.Approvers || !after.Wait.Denied.At.IsZero() || !time.Now().Before(until) {
		r.violate("I10", "grant %s is opened with %d of %d approvers, denied by %q, %s before the end of its wait", after.ID, len(people), after.Wait.Approvers, after.Wait.Denied.Name, until.Sub(time.Now()))
	}
}
