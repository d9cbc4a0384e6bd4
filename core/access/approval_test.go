package access_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/access"
	"portcullis/core/jit"
	"portcullis/core/pending"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// staff is who may do what, by name. It may change while a test goes on.
type staff struct {
	mu   sync.Mutex
	may  map[string][]string
	down error
}

func (s *staff) Missing(_ context.Context, who jit.Caller, _ string, actions ...string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range actions {
		if !slices.Contains(s.may[who.Name], a) {
			return a, s.down
		}
	}
	return "", s.down
}

func (s *staff) set(name string, actions ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.may[name] = actions
}

// The people: alice asks, bob, ben and dave may write policies, carol and cora have the app role, and eve may read alone.
var (
	askingRights = []string{permit.ActionRead, permit.ActionInitiate, permit.ActionReadVM}
	writing      = []string{permit.ActionRead, permit.ActionWrite}
)

const tenant = "99999999-0000-0000-0000-000000000009"

func objectID(name string) string {
	return fmt.Sprintf("%08x-0000-0000-0000-000000000000", []byte(name + "    ")[:4])
}

func signedIn(name string) jit.Caller {
	return jit.Caller{ID: tenant + "/" + objectID(name), Name: name, Kind: jit.Person, Roles: jit.Roles{Approver: name == "carol" || name == "cora"}, Correlation: "test"}
}

// waitingWorld is a world in which the ports of web ask for so many approvers, and alice's request for port 22 for two hours waits.
type waitingWorld struct {
	*world
	staff  *staff
	id     string
	digest string // of the newest request
}

func newWaitingWorld(t *testing.T, approvers int, change func(*jit.Policy)) *waitingWorld {
	w := &waitingWorld{world: newWorld(t), staff: &staff{may: map[string][]string{
		"alice": slices.Concat(askingRights, writing), "bob": writing, "ben": writing, "dave": writing, "carol": {permit.ActionRead}, "cora": {permit.ActionRead}, "eve": {permit.ActionRead},
	}}}
	w.startWith(func(p *core.Ports) { p.Authority = w.staff })
	w.policy(approvers, change)
	w.id = w.request(want("alice", 22, 2*time.Hour, "203.0.113.7", "web"))
	return w
}

// policy stores what web asks for.
func (w *waitingWorld) policy(approvers int, change func(*jit.Policy)) {
	w.t.Helper()
	p := policyOf("web", 22, 3389)
	p.Options = &jit.Options{Approvers: approvers}
	if change != nil {
		change(&p)
	}
	if _, _, err := w.Enable(w.t.Context(), who("admin"), []jit.Policy{p}, false); err != nil {
		w.t.Fatalf("enable: %v", err)
	}
}

// request asks as alice, and gives the id of a grant of which nothing stands.
func (w *waitingWorld) request(r jit.Request) string {
	w.t.Helper()
	rec, again, err := w.doors.Request(w.t.Context(), signedIn("alice"), r, "")
	if err != nil || again || !rec.Grant.Waits(w.now()) || w.allows("web-nsg") != 0 || len(rec.Placements) != 0 {
		w.t.Fatalf("request: %v, again %t, %s, %d rules", err, again, rec.Grant.Status(), w.allows("web-nsg"))
	}
	w.digest = access.Digest(rec.Grant)
	return rec.Grant.ID
}

func (w *waitingWorld) rec() store.GrantRecord {
	w.t.Helper()
	rec, err := w.Find(w.t.Context(), w.id)
	if err != nil {
		w.t.Fatal(err)
	}
	return rec
}

// approve approves what stands, and opens what may be opened, as a door does.
func (w *waitingWorld) approve(name string) error {
	rec, err := w.doors.Approve(w.t.Context(), signedIn(name), w.id, access.Digest(w.rec().Grant))
	if err == nil && rec.Grant.Status() == jit.Initiating {
		_, err = w.desk.Open(w.t.Context(), rec)
	}
	return err
}

// is fails unless the grant has the status and the reason, and its rules stand exactly while it is open.
func (w *waitingWorld) is(status jit.Status, reason jit.Reason) store.GrantRecord {
	w.t.Helper()
	rec := w.rec()
	open := 0
	if status == jit.Initiated {
		open = 1
	}
	if rec.Grant.Status() != status || rec.Grant.Reason() != reason || w.allows("web-nsg") != open {
		w.t.Errorf("%s %q with %d rules, want %s %q with %d; failed: %q", rec.Grant.Status(), rec.Grant.Reason(), w.allows("web-nsg"), status, reason, open, rec.Failed)
	}
	return rec
}

func wantRefusal(t *testing.T, what string, err error, code jit.Code) {
	t.Helper()
	if refused := jit.Refused(err); refused == nil || refused.Code != code {
		t.Errorf("%s: got %v, want %s", what, err, code)
	}
}

// TestApprovalIsRefused: each misuse has its code, is logged, and opens nothing.
func TestApprovalIsRefused(t *testing.T) {
	app := signedIn("bob")
	app.Kind = jit.Application
	unknown := signedIn("bob")
	unknown.Kind = ""
	abroad := signedIn("bob")
	abroad.ID = "88888888-0000-0000-0000-000000000008/" + objectID("bob")
	twin := signedIn("alice")
	twin.ID, twin.Name = "88888888-0000-0000-0000-000000000008/"+objectID("alice"), "bob"
	stranger := signedIn("mallory")
	for _, tt := range []struct {
		name   string
		who    jit.Caller
		before func(w *waitingWorld)
		digest string
		code   jit.Code
	}{
		{"by who asked, who may write too", signedIn("alice"), nil, "", pending.CodeOwnRequest},
		{"by who asked, from another directory", twin, nil, "", pending.CodeOwnRequest},
		{"by an application", app, nil, "", pending.CodeNotAPerson},
		{"by nobody knows what", unknown, nil, "", pending.CodeNotAPerson},
		{"from another directory", abroad, nil, "", pending.CodeOtherTenant},
		{"by who may read alone", signedIn("eve"), nil, "", permit.CodeForbidden},
		{"by a stranger", stranger, nil, "", access.CodeRequestNotFound},
		{"by nobody", jit.Caller{Kind: jit.Person}, nil, "", access.CodeRequestNotFound},
		{"of other content", signedIn("bob"), nil, "0000", pending.CodeContentChanged},
		{"twice", signedIn("bob"), func(w *waitingWorld) { _ = w.approve("bob") }, "", pending.CodeAlreadyApproved},
		{"after the end", signedIn("bob"), func(w *waitingWorld) { w.leap(time.Hour) }, "", pending.CodeExpired},
		{"after the end is confirmed", signedIn("bob"), func(w *waitingWorld) { w.pass(time.Hour) }, "", pending.CodeExpired},
		{"after it was denied", signedIn("bob"), func(w *waitingWorld) { _, _ = w.doors.Deny(w.t.Context(), signedIn("ben"), w.id, "no") }, "", pending.CodeNotWaiting},
		{"after it was cancelled", signedIn("bob"), func(w *waitingWorld) { _, _ = w.doors.Revoke(w.t.Context(), signedIn("alice"), w.id) }, "", pending.CodeNotWaiting},
		{"by who is not named", signedIn("bob"), func(w *waitingWorld) {
			w.policy(2, func(p *jit.Policy) { p.Options.ApprovedBy, _ = jit.PeopleOf(objectID("eve")) })
		}, "", permit.CodeForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWaitingWorld(t, 2, nil)
			if tt.before != nil {
				tt.before(w)
			}
			digest := tt.digest
			if digest == "" {
				digest = access.Digest(w.rec().Grant)
			}
			before := w.rec()
			_, preview := w.doors.PreviewApprove(t.Context(), tt.who, w.id, digest)
			wantRefusal(t, "the dry run", preview, tt.code)
			logged := len(w.log())
			_, err := w.doors.Approve(t.Context(), tt.who, w.id, digest)
			wantRefusal(t, "the approval", err, tt.code)
			after := w.rec()
			if after.Version != before.Version || w.allows("web-nsg") != 0 {
				t.Errorf("the grant was changed, or %d rules stand", w.allows("web-nsg"))
			}
			if got := w.log(); tt.code != access.CodeRequestNotFound && (len(got) != logged+1 || !slices.Contains(got, "Approve Refused web "+string(tt.code))) {
				t.Errorf("logged %q", got)
			}
		})
	}
}

// TestDenialIsRefused: who could not approve cannot deny, and a denial says why.
func TestDenialIsRefused(t *testing.T) {
	w := newWaitingWorld(t, 1, nil)
	for name, tt := range map[string]struct {
		who    jit.Caller
		reason string
		code   jit.Code
	}{
		"own": {signedIn("alice"), "no", pending.CodeOwnRequest}, "reads alone": {signedIn("eve"), "no", permit.CodeForbidden}, "a stranger": {signedIn("mallory"), "no", access.CodeRequestNotFound},
		"no reason": {signedIn("bob"), " \n ", jit.CodeJustificationRequired}, "a reason that cannot be seen": {signedIn("bob"), "no\u202e", jit.CodeTextNotPrintable},
	} {
		_, _, preview := w.doors.PreviewDeny(t.Context(), tt.who, w.id, tt.reason)
		wantRefusal(t, name+", dry", preview, tt.code)
		_, err := w.doors.Deny(t.Context(), tt.who, w.id, tt.reason)
		wantRefusal(t, name, err, tt.code)
	}
	w.is(jit.AwaitingApproval, "")
	w.pass(time.Hour)
	_, err := w.doors.Deny(t.Context(), signedIn("bob"), w.id, "too late")
	wantRefusal(t, "after the end", err, pending.CodeExpired)
}

// TestApproved: with the last approval the ports open for as long as was asked for, counted from then; ends that were asked for as times stay.
func TestApproved(t *testing.T) {
	w := newWaitingWorld(t, 0, func(p *jit.Policy) { p.Ports[0].Approvers = 3 })
	fixed := want("alice", 22, 0, "203.0.113.9", "web")
	fixed.VMs[0].Ports[0].End = noon.Add(2 * time.Hour)
	other := w.request(fixed)
	for i, name := range []string{"bob", "carol"} {
		w.pass(10 * time.Minute)
		if err := w.approve(name); err != nil {
			t.Fatal(err)
		}
		if rec := w.is(jit.AwaitingApproval, ""); len(rec.Grant.Wait.Approvals) != i+1 || len(rec.Intents) != 0 {
			t.Errorf("after %s: %+v", name, rec.Grant.Wait)
		}
	}
	w.pass(10 * time.Minute)
	decided, err := w.doors.PreviewApprove(t.Context(), signedIn("dave"), w.id, "")
	if err != nil || len(decided.Changes) != 1 || len(decided.Changes[0].Changes.Create) != 1 || len(decided.Open) != 0 || !decided.Record.Grant.End().Equal(noon.Add(150*time.Minute)) {
		t.Errorf("the dry run: %v, %+v", err, decided)
	}
	if err := w.approve("dave"); err != nil {
		t.Fatal(err)
	}
	rec := w.is(jit.Initiated, "")
	if !rec.Grant.End().Equal(noon.Add(150*time.Minute)) || !rec.Grant.Start.Equal(noon) || !rec.Grant.Begins().Equal(noon.Add(30*time.Minute)) || rec.Grant.Generation != 2 {
		t.Errorf("open from %s to %s, generation %d", rec.Grant.Begins(), rec.Grant.End(), rec.Grant.Generation)
	}
	var by []jit.Right
	for _, a := range rec.Grant.Wait.Approvals {
		by = append(by, a.By)
	}
	if !slices.Equal(by, []jit.Right{jit.ByWrite, jit.ByRole, jit.ByWrite}) {
		t.Errorf("approved by %v", by)
	}
	id := w.id
	w.id = other
	for _, name := range []string{"bob", "carol", "dave"} {
		decided, err := w.doors.PreviewApprove(t.Context(), signedIn(name), w.id, "")
		if err != nil || len(decided.Open) != 1 || decided.Open[0].Requestor != "alice" || !decided.Open[0].Window.End.Equal(rec.Grant.End()) {
			t.Errorf("who has it open now: %v, %+v", err, decided.Open)
		}
		if err := w.approve(name); err != nil {
			t.Fatal(err)
		}
	}
	if end := w.rec().Grant.End(); !end.Equal(noon.Add(2 * time.Hour)) {
		t.Errorf("an end that was asked for as a time has become %s", end)
	}
	w.pass(90 * time.Minute)
	if rec := w.rec(); rec.Grant.Reason() != jit.Expired || w.allows("web-nsg") != 1 {
		t.Errorf("the end that stays: %s, %d rules", rec.Grant.Status(), w.allows("web-nsg"))
	}
	w.id = id
	w.is(jit.Initiated, "")
	w.pass(30 * time.Minute)
	w.is(jit.Revoked, jit.Expired)
	counts := map[string]int{}
	for _, line := range w.log() {
		counts[line]++
	}
	if counts["Approve Succeeded web"] != 6 || counts["Open Succeeded web"] != 2 || counts["Close Succeeded web Expired"] != 2 || counts["Request Succeeded web"] != 2 {
		t.Errorf("logged %v", counts)
	}
}

// TestDenied: a denial ends the wait, whoever has approved before, and its reason is kept.
func TestDenied(t *testing.T) {
	w := newWaitingWorld(t, 2, nil)
	if err := w.approve("bob"); err != nil {
		t.Fatal(err)
	}
	would, _, err := w.doors.PreviewDeny(t.Context(), signedIn("carol"), w.id, "not today")
	if err != nil || would.Grant.Reason() != jit.Denied {
		t.Errorf("the dry run: %v, %s", err, would.Grant.Reason())
	}
	w.is(jit.AwaitingApproval, "")
	if _, err := w.doors.Deny(t.Context(), signedIn("carol"), w.id, " not\ntoday "); err != nil {
		t.Fatal(err)
	}
	rec := w.is(jit.Revoked, jit.Denied)
	if d := rec.Grant.Wait.Denied; d.Name != "carol" || d.Reason != "not today" || d.By != jit.ByRole || !d.At.Equal(noon) {
		t.Errorf("denied: %+v", d)
	}
	if got := w.log(); !slices.Contains(got, "Deny Succeeded web Denied") {
		t.Errorf("logged %q", got)
	}
}

// TestWaitEnds: by itself, and by who asked; nobody is asked for anything then, and the same may be asked for again.
func TestWaitEnds(t *testing.T) {
	w := newWaitingWorld(t, 1, nil)
	w.pass(time.Hour - time.Millisecond)
	w.is(jit.AwaitingApproval, "")
	w.pass(time.Millisecond)
	w.is(jit.Revoked, jit.ApprovalExpired)
	w.id = w.request(want("alice", 22, 2*time.Hour, "203.0.113.7", "web"))
	again, known, err := w.doors.Request(t.Context(), signedIn("alice"), want("alice", 22, 2*time.Hour, "203.0.113.7", "web"), "")
	if err != nil || !known || again.Grant.ID != w.id {
		t.Errorf("a second click: %v, known %t", err, known)
	}
	_, err = w.doors.Extend(t.Context(), signedIn("alice"), w.id, 3*time.Hour, time.Time{})
	wantRefusal(t, "extended", err, jit.CodeRequestWaits)
	if _, err := w.doors.Revoke(t.Context(), signedIn("alice"), w.id); err != nil {
		t.Fatal(err)
	}
	w.is(jit.Revoked, jit.UserRequested)
	w.sweep()
	w.id = w.request(want("alice", 22, 2*time.Hour, "203.0.113.7", "web"))
	w.leap(time.Hour) // the wake-up is lost
	w.sweep()
	w.is(jit.Revoked, jit.ApprovalExpired)
}

// TestTooManyWait: what waits takes no room, so its number is bounded, for each requestor.
func TestTooManyWait(t *testing.T) {
	w := newWaitingWorld(t, 1, nil)
	for i := range access.MaxWaiting - 1 {
		w.request(want("alice", 22, time.Hour, fmt.Sprintf("203.0.113.%d", 20+i), "web"))
	}
	more := want("alice", 22, time.Hour, "203.0.113.99", "web")
	_, _, err := w.doors.Request(t.Context(), signedIn("alice"), more, "")
	wantRefusal(t, "one more", err, access.CodeTooManyWaiting)
	_, _, err = w.doors.Preview(t.Context(), signedIn("alice"), more)
	wantRefusal(t, "one more, dry", err, access.CodeTooManyWaiting)
	if _, err := w.doors.Revoke(t.Context(), signedIn("alice"), w.id); err != nil {
		t.Fatal(err)
	}
	w.request(more)
}

// TestDecidedAgain: between the approval and the opening everything may change, and is looked at again. Without the change the request is opened, which
// the first row shows.
func TestDecidedAgain(t *testing.T) {
	for _, tt := range []struct {
		name      string
		approvers int
		by        []string
		change    func(w *waitingWorld)
		status    jit.Status
		reason    jit.Reason
	}{
		{"nothing", 2, []string{"bob", "carol"}, func(*waitingWorld) {}, jit.Initiated, ""},
		{"who asked has lost the right", 2, []string{"bob", "carol"}, func(w *waitingWorld) { w.staff.set("alice", writing...) }, jit.Revoked, jit.RightLost},
		{"an approver has lost the right to write", 2, []string{"bob", "carol"}, func(w *waitingWorld) { w.staff.set("bob", permit.ActionRead) }, jit.AwaitingApproval, ""},
		{"an approver by app role may not read any more", 2, []string{"carol", "bob"}, func(w *waitingWorld) { w.staff.set("carol") }, jit.AwaitingApproval, ""},
		{"one who was lost is made up for", 2, []string{"bob", "carol", "dave"}, func(w *waitingWorld) { w.staff.set("bob", permit.ActionRead) }, jit.Initiated, ""},
		{"the policy is gone", 2, []string{"bob", "carol"}, func(w *waitingWorld) { _, _ = w.Disable(w.t.Context(), who("admin"), []jit.ID{vmID("web")}) }, jit.Revoked, jit.PolicyRemoved},
		{"the policy does not name the port any more", 2, []string{"bob", "carol"}, func(w *waitingWorld) { w.policy(2, func(p *jit.Policy) { p.Ports = p.Ports[1:] }) }, jit.Revoked, jit.OpeningFailed},
		{"the policy allows less time", 2, []string{"bob", "carol"}, func(w *waitingWorld) { w.policy(2, func(p *jit.Policy) { p.Ports[0].Maximum = time.Hour }) }, jit.Revoked, jit.OpeningFailed},
		{"the policy asks for one more", 2, []string{"bob", "carol"}, func(w *waitingWorld) { w.policy(3, nil) }, jit.AwaitingApproval, ""},
		{"the policy asks for one less", 3, []string{"bob", "carol"}, func(w *waitingWorld) { w.policy(2, nil) }, jit.Initiated, ""},
		{"the policy names others", 2, []string{"bob", "carol"}, func(w *waitingWorld) {
			w.policy(2, func(p *jit.Policy) { p.Options.ApprovedBy, _ = jit.PeopleOf(objectID("carol"), objectID("eve")) })
		}, jit.AwaitingApproval, ""},
		{"the machine is gone", 2, []string{"bob", "carol"}, func(w *waitingWorld) { w.cloud.RemoveMachine(vmID("web")) }, jit.Revoked, jit.OpeningFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWaitingWorld(t, tt.approvers, nil)
			for i, name := range tt.by {
				if i == 1 {
					tt.change(w)
				}
				_ = w.approve(name) // what comes of it is looked at below
			}
			w.is(tt.status, tt.reason)
			w.sweep()
			rec := w.is(tt.status, tt.reason)
			if tt.reason != "" && tt.reason != jit.PolicyRemoved && rec.Failed == "" {
				t.Error("nothing stored says why")
			}
			w.pass(4 * time.Hour)
			if w.rec().Grant.Status() != jit.Revoked || w.allows("web-nsg") != 0 {
				t.Errorf("at the end: %s, %d rules", w.rec().Grant.Status(), w.allows("web-nsg"))
			}
		})
	}
}

// TestNamedApprovers: those whom the policy names may approve, and nobody else, themselves or by a group of their token; each has to read the machine.
func TestNamedApprovers(t *testing.T) {
	group := "dddddddd-0000-0000-0000-00000000000d"
	w := newWaitingWorld(t, 2, func(p *jit.Policy) { p.Options.ApprovedBy, _ = jit.PeopleOf(objectID("eve"), group) })
	digest := access.Digest(w.rec().Grant)
	member := signedIn("cora")
	member.Roles = jit.Roles{}
	_, err := w.doors.Approve(t.Context(), member, w.id, digest)
	wantRefusal(t, "without the group", err, permit.CodeForbidden)
	_, err = w.doors.Approve(t.Context(), signedIn("carol"), w.id, digest)
	wantRefusal(t, "by the app role alone", err, permit.CodeForbidden)
	member.Groups, _ = jit.PeopleOf(group)
	if _, err := w.doors.Approve(t.Context(), member, w.id, digest); err != nil {
		t.Fatal(err)
	}
	if err := w.approve("eve"); err != nil {
		t.Fatal(err)
	}
	rec := w.is(jit.Initiated, "")
	if a := rec.Grant.Wait.Approvals; a[0].Named != group || a[1].Named != objectID("eve") || a[0].By != jit.ByPolicy {
		t.Errorf("approved: %+v", a)
	}
}
