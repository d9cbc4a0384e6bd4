package handlers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// inGlass is the header of a caller with the app role of break-glass.
var inGlass = []string{"Authorization", "Bearer glass"}

// drill gives the id of a drill by somebody else, which owes a review.
func (a *app) drill() string {
	a.t.Helper()
	r := a.call("POST", "/api/request", breakGlass(`"drill":true`, "PT30M"), inGlass...)
	id, _ := r.body["id"].(string)
	if r.status != 200 || id == "" {
		a.t.Fatalf("a drill: %d %s", r.status, r.text)
	}
	return id
}

// breakGlass gives the body of a request with more members.
func breakGlass(more, length string) string {
	if more != "" {
		more = "," + more
	}
	return `{"virtualMachines":[{"id":"` + web + `","ports":[{"number":22,"duration":"` + length + `","allowedSourceAddressPrefix":"203.0.113.7"}]}],"justification":"the shop is down","breakGlass":true` + more + `}`
}

// TestBreakGlassIsRefused: what is not understood refuses, each misuse has its status and code, and no rule is written.
func TestBreakGlassIsRefused(t *testing.T) {
	a := newApp(t)
	a.enable()
	writes := a.cloud.Writes()
	plain := func(more string) string {
		return strings.Replace(breakGlass("", "PT30M"), `"breakGlass":true`, more, 1)
	}
	for name, tc := range map[string]struct {
		body   string
		as     []string
		status int
		code   string
		target string
	}{
		"a text for a flag":    {plain(`"breakGlass":"yes"`), inGlass, 400, "InvalidRequestContent", "breakGlass"},
		"a true in quotes":     {plain(`"breakGlass":"true"`), inGlass, 400, "InvalidRequestContent", "breakGlass"},
		"a number for a flag":  {plain(`"breakGlass":1`), inGlass, 400, "InvalidRequestContent", "breakGlass"},
		"another case":         {plain(`"breakglass":true`), inGlass, 400, "UnknownField", "breakglass"},
		"twice":                {plain(`"breakGlass":true,"breakGlass":false`), inGlass, 400, "DuplicateField", "breakGlass"},
		"a text for a drill":   {breakGlass(`"drill":"yes"`, "PT30M"), inGlass, 400, "InvalidRequestContent", "drill"},
		"a drill misspelt":     {breakGlass(`"dril":true`, "PT30M"), inGlass, 400, "UnknownField", "dril"},
		"a drill alone":        {plain(`"drill":true`), inGlass, 400, "DrillWithoutBreakGlass", "drill"},
		"a drill of nothing":   {plain(`"breakGlass":false,"drill":true`), inGlass, 400, "DrillWithoutBreakGlass", "drill"},
		"without the role":     {breakGlass("", "PT30M"), nil, 403, "BreakGlassNotPermitted", "breakGlass"},
		"without a reason":     {strings.Replace(breakGlass("", "PT30M"), "the shop is down", " ", 1), inGlass, 400, "BreakGlassReasonRequired", "justification"},
		"too long":             {breakGlass("", "PT61M"), inGlass, 400, "BreakGlassOverMaximum", "virtualMachines[0].ports[0].duration"},
		"longer than a policy": {breakGlass("", "PT4H"), inGlass, 400, "DurationOverMaximum", "virtualMachines[0].ports[0].duration"},
	} {
		for _, query := range []string{"", "?dryRun=true"} {
			r := a.call("POST", "/api/request"+query, tc.body, tc.as...)
			if code, target := r.code(); r.status != tc.status || code != tc.code || target != tc.target {
				t.Errorf("%s%s: %d %s, want %d %s at %s", name, query, r.status, r.text, tc.status, tc.code, tc.target)
			}
		}
	}
	if r := a.call("GET", "/api/requests", ""); strings.Contains(r.text, "startTimeUtc") || a.cloud.Writes() != writes {
		t.Errorf("a refusal has left something: %s", r.text)
	}
}

// TestBreakGlassOverHTTP: opened, marked, reviewed by somebody else, once.
func TestBreakGlassOverHTTP(t *testing.T) {
	a := newApp(t)
	a.enable()
	review := func(r answer) string {
		of, _ := r.body["review"].(map[string]any)
		return fmt.Sprint(of["status"], " ", of["text"], " ", of["reviewer"])
	}
	dry := a.call("POST", "/api/request?dryRun=true", breakGlass("", "PT30M"), inGlass...)
	if dry.status != 200 || dry.body["breakGlass"] != true || dry.body["changes"] == nil || !strings.HasPrefix(review(dry), "Owed") || dry.body["id"] != nil {
		t.Errorf("the dry run: %d %s", dry.status, dry.text)
	}
	r := a.call("POST", "/api/request", breakGlass("", "PT30M"), inGlass...)
	if r.status != 200 || r.body["breakGlass"] != true || r.body["drill"] != nil || r.body["status"] != "Initiated" || !strings.HasPrefix(review(r), "Owed") {
		t.Fatalf("%d %s", r.status, r.text)
	}
	at := "/api/requests/" + r.body["id"].(string)
	if r := a.call("GET", "/api/requests", ""); !strings.Contains(r.text, `"breakGlass":true`) {
		t.Errorf("the list: %s", r.text)
	}
	for name, tc := range map[string]struct {
		path, body string
		as         []string
		status     int
		code       string
	}{
		"a second one":          {"/api/request", strings.Replace(breakGlass("", "PT30M"), ".7", ".8", 1), inGlass, 409, "ReviewOwed"},
		"a drill":               {"/api/request", breakGlass(`"drill":true`, "PT30M"), inGlass, 409, "ReviewOwed"},
		"longer than it may":    {at + "/extend", `{"duration":"PT2H"}`, inGlass, 400, "BreakGlassOverMaximum"},
		"extended, no role":     {at + "/extend", `{"duration":"PT50M"}`, []string{"Authorization", "Bearer requester"}, 403, "BreakGlassNotPermitted"},
		"reviewed by the asker": {at + "/review", `{"review":"x"}`, inGlass, 403, "OwnReview"},
		"reviewed too early":    {at + "/review", `{"review":"x"}`, nil, 409, "BreakGlassStillOpen"},
		"a review of nothing":   {at + "/review", `{"review":" "}`, nil, 400, "ReviewMissing"},
		"a review left out":     {at + "/review", `{}`, nil, 400, "ReviewMissing"},
		"a review too long":     {at + "/review", `{"review":"` + strings.Repeat("x", 2001) + `"}`, nil, 400, "ReviewTooLong"},
		"a review of no one":    {"/api/requests/00000000-0000-7000-8000-000000000000/review", `{"review":"x"}`, nil, 404, "RequestNotFound"},
		"no id":                 {"/api/requests/x/review", `{"review":"x"}`, nil, 404, "RequestNotFound"},
		"more than a review":    {at + "/review", `{"review":"x","text":"y"}`, nil, 400, "UnknownField"},
		"a flag that is none":   {at + "/review?dry=true", `{"review":"x"}`, nil, 400, "UnknownQueryParameter"},
	} {
		r := a.call("POST", tc.path, tc.body, tc.as...)
		if code, _ := r.code(); r.status != tc.status || code != tc.code {
			t.Errorf("%s: %d %s, want %d %s", name, r.status, r.text, tc.status, tc.code)
		}
	}
	if r := a.call("POST", at+"/revoke", "", inGlass...); r.status != 200 {
		t.Fatalf("revoke: %d %s", r.status, r.text)
	}
	const text = `{"review":"the disk was full"}`
	if r := a.call("POST", at+"/review?dryRun=true", text); r.status != 200 || r.body["dryRun"] != true || !strings.HasPrefix(review(r), "Owed") {
		t.Errorf("the dry run of a review: %d %s", r.status, r.text)
	}
	if r := a.call("GET", at, ""); !strings.HasPrefix(review(r), "Owed") {
		t.Errorf("a dry run has written: %s", r.text)
	}
	const want = "Written the disk was full alice@example.com"
	for range 2 { // a retry changes nothing
		if r := a.call("POST", at+"/review", text); r.status != 200 || review(r) != want {
			t.Errorf("the review: %d %s", r.status, r.text)
		}
	}
	if r := a.call("GET", at, "", inGlass...); review(r) != want || strings.Contains(r.text, tenant+"/") {
		t.Errorf("the request: %s", r.text)
	}
	if r := a.call("POST", at+"/review", `{"review":"something else"}`); r.status != 409 {
		t.Errorf("a second review: %d %s", r.status, r.text)
	}
	entries, _, err := a.store.Entries(t.Context(), store.EntryFilter{Operation: store.OpReview, Result: store.Succeeded}, "", 10)
	if err != nil || len(entries) != 1 || entries[0].Message != "the disk was full" || entries[0].Grant != r.body["id"] {
		t.Errorf("the log: %+v %v", entries, err)
	}
	if r := a.call("POST", at+"/again?dryRun=true", "", "Authorization", "Bearer glass", "X-Forwarded-For", "203.0.113.7"); r.body["breakGlass"] != nil {
		t.Errorf("again breaks the glass: %s", r.text)
	}
}

// TestDrillOverHTTP: the answer says that nothing opened, also where it is asked to come later, and the compatible face knows no drill.
func TestDrillOverHTTP(t *testing.T) {
	a := newCompat(t)
	a.enable()
	a.put(web)
	writes := a.cloud.Writes()
	for name, prefer := range map[string]string{"plain": "return=representation", "later": "respond-async"} {
		r := a.call("POST", "/api/request?dryRun=true", breakGlass(`"drill":true`, "PT30M"), append([]string{"Prefer", prefer}, inGlass...)...)
		if r.status != 200 || r.body["drill"] != true || r.body["changes"] != nil || strings.Contains(r.text, "Initiated") || strings.Contains(r.text, "connect") || strings.Contains(r.text, "beyond") {
			t.Errorf("%s, a dry run: %d %s", name, r.status, r.text)
		}
	}
	id := a.drill()
	r := a.call("GET", "/api/requests/"+id, "")
	if r.body["status"] != "Revoked" || r.body["statusReason"] != "Drill" || r.body["drill"] != true || r.body["breakGlass"] != true || strings.Contains(r.text, "connect") {
		t.Errorf("%s", r.text)
	}
	if rec, err := a.store.Grant(t.Context(), id); err != nil || rec.Grant.AnyLive(a.now()) || !rec.Grant.End().Equal(rec.Grant.Start) {
		t.Errorf("%+v %v", rec.Grant, err)
	}
	if r := a.call("POST", "/api/requests/"+id+"/extend", `{"duration":"PT5M"}`, inGlass...); r.status != 409 {
		t.Errorf("a drill is extended: %d %s", r.status, r.text)
	}
	for _, member := range []string{"breakGlass", "drill", "BreakGlass"} {
		body := strings.Replace(initiate(web, `{"number":22,"duration":"PT1H"}`), "{", `{"`+member+`":true,`, 1)
		r := a.call("POST", policy+"/initiate"+version, body, inGlass...)
		if code, target := r.code(); r.status != 400 || code != "UnknownField" || target != member {
			t.Errorf("%s at the compatible face: %d %s", member, r.status, r.text)
		}
	}
	if a.cloud.Writes() != writes {
		t.Error("a drill, or the compatible face, has written rules")
	}
	a.leap(time.Hour)
	if r := a.call("POST", "/api/sweep", ""); !strings.Contains(r.text, `"ReviewOwed"`) || !strings.Contains(r.text, jit.RoleApprover) {
		t.Errorf("the sweep: %s", r.text)
	}
}
