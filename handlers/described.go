package handlers

import (
	"net/http"
	"reflect"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"portcullis/handlers/api"
	"portcullis/handlers/arm"
	"portcullis/handlers/compat"
	"portcullis/handlers/document"
	"portcullis/handlers/openapi"
	"portcullis/handlers/surface"
	"portcullis/handlers/wire"
)

// The OpenAPI 3 document is made from four things that the doors work with
// anyway: the table below, which a test holds to the routes, the table of query parameters, which calls
// are held to, the wire structs, and the list of codes, which a test holds to the sources.

// The groups of operations.
const (
	ofRequests = "requests"
	ofPolicies = "policies"
	ofMachines = "machines"
	ofLog      = "activity"
	ofApp      = "installation"
)

// What operations refuse with, beside 401 and 503, which each that needs a token may answer.
var (
	reads   = []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable}
	finds   = append(slices.Clone(reads), http.StatusNotFound)
	changed = append(slices.Clone(finds), http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusBadGateway)
)

// Bodies that the document shows, of the machine that `make run` has.
const (
	shownVM       = `"id":"/subscriptions/00000000-0000-0000-0000-00000000d3e0/resourceGroups/demo/providers/Microsoft.Compute/virtualMachines/web"`
	shownEnable   = `{"virtualMachines":[{` + shownVM + `,"ports":[{"number":22,"protocol":"TCP","allowedSourceAddressPrefix":"203.0.113.0/24","maxRequestAccessDuration":"PT3H"}]}]}`
	shownDisable  = `{"virtualMachines":[{` + shownVM + `}]}`
	shownRequest  = `{"virtualMachines":[{` + shownVM + `,"ports":[{"number":22,"duration":"PT1H","allowedSourceAddressPrefix":"203.0.113.7"}]}],"justification":"ticket 4711"}`
	shownExtend   = `{"duration":"PT2H"}`
	shownReview   = `{"review":"the pager rang at 3: the disk was full; emptied /var/log and left"}`
	shownLockdown = `{"scope":{"person":"00000000-0000-0000-0000-0000000000e2"},"reason":"has left the company","hold":true}`
	shownLift     = `{"reason":"the device was found"}`
	shownApprove  = `{"digest":"` + "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" + `"}`
	shownDeny     = `{"justification":"not during the release"}`
	shownImport   = `{"value":[]}`
	shownRestore  = `{"format":"portcullis-policies","version":1,"policies":[],"virtualMachineCount":0,"complete":true}`
)

// descriptions is every operation for people and scripts.
func descriptions() []openapi.Operation {
	ok, later := []int{http.StatusOK}, []int{http.StatusOK, http.StatusAccepted}
	edits := []openapi.Header{{Name: "If-Match", Shape: "etag"}, {Name: "If-None-Match", Shape: "etag"}}
	accepted := map[int][]string{http.StatusAccepted: {"Location", "Retry-After"}}
	download := map[int][]string{http.StatusOK: {"Content-Disposition"}}
	all := []openapi.Operation{
		{Method: "POST", Path: "/api/enable", ID: "enable", Tag: ofPolicies, Summary: "Protect virtual machines; others stay as they are", Headers: edits, Body: wire.EnableBody{}, Example: shownEnable, Answer: wire.EnableAnswer{}, Statuses: ok, Says: map[int][]string{http.StatusOK: {"ETag"}}, Refusals: append(slices.Clone(changed), http.StatusPreconditionFailed)},
		{Method: "POST", Path: "/api/disable", ID: "disable", Tag: ofPolicies, Summary: "End the protection of virtual machines", Body: wire.VmsBody{}, Example: shownDisable, Answer: wire.DisableAnswer{}, Statuses: ok, Refusals: changed},
		{Method: "POST", Path: "/api/request", ID: "request", Tag: ofRequests, Summary: "Open ports for a while; 200 once they are open, 202 where that takes longer, or where it waits: for people to approve it, or for its start", Headers: []openapi.Header{{Name: "Idempotency-Key", Shape: "key"}, {Name: "Prefer"}}, Body: wire.RequestBody{}, Example: shownRequest, Answer: wire.GrantAnswer{}, Statuses: later, Says: accepted, Refusals: append(slices.Clone(changed), http.StatusUnprocessableEntity)},
		{Method: "GET", Path: "/api/requests", ID: "requests", Tag: ofRequests, Summary: "List requests, newest first", Answer: wire.List[wire.GrantAnswer]{}, Statuses: ok, Refusals: reads},
		{Method: "GET", Path: "/api/requests/{id}", ID: "requestById", Tag: ofRequests, Summary: "Show one request", Answer: wire.GrantAnswer{}, Statuses: ok, Refusals: finds},
		{Method: "POST", Path: "/api/requests/{id}/revoke", ID: "revoke", Tag: ofRequests, Summary: "Close a request's ports now; 202 where that takes longer", Answer: wire.GrantAnswer{}, Statuses: later, Says: accepted, Refusals: changed},
		{Method: "POST", Path: "/api/requests/{id}/extend", ID: "extend", Tag: ofRequests, Summary: "Move a request's end, within the policy's maximum", Body: wire.ExtendBody{}, Example: shownExtend, Answer: wire.GrantAnswer{}, Statuses: ok, Refusals: changed},
		{Method: "POST", Path: "/api/requests/{id}/again", ID: "again", Tag: ofRequests, Summary: "Ask once more for what an earlier request of the caller asked for, from the address that this call comes from; 200 once the ports are open, 202 where that takes longer", Headers: []openapi.Header{{Name: "Idempotency-Key", Shape: "key"}, {Name: "Prefer"}}, Answer: wire.GrantAnswer{}, Statuses: later, Says: accepted, Refusals: append(slices.Clone(changed), http.StatusUnprocessableEntity)},
		{Method: "POST", Path: "/api/requests/{id}/review", ID: "review", Tag: ofRequests, Summary: "Write what happened after somebody else's break-glass; once", Body: wire.ReviewBody{}, Example: shownReview, Answer: wire.GrantAnswer{}, Statuses: ok, Refusals: changed},
		{Method: "POST", Path: "/api/requests/{id}/approve", ID: "approve", Tag: ofRequests, Summary: "Approve exactly what a request asks for, as its digest says; with the last approval its ports open: 200 once they are, or while more people have to approve it, 202 where the opening takes longer", Headers: []openapi.Header{{Name: "Prefer"}}, Body: wire.ApproveBody{}, Example: shownApprove, Answer: wire.GrantAnswer{}, Statuses: later, Says: accepted, Refusals: changed},
		{Method: "POST", Path: "/api/requests/{id}/deny", ID: "deny", Tag: ofRequests, Summary: "Deny a request that waits for approval or for its start, with a reason that is kept", Body: wire.DenyBody{}, Example: shownDeny, Answer: wire.GrantAnswer{}, Statuses: ok, Refusals: changed},
		{Method: "GET", Path: "/api/machines", ID: "machines", Tag: ofMachines, Summary: "List virtual machines; those that are configured, those that are not, and those that cannot be", Answer: wire.MachinesAnswer{}, Statuses: ok, Refusals: reads},
		{Method: "GET", Path: "/api/activity", ID: "activity", Tag: ofLog, Summary: "List the activity log, newest first", Answer: wire.List[wire.Entry]{}, Texts: []string{"text/csv", "application/x-ndjson"}, Statuses: ok, Says: download, Refusals: reads},
		{Method: "GET", Path: "/api/activity/verify", ID: "verifyActivity", Tag: ofLog, Summary: "Look whether the activity log is as it was written; a chain for each subscription and day, with the first entry that is not", Answer: wire.VerifyAnswer{}, Statuses: ok, Refusals: reads},
		{Method: "GET", Path: "/api/compliance", ID: "compliance", Tag: ofApp, Summary: "Show what the last sweep found, and how old that is: null with a reason where nobody has looked", Answer: wire.ComplianceAnswer{}, Statuses: ok, Refusals: reads},
		{Method: "POST", Path: "/api/sweep", ID: "sweep", Tag: ofApp, Summary: "Run a sweep now", Answer: wire.SweepAnswer{}, Statuses: ok, Refusals: changed},
		{Method: "POST", Path: "/api/lockdown", ID: "lockdown", Tag: ofApp, Summary: "Close every window in a scope, with one write for each security group, and hold new ones there if asked; 202 until all is confirmed closed", Body: wire.LockdownBody{}, Example: shownLockdown, Answer: wire.LockdownAnswer{}, Statuses: later, Says: accepted, Refusals: changed},
		{Method: "GET", Path: "/api/lockdown", ID: "holds", Tag: ofApp, Summary: "List the holds that stand, as far as the caller may see them", Answer: wire.HoldsAnswer{}, Statuses: ok, Refusals: reads},
		{Method: "GET", Path: "/api/lockdown/{id}", ID: "lockdownById", Tag: ofApp, Summary: "Show how far a lock-down is; 202 until all that it found is confirmed closed", Answer: wire.LockdownAnswer{}, Statuses: later, Says: accepted, Refusals: finds},
		{Method: "POST", Path: "/api/lockdown/{id}/lift", ID: "lift", Tag: ofApp, Summary: "Lift a hold: new windows may open in its scope again", Body: wire.LiftBody{}, Example: shownLift, Answer: wire.Hold{}, Statuses: ok, Refusals: changed},
		{Method: "POST", Path: "/api/import", ID: "import", Tag: ofPolicies, Summary: "Enable here what Defender for Cloud's own list says is enabled there; its leftover rules are told and not touched", Body: importBody{}, Loose: true, Example: shownImport, Answer: importAnswer{}, Statuses: ok, Refusals: changed},
		{Method: "GET", Path: "/api/doctor", ID: "doctor", Tag: ofApp, Summary: "Say what the installation needs and has, to whom administers a managed subscription; 200 whatever is found", Answer: wire.DoctorAnswer{}, Statuses: ok, Refusals: reads},
		{Method: "GET", Path: "/api/policies/export", ID: "exportPolicies", Tag: ofPolicies, Summary: "Download the policies that the caller may read; as the document that the import takes", Answer: document.PoliciesDocument{}, Statuses: ok, Says: download, Refusals: reads},
		{Method: "POST", Path: "/api/policies/import", ID: "importPolicies", Tag: ofPolicies, Summary: "Make policies what an exported document says, and remove none; what is so already costs no write", Body: document.PoliciesDocument{}, Example: shownRestore, Answer: restoreAnswer{}, Statuses: ok, Refusals: changed},
		{Method: "GET", Path: "/api/health", ID: "health", Tag: ofApp, Summary: "Say whether every dependency answers; 503 where one does not. With a token: which one, when the last sweep ended and what is overdue; without one the status alone", Answer: healthAnswer{}, Others: []any{healthStatus{}}, Statuses: []int{http.StatusOK, http.StatusServiceUnavailable}, Refusals: []int{http.StatusBadRequest}, Open: true},
		{Method: "GET", Path: "/api/openapi.json", ID: "openapi", Tag: ofApp, Summary: "Show this document", Answer: map[string]jsontext.Value{}, Statuses: ok, Refusals: []int{http.StatusBadRequest}, Open: true},
	}
	known := surface.Parameters()
	for i, d := range all {
		all[i].Query = known[d.Method+" "+d.Path]
	}
	return slices.Concat(all, arm.Described(), compat.Described())
}

// openapi answers the document: GET /api/openapi.json. It needs no token: it
// says nothing that is not published.
func (s *server) openapi(w http.ResponseWriter, _ call) error {
	text, err := s.description()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(text) // the status is sent: an error now means that the caller is gone
	return nil
}

// describe writes the OpenAPI document of a version.
func describe(version string) ([]byte, error) {
	return json.Marshal(openapi.Document(described(version)), json.Deterministic(true))
}

// described is everything that the document tells.
func described(version string) openapi.API {
	text := func(says string) openapi.Object {
		return openapi.Object{"description": says, "schema": openapi.Object{"type": "string"}}
	}
	return openapi.API{
		Title: "Portcullis", Version: version,
		Description: "Just-in-time access to the management ports of Azure virtual machines. Paths below /api/subscriptions are those of Microsoft.Security/locations/jitNetworkAccessPolicies; their case does not count.",
		Operations:  descriptions(), Failure: wire.ErrorBody{}, Codes: wire.CodesByStatus(), Shapes: wire.Shapes(),
		Paths: map[string]string{"id": "guid", "subscriptionId": "guid", "resourceGroupName": "group", "ascLocation": "name", "jitNetworkAccessPolicyName": "name"},
		Tags: []openapi.Tag{{Name: ofRequests, Says: "Ports opened for a while"}, {Name: ofPolicies, Says: "Which ports of which machines are closed until somebody asks"}, {Name: ofMachines, Says: "The virtual machines that the app can see"},
			{Name: ofLog, Says: "What was done, by whom"}, {Name: ofApp, Says: "The state of the installation"}, {Name: arm.Tag, Says: "What clients of Resource Manager ask before they ask for anything"}, {Name: compat.Tag, Says: "Microsoft's contract, for clients that are used as they are"}},
		Prefixes: map[string]string{reflect.TypeFor[compat.Face]().PkgPath(): "Compat", reflect.TypeFor[arm.Face]().PkgPath(): "Manager"},
		Always:   []string{"x-ms-request-id", "x-ms-client-request-id"},
		Headers: map[string]openapi.Object{
			"x-ms-request-id": text("the call's id, as the log has it"), "x-ms-client-request-id": text("the caller's own id of the call, where x-ms-return-client-request-id asks for it"), "x-ms-error-code": text("the code of the error, as in the body"),
			"ETag": text("of the policy, where the call is about one; the next edit sends it in If-Match"), "Location": text("where to look at the request again"),
			"Retry-After": {"description": "seconds", "schema": openapi.Object{"type": "integer", "minimum": 1}}, "WWW-Authenticate": text("Bearer"),
			"Content-Disposition": text("the name of the file, where it is a download"), compat.EndedWindows: text("what the change ended, such as: closes 2 windows"),
		},
		Types: map[reflect.Type]openapi.Object{
			reflect.TypeFor[api.Code]():        {"type": "string", "x-extensible-enum": wire.Codes}, // open: a client must take a code that it does not know
			reflect.TypeFor[api.PortNumber]():  {"type": "integer", "minimum": 0, "maximum": 65535},
			reflect.TypeFor[wire.OrNull]():     {"type": []string{"string", "null"}},
			reflect.TypeFor[compat.ReadOnly](): {"description": "read-only: accepted as it was answered, and passed over"},
			reflect.TypeFor[jsontext.Value]():  {"description": "any value"},
		},
	}
}
