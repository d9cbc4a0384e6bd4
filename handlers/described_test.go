package handlers_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// contract is the OpenAPI document as what every call of these tests is held to: an answer has no member that the document
// does not name, although the document allows a later version to have more.
type contract struct {
	doc      map[string]any
	compiler *jsonschema.Compiler

	mu      sync.Mutex
	schemas map[string]*jsonschema.Schema
}

var described = sync.OnceValue(func() *contract {
	c := &contract{schemas: map[string]*jsonschema.Schema{}, compiler: jsonschema.NewCompiler()}
	w := httptest.NewRecorder()
	a, err := newAppOf(nil)
	if err != nil {
		panic(err)
	}
	a.ServeHTTP(w, httptest.NewRequest("GET", "/api/openapi.json", nil))
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(w.Body.Bytes()))
	if err != nil {
		panic(err)
	}
	c.doc = doc.(map[string]any)
	closeAnswers(c.doc["components"].(map[string]any)["schemas"])
	c.compiler.DefaultDraft(jsonschema.Draft2020)
	c.compiler.AssertFormat()
	if err := c.compiler.AddResource("api.json", c.doc); err != nil {
		panic(err)
	}
	return c
})

// closeAnswers has every object with members take no others, unless it says so itself.
func closeAnswers(v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, below := range v {
			if !strings.HasSuffix(name, "Loose") && !strings.HasSuffix(name, "Body") || name == "ErrorBody" {
				closeAnswers(below)
			}
		}
		if _, said := v["additionalProperties"]; v["properties"] != nil && v["type"] != nil && !said {
			v["additionalProperties"] = false
		}
	case []any:
		for _, below := range v {
			closeAnswers(below)
		}
	}
}

// operation finds the operation of a call, by its pointer; "" where the document has none.
func (c *contract) operation(method, path string) (string, map[string]any) {
	got := strings.Split(strings.TrimSuffix(path, "/"), "/")
	best, bestAt, literal := map[string]any(nil), "", -1
	for template, item := range c.doc["paths"].(map[string]any) {
		want, same := strings.Split(template, "/"), 0
		fits := len(want) == len(got)
		for i := 0; fits && i < len(want); i++ {
			switch {
			case strings.EqualFold(want[i], got[i]):
				same++
			case !strings.HasPrefix(want[i], "{"):
				fits = false
			}
		}
		if op, ok := item.(map[string]any)[strings.ToLower(method)].(map[string]any); fits && ok && same > literal {
			best, literal = op, same
			bestAt = "/paths/" + strings.ReplaceAll(template, "/", "~1") + "/" + strings.ToLower(method)
		}
	}
	return bestAt, best
}

func (c *contract) check(pointer string, text []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.schemas[pointer]
	if s == nil {
		if s, err = c.compiler.Compile("api.json#" + strings.NewReplacer("{", "%7B", "}", "%7D", "$", "%24").Replace(pointer)); err != nil {
			return err
		}
		c.schemas[pointer] = s
	}
	return s.Validate(value)
}

// hold holds a call and its answer to the document: the status is named, the answer and, where it was accepted, the body have
// the shapes that are told, and so has the kind of media.
func (c *contract) hold(t *testing.T, r *http.Request, body []byte, w *httptest.ResponseRecorder) {
	t.Helper()
	at, op := c.operation(r.Method, r.URL.EscapedPath())
	if op == nil {
		return
	}
	call := r.Method + " " + r.URL.Path
	status := strconv.Itoa(w.Code)
	responses := op["responses"].(map[string]any)
	response, named := responses[status].(map[string]any)
	if !named {
		if w.Code >= 500 || w.Header().Get("x-ms-error-code") == "InvalidRequestPath" {
			return // the default
		}
		t.Errorf("%s: %s is answered and not in the document", call, status)
		return
	}
	pointer := at + "/responses/" + status
	if ref, ok := response["$ref"].(string); ok {
		pointer = strings.TrimPrefix(ref, "#")
		response = c.doc["components"].(map[string]any)["responses"].(map[string]any)[ref[strings.LastIndex(ref, "/")+1:]].(map[string]any)
	}
	media, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	content, _ := response["content"].(map[string]any)
	if _, known := content[media]; !known && media != "" {
		t.Errorf("%s: %s of %s is answered and not in the document", call, media, status)
		return
	}
	if media == "application/json" {
		if err := c.check(pointer+"/content/application~1json/schema", w.Body.Bytes()); err != nil {
			t.Errorf("%s: the answer %s is not as the document says: %v\n%.2000s", call, status, err, w.Body)
		}
	}
	headers := response["headers"].(map[string]any)
	for name := range w.Header() {
		lower := strings.ToLower(name)
		known := lower == "content-type" || lower == "cache-control" || lower == "strict-transport-security" || lower == "x-content-type-options"
		for told := range headers {
			known = known || strings.EqualFold(told, name)
		}
		if !known {
			t.Errorf("%s: the header %s of %s is answered and not in the document", call, name, status)
		}
	}
	if w.Code >= 300 || op["requestBody"] == nil || strings.Contains(strings.ToLower(r.URL.Path), "/microsoft.security/") {
		return // the compatible face reads names in any case
	}
	if err := c.check(at+"/requestBody/content/application~1json/schema", body); err != nil {
		t.Errorf("%s: a body was accepted that is not as the document says: %v\n%.2000s", call, err, body)
	}
}

// TestExamples: the bodies that the document shows are bodies that the app takes, one after the other as the words of a session.
func TestExamples(t *testing.T) {
	a := newCompat(t)
	example := func(method, path string) string {
		_, op := described().operation(method, path)
		shown := op["requestBody"].(map[string]any)["content"].(map[string]any)["application/json"].(map[string]any)["example"]
		text, err := json.Marshal(shown)
		if err != nil || shown == nil {
			t.Fatalf("%s %s has no example: %v", method, path, err)
		}
		return string(text)
	}
	ran := map[string]bool{}
	run := func(want int, method, path string) answer {
		t.Helper()
		at, _ := described().operation(method, strings.SplitN(path, "?", 2)[0])
		ran[at] = true
		r := a.call(method, path, example(method, strings.SplitN(path, "?", 2)[0]))
		if r.status != want {
			t.Fatalf("%s %s: %d %s", method, path, r.status, r.text)
		}
		return r
	}
	const policy = "/api/subscriptions/" + sub + "/resourceGroups/demo/providers/Microsoft.Security/locations/westeurope/jitNetworkAccessPolicies/default"
	run(200, "POST", "/api/enable")
	id := run(200, "POST", "/api/request").body["id"].(string)
	run(200, "POST", "/api/requests/"+id+"/extend")
	run(200, "POST", "/api/requests/"+a.drill()+"/review")
	run(403, "POST", "/api/requests/"+id+"/approve") // the bodies are taken; who asked does not decide
	run(403, "POST", "/api/requests/"+id+"/deny")
	hold := run(200, "POST", "/api/lockdown").body["hold"].(string)
	run(200, "POST", "/api/lockdown/"+hold+"/lift")
	run(200, "PUT", policy+version)
	run(202, "POST", policy+"/initiate"+version)
	run(200, "POST", "/api/disable")
	run(200, "POST", "/api/import")
	run(200, "POST", "/api/policies/import")
	for path, item := range described().doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			if at := "/paths/" + strings.ReplaceAll(path, "/", "~1") + "/" + method; op.(map[string]any)["requestBody"] != nil && !ran[at] {
				t.Errorf("the example of %s %s is not run", method, path)
			}
		}
	}
}
