package handlers_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core"
	"portcullis/core/area"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// TestLockdownRefusals: each misuse has its own code, and changes nothing.
func TestLockdownRefusals(t *testing.T) {
	a := newApp(t)
	a.enable()
	for name, tc := range map[string]struct {
		body         string
		status       int
		code, target string
	}{
		"no scope":                 {`{"reason":"r"}`, 400, "ScopeMissing", "scope"},
		"a scope of null":          {`{"scope":null,"reason":"r"}`, 400, "ScopeMissing", "scope"},
		"an empty scope":           {`{"scope":{},"reason":"r"}`, 400, "ScopeMissing", "scope"},
		"everything is false":      {`{"scope":{"everything":false},"reason":"r"}`, 400, "ScopeMissing", "scope"},
		"two scopes":               {`{"scope":{"everything":true,"person":"00000000-0000-0000-0000-0000000000e2"},"reason":"r"}`, 400, "ScopeAmbiguous", "scope"},
		"a name for a person":      {`{"scope":{"person":"alice@example.com"},"reason":"r"}`, 400, "InvalidObjectId", "scope.person"},
		"a name for a machine":     {`{"scope":{"virtualMachine":"web"},"reason":"r"}`, 400, "InvalidResourceId", "scope.virtualMachine"},
		"a name for a group":       {`{"scope":{"resourceGroup":"demo"},"reason":"r"}`, 400, "InvalidResourceGroupId", "scope.resourceGroup"},
		"more than a group":        {`{"scope":{"resourceGroup":"` + web + `"},"reason":"r"}`, 400, "InvalidResourceGroupId", "scope.resourceGroup"},
		"a name of a subscription": {`{"scope":{"subscription":"production"},"reason":"r"}`, 400, "InvalidSubscriptionId", "scope.subscription"},
		"one that is not managed":  {`{"scope":{"subscription":"00000000-0000-0000-0000-000000000bad"},"reason":"r"}`, 400, "SubscriptionNotManaged", "/subscriptions/00000000-0000-0000-0000-000000000bad"},
		"no reason":                {`{"scope":{"everything":true}}`, 400, "ReasonMissing", "reason"},
		"a reason nobody can see":  {`{"scope":{"everything":true},"reason":"a\u202eb"}`, 400, "TextNotPrintable", "reason"},
		"a long reason":            {`{"scope":{"everything":true},"reason":"` + strings.Repeat("a", 1001) + `"}`, 400, "ReasonTooLong", "reason"},
		"a hold that is no flag":   {`{"scope":{"everything":true},"reason":"r","hold":"yes"}`, 400, "InvalidRequestContent", "hold"},
		"an unknown field":         {`{"scope":{"everything":true},"reason":"r","force":true}`, 400, "UnknownField", "force"},
		"an unknown scope":         {`{"scope":{"tag":"prod"},"reason":"r"}`, 400, "UnknownField", "scope.tag"},
		"nothing":                  {``, 400, "RequestBodyMissing", ""},
	} {
		for _, path := range []string{"/api/lockdown", "/api/lockdown?dryRun=true"} {
			r := a.call("POST", path, tc.body)
			if code, target := r.code(); r.status != tc.status || code != tc.code || target != tc.target {
				t.Errorf("%s: %d %s", name, r.status, r.text)
			}
		}
	}
	const unknown = "/api/lockdown/00000000-0000-7000-8000-000000000009"
	for name, tc := range map[string]struct{ method, path, body, code string }{
		"no id":         {"GET", "/api/lockdown/x", "", "LockdownNotFound"},
		"an unknown id": {"GET", unknown, "", "LockdownNotFound"},
		"no hold":       {"POST", unknown + "/lift", `{"reason":"r"}`, "HoldNotFound"},
		"no hold's id":  {"POST", "/api/lockdown/x/lift", `{"reason":"r"}`, "HoldNotFound"},
		"why not":       {"POST", unknown + "/lift", `{}`, "ReasonMissing"},
	} {
		if r := a.call(tc.method, tc.path, tc.body); func() string { c, _ := r.code(); return c }() != tc.code {
			t.Errorf("%s: %d %s", name, r.status, r.text)
		}
	}
	set, list, err := a.store.Store.Lockdowns(context.Background())
	if err != nil || len(set.Holds)+len(list) != 0 {
		t.Errorf("they left %v and %v: %v", set.Holds, list, err)
	}
}

// requesters permits the admin everything, and everybody else what a requester may.
type requesters struct{}

// Missing implements permit.Authority.
func (requesters) Missing(_ context.Context, who jit.Caller, _ string, actions ...string) (string, error) {
	for _, action := range actions {
		if who.ID != tenant+"/"+admin && !slices.Contains([]string{permit.ActionRead, permit.ActionInitiate, permit.ActionReadVM}, action) {
			return action, nil
		}
	}
	return "", nil
}

// held has a scope held under an id.
func (a *app) held(id string, scope area.Scope, why string) {
	a.t.Helper()
	h := store.Hold{ID: id, Scope: scope, By: "zz-mallory@example.com", Reason: why, At: a.now()}
	set, err := a.store.Store.Holds(context.Background())
	if err == nil {
		set.Holds = append(set.Holds, h)
		_, err = a.store.Store.PutHolds(context.Background(), set)
	}
	if err = errors.Join(err, a.store.Store.PutLockdown(context.Background(), h.Ordered())); err != nil {
		a.t.Fatal(err)
	}
}

// TestLockdown goes through a lock-down: the dry run, the closing, what is held at both faces, who sees it, and the lift.
func TestLockdown(t *testing.T) {
	a := newCompat(t)
	a.wire(func(p *core.Ports) { p.Authority = requesters{} })
	a.enable()
	a.put(web)
	first := a.call("POST", "/api/request", ports(`{"number":22,"duration":"PT1H"}`))
	if first.status != 200 {
		t.Fatal(first.text)
	}
	id := first.body["id"].(string)
	order := `{"scope":{"virtualMachine":"` + web + `"},"reason":"the machine is being looked at","hold":true}`
	writes := a.cloud.Writes()
	dry := a.call("POST", "/api/lockdown?dryRun=true", order)
	if dry.status != 200 || dry.body["dryRun"] != true || dry.body["found"] != 1.0 || dry.body["targets"] != 1.0 || !strings.Contains(dry.text, `"closes 1 window"`) || !strings.Contains(dry.text, id) || a.cloud.Writes() != writes {
		t.Fatalf("%d %s", dry.status, dry.text)
	}
	if r := a.call("GET", "/api/lockdown", ""); r.text != "{\"value\":[]}\n" && strings.TrimSpace(r.text) != `{"value":[]}` {
		t.Errorf("a dry run held something: %s", r.text)
	}
	done := a.call("POST", "/api/lockdown", order)
	if done.status != 200 || done.body["done"] != true || done.body["found"] != 1.0 || done.body["marked"] != 1.0 || done.body["closed"] != 1.0 || done.body["held"] != true || a.cloud.Writes() != writes+1 {
		t.Fatalf("%d, %d writes: %s", done.status, a.cloud.Writes()-writes, done.text)
	}
	hold := done.body["hold"].(string)
	if r := a.call("GET", "/api/requests/"+id, ""); !strings.Contains(r.text, `"statusReason":"LockedDown"`) {
		t.Errorf("the request: %s", r.text)
	}
	for name, r := range map[string]answer{
		"request":  a.call("POST", "/api/request", ports(`{"number":22,"duration":"PT1H"}`)),
		"dry run":  a.call("POST", "/api/request?dryRun=true", ports(`{"number":22,"duration":"PT1H"}`)),
		"again":    a.call("POST", "/api/requests/"+id+"/again", ""),
		"initiate": a.call("POST", policy+"/initiate"+version, initiate(web, `{"number":22,"duration":"PT1H"}`)),
	} {
		if code, _ := r.code(); r.status != 409 || code != "OpeningsHeld" {
			t.Errorf("%s: %d %s", name, r.status, r.text)
		}
	}
	a.call("GET", "/api/lockdown/"+done.body["id"].(string), "").wants(t, 200, "")
	if r := a.call("GET", "/api/lockdown/"+done.body["id"].(string), "", "Authorization", "Bearer requester"); r.status != 404 {
		t.Errorf("a requester looks at a lock-down: %d %s", r.status, r.text)
	}
	if r := a.call("GET", "/api/lockdown", "", "Authorization", "Bearer requester"); !strings.Contains(r.text, hold) || strings.Contains(r.text, "looked at") || strings.Contains(r.text, "alice") || !strings.Contains(r.text, `"mayLift":false`) {
		t.Errorf("a requester sees %s", r.text)
	}
	if r := a.call("POST", "/api/lockdown/"+hold+"/lift", `{"reason":"r"}`, "Authorization", "Bearer requester"); r.status != 403 {
		t.Errorf("a requester lifts: %d %s", r.status, r.text)
	}
	a.call("POST", "/api/lockdown/"+hold+"/lift?dryRun=true", `{"reason":"all is well"}`).wants(t, 200, "")
	if r := a.call("GET", "/api/lockdown", ""); !strings.Contains(r.text, hold) || !strings.Contains(r.text, "the machine is being looked at") {
		t.Errorf("a dry run lifted it: %s", r.text)
	}
	a.call("POST", "/api/lockdown/"+hold+"/lift", `{"reason":"all is well"}`).wants(t, 200, "")
	a.call("POST", "/api/request", ports(`{"number":22,"duration":"PT1H"}`)).wants(t, 200, "")
	if r := a.call("GET", "/api/activity?operation=Lift", ""); !strings.Contains(r.text, "all is well") {
		t.Errorf("the log: %s", r.text)
	}
}

// TestSlowLockdown: what takes long is answered with 202 and a place to look at, which says what is confirmed and no more.
func TestSlowLockdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t)
		a.enable()
		a.call("POST", "/api/request", ports(`{"number":22,"duration":"PT1H"}`)).wants(t, 200, "")
		a.cloud.Fault = func(_ context.Context, s coretest.Step) error {
			if s.Op == "Apply" && !s.After {
				time.Sleep(30 * time.Second)
			}
			return nil
		}
		r := a.call("POST", "/api/lockdown", `{"scope":{"everything":true},"reason":"r"}`)
		if r.status != 202 || r.body["found"] != 1.0 || r.body["closed"] != 0.0 || r.body["done"] != false || r.header.Get("Retry-After") == "" {
			t.Fatalf("%d %s", r.status, r.text)
		}
		at := r.header.Get("Location")
		if r := a.call("GET", at, ""); r.status != 202 || r.body["closed"] != 0.0 || r.body["marked"] != 1.0 {
			t.Errorf("while it closes: %d %s", r.status, r.text)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if r := a.call("GET", at, ""); r.status != 200 || r.body["closed"] != 1.0 || r.body["done"] != true {
			t.Errorf("once it has closed: %d %s", r.status, r.text)
		}
	})
}
