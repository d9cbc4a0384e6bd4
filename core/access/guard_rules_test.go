package access_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/coretest"
	"portcullis/core/inventory"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// TestNeeds holds the table of who may against the words of the API.
func TestNeeds(t *testing.T) {
	const jitPolicies = "Microsoft.Security/locations/jitNetworkAccessPolicies/"
	got := map[permit.Verb]string{}
	for _, v := range []permit.Verb{permit.VerbRead, permit.VerbRequest, permit.VerbExtend, permit.VerbRevokeOther, permit.VerbEnable, permit.VerbDisable, permit.VerbList, permit.VerbSweep, permit.VerbReview, "something else", ""} {
		got[v] = strings.ReplaceAll(strings.Join(permit.Needs(v), " "), jitPolicies, "")
	}
	want := map[permit.Verb]string{
		permit.VerbRead:        "read",
		permit.VerbRequest:     "initiate/action Microsoft.Compute/virtualMachines/read",
		permit.VerbExtend:      "initiate/action Microsoft.Compute/virtualMachines/read",
		permit.VerbRevokeOther: "write",
		permit.VerbEnable:      "write Microsoft.Compute/virtualMachines/write",
		permit.VerbDisable:     "delete",
		permit.VerbList:        "write",
		permit.VerbSweep:       "write",
		permit.VerbReview:      "write",
		"something else":       "", // which nobody may do
		"":                     "",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	permit.Needs(permit.VerbRead)[0] = "changed"
	if permit.Needs(permit.VerbRead)[0] != permit.ActionRead {
		t.Error("the table can be changed from outside")
	}
}

// TestRefusalNamesWhatIsMissing: a reader who requests learns which permission, and where; and the log who was refused.
func TestRefusalNamesWhatIsMissing(t *testing.T) {
	g := newDoorway(t, holders()["r+vm"])
	g.leap(time.Second)
	_, _, err := g.doors.Request(t.Context(), g.who, asked(ann, 3389, "203.0.113.27", "web"), "")
	refused, ok := errors.AsType[*jit.Error](err)
	if !ok || refused.Target != vmID("web").String() || !strings.Contains(refused.Message, permit.ActionInitiate) || !strings.Contains(refused.Message, refused.Target) {
		t.Errorf("refused by %v", err)
	}
	entries, _, err := g.mem.Entries(t.Context(), store.EntryFilter{Operation: store.OpRequest}, "", 1)
	if err != nil || len(entries) != 1 || entries[0].Result != store.Refused || entries[0].Requestor != ann.Name || entries[0].Reason != string(permit.CodeForbidden) {
		t.Errorf("the log holds %+v, %v", entries, err)
	}
	before := len(g.log())
	if _, _, err := g.doors.Preview(t.Context(), g.who, asked(ann, 3389, "203.0.113.27", "web")); code(err) != permit.CodeForbidden {
		t.Errorf("a preview: %v", err)
	}
	if len(g.log()) != before {
		t.Error("a preview was logged")
	}
}

// TestBrokenBodyFirst: what is wrong with a request in itself is told to everybody, before permissions.
func TestBrokenBodyFirst(t *testing.T) {
	g := newDoorway(t, holders()["down"])
	for name, r := range map[string]jit.Request{"no machines": {}, "no ports": {VMs: []jit.RequestVM{{VM: vmID("web")}}}} {
		if _, _, err := g.doors.Request(t.Context(), g.who, r, ""); code(err) == "" || code(err) == permit.CodeForbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// asking counts what it is asked.
type asking struct {
	holder
	scopes *[]string
}

func (a asking) Missing(ctx context.Context, who jit.Caller, scope string, actions ...string) (string, error) {
	*a.scopes = append(*a.scopes, scope)
	return a.holder.Missing(ctx, who, scope, actions...)
}

// TestNotManaged: for machines of subscriptions that are not managed nobody's permissions are asked, and what is left of
// such a subscription does not spoil lists once the app may ask nothing there.
func TestNotManaged(t *testing.T) {
	const gone = "99999999-9999-9999-9999-999999999999"
	elsewhere := vmID("web")
	elsewhere.Subscription = gone
	g := newDoorway(t, holders()["all"])
	var scopes []string
	g.doors.Verbs.Permit.Authority = asking{g.holder, &scopes}
	r := asked(ann, 22, "203.0.113.27", "web")
	r.VMs[0].VM = elsewhere
	p := policyOf("web", 22)
	p.VM = elsewhere
	if _, _, err := g.doors.Request(t.Context(), ann, r, ""); code(err) != network.CodeNotManaged {
		t.Errorf("request: %v", err)
	}
	if _, _, err := g.doors.Preview(t.Context(), ann, r); code(err) != network.CodeNotManaged {
		t.Errorf("preview: %v", err)
	}
	if _, _, err := g.doors.Enable(t.Context(), ann, []jit.Policy{p}, false); code(err) != network.CodeNotManaged {
		t.Errorf("enable: %v", err)
	}
	if len(scopes) > 0 {
		t.Errorf("asked about %v", scopes)
	}

	g.doors.Verbs.Permit.Authority = forbiddenIn{g.holder, gone}
	entries := []store.Entry{{ID: "x", Time: g.now(), Operation: store.OpRequest, VM: elsewhere, Message: "of a subscription that was managed"}}
	if err := g.mem.Append(t.Context(), entries...); err != nil {
		t.Fatal(err)
	}
	got, _, err := g.doors.Entries(t.Context(), ann, store.EntryFilter{}, "", 100)
	if err != nil || len(got) == 0 || slices.ContainsFunc(got, func(e store.Entry) bool { return e.ID == "x" }) {
		t.Errorf("entries %v, %v", got, err)
	}
	g.doors.Verbs.Permit.Authority = forbiddenIn{g.holder, sub}
	if got, _, err := g.doors.Entries(t.Context(), ann, store.EntryFilter{}, "", 100); !errors.Is(err, store.ErrForbidden) || got != nil {
		t.Errorf("in a subscription that is managed: %v, %v", got, err)
	}
}

// forbiddenIn is an authority that may ask nothing in one subscription.
type forbiddenIn struct {
	holder
	subscription string
}

func (f forbiddenIn) Missing(ctx context.Context, who jit.Caller, scope string, actions ...string) (string, error) {
	if strings.Contains(scope, f.subscription) {
		return "", fmt.Errorf("list: %w", store.ErrForbidden)
	}
	return f.holder.Missing(ctx, who, scope, actions...)
}

// TestPartly is about a request and lists of two machines, for somebody who may everything on one of them.
func TestPartly(t *testing.T) {
	ctx := t.Context()
	g := newDoorway(t, holders()["web"])
	g.enable("web", "app1")
	both := g.mustAskAs(bob, 22, "203.0.113.40", "web", "app1")
	mine := g.mustAskAs(ann, 22, "203.0.113.41", "web", "app1")
	rec, err := g.doors.Find(ctx, ann, both)
	if err != nil {
		t.Fatal(err)
	}
	grants, _, err := g.doors.ListGrants(ctx, ann, store.GrantFilter{}, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	entries, _, err := g.doors.Entries(ctx, ann, store.EntryFilter{}, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	policies, err := g.doors.ListPolicies(ctx, ann)
	if err != nil {
		t.Fatal(err)
	}
	machines, err := g.doors.Machines(ctx, ann, inventory.MachineQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]any{"find": rec, "grants": grants, "entries": entries, "policies": policies, "machines": machines} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		for _, hidden := range []string{"app1", "app2", "10.0.1."} {
			if strings.Contains(string(text), hidden) {
				t.Errorf("%s shows %s: %s", name, hidden, text)
			}
		}
		if !strings.Contains(string(text), "web") {
			t.Errorf("%s does not show web: %s", name, text)
		}
	}

	before := g.state()
	for name, err := range map[string]error{
		"request": func() error {
			_, _, err := g.doors.Request(ctx, ann, asked(ann, 22, "203.0.113.42", "web", "app1"), "")
			return err
		}(),
		"preview": func() error {
			_, _, err := g.doors.Preview(ctx, ann, asked(ann, 22, "203.0.113.42", "web", "app1"))
			return err
		}(),
		"enable": func() error {
			_, _, err := g.doors.Enable(ctx, ann, []jit.Policy{policyOf("web", 22), policyOf("app1", 22)}, false)
			return err
		}(),
		"disable":       func() error { _, err := g.doors.Disable(ctx, ann, []jit.ID{vmID("web"), vmID("app1")}); return err }(),
		"revoke":        func() error { _, err := g.doors.Revoke(ctx, ann, both); return err }(),
		"extend of own": func() error { _, err := g.doors.Extend(ctx, ann, mine, 2*time.Hour, time.Time{}); return err }(),
	} {
		refused, _ := errors.AsType[*jit.Error](err)
		target := vmID("app1").String() // which she named herself
		if name == "revoke" {
			target = "id"
		}
		if code(err) != permit.CodeForbidden || refused.Target != target {
			t.Errorf("%s: %v, want a refusal at %s", name, err, target)
		}
	}
	if diff := cmp.Diff(before, g.state()); diff != "" {
		t.Errorf("something changed:\n%s", diff)
	}
	// What is open in her own name she closes, also where she may do nothing any more.
	if rec, err := g.doors.Revoke(ctx, ann, mine); err != nil || !rec.Grant.Closed() || len(rec.Grant.VMs) != 2 {
		t.Errorf("revoke of own: %v %v", rec.Grant, err)
	}
}

// TestWhatConcernsNobody: entries and findings that are about no one machine, and what a sweep counted, are for those who
// may read everything.
func TestWhatConcernsNobody(t *testing.T) {
	for name, want := range map[string]bool{"r": true, "web": false, "none": false} {
		g := newDoorway(t, holders()[name])
		rec := store.SweepRecord{Started: noon, Ended: noon.Add(time.Second), Completed: noon.Add(-time.Minute), Targets: 7, Changed: 1, Closed: 2, Error: "apps-nsg cannot be read",
			Findings: []store.Finding{{Kind: store.FindingBroken, Message: "everything"}, {Kind: store.FindingLost, Target: nsgID("apps-nsg")}}}
		if err := g.mem.PutSweep(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
		if err := g.mem.Append(t.Context(), store.Entry{ID: "s", Time: g.now(), Operation: store.OpSweep}, store.Entry{ID: "t", Time: g.now(), Operation: store.OpRepair, Target: nsgID("apps-nsg")}); err != nil {
			t.Fatal(err)
		}
		shown := inventory.Swept{SweepRecord: store.SweepRecord{Started: noon, Ended: noon.Add(time.Second), Completed: noon.Add(-time.Minute)}, Ran: true, Counted: want,
			Warnings: []string{"the last sweep could not do everything"}}
		if want {
			shown.SweepRecord = rec
		}
		got, err := g.doors.LastSweep(t.Context(), g.who)
		if diff := cmp.Diff(shown, got); diff != "" || err != nil {
			t.Errorf("%s: %v, the last sweep (-want +got):\n%s", name, err, diff)
		}
		entries, _, err := g.doors.Entries(t.Context(), g.who, store.EntryFilter{}, "", 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"s", "t"} {
			if has := slices.ContainsFunc(entries, func(e store.Entry) bool { return e.ID == id }); has != want {
				t.Errorf("%s is shown the entry %s: %v", name, id, has)
			}
		}
	}
}

// TestFailedOpeningSaysWhy holds that a grant says why its opening failed, to those who may read all of its machines: what went wrong
// with one is nothing for who may read another.
func TestFailedOpeningSaysWhy(t *testing.T) {
	w := newWorld(t)
	g := guarded(w)
	w.enable("web", "app1")
	rec, _, err := g.Request(t.Context(), person("admin"), want("", 22, time.Hour, "203.0.113.7", "web", "app1"), "")
	if err != nil {
		t.Fatal(err)
	}
	w.cloud.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Apply" && !s.After {
			return store.ErrLocked
		}
		return nil
	}
	if _, err := g.Open(t.Context(), person("admin"), rec); !errors.Is(err, store.ErrLocked) {
		t.Fatalf("opened: %v", err)
	}
	for name, want := range map[string]string{"admin": "a management lock forbids the write", "reader": "a management lock forbids the write", "webreader": ""} {
		if got, err := g.Find(t.Context(), person(name), rec.Grant.ID); err != nil || got.Failed != want || got.Grant.Reason() != jit.OpeningFailed {
			t.Errorf("%s reads %q, %s: %v", name, got.Failed, got.Grant.Reason(), err)
		}
	}
}
