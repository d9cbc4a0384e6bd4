package handlers

import (
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"portcullis/core/jit"
	"portcullis/handlers/query"
	"portcullis/handlers/wire"
)

// The OpenAPI 3 document is made from four things that the doors work with
// anyway: the table below, which a test holds to the routes, the table of query parameters, which calls
// are held to, the wire structs, and the list of codes, which a test holds to the sources.

// described is one operation as the document tells it.
type described struct {
	method, path string
	id, summary  string
	query        []query.Parameter
	headers      []string // request headers that count
	body, answer any      // wire structs, nil for none
	statuses     []int    // of success
	open         bool     // needs no token
}

func versionParameter() query.Parameter {
	return query.Parameter{Name: "api-version", Says: strings.Join(compatVersions, " or ")}
}

func skipParameter() query.Parameter {
	return query.Parameter{Name: skipToken, Says: "where the page begins: from a nextLink"}
}

// descriptions is every operation for people and scripts.
func descriptions() []described {
	ok, later := []int{http.StatusOK}, []int{http.StatusOK, http.StatusAccepted}
	all := []described{
		{method: "POST", path: "/api/enable", id: "enable", summary: "Protect virtual machines; others stay as they are", body: wire.EnableBody{}, answer: wire.EnableAnswer{}, statuses: ok},
		{method: "POST", path: "/api/disable", id: "disable", summary: "End the protection of virtual machines", body: wire.VmsBody{}, answer: wire.DisableAnswer{}, statuses: ok},
		{method: "POST", path: "/api/request", id: "request", summary: "Open ports for a while; 200 once they are open, 202 where that takes longer", headers: []string{"Idempotency-Key", "Prefer"}, body: wire.RequestBody{}, answer: wire.GrantAnswer{}, statuses: later},
		{method: "GET", path: "/api/requests", id: "requests", summary: "List requests, newest first", answer: wire.List[wire.GrantAnswer]{}, statuses: ok},
		{method: "GET", path: "/api/requests/{id}", id: "requestById", summary: "Show one request", answer: wire.GrantAnswer{}, statuses: ok},
		{method: "POST", path: "/api/requests/{id}/revoke", id: "revoke", summary: "Close a request's ports now; 202 where that takes longer", answer: wire.GrantAnswer{}, statuses: later},
		{method: "POST", path: "/api/requests/{id}/extend", id: "extend", summary: "Move a request's end, within the policy's maximum", body: wire.ExtendBody{}, answer: wire.GrantAnswer{}, statuses: ok},
		{method: "GET", path: "/api/machines", id: "machines", summary: "List virtual machines: those that are configured, those that are not, and those that cannot be", answer: wire.MachinesAnswer{}, statuses: ok},
		{method: "GET", path: "/api/activity", id: "activity", summary: "List the activity log, newest first", answer: wire.List[wire.Entry]{}, statuses: ok},
		{method: "GET", path: "/api/activity/verify", id: "verifyActivity", summary: "Look whether the activity log is as it was written, a chain for each subscription and day; name the first entry that is not", answer: wire.VerifyAnswer{}, statuses: ok},
		{method: "GET", path: "/api/compliance", id: "compliance", summary: "Show what the last sweep found", answer: wire.SweepAnswer{}, statuses: ok},
		{method: "POST", path: "/api/sweep", id: "sweep", summary: "Run a sweep now", answer: wire.SweepAnswer{}, statuses: ok},
		{method: "POST", path: "/api/import", id: "import", summary: "Enable here what Defender for Cloud's own list says is enabled there; its leftover rules are told and not touched", body: importBody{}, answer: importAnswer{}, statuses: ok},
		{method: "GET", path: "/api/doctor", id: "doctor", summary: "Say what the installation needs and has, to whom administers a managed subscription; 200 whatever is found", answer: wire.DoctorAnswer{}, statuses: ok},
		{method: "GET", path: "/api/policies/export", id: "exportPolicies", summary: "Download the policies that the caller may read, as the document that the import takes", answer: policiesDocument{}, statuses: ok},
		{method: "POST", path: "/api/policies/import", id: "importPolicies", summary: "Make policies what an exported document says, and remove none; what is so already costs no write", body: policiesDocument{}, answer: restoreAnswer{}, statuses: ok},
		{method: "GET", path: "/api/health", id: "health", summary: "Say whether every dependency answers; 503 where one does not. With a token: which one, when the last sweep ended and what is overdue; without one the status alone", answer: healthAnswer{}, statuses: []int{http.StatusOK, http.StatusServiceUnavailable}, open: true},
		{method: "GET", path: "/api/openapi.json", id: "openapi", summary: "This document", statuses: ok, open: true},
	}
	known := parameters()
	for i, d := range all {
		all[i].query = known[d.method+" "+d.path]
	}
	for _, op := range compatOperations() {
		all = append(all, describeCompat(op))
	}
	return all
}

// describeCompat tells of an operation of the compatible face, whose published definition is Microsoft's.
func describeCompat(op compatOperation) described {
	d := described{method: op.method, path: op.template, id: op.id, query: []query.Parameter{versionParameter()}, statuses: []int{http.StatusOK}}
	switch {
	case op.method == http.MethodPut:
		d.summary, d.body, d.answer, d.headers = "Replace a policy: virtual machines that the body does not name are disabled", compatPutBody{}, compatPolicy{}, []string{"If-Match", "If-None-Match"}
	case op.method == http.MethodDelete:
		d.summary, d.statuses, d.headers = "Disable every virtual machine of a policy; 204 where there is none", []int{http.StatusOK, http.StatusNoContent}, []string{"If-Match"}
	case op.method == http.MethodPost:
		d.summary, d.body, d.answer, d.statuses = "Open ports for a while", compatInitiateBody{}, compatRequest{}, []int{http.StatusAccepted}
	case strings.HasSuffix(op.template, "{"+paramName+"}"):
		d.summary, d.answer = "Show a policy, with its requests of seven days", compatPolicy{}
	default:
		d.summary, d.answer = "List policies", wire.List[compatPolicy]{}
		d.query = append(d.query, skipParameter())
	}
	return d
}

// openapi answers the document: GET /api/openapi.json. It needs no token: it
// says nothing that is not published.
func (s *server) openapi(w http.ResponseWriter, _ call) error {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	// The status is sent: an error now means that the caller is gone.
	_ = json.MarshalWrite(w, document(s.Version), json.Deterministic(true))
	return nil
}

// object is a JSON object of the document.
type object = map[string]any

func document(version string) object {
	schemas, paths := schemas{}, object{}
	failure := object{"description": "An error; its code is in x-ms-error-code too", "content": jsonContent(schemas.of(reflect.TypeFor[wire.ErrorBody]()))}
	for _, d := range descriptions() {
		path, ok := paths[d.path].(object)
		if !ok {
			path = object{}
			paths[d.path] = path
		}
		path[strings.ToLower(d.method)] = d.operation(schemas, failure)
	}
	return object{
		"openapi": "3.0.3",
		"info": object{"title": "Portcullis", "version": version,
			"description": "Just-in-time access to the management ports of Azure virtual machines. Paths below /api/subscriptions are those of Microsoft.Security/locations/jitNetworkAccessPolicies; their case does not count."},
		"servers":  []any{object{"url": "/"}},
		"security": []any{object{"bearer": []any{}}},
		"paths":    paths,
		"components": object{"schemas": schemas,
			"securitySchemes": object{"bearer": object{"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "an access token of Microsoft Entra ID for this app"}}},
	}
}

func (d described) operation(s schemas, failure object) object {
	out := object{"operationId": d.id, "summary": d.summary}
	var parameters []any
	for segment := range strings.SplitSeq(d.path, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			parameters = append(parameters, parameter("path", strings.TrimSuffix(name, "}"), "", true))
		}
	}
	for _, q := range d.query {
		p := parameter("query", q.Name, q.Says, q.Name == versionParameter().Name)
		switch {
		case q.Flag:
			p["schema"] = object{"type": "boolean"}
		case q.Values != nil:
			p["schema"] = object{"type": "string", "enum": q.Values}
		}
		parameters = append(parameters, p)
	}
	for _, h := range d.headers {
		parameters = append(parameters, parameter("header", h, "", false))
	}
	if parameters != nil {
		out["parameters"] = parameters
	}
	if d.body != nil {
		out["requestBody"] = object{"required": true, "content": jsonContent(s.of(reflect.TypeOf(d.body)))}
	}
	if d.open {
		out["security"] = []any{}
	}
	responses := object{"default": failure}
	for _, status := range d.statuses {
		answer := object{"description": http.StatusText(status)}
		if d.answer != nil && status != http.StatusNoContent {
			answer["content"] = jsonContent(s.of(reflect.TypeOf(d.answer)))
		}
		responses[strconv.Itoa(status)] = answer
	}
	out["responses"] = responses
	return out
}

func parameter(in, name, says string, required bool) object {
	p := object{"in": in, "name": name, "required": required, "schema": object{"type": "string"}}
	if says != "" {
		p["description"] = says
	}
	return p
}

func jsonContent(schema object) object {
	return object{"application/json": object{"schema": schema}}
}

// schemas are the named schemas of the document.
type schemas map[string]any

// of gives the schema of a wire type, by reference where it is a struct.
func (s schemas) of(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[jit.Code]():
		return object{"type": "string", "enum": slices.Clone(errorCodes)}
	case reflect.TypeFor[wire.OrNull]():
		return object{"type": "string", "nullable": true}
	case reflect.TypeFor[jsontext.Value]():
		return object{"oneOf": []any{object{"type": "integer"}, object{"type": "string", "pattern": "^[0-9]+$"}}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Struct:
		if t.Name() == "" {
			return s.fields(t)
		}
		name := schemaName(t.Name())
		if _, known := s[name]; !known {
			s[name] = nil // what refers to itself finds its name taken
			s[name] = s.fields(t)
		}
		return object{"$ref": "#/components/schemas/" + name}
	}
	return object{"type": "integer"}
}

func (s schemas) fields(t reflect.Type) object {
	properties := object{}
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		properties[name] = s.of(field.Type)
	}
	return object{"type": "object", "properties": properties}
}

// schemaName writes a Go type's name as a schema's: list[portcullis/handlers.entry] is EntryList.
func schemaName(name string) string {
	if outer, inner, generic := strings.Cut(name, "["); generic {
		inner = strings.TrimSuffix(inner[strings.LastIndex(inner, ".")+1:], "]")
		name = inner + strings.ToUpper(outer[:1]) + outer[1:]
	}
	return strings.ToUpper(name[:1]) + name[1:]
}
