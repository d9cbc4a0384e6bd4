package handlers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
)

const someone = "00000000-0000-4000-8000-0000000000aa"

// waits enables web so that its policy asks for an approval, and gives the answer to a request of the requester's for it.
func (a *app) waits(options string) answer {
	a.t.Helper()
	if r := a.call("POST", "/api/enable", `{"virtualMachines":[{"id":"`+web+`","ports":[{"number":22},{"number":3389,"approvers":2}],"options":`+options+`}]}`); r.status != 200 {
		a.t.Fatal(r.text)
	}
	r := a.call("POST", "/api/request", ports(`{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"203.0.113.7"}`), "Authorization", "Bearer requester")
	if r.status != 202 || r.body["status"] != "AwaitingApproval" || r.header.Get("Location") != "/api/requests/"+r.body["id"].(string) || a.cloud.Writes() == 0 {
		a.t.Fatalf("%d %s", r.status, r.text)
	}
	return r
}

// TestApproveOverHTTP: what a request that waits says, what its approval is refused for, and that it opens.
func TestApproveOverHTTP(t *testing.T) {
	a := newApp(t)
	asked := a.waits(`{"approvers":1}`)
	id := asked.body["id"].(string)
	approval := asked.body["approval"].(map[string]any)
	digest := approval["digest"].(string)
	if approval["approversNeeded"] != 1.0 || approval["waitsUntilUtc"] != "2026-11-23T13:00:00.000Z" || !strings.Contains(asked.text, `"duration":"PT1H","status":"AwaitingApproval"`) {
		t.Errorf("%s", asked.text)
	}
	if r := a.call("GET", "/api/requests?status=AwaitingApproval", ""); strings.Count(r.text, id) != 1 {
		t.Errorf("listed: %s", r.text)
	}
	writes := a.cloud.Writes()
	for name, tc := range map[string]struct {
		path, body string
		headers    []string
		status     int
		code       string
		target     string
	}{
		"own":                     {"/approve", `{"digest":"` + digest + `"}`, []string{"Authorization", "Bearer requester"}, 403, "OwnRequest", "id"},
		"no digest":               {"/approve", `{}`, nil, 409, "ContentChanged", "digest"},
		"another digest":          {"/approve", `{"digest":"` + strings.Repeat("0", 64) + `"}`, nil, 409, "ContentChanged", "digest"},
		"another digest, dry":     {"/approve?dryRun=true", `{"digest":"` + strings.Repeat("0", 64) + `"}`, nil, 409, "ContentChanged", "digest"},
		"a field that is unknown": {"/approve", `{"digest":"` + digest + `","duration":"PT8H"}`, nil, 400, "UnknownField", "duration"},
		"no body":                 {"/approve", ``, nil, 400, "RequestBodyMissing", ""},
		"no reason":               {"/deny", `{}`, nil, 400, "JustificationRequired", "justification"},
		"own, denied":             {"/deny", `{"justification":"no"}`, []string{"Authorization", "Bearer requester"}, 403, "OwnRequest", "id"},
	} {
		r := a.call("POST", "/api/requests/"+id+tc.path, tc.body, tc.headers...)
		if code, target := r.code(); r.status != tc.status || code != tc.code || target != tc.target {
			t.Errorf("%s: %d %s", name, r.status, r.text)
		}
	}
	dry := a.call("POST", "/api/requests/"+id+"/approve?dryRun=true", `{}`)
	if dry.status != 200 || dry.body["dryRun"] != true || !strings.Contains(dry.text, `"create":[{`) || dry.body["endTimeUtc"] != "2026-11-23T13:00:00.000Z" {
		t.Errorf("dry: %d %s", dry.status, dry.text)
	}
	if a.cloud.Writes() != writes {
		t.Errorf("%d rules were written", a.cloud.Writes()-writes)
	}
	a.leap(10 * time.Minute)
	r := a.call("POST", "/api/requests/"+id+"/approve", `{"digest":"`+digest+`"}`)
	if r.status != 200 || r.body["status"] != "Initiated" || r.body["endTimeUtc"] != "2026-11-23T13:10:00.000Z" || !strings.Contains(r.text, `"approvedBy":[{"name":"alice@example.com","objectId":"`+admin+`"`) || strings.Contains(r.text, `"digest"`) {
		t.Errorf("approved: %d %s", r.status, r.text)
	}
	r = a.call("POST", "/api/requests/"+id+"/approve", `{"digest":"`+digest+`"}`)
	if code, _ := r.code(); r.status != 409 || code != "RequestNotWaiting" {
		t.Errorf("once more: %d %s", r.status, r.text)
	}
	other := a.call("POST", "/api/request", ports(`{"number":22,"duration":"PT2H","allowedSourceAddressPrefix":"203.0.113.9"}`), "Authorization", "Bearer requester").body["id"].(string)
	if r := a.call("POST", "/api/requests/"+other+"/approve?dryRun=true", `{}`); !strings.Contains(r.text, `"openNow":[{"requestor":"Alice@Example.com","virtualMachineId":"`+web+`","number":22,"allowedSourceAddressPrefixes":["203.0.113.7"],"endTimeUtc":"2026-11-23T13:10:00.000Z"}]`) {
		t.Errorf("who has it open: %s", r.text)
	}
	r = a.call("POST", "/api/requests/"+other+"/deny", `{"justification":"not during the release"}`)
	if r.status != 200 || r.body["status"] != "Revoked" || r.body["statusReason"] != "Denied" || !strings.Contains(r.text, `"right":"Write","justification":"not during the release"}`) {
		t.Errorf("denied: %d %s", r.status, r.text)
	}
}

// TestApproversOfAPolicy: what a policy asks for comes back as it was sent, in the document too, and what is out of bounds is refused by name.
func TestApproversOfAPolicy(t *testing.T) {
	a := newApp(t)
	for body, target := range map[string]string{
		`"options":{"approvers":6}`:                             "virtualMachines[0].options.approvers",
		`"options":{"approvers":-1}`:                            "virtualMachines[0].options.approvers",
		`"options":{"approvers":1,"approverObjectIds":["bob"]}`: "virtualMachines[0].options.approverObjectIds",
		`"options":{"approvers":1,"approverObjectIds":[]}`:      "virtualMachines[0].options.approverObjectIds",
		`"options":{"approverObjectIds":[` + strings.Repeat(`"`+someone+`",`, 50) + `"` + requester + `","x"]}`: "virtualMachines[0].options.approverObjectIds",
		`"ports":[{"number":22,"approvers":6}]`: "virtualMachines[0].ports[0].approvers",
	} {
		r := a.call("POST", "/api/enable", `{"virtualMachines":[{"id":"`+web+`",`+body+`}]}`)
		if code, at := r.code(); r.status != 400 || code != "InvalidApprovers" || at != target {
			t.Errorf("%s: %d %s", body, r.status, r.text)
		}
	}
	a.waits(`{"approvers":1,"approverObjectIds":["` + strings.ToUpper(someone) + `"]}`)
	for _, path := range []string{"/api/machines", "/api/policies/export"} {
		r := a.call("GET", path, "")
		for _, want := range []string{`"approvers":1,"approverObjectIds":["` + someone + `"]`, `"approvers":2`} {
			if !strings.Contains(strings.ReplaceAll(r.text, " ", ""), want) {
				t.Errorf("%s lacks %s: %s", path, want, r.text)
			}
		}
	}
	document := a.call("GET", "/api/policies/export", "").text
	if r := a.call("POST", "/api/policies/import", document); r.status != 200 || !strings.Contains(r.text, `"unchanged":1`) {
		t.Errorf("imported: %d %s", r.status, r.text)
	}
}

// TestCompatWaits: clients of Microsoft's contract see a request that waits as one that is about to open, which then opens, or is revoked.
func TestCompatWaits(t *testing.T) {
	for name, tc := range map[string]struct {
		decide func(a *app, id, digest string)
		want   string
	}{
		"approved": {func(a *app, id, digest string) {
			a.call("POST", "/api/requests/"+id+"/approve", `{"digest":"`+digest+`"}`)
		}, `"status":"Initiated","statusReason":"UserRequested"`},
		"denied":   {func(a *app, id, _ string) { a.call("POST", "/api/requests/"+id+"/deny", `{"justification":"no"}`) }, `"status":"Revoked","statusReason":"UserRequested"`},
		"too late": {func(a *app, id, _ string) { a.leap(time.Hour); a.call("POST", "/api/sweep", "") }, `"status":"Revoked","statusReason":"Expired"`},
		"cancelled": {func(a *app, id, _ string) {
			a.call("POST", "/api/requests/"+id+"/revoke", "", "Authorization", "Bearer requester")
		}, `"status":"Revoked","statusReason":"UserRequested"`},
	} {
		t.Run(name, func(t *testing.T) {
			a := newCompat(t)
			if r := a.call("POST", "/api/enable", `{"virtualMachines":[{"id":"`+web+`","ports":[{"number":22}],"options":{"approvers":1}}]}`); r.status != 200 {
				t.Fatal(r.text)
			}
			writes := a.cloud.Writes()
			r := a.call("POST", policy+"/initiate"+version, initiate(web, `{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"203.0.113.7"}`), "Authorization", "Bearer requester")
			if r.status != 202 || !strings.Contains(r.text, `"status":"Initiating","statusReason":"UserRequested"`) || a.cloud.Writes() != writes {
				t.Fatalf("%d %s", r.status, r.text)
			}
			if shown := a.call("GET", policy+version, ""); !strings.Contains(shown.text, `"status":"Initiating"`) {
				t.Errorf("shown: %s", shown.text)
			}
			waiting := a.call("GET", "/api/requests?status=AwaitingApproval", "").body["value"].([]any)[0].(map[string]any)
			tc.decide(a, waiting["id"].(string), waiting["approval"].(map[string]any)["digest"].(string))
			if shown := a.call("GET", policy+version, ""); !strings.Contains(shown.text, tc.want) {
				t.Errorf("%s lacks %s", shown.text, tc.want)
			}
		})
	}
}

// TestWakeReleases: the wake-up after an approval opens what whoever approved did not come to open.
func TestWakeReleases(t *testing.T) {
	a := newApp(t)
	id := a.waits(`{"approvers":1}`).body["id"].(string)
	rec, err := a.rooms.Verbs.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	rec.Grant = rec.Grant.Approved(jit.Approval{ID: tenant + "/" + admin, Name: "alice@example.com", At: noon, By: jit.ByWrite})
	if _, err := a.store.UpdateGrants(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	if r := a.posts("/revoke", fmt.Sprintf(`{"Data":{"message":{"Grant":%q,"Generation":1}},"Metadata":{}}`, id)); r.status != 200 {
		t.Fatal(r.text)
	}
	if r := a.call("GET", "/api/requests/"+id, ""); r.body["status"] != "Initiated" {
		t.Errorf("%s", r.text)
	}
}
