package main

import (
	"net/http"
	"strings"
	"testing"
)

// TestBreakGlass goes through break-glass as people do, on the built app with tokens that the app verifies: a role in a token for something else
// opens nothing, a drill opens nothing, a window opens, and somebody else has the last word.
func TestBreakGlass(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), nil)
	r.must(200, "POST", "/api/enable", vms(web))
	broken := func(more string) map[string]any {
		body := ask("PT5M", "the shop is down")
		body["breakGlass"] = true
		if more != "" {
			body[more] = true
		}
		return body
	}
	holder := func(roles ...string) http.Header {
		claims := map[string]any{"roles": roles}
		if len(roles) == 0 {
			claims["roles"] = nil // leaves the persona's own out
		}
		token, err := r.tokens.TokenWith("requester", "", claims)
		if err != nil {
			t.Fatal(err)
		}
		return http.Header{"Authorization": {"Bearer " + token}}
	}
	code := func(header http.Header, status int, path string, body any) string {
		t.Helper()
		refused, _ := r.mustAs(header, status, "POST", path, body)["error"].(map[string]any)
		text, _ := refused["code"].(string)
		return text
	}
	before := r.rules("web-nsg")
	for name, header := range map[string]http.Header{"no role": holder(), "the approver's": holder("Portcullis.Approver"), "another case": holder("portcullis.breakglass"), "the admin": r.as("admin")} {
		if got := code(header, 403, "/api/request", broken("")); got != "BreakGlassNotPermitted" {
			t.Errorf("%s: %s", name, got)
		}
	}
	drill := r.mustAs(holder("Portcullis.BreakGlass"), 200, "POST", "/api/request", broken("drill"))
	if drill["drill"] != true || drill["status"] != "Revoked" || strings.Join(before, "\n") != strings.Join(r.rules("web-nsg"), "\n") {
		t.Errorf("a drill: %v %v", drill, r.rules("web-nsg"))
	}
	if got := code(holder("Portcullis.BreakGlass"), 409, "/api/request", broken("")); got != "ReviewOwed" {
		t.Errorf("before the drill's review: %s", got)
	}
	review := map[string]any{"review": "everybody was told"}
	if got := code(r.as("requester"), 403, "/api/requests/"+drill["id"].(string)+"/review", review); got != "OwnReview" {
		t.Errorf("one's own review: %s", got)
	}
	r.mustAs(r.as("approver"), 200, "POST", "/api/requests/"+drill["id"].(string)+"/review", review)

	opened := r.mustAs(holder("Portcullis.BreakGlass"), 200, "POST", "/api/request", broken(""))
	if opened["breakGlass"] != true || opened["status"] != "Initiated" || !r.open("web-nsg") {
		t.Fatalf("break-glass: %v", opened)
	}
	at := "/api/requests/" + opened["id"].(string)
	r.mustAs(r.as("requester"), 200, "POST", at+"/revoke", map[string]any{})
	r.mustAs(r.as("admin"), 200, "POST", at+"/review", map[string]any{"review": "the disk was full"})
	shown, _ := r.mustAs(r.as("requester"), 200, "GET", at, nil)["review"].(map[string]any)
	if shown["status"] != "Written" || shown["reviewer"] != "admin@portcullis.example" || shown["text"] != "the disk was full" {
		t.Errorf("the review: %v", shown)
	}
}
