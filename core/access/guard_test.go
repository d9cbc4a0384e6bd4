package access_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/core/access"
	"portcullis/core/area"
	"portcullis/core/coretest"
	"portcullis/core/decide"
	"portcullis/core/defender"
	"portcullis/core/glass"
	"portcullis/core/guard"
	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/core/lockdown"
	"portcullis/core/permit"
	"portcullis/core/protect"
	"portcullis/core/store"
)

// matrix says what becomes of every operation for every set of permissions. The columns are those of holders, the
// rows those of operations: own and other tell whose request it is, ann's or bob's. A cell is
//
//	ok      it is done, or shows something of the machine web
//	403     refused for want of a permission
//	404     refused as if it were not there
//	none    a list that shows nothing of web
//	down    refused because the permissions could not be found out
//
// There is no cell that means "whatever": a missing or unknown one fails the test.
const matrix = `
                 none  noID  else  down  init  r     r+vm  w     r+i   req   r+w   r+w+vm r+d   all   web
Enable           403   403   403   down  403   403   403   403   403   403   403   ok     403   ok    ok
EnableIf         403   403   403   down  403   403   403   403   403   403   403   ok     403   ok    ok
Enable.dry       403   403   403   down  403   403   403   403   403   403   403   ok     403   ok    ok
EnableIf.dry     403   403   403   down  403   403   403   403   403   403   403   ok     403   ok    ok
Disable          403   403   403   down  403   403   403   403   403   403   403   403    ok    ok    ok
PreviewDisable   403   403   403   down  403   403   403   403   403   403   403   403    ok    ok    ok
Request          403   403   403   down  403   403   403   403   403   ok    403   403    403   ok    ok
Preview          403   403   403   down  403   403   403   403   403   ok    403   403    403   ok    ok
Initiate         403   403   403   down  403   403   403   403   403   ok    403   403    403   ok    ok
Open.own         ok    403   ok    ok    ok    ok    ok    ok    ok    ok    ok    ok     ok    ok    ok
Open.other       403   403   403   403   403   403   403   403   403   403   403   403    403   403   403
Find.own         404   404   404   down  404   ok    ok    404   ok    ok    ok    ok     ok    ok    ok
Find.other       404   404   404   down  404   ok    ok    404   ok    ok    ok    ok     ok    ok    ok
Closing.own      ok    404   ok    ok    ok    ok    ok    ok    ok    ok    ok    ok     ok    ok    ok
Closing.other    404   404   404   down  404   ok    ok    404   ok    ok    ok    ok     ok    ok    ok
Revoke.own       ok    404   ok    ok    ok    ok    ok    ok    ok    ok    ok    ok     ok    ok    ok
PreviewRevoke.own ok    404   ok    ok    ok    ok    ok    ok    ok    ok    ok    ok     ok    ok    ok
Revoke.other     404   404   404   down  404   403   403   404   403   403   ok    ok     403   ok    ok
PreviewRevoke.other 404   404   404   down  404   403   403   404   403   403   ok    ok     403   ok    ok
Extend.own       403   404   403   down  403   403   403   403   403   ok    403   403    403   ok    ok
PreviewExtend.own 403   404   403   down  403   403   403   403   403   ok    403   403    403   ok    ok
Extend.other     404   404   404   down  404   403   403   404   403   403   403   403    403   403   403
PreviewExtend.other 404   404   404   down  404   403   403   404   403   403   403   403    403   403   403
Request.glass    403   403   403   down  403   403   403   403   403   ok    403   403    403   ok    ok
Request.norole   403   403   403   403   403   403   403   403   403   403   403   403    403   403   403
Preview.glass    403   403   403   down  403   403   403   403   403   ok    403   403    403   ok    ok
Preview.norole   403   403   403   403   403   403   403   403   403   403   403   403    403   403   403
Review.own       403   404   403   403   403   403   403   403   403   403   403   403    403   403   403
Review.other     404   404   404   down  404   403   403   404   403   403   ok    ok     403   ok    ok
Review.approver  404   404   404   down  404   ok    ok    404   ok    ok    ok    ok     ok    ok    ok
Review.app       404   404   404   down  404   403   403   404   403   403   403   403    403   403   403
PreviewReview.own 403  404   403   403   403   403   403   403   403   403   403   403    403   403   403
PreviewReview.other 404 404  404   down  404   403   403   404   403   403   ok    ok     403   ok    ok
PreviewReview.approver 404 404 404 down  404   ok    ok    404   ok    ok    ok    ok     ok    ok    ok
Again.own        ok    404   ok    ok    ok    ok    ok    ok    ok    ok    ok    ok     ok    ok    ok
Again.other      404   404   404   down  404   403   403   404   403   403   403   403    403   403   403
Approve          404   404   404   down  404   403   403   404   403   403   ok    ok     403   ok    ok
PreviewApprove   404   404   404   down  404   403   403   404   403   403   ok    ok     403   ok    ok
MayDecide        404   404   404   down  404   403   403   404   403   403   ok    ok     403   ok    ok
Deny             404   404   404   down  404   403   403   404   403   403   ok    ok     403   ok    ok
PreviewDeny      404   404   404   down  404   403   403   404   403   403   ok    ok     403   ok    ok
ListGrants       none  none  none  down  none  ok    ok    none  ok    ok    ok    ok     ok    ok    ok
Entries          none  none  none  down  none  ok    ok    none  ok    ok    ok    ok     ok    ok    ok
LastSweep        none  none  none  down  none  ok    ok    none  ok    ok    ok    ok     ok    ok    ok
ListPolicies     none  none  none  down  none  ok    ok    none  ok    ok    ok    ok     ok    ok    ok
Machines         none  none  none  down  none  ok    ok    none  ok    ok    ok    ok     ok    ok    ok
Verify           403   403   403   down  403   ok    ok    403   ok    ok    ok    ok     ok    ok    403
Verify.none      403   403   403   down  403   ok    ok    403   ok    ok    ok    ok     ok    ok    403
Verify.all       403   403   403   down  403   ok    ok    403   ok    ok    ok    ok     ok    ok    403
NamedPolicies    none  none  none  down  none  ok    ok    none  ok    ok    ok    ok     ok    ok    ok
Export           none  none  none  down  none  ok    ok    none  ok    ok    ok    ok     ok    ok    ok
NamedPolicy      403   403   403   down  403   ok    ok    403   ok    ok    ok    ok     ok    ok    ok
ReplacePolicy    403   403   403   down  403   403   403   403   403   403   403   ok     403   ok    403
DeletePolicy     403   403   403   down  403   403   403   403   403   403   403   403    ok    ok    403
Import           403   403   403   down  403   403   403   403   403   403   403   ok     403   ok    ok
Import.dry       403   403   403   down  403   403   403   403   403   403   403   ok     403   ok    ok
Restore          403   403   403   down  403   403   403   403   403   403   403   ok     403   ok    ok
Restore.dry      403   403   403   down  403   403   403   403   403   403   403   ok     403   ok    ok
Lacks.request    403   403   403   down  403   403   403   403   403   ok    403   403    403   ok    ok
Lacks.enable     403   403   403   down  403   403   403   403   403   403   403   ok     403   ok    ok
Lacks.nothing    403   403   403   403   403   403   403   403   403   403   403   403    403   403   403
SweepNow         403   403   403   down  403   403   403   ok    403   403   ok    ok     403   ok    403
PreviewNow       403   403   403   down  403   403   403   ok    403   403   ok    ok     403   ok    403
Look             403   403   403   down  403   403   403   ok    403   403   ok    ok     403   ok    403
Begin.web        403   403   403   down  403   403   403   ok    403   403   ok    ok     403   ok    ok
Begin.group      403   403   403   down  403   403   403   ok    403   403   ok    ok     403   ok    403
Begin.person     403   403   403   down  403   403   403   ok    403   403   ok    ok     403   ok    403
Begin.all        403   403   403   down  403   403   403   ok    403   403   ok    ok     403   ok    403
Preview.lock     403   403   403   down  403   403   403   ok    403   403   ok    ok     403   ok    ok
Find.lock        404   404   404   down  404   404   404   ok    404   404   ok    ok     404   ok    ok
Standing         none  none  none  down  none  ok    ok    ok    ok    ok    ok    ok     ok    ok    ok
Lift             404   404   404   down  404   403   403   ok    403   403   ok    ok     403   ok    ok
Lift.dry         404   404   404   down  404   403   403   ok    403   403   ok    ok     403   ok    ok
`

var (
	ann = jit.Caller{ID: "tid/ann", Name: "ann@example.com", Correlation: "test"}
	bob = jit.Caller{ID: "tid/bob", Name: "bob@example.com", Correlation: "test"}
)

// holder is a caller with permissions: the actions, everywhere or on one machine only.
type holder struct {
	who     jit.Caller
	actions []string
	at      string // name of the only machine; "" for everywhere
	err     error  // of who is to know
}

// Missing implements [permit.Authority].
func (h holder) Missing(_ context.Context, who jit.Caller, scope string, actions ...string) (string, error) {
	if h.err != nil {
		return "", h.err
	}
	for _, a := range actions {
		here := h.at == "" || strings.EqualFold(scope, vmID(h.at).String())
		if !here || who.ID != h.who.ID || who.Name != h.who.Name || !slices.Contains(h.actions, a) {
			return a, nil
		}
	}
	return "", nil
}

func holders() map[string]holder {
	const (
		r, w, d, i = permit.ActionRead, permit.ActionWrite, permit.ActionDelete, permit.ActionInitiate
		rvm, wvm   = permit.ActionReadVM, permit.ActionWriteVM
	)
	all := []string{r, w, d, i, rvm, wvm}
	noID := ann
	noID.ID = ""
	return map[string]holder{
		"none":   {who: ann},
		"noID":   {who: noID, actions: all},
		"else":   {who: ann, actions: all, at: "app1"},
		"down":   {who: ann, actions: all, err: &store.Unavailable{Dependency: "Azure Resource Manager", Err: errFault}},
		"init":   {who: ann, actions: []string{i}},
		"r":      {who: ann, actions: []string{r}},
		"r+vm":   {who: ann, actions: []string{r, rvm}}, // Reader
		"w":      {who: ann, actions: []string{w}},
		"r+i":    {who: ann, actions: []string{r, i}},
		"req":    {who: ann, actions: []string{r, i, rvm}}, // Portcullis Requester
		"r+w":    {who: ann, actions: []string{r, w}},
		"r+w+vm": {who: ann, actions: []string{r, w, wvm}},
		"r+d":    {who: ann, actions: []string{r, d}},
		"all":    {who: ann, actions: all}, // Owner, Contributor
		"web":    {who: ann, actions: all, at: "web"},
	}
}

// doorway is a world with web enabled, a request of ann's that is open, one of bob's that is open and one of each that
// is not opened yet, and a sweep that found something about web.
type doorway struct {
	*world
	doors
	holder
	own, other       string // ids of open requests
	ownNew, otherNew store.GrantRecord
	waiting          string // id of a request of bob's that waits for approval
}

func newDoorway(t *testing.T, h holder) *doorway {
	t.Helper()
	g := &doorway{world: newWorld(t), holder: h}
	g.enable("web")
	g.own = g.mustAskAs(ann, 22, "203.0.113.7")
	g.other = g.mustAskAs(bob, 22, "203.0.113.8")
	g.ownNew, g.otherNew = g.intended(ann, "203.0.113.17"), g.intended(bob, "203.0.113.18")
	held := g.otherNew
	held.Grant.ID, held.Version, held.Placements = "waiting", "", nil
	held.Grant.Wait.Approvers = 1
	held.Grant = decide.Wait(held.Grant, time.Hour, noon)
	if _, err := g.mem.InsertGrant(t.Context(), held, nil, noon); err != nil {
		t.Fatal(err)
	}
	g.waiting = held.Grant.ID
	found := store.SweepRecord{Started: noon, Ended: noon, Targets: 2, Findings: []store.Finding{{Kind: store.FindingExposed, VM: vmID("web"), Message: "web"}}}
	if err := g.mem.PutSweep(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	g.doors = g.permitted(h)
	return g
}

func asked(by jit.Caller, port uint16, source string, vms ...string) jit.Request {
	r := want(by.Name, port, time.Hour, source, vms...)
	r.RequestorID = by.ID
	return r
}

func (w *world) mustAskAs(by jit.Caller, port uint16, source string, vms ...string) string {
	w.t.Helper()
	if len(vms) == 0 {
		vms = []string{"web"}
	}
	return w.mustAsk(asked(by, port, source, vms...))
}

// intended is a request that is stored and not opened yet.
func (w *world) intended(by jit.Caller, source string) store.GrantRecord {
	w.t.Helper()
	rec, _, err := w.Request(w.t.Context(), by, asked(by, 3389, source, "web"), "")
	if err != nil {
		w.t.Fatal(err)
	}
	return rec
}

// waitingGrant gives the request of bob's that waits.
func waitingGrant(t *testing.T, g *doorway) jit.Grant {
	t.Helper()
	rec, err := g.mem.Grant(t.Context(), g.waiting)
	if err != nil {
		t.Fatal(err)
	}
	return rec.Grant
}

// Outcome says what became of a call in the words of the matrix; shown is what it gave.
func Outcome(t *testing.T, err error, shown ...any) string {
	t.Helper()
	if _, down := errors.AsType[*store.Unavailable](err); down {
		return "down"
	}
	switch code(err) {
	case permit.CodeForbidden, glass.CodeNotPermitted, glass.CodeOwnReview, glass.CodeNotPerson:
		return "403"
	case access.CodeRequestNotFound, jit.CodePolicyNotFound, lockdown.CodeNotFound, lockdown.CodeHoldNotFound:
		return "404"
	}
	if err != nil {
		return err.Error()
	}
	for _, v := range shown {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.ToLower(string(text)), `"web"`) && !strings.Contains(string(text), `"web@`) {
			return "none"
		}
	}
	return "ok"
}

// operations are the rows of the matrix. The part before a dot is the method of guard.Verbs.
func operations(t *testing.T) map[string]func(*doorway) string {
	ctx := t.Context()
	again := []jit.Policy{policyOf("web", 22)}
	name := store.PolicyName{Subscription: sub, ResourceGroup: "demo", Location: "westeurope", Name: store.DefaultName}
	fresh := asked(bob, 3389, "203.0.113.27", "web") // says bob; the guard must not believe it
	byID := func(call func(*doorway, string) (store.GrantRecord, error), own bool) func(*doorway) string {
		return func(g *doorway) string {
			id := g.other
			if own {
				id = g.own
			}
			rec, err := call(g, id)
			return Outcome(t, err, rec.Grant.VMs)
		}
	}
	find := func(g *doorway, id string) (store.GrantRecord, error) { return g.doors.Find(ctx, g.who, id) }
	closing := func(g *doorway, id string) (store.GrantRecord, error) { return g.doors.Closing(ctx, g.who, id) }
	revoke := func(g *doorway, id string) (store.GrantRecord, error) { return g.doors.Revoke(ctx, g.who, id) }
	extend := func(g *doorway, id string) (store.GrantRecord, error) {
		return g.doors.Extend(ctx, g.who, id, 2*time.Hour, time.Time{})
	}
	previewRevoke := func(g *doorway, id string) (store.GrantRecord, error) {
		rec, _, err := g.doors.PreviewRevoke(ctx, g.who, id)
		return rec, err
	}
	previewExtend := func(g *doorway, id string) (store.GrantRecord, error) {
		rec, _, err := g.doors.PreviewExtend(ctx, g.who, id, 2*time.Hour, time.Time{})
		return rec, err
	}
	requested := func(rec store.GrantRecord, g *doorway, err error) string {
		if err == nil && (rec.Grant.RequestorID != ann.ID || rec.Grant.Requestor != ann.Name) {
			t.Errorf("the grant is %s's", rec.Grant.RequestorID)
		}
		return Outcome(t, err, rec.Grant.VMs)
	}
	repeated := func(own bool) func(*doorway) string { // what it gives is asked for by Request, which has its own row
		return func(g *doorway) string {
			id := g.other
			if own {
				id = g.own
			}
			r, err := g.doors.Again(ctx, g.who, id, jit.AnySource(), false)
			return Outcome(t, err, r.VMs)
		}
	}
	verify := func(of string, chains int) func(*doorway) string {
		return func(g *doorway) string {
			v, err := g.doors.Verify(ctx, g.who, of, noon, time.Time{})
			if err == nil && len(v) != chains {
				t.Errorf("%d chains of %q, want %d", len(v), of, chains)
			}
			return Outcome(t, err)
		}
	}
	imported := func(dryRun bool) func(*doorway) string {
		return func(g *doorway) string {
			v := g.doors.Import(ctx, g.who, []defender.ToImport{{Name: name, Policies: valid(again...)}}, dryRun)[0]
			return Outcome(t, v[0].Err, v[0].VM)
		}
	}
	restore := func(dryRun bool) func(*doorway) string {
		return func(g *doorway) string {
			v, err := g.doors.Restore(ctx, g.who, []defender.Held{{Name: name, Policy: valid(policyOf("web", 3389))[0]}}, dryRun, noon.Add(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			return Outcome(t, v[0].Err, v[0].VM)
		}
	}
	lacks := func(v permit.Verb) func(*doorway) string {
		return func(g *doorway) string {
			missing, err := g.doors.Verbs.Permit.Lacks(ctx, g.who, v, vmID("web"))
			if missing != "" {
				return "403"
			}
			return Outcome(t, err)
		}
	}
	people := func(g *doorway) jit.Caller {
		g.who.Kind = jit.Person
		return g.who
	}
	locked := area.Scope{VM: vmID("web")}
	begin := func(scope area.Scope) func(*doorway) string {
		return func(g *doorway) string {
			_, err := g.doors.lock.Begin(ctx, g.who, lockdown.Order{Scope: scope, Reason: "test", Hold: true})
			return Outcome(t, err)
		}
	}
	lift := func(dryRun bool) func(*doorway) string {
		return func(g *doorway) string {
			_, err := g.doors.lock.Lift(ctx, g.who, g.held(locked), "test", dryRun)
			return Outcome(t, err)
		}
	}
	return map[string]func(*doorway) string{
		"Approve": func(g *doorway) string {
			rec, err := g.doors.Approve(ctx, people(g), g.waiting, access.Digest(waitingGrant(t, g)))
			return Outcome(t, err, rec.Grant.VMs)
		},
		"PreviewApprove": func(g *doorway) string {
			decided, err := g.doors.PreviewApprove(ctx, people(g), g.waiting, "")
			return Outcome(t, err, decided.Record.Grant.VMs)
		},
		"MayDecide": func(g *doorway) string { return Outcome(t, g.doors.MayDecide(ctx, people(g), g.waiting)) },
		"Deny": func(g *doorway) string {
			rec, err := g.doors.Deny(ctx, people(g), g.waiting, "no")
			return Outcome(t, err, rec.Grant.VMs)
		},
		"PreviewDeny": func(g *doorway) string {
			rec, _, err := g.doors.PreviewDeny(ctx, people(g), g.waiting, "no")
			return Outcome(t, err, rec.Grant.VMs)
		},
		"Begin.web": begin(locked), "Begin.group": begin(area.Scope{Subscription: sub, ResourceGroup: "demo"}), "Begin.person": begin(area.Scope{Person: annID}), "Begin.all": begin(area.Scope{Everything: true}),
		"Preview.lock": func(g *doorway) string {
			_, err := g.doors.lock.Preview(ctx, g.who, lockdown.Order{Scope: locked, Reason: "test"})
			return Outcome(t, err)
		},
		"Find.lock": func(g *doorway) string {
			v, err := g.doors.lock.Find(ctx, g.who, g.held(locked))
			return Outcome(t, err, v)
		},
		"Standing": func(g *doorway) string {
			g.held(locked)
			v, err := g.doors.lock.Standing(ctx, g.who)
			return Outcome(t, err, v)
		},
		"Lift": lift(false), "Lift.dry": lift(true),
		"Lacks.request": lacks(permit.VerbRequest),
		"Lacks.enable":  lacks(permit.VerbEnable),
		"Lacks.nothing": lacks("no such verb"),
		"Enable": func(g *doorway) string {
			e, _, err := g.doors.Enable(ctx, g.who, again, false)
			return Outcome(t, err, e)
		},
		"Enable.dry": func(g *doorway) string {
			e, _, err := g.doors.Enable(ctx, g.who, again, true)
			return Outcome(t, err, e)
		},
		"EnableIf": func(g *doorway) string {
			e, _, err := g.doors.EnableIf(ctx, g.who, again, protect.Seen{again[0].VM.Key(): {"*"}}, false)
			return Outcome(t, err, e)
		},
		"EnableIf.dry": func(g *doorway) string {
			e, _, err := g.doors.EnableIf(ctx, g.who, again, protect.Seen{again[0].VM.Key(): {"*"}}, true)
			return Outcome(t, err, e)
		},
		"Disable": func(g *doorway) string {
			_, err := g.doors.Disable(ctx, g.who, []jit.ID{vmID("web")})
			return Outcome(t, err)
		},
		"PreviewDisable": func(g *doorway) string {
			closing, _, err := g.doors.PreviewDisable(ctx, g.who, []jit.ID{vmID("web")})
			return Outcome(t, err, closing)
		},
		"Request": func(g *doorway) string {
			rec, _, err := g.doors.Request(ctx, g.who, fresh, "key")
			return requested(rec, g, err)
		},
		"Preview": func(g *doorway) string {
			rec, _, err := g.doors.Preview(ctx, g.who, fresh)
			return requested(rec, g, err)
		},
		"Initiate": func(g *doorway) string {
			rec, _, err := g.doors.Initiate(ctx, g.who, name, fresh)
			return requested(rec, g, err)
		},
		"Open.own": func(g *doorway) string {
			rec, err := g.doors.Open(ctx, g.who, g.ownNew)
			return Outcome(t, err, rec.Grant.VMs)
		},
		"Open.other": func(g *doorway) string {
			rec, err := g.doors.Open(ctx, g.who, g.otherNew)
			return Outcome(t, err, rec.Grant.VMs)
		},
		"Request.glass": func(g *doorway) string {
			rec, _, err := g.doors.Request(ctx, inRole(g.who, jit.Roles{BreakGlass: true}), broken(fresh, jit.BreakGlassOpens), "key")
			return requested(rec, g, err)
		},
		"Request.norole": func(g *doorway) string {
			rec, _, err := g.doors.Request(ctx, inRole(g.who, jit.Roles{Approver: true}), broken(fresh, jit.BreakGlassOpens), "key")
			return requested(rec, g, err)
		},
		"Preview.glass": func(g *doorway) string {
			rec, _, err := g.doors.Preview(ctx, inRole(g.who, jit.Roles{BreakGlass: true}), broken(fresh, jit.BreakGlassDrill))
			return requested(rec, g, err)
		},
		"Preview.norole": func(g *doorway) string {
			rec, _, err := g.doors.Preview(ctx, inRole(g.who, jit.Roles{}), broken(fresh, jit.BreakGlassDrill))
			return requested(rec, g, err)
		},
		"Review.own":             reviewed((*guard.Verbs).Review, ann, jit.Person, jit.Roles{Approver: true}),
		"Review.other":           reviewed((*guard.Verbs).Review, bob, jit.Person, jit.Roles{BreakGlass: true}),
		"Review.approver":        reviewed((*guard.Verbs).Review, bob, jit.Person, jit.Roles{Approver: true}),
		"Review.app":             reviewed((*guard.Verbs).Review, bob, jit.Application, jit.Roles{Approver: true}),
		"PreviewReview.own":      reviewed((*guard.Verbs).PreviewReview, ann, jit.Person, jit.Roles{Approver: true}),
		"PreviewReview.other":    reviewed((*guard.Verbs).PreviewReview, bob, jit.Person, jit.Roles{}),
		"PreviewReview.approver": reviewed((*guard.Verbs).PreviewReview, bob, jit.Person, jit.Roles{Approver: true}),
		"Again.own":              repeated(true),
		"Again.other":            repeated(false),
		"Find.own":               byID(find, true),
		"Find.other":             byID(find, false),
		"Closing.own":            byID(closing, true),
		"Closing.other":          byID(closing, false),
		"Revoke.own":             byID(revoke, true),
		"Revoke.other":           byID(revoke, false),
		"Extend.own":             byID(extend, true),
		"Extend.other":           byID(extend, false),
		"PreviewRevoke.own":      byID(previewRevoke, true),
		"PreviewRevoke.other":    byID(previewRevoke, false),
		"PreviewExtend.own":      byID(previewExtend, true),
		"PreviewExtend.other":    byID(previewExtend, false),
		"ListGrants": func(g *doorway) string {
			v, _, err := g.doors.ListGrants(ctx, g.who, store.GrantFilter{}, "", 100)
			return Outcome(t, err, v)
		},
		"Entries": func(g *doorway) string {
			v, _, err := g.doors.Entries(ctx, g.who, store.EntryFilter{}, "", 100)
			return Outcome(t, err, v)
		},
		"LastSweep":    func(g *doorway) string { v, err := g.doors.LastSweep(ctx, g.who); return Outcome(t, err, v.Findings) },
		"ListPolicies": func(g *doorway) string { v, err := g.doors.ListPolicies(ctx, g.who); return Outcome(t, err, v) },
		"Machines": func(g *doorway) string {
			v, err := g.doors.Machines(ctx, g.who, inventory.MachineQuery{})
			return Outcome(t, err, v.Machines)
		},
		"Verify":      verify(sub, 1),
		"Verify.none": verify(inventory.NoSubscription, 1),
		"Verify.all":  verify("", 2),
		"NamedPolicies": func(g *doorway) string {
			v, _, err := g.doors.NamedPolicies(ctx, g.who, store.PolicyFilter{Subscription: sub}, store.PolicyName{}, 100)
			return Outcome(t, err, v)
		},
		"NamedPolicy": func(g *doorway) string {
			v, err := g.doors.NamedPolicy(ctx, g.who, name)
			return Outcome(t, err, v.Machines)
		},
		"ReplacePolicy": func(g *doorway) string {
			v, err := g.doors.ReplacePolicy(ctx, g.who, name, valid(again...), defender.Written{}, defender.Precondition{})
			return Outcome(t, err, v.Machines)
		},
		"DeletePolicy": func(g *doorway) string {
			_, _, err := g.doors.DeletePolicy(ctx, g.who, name, defender.Precondition{})
			return Outcome(t, err)
		},
		"Import": imported(false), "Import.dry": imported(true),
		"Restore": restore(false), "Restore.dry": restore(true),
		"Export": func(g *doorway) string {
			var all []defender.NamedPolicy
			err := g.doors.Export(ctx, g.who, store.PolicyFilter{}, func(p defender.NamedPolicy) error { all = append(all, p); return nil })
			return Outcome(t, err, all)
		},
		"SweepNow":   func(g *doorway) string { _, err := g.doors.SweepNow(ctx, g.who); return Outcome(t, err) },
		"PreviewNow": func(g *doorway) string { _, err := g.doors.PreviewNow(ctx, g.who); return Outcome(t, err) },
		"Look": func(g *doorway) string {
			g.bell.Fault = func(context.Context, coretest.Step) error { return errFault } // nobody delivers here, and it waits for what it has set
			_, err := g.doors.Look(ctx, g.who)
			return Outcome(t, err)
		},
	}
}

// held has a scope held, and gives the id of the hold and its lock-down.
func (g *doorway) held(scope area.Scope) string {
	g.t.Helper()
	h := store.Hold{ID: "00000000-0000-7000-8000-0000000000aa", Scope: scope, Reason: "test", At: noon}
	set, err := g.mem.Holds(g.t.Context())
	set.Holds = []store.Hold{h}
	if err == nil {
		_, err = g.mem.PutHolds(g.t.Context(), set)
	}
	if err = errors.Join(err, g.mem.PutLockdown(g.t.Context(), h.Ordered())); err != nil {
		g.t.Fatal(err)
	}
	return h.ID
}

// state is everything that an operation may change but the activity log, as text.
func (g *doorway) state() string {
	g.t.Helper()
	policies, err := store.AllPolicies(g.t.Context(), g.mem)
	if err != nil {
		g.t.Fatal(err)
	}
	grants, err := g.mem.OpenGrants(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	swept, err := g.mem.LastSweep(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	text, err := json.MarshalIndent([]any{g.lines("web-nsg"), policies, grants, swept}, "", " ")
	if err != nil {
		g.t.Fatal(err)
	}
	return string(text)
}
