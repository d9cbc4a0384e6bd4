package handlers_test

import (
	"strings"
	"testing"
	"time"
)

// TestAgain: an earlier request is asked for once more as it was, but from the caller's address of now and by the policy of now.
func TestAgain(t *testing.T) {
	a := newApp(t)
	a.enable()
	first := a.call("POST", "/api/request", strings.TrimSuffix(ports(`{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"203.0.113.0/28"},{"number":3389,"endTimeUtc":"2026-11-23T12:30:00Z"}`), "}")+`,"justification":"ticket 4711"}`)
	if first.status != 200 {
		t.Fatalf("%d %s", first.status, first.text)
	}
	id := first.body["id"].(string)
	again := "/api/requests/" + id + "/again"

	for name, tc := range map[string]struct {
		path    string
		headers []string
		body    string
		status  int
		code    string
		target  string
	}{
		"of another":          {again, []string{"Authorization", "Bearer requester"}, "", 403, "AuthorizationFailed", "id"},
		"an unknown address":  {again, []string{"X-Forwarded-For", "203.0.113.7, 198.51.100.1"}, "", 400, "SourceAddressPrefixMissing", "virtualMachines[0].ports[0].allowedSourceAddressPrefix"},
		"with other ports":    {again, nil, `{"virtualMachines":[]}`, 400, "UnknownField", "virtualMachines"},
		"no id":               {"/api/requests/x/again", nil, "", 404, "RequestNotFound", "id"},
		"a flag that is none": {again + "?dry_run=true", nil, "", 400, "UnknownQueryParameter", "dry_run"},
		"a key that is none":  {again, []string{"Idempotency-Key", strings.Repeat("k", 201)}, "", 400, "InvalidRequestContent", "Idempotency-Key"},
	} {
		writes := a.cloud.Writes()
		r := a.call("POST", tc.path, tc.body, tc.headers...)
		if code, target := r.code(); r.status != tc.status || code != tc.code || target != tc.target {
			t.Errorf("%s: %d %s", name, r.status, r.text)
		}
		if a.cloud.Writes() != writes {
			t.Errorf("%s: a rule was written", name)
		}
	}

	a.call("POST", "/api/requests/"+id+"/revoke", "").wants(t, 200, "") // its ends say nothing of its lengths any more
	a.leap(10 * time.Minute)
	writes := a.cloud.Writes()
	for _, dryRun := range []string{"?dryRun=true", ""} {
		r := a.call("POST", again+dryRun, "", "X-Forwarded-For", "203.0.113.99")
		if r.status != 200 || (dryRun != "") != (a.cloud.Writes() == writes) {
			t.Fatalf("%q: %d, %d writes: %s", dryRun, r.status, a.cloud.Writes()-writes, r.text)
		}
		if r.body["id"] == id || r.body["justification"] != "ticket 4711" {
			t.Errorf("%q: %s", dryRun, r.text)
		}
		for _, want := range []string{
			`"number":22,"protocol":"TCP","allowedSourceAddressPrefix":"203.0.113.99","endTimeUtc":"2026-11-23T13:10:00.000Z"`,
			`"number":3389,"protocol":"*","allowedSourceAddressPrefix":"203.0.113.99","endTimeUtc":"2026-11-23T12:40:00.000Z"`,
		} {
			if !strings.Contains(r.text, want) {
				t.Errorf("%q lacks %s:\n%s", dryRun, want, r.text)
			}
		}
	}

	a.leap(time.Hour)
	if r := a.call("POST", "/api/enable", `{"virtualMachines":[{"id":"`+web+`","ports":[{"number":22,"maxRequestAccessDuration":"PT30M"},{"number":3389}]}]}`); r.status != 200 {
		t.Fatal(r.text)
	}
	r := a.call("POST", again, "")
	if code, target := r.code(); r.status != 400 || code != "DurationOverMaximum" || target != "virtualMachines[0].ports[0].duration" {
		t.Errorf("by the policy of now: %d %s", r.status, r.text)
	}
	if log := a.call("GET", "/api/activity?operation=Request&result=Refused", ""); strings.Count(log.text, `"DurationOverMaximum`) == 0 || strings.Count(log.text, "the request is another's") == 0 {
		t.Errorf("the log lacks what was refused: %s", log.text)
	}
}

// TestAgainWithOneKey: a repetition that is sent twice with one key opens once.
func TestAgainWithOneKey(t *testing.T) {
	a := newApp(t)
	a.enable()
	id := a.call("POST", "/api/request", ports(`{"number":22,"duration":"PT1H"}`)).body["id"].(string)
	a.call("POST", "/api/requests/"+id+"/revoke", "").wants(t, 200, "")
	one := a.call("POST", "/api/requests/"+id+"/again", "", "Idempotency-Key", "k")
	two := a.call("POST", "/api/requests/"+id+"/again", "", "Idempotency-Key", "k")
	if one.status != 200 || two.status != 200 || one.body["id"] != two.body["id"] || one.body["id"] == id {
		t.Errorf("%d %s\n%d %s", one.status, one.text, two.status, two.text)
	}
	open, err := a.store.OpenGrants(t.Context())
	if err != nil || len(open) != 1 {
		t.Errorf("%d open, %v", len(open), err)
	}
}
