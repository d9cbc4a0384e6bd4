package handlers_test

import (
	"context"
	"strings"
	"testing"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// teams lets alice do everything at some scopes and what is below them, and everybody else everything.
type teams []string

func (t teams) Missing(_ context.Context, who jit.Caller, scope string, actions ...string) (string, error) {
	for _, at := range t {
		if who.ID != tenant+"/"+admin || strings.HasPrefix(strings.ToLower(scope)+"/", strings.ToLower(at)+"/") {
			return "", nil
		}
	}
	return actions[0], nil
}

// TestListingNeedsThePolicy: who may enable one machine cannot put it on another team's list, by whatever door, where it would keep that
// team from changing its own policy. In the default policy of its resource group every enabled machine stands.
func TestListingNeedsThePolicy(t *testing.T) {
	theirs := strings.Replace(policy, "/default", "/theirs", 1)
	document := func(name string) string {
		return `{"format":"portcullis-policies","version":1,"exportedAt":"","holds":"","subscriptions":[],"resourceGroup":"","policies":[{"id":"` + strings.TrimPrefix(name, "/api") +
			`","virtualMachines":[{"id":"` + app2 + `","existingRules":"override","ports":[{"number":22,"protocol":"*","allowedSourceAddressPrefix":"*","maxRequestAccessDuration":"PT2H"}]}]}],"virtualMachineCount":1,"complete":true,"incompleteBecause":""}`
	}
	list := func(name string) string {
		return `{"value":[{"id":"` + strings.TrimPrefix(name, "/api") + `","properties":{"virtualMachines":[` + ssh(app2) + `]}}]}`
	}
	for name, c := range map[string]walked{
		"put":            {"PUT", theirs + version, putBody(app2)},
		"put with":       {"PUT", theirs + version, putBody(app1, app2)},
		"import":         {"POST", "/api/import", list(theirs)},
		"import, dry":    {"POST", "/api/import?dryRun=true", list(theirs)},
		"restore":        {"POST", "/api/policies/import", document(theirs)},
		"restore, dry":   {"POST", "/api/policies/import?dryRun=true", document(theirs)},
		"delete":         {"DELETE", theirs + version, ""},
		"another's own":  {"POST", "/api/import", list(strings.Replace(policy, "/demo/", "/other/", 1))},
		"put of default": {"PUT", policy + version, putBody(app2)},
	} {
		t.Run(name, func(t *testing.T) {
			a := newCompat(t)
			a.call("PUT", theirs+version, putBody(app1)).wants(t, 200, "")
			a.wire(func(p *core.Ports) { p.Authority = teams{app2} })
			if r := a.call(c.method, c.path, c.body); !strings.Contains(r.text, `"AuthorizationFailed"`) || !strings.Contains(r.text, permit.ActionWrite) && !strings.Contains(r.text, permit.ActionDelete) {
				t.Errorf("%d %s", r.status, r.text)
			}
			a.wire(func(p *core.Ports) { p.Authority = teams{app1, group} })
			if r := a.call("PUT", theirs+version, putBody(app1)); r.status != 200 || r.lists() != "app1" {
				t.Errorf("the other team's own change: %d %s", r.status, r.text)
			}
		})
	}
	for name, c := range map[string]walked{
		"enable":  {"POST", "/api/enable", `{"virtualMachines":[` + ssh(app2) + `]}`},
		"import":  {"POST", "/api/import", list(policy)},
		"restore": {"POST", "/api/policies/import", document(policy)},
	} {
		t.Run(name+" in its own default policy", func(t *testing.T) {
			a := newCompat(t)
			a.put(app1)
			a.wire(func(p *core.Ports) { p.Authority = teams{app2} })
			a.call(c.method, c.path, c.body)
			if r := a.call("GET", policy+version, ""); r.lists() != "app2" {
				t.Fatalf("%d %s", r.status, r.text)
			}
			// Whoever may write policies in the group takes it out, also without a right to write machines there.
			a.wire(func(p *core.Ports) { p.Authority = writers{app1} })
			if r := a.call("PUT", policy+version, putBody(app1)); r.status != 200 || r.lists() != "app1" {
				t.Errorf("%d %s", r.status, r.text)
			}
		})
	}
}

// writers may write policies everywhere, and machines at one.
type writers [1]string

func (w writers) Missing(_ context.Context, _ jit.Caller, scope string, actions ...string) (string, error) {
	for _, action := range actions {
		if action != permit.ActionWrite && action != permit.ActionRead && !strings.EqualFold(scope, w[0]) {
			return action, nil
		}
	}
	return "", nil
}

// TestRightsBeforeReads: a named policy is not read for who may not change or delete it; its refusal is one row that names no machine. Where
// nothing in a replacement is in the policy's group, it is also asked whether he may be told that the group is not there.
func TestRightsBeforeReads(t *testing.T) {
	rights := map[string]int64{putBody(app1): 1, `{"properties":{"virtualMachines":[]}}`: 2, "": 1}
	for _, c := range []walked{{"DELETE", policy + version, ""}, {"PUT", policy + version, putBody(app1)}, {"PUT", policy + version, `{"properties":{"virtualMachines":[]}}`}} {
		a, n := newCounted(t)
		var steps []string
		a.store.Fault = func(_ context.Context, s coretest.Step) error {
			if !s.After {
				steps = append(steps, s.Op)
			}
			return nil
		}
		a.call(c.method, c.path, c.body).wants(t, 403, "AuthorizationFailed")
		if int64(n.rights.Load()) != rights[c.body] || n.cloud.Load() != 0 || strings.Join(steps, " ") != "Append" {
			t.Errorf("%s: asked %d times about rights, %d times Resource Manager, and the table for %v", c.method, n.rights.Load(), n.cloud.Load(), steps)
		}
		if e := a.lastEntry(); e.Result != store.Refused || c.method == "DELETE" && !e.VM.IsZero() {
			t.Errorf("%s: %+v", c.method, e)
		}
	}
}

// TestDryRunsOfAllThatWrites: the dry run of a sweep and of an import of Defender's list say what would be, and nothing is.
func TestDryRunsOfAllThatWrites(t *testing.T) {
	a := newCompat(t)
	a.enable()
	a.cloud.SetRules(nsgOf("web-nsg")) // somebody took our denies away
	if r := a.call("POST", "/api/request", `{"virtualMachines":[{"id":"`+web+`","ports":[{"number":22,"duration":"PT1H"}]}]}`); r.status != 200 {
		t.Fatal(r.text)
	}
	a.cloud.SetRules(nsgOf("web-nsg"))
	a.leap(2 * 3600e9)
	var wrote []string
	a.store.Fault = func(_ context.Context, s coretest.Step) error {
		for _, of := range []string{"Put", "Update", "Insert", "Delete", "Append", "Forget", "Remember", "Confirm", "Drop", "Note"} {
			if strings.HasPrefix(s.Op, of) && !s.After {
				wrote = append(wrote, s.Op)
			}
		}
		return nil
	}
	writes := a.cloud.Writes()
	swept := a.call("POST", "/api/sweep?dryRun=true", "")
	imported := a.call("POST", "/api/import?dryRun=true", `{"value":[{"id":"`+strings.TrimPrefix(policy, "/api")+`","properties":{"virtualMachines":[`+ssh(app1)+`]}}]}`)
	if len(wrote) > 0 || a.cloud.Writes() != writes {
		t.Errorf("dry runs wrote %v and %d times in Azure", wrote, a.cloud.Writes()-writes)
	}
	if swept.status != 200 || swept.body["dryRun"] != true || swept.body["targetsChanged"] != 1.0 || swept.body["requestsClosed"] != 1.0 {
		t.Errorf("sweep: %d %s", swept.status, swept.text)
	}
	if imported.status != 200 || imported.body["dryRun"] != true || !strings.Contains(imported.text, `"enabled":true`) {
		t.Errorf("import: %d %s", imported.status, imported.text)
	}
	if real := a.call("POST", "/api/sweep", ""); real.body["requestsClosed"] != 1.0 || real.body["dryRun"] != nil {
		t.Errorf("the sweep itself: %s", real.text)
	}
}

// TestOwnOutcome: who has lost every role closes what is open in his name, and is shown what became of it, by script and on the page.
func TestOwnOutcome(t *testing.T) {
	for _, face := range []string{"/api/requests/", "/api/portal/requests/"} {
		a := newCompat(t)
		a.enable()
		r := a.call("POST", "/api/request", `{"virtualMachines":[{"id":"`+web+`","ports":[{"number":22,"duration":"PT1H"}]}]}`)
		id, _ := r.body["id"].(string)
		a.wire(func(p *core.Ports) { p.Authority = teams{"/nowhere"} })
		if r := a.call("GET", face+id, ""); r.status != 404 {
			t.Errorf("while it is open: %d", r.status)
		}
		verb := map[string]string{"/api/requests/": "/revoke", "/api/portal/requests/": "/close"}[face]
		if r := a.call("POST", face+id+verb, "", "Sec-Fetch-Site", "same-origin"); r.status >= 400 {
			t.Fatalf("close: %d %s", r.status, r.text)
		}
		if r := a.call("GET", face+id, ""); r.status != 200 || !strings.Contains(r.text, "Revoked") && !strings.Contains(r.text, "Ports are closed") {
			t.Errorf("%s: %d %s", face, r.status, r.text)
		}
	}
}

// TestPageFilter: a value that the page's filter cannot have is said beside the field, and is no empty list and no whole one.
func TestPageFilter(t *testing.T) {
	a := newCompat(t)
	a.enable()
	for _, wrong := range []string{"Foo", "open", "Open%20"} {
		if r := a.call("GET", "/api/portal/activity?operation="+wrong, ""); r.status != 400 || !strings.Contains(r.text, "is not an operation") || strings.Contains(r.text, "alice@example.com</td>") {
			t.Errorf("%s: %d", wrong, r.status)
		}
	}
	if r := a.call("GET", "/api/portal/activity?operation=Enable", ""); r.status != 200 || strings.Contains(r.text, "is not an operation") {
		t.Errorf("Enable: %d", r.status)
	}
}
