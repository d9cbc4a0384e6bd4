package attack

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

// twin is somebody who is called as the admin is, and is not the admin.
const twin = "9e7d3c1a-5b2f-4a68-8c01-0123456789ab"

// admin is the object id of the persona.
const admin = "00000000-0000-0000-0000-0000000000e3"

// identities is E: the log says who it was, whatever somebody is called.
func identities() []attack {
	return []attack{
		{letter: "E", name: "somebody who is called as the admin is", reads: 60, rows: 60, do: called},
		{letter: "E", name: "a filter by an object id that is none", as: "admin", method: "GET", path: "/api/activity?requestorObjectId=admin", status: 400, target: "requestorObjectId"},
	}
}

// called opens a port in the name of the admin, and looks whether the log takes one for the other.
func called(t *testing.T, s *stack, f *figures) {
	const name = "admin@portcullis.example"
	s.give(twin, requesterRole, web)
	header := map[string][]string{"Authorization": {"Bearer " + s.token("reader", "", map[string]any{"oid": twin, "sub": twin, "preferred_username": name, "name": "Ada Admin", "amr": []string{"pwd", "mfa"}})}}
	r := s.do(s.app, "POST", "/api/request", header, asking(web, 22, "in the name of another", "203.0.113.60"))
	id, _ := r.object()["id"].(string)
	if r.status != 200 || id == "" {
		t.Fatalf("%d %.300s", r.status, r.text)
	}
	s.closed("admin", id)
	var theirs, own []map[string]any
	for _, e := range s.must(200, "admin", "GET", "/api/activity?top=20", "").list() {
		if e["request"] != id {
			continue
		}
		if e["operation"] == "Revoke" {
			own = append(own, e)
		} else if e["requestor"] == name {
			theirs = append(theirs, e)
		}
	}
	if len(theirs) == 0 || len(own) == 0 {
		t.Fatalf("the log has %d entries of theirs and %d of the admin's", len(theirs), len(own))
	}
	for _, e := range theirs {
		methods, _ := e["authenticationMethods"].([]any)
		if e["requestorObjectId"] != twin || e["requestorTenantId"] != tenant || e["requestorKind"] != own[0]["requestorKind"] || e["clientId"] == nil || e["callerAddress"] != "127.0.0.1" || len(methods) != 2 {
			t.Errorf("the log says that it was %v", e)
		}
	}
	if own[0]["requestorObjectId"] != admin || own[0]["requestor"] != name {
		t.Errorf("the log says that the admin was %v", own[0])
	}
	list := func(query string) (ids []string) {
		for _, e := range s.must(200, "admin", "GET", "/api/activity?top=1000&"+query, "").list() {
			ids = append(ids, e["requestorObjectId"].(string))
		}
		slices.Sort(ids)
		return slices.Compact(ids)
	}
	if got := list("requestorObjectId=" + strings.ToUpper(twin)); !slices.Equal(got, []string{twin}) {
		t.Errorf("by the object id: %v", got)
	}
	if got := list("requestor=" + url.QueryEscape(strings.ToUpper(name))); !slices.Contains(got, twin) || !slices.Contains(got, admin) {
		t.Errorf("by the name in another case: %v", got)
	}
	records := cells(t, s.must(200, "admin", "GET", "/api/activity?format=csv&requestorObjectId="+twin, "").text)
	if at := slices.Index(records[0], "requestorObjectId"); len(records) < 2 || at < 0 || records[1][at] != twin {
		t.Errorf("as CSV: %v", records)
	}
	if page := s.do(s.app, "GET", "/api/portal/activity", s.signedIn(t, "admin"), ""); !strings.Contains(page.text, twin[:8]) {
		t.Error("the page does not tell two people of one name apart")
	}
	f.say("E", "a request in the name of the admin, by another object id", "logged as the admin", "logged with the object id, tenant, client, address and way of signing in")
}
