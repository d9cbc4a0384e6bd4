package handlers

import (
	"net/http"
	"reflect"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"portcullis/core/jit"
	"portcullis/handlers/arm"
	"portcullis/handlers/compat"
	"portcullis/handlers/document"
	"portcullis/handlers/openapi"
	"portcullis/handlers/wire"
)

// The OpenAPI 3 document is made from four things that the doors work with
// anyway: the table below, which a test holds to the routes, the table of query parameters, which calls
// are held to, the wire structs, and the list of codes, which a test holds to the sources.

// descriptions is every operation for people and scripts.
func descriptions() []openapi.Operation {
	ok, later := []int{http.StatusOK}, []int{http.StatusOK, http.StatusAccepted}
	all := []openapi.Operation{
		{Method: "POST", Path: "/api/enable", ID: "enable", Summary: "Protect virtual machines; others stay as they are", Headers: []string{"If-Match", "If-None-Match"}, Body: wire.EnableBody{}, Answer: wire.EnableAnswer{}, Statuses: ok},
		{Method: "POST", Path: "/api/disable", ID: "disable", Summary: "End the protection of virtual machines", Body: wire.VmsBody{}, Answer: wire.DisableAnswer{}, Statuses: ok},
		{Method: "POST", Path: "/api/request", ID: "request", Summary: "Open ports for a while; 200 once they are open, 202 where that takes longer", Headers: []string{"Idempotency-Key", "Prefer"}, Body: wire.RequestBody{}, Answer: wire.GrantAnswer{}, Statuses: later},
		{Method: "GET", Path: "/api/requests", ID: "requests", Summary: "List requests, newest first", Answer: wire.List[wire.GrantAnswer]{}, Statuses: ok},
		{Method: "GET", Path: "/api/requests/{id}", ID: "requestById", Summary: "Show one request", Answer: wire.GrantAnswer{}, Statuses: ok},
		{Method: "POST", Path: "/api/requests/{id}/revoke", ID: "revoke", Summary: "Close a request's ports now; 202 where that takes longer", Answer: wire.GrantAnswer{}, Statuses: later},
		{Method: "POST", Path: "/api/requests/{id}/extend", ID: "extend", Summary: "Move a request's end, within the policy's maximum", Body: wire.ExtendBody{}, Answer: wire.GrantAnswer{}, Statuses: ok},
		{Method: "GET", Path: "/api/machines", ID: "machines", Summary: "List virtual machines: those that are configured, those that are not, and those that cannot be", Answer: wire.MachinesAnswer{}, Statuses: ok},
		{Method: "GET", Path: "/api/activity", ID: "activity", Summary: "List the activity log, newest first", Answer: wire.List[wire.Entry]{}, Statuses: ok},
		{Method: "GET", Path: "/api/activity/verify", ID: "verifyActivity", Summary: "Look whether the activity log is as it was written, a chain for each subscription and day; name the first entry that is not", Answer: wire.VerifyAnswer{}, Statuses: ok},
		{Method: "GET", Path: "/api/compliance", ID: "compliance", Summary: "Show what the last sweep found", Answer: wire.SweepAnswer{}, Statuses: ok},
		{Method: "POST", Path: "/api/sweep", ID: "sweep", Summary: "Run a sweep now", Answer: wire.SweepAnswer{}, Statuses: ok},
		{Method: "POST", Path: "/api/import", ID: "import", Summary: "Enable here what Defender for Cloud's own list says is enabled there; its leftover rules are told and not touched", Body: importBody{}, Answer: importAnswer{}, Statuses: ok},
		{Method: "GET", Path: "/api/doctor", ID: "doctor", Summary: "Say what the installation needs and has, to whom administers a managed subscription; 200 whatever is found", Answer: wire.DoctorAnswer{}, Statuses: ok},
		{Method: "GET", Path: "/api/policies/export", ID: "exportPolicies", Summary: "Download the policies that the caller may read, as the document that the import takes", Answer: document.PoliciesDocument{}, Statuses: ok},
		{Method: "POST", Path: "/api/policies/import", ID: "importPolicies", Summary: "Make policies what an exported document says, and remove none; what is so already costs no write", Body: document.PoliciesDocument{}, Answer: restoreAnswer{}, Statuses: ok},
		{Method: "GET", Path: "/api/health", ID: "health", Summary: "Say whether every dependency answers; 503 where one does not. With a token: which one, when the last sweep ended and what is overdue; without one the status alone", Answer: healthAnswer{}, Statuses: []int{http.StatusOK, http.StatusServiceUnavailable}, Open: true},
		{Method: "GET", Path: "/api/openapi.json", ID: "openapi", Summary: "This document", Statuses: ok, Open: true},
	}
	known := parameters()
	for i, d := range all {
		all[i].Query = known[d.Method+" "+d.Path]
	}
	return slices.Concat(all, arm.Described(), compat.Described())
}

// openapi answers the document: GET /api/openapi.json. It needs no token: it
// says nothing that is not published.
func (s *server) openapi(w http.ResponseWriter, _ call) error {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	// The status is sent: an error now means that the caller is gone.
	_ = json.MarshalWrite(w, openapi.Document(api(s.Version)), json.Deterministic(true))
	return nil
}

// api is everything that the document tells.
func api(version string) openapi.API {
	return openapi.API{
		Title: "Portcullis", Version: version,
		Description: "Just-in-time access to the management ports of Azure virtual machines. Paths below /api/subscriptions are those of Microsoft.Security/locations/jitNetworkAccessPolicies; their case does not count.",
		Operations:  descriptions(), Failure: wire.ErrorBody{},
		Prefixes: map[string]string{reflect.TypeFor[compat.Face]().PkgPath(): "Compat", reflect.TypeFor[arm.Face]().PkgPath(): "Manager"},
		Types: map[reflect.Type]openapi.Object{
			reflect.TypeFor[jit.Code]():        {"type": "string", "x-extensible-enum": wire.Codes}, // open: a client must take a code that it does not know
			reflect.TypeFor[wire.OrNull]():     {"type": "string", "nullable": true},
			reflect.TypeFor[compat.ReadOnly](): {"description": "read-only: accepted as it was answered, and passed over"},
			reflect.TypeFor[jsontext.Value]():  {"oneOf": []any{openapi.Object{"type": "integer"}, openapi.Object{"type": "string", "pattern": "^[0-9]+$"}}},
		},
	}
}
