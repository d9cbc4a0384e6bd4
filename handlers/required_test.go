package handlers_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"portcullis/core/area"
)

// wholeBodies are bodies that have every member that the document requires, by operation. What is called NEWEST is the id of a request.
var wholeBodies = map[string]string{
	"POST /api/enable":                       `{"virtualMachines":[{"id":"` + web + `","ports":[{"number":22}]}]}`,
	"POST /api/disable":                      `{"virtualMachines":[{"id":"` + web + `"}]}`,
	"POST /api/request":                      `{"virtualMachines":[{"id":"` + web + `","ports":[{"number":22,"duration":"PT1H"}]}]}`,
	"POST /api/requests/{id}/extend":         `{"duration":"PT2H"}`,
	"POST /api/requests/{id}/review":         `{"review":"the disk was full"}`,
	"POST /api/import":                       `{"value":[]}`,
	"POST /api/lockdown":                     `{"scope":{"virtualMachine":"` + web + `"},"reason":"test","hold":true}`,
	"POST /api/lockdown/{id}/lift":           `{"reason":"test"}`,
	"POST /api/policies/import":              `{"format":"portcullis-policies","version":1,"policies":[{"id":"` + strings.TrimPrefix(policy, "/api") + `","virtualMachines":[{"id":"` + web + `","ports":[{"number":22,"protocol":"TCP","allowedSourceAddressPrefix":"*","maxRequestAccessDuration":"PT3H"}],"existingRules":"override"}]}],"virtualMachineCount":1,"complete":true}`,
	"PUT " + documentedPolicy:                putBody(web),
	"POST " + documentedPolicy + "/initiate": initiate(web, `{"number":22,"duration":"PT1H"}`),
}

const documentedPolicy = "/api/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.Security/locations/{ascLocation}/jitNetworkAccessPolicies/{jitNetworkAccessPolicyName}"

// without gives every variant of a body that lacks one required member, or has null there, by the member's place as refusals name it.
func (c *contract) without(schema map[string]any, body any, at string, see func(place string, bare func(null bool) func())) {
	if ref, ok := schema["$ref"].(string); ok {
		schema = c.doc["components"].(map[string]any)["schemas"].(map[string]any)[ref[strings.LastIndex(ref, "/")+1:]].(map[string]any)
	}
	switch body := body.(type) {
	case []any:
		for _, one := range body {
			c.without(schema["items"].(map[string]any), one, at+"[0]", see)
		}
	case map[string]any:
		required, _ := schema["required"].([]any)
		for _, name := range required {
			name := name.(string)
			value, there := body[name]
			see(at+"."+name, func(null bool) func() {
				if !there {
					return nil
				}
				if delete(body, name); null {
					body[name] = nil
				}
				return func() { body[name] = value }
			})
		}
		for name, below := range schema["properties"].(map[string]any) {
			if value, there := body[name]; there {
				c.without(below.(map[string]any), value, at+"."+name, see)
			}
		}
	}
}

// TestRequiredMembers: of every body, each member that the document requires is refused by its name where it is left out or null, with nothing
// changed. The whole body is taken.
func TestRequiredMembers(t *testing.T) {
	tried := 0
	for _, operation := range slices.Sorted(maps.Keys(wholeBodies)) {
		t.Run(operation, func(t *testing.T) {
			a := newCompat(t)
			a.enable()
			a.put(web)
			id := a.call("POST", "/api/request", ports(`{"number":22,"duration":"PT1H"}`)).body["id"].(string)
			if strings.HasSuffix(operation, "/lift") {
				a.held(id, area.Scope{Person: requester}, "test")
			}
			if strings.HasSuffix(operation, "/review") {
				id = a.drill()
			}
			method, path, _ := strings.Cut(operation, " ")
			at, op := described().operation(method, path)
			if at == "" {
				t.Fatal("the document has no such operation")
			}
			path = strings.NewReplacer("{subscriptionId}", sub, "{resourceGroupName}", "demo", "{ascLocation}", "westeurope", "{jitNetworkAccessPolicyName}", "default", "{id}", id).Replace(path)
			if strings.Contains(path, "Microsoft.Security") {
				path += version
			}
			var body any
			if err := json.Unmarshal([]byte(wholeBodies[operation]), &body); err != nil {
				t.Fatal(err)
			}
			send := func() answer {
				text, err := json.Marshal(body)
				if err != nil {
					t.Fatal(err)
				}
				return a.call(method, path, string(text))
			}
			before := a.call("GET", "/api/machines", "").text
			schema := op["requestBody"].(map[string]any)["content"].(map[string]any)["application/json"].(map[string]any)["schema"].(map[string]any)
			described().without(schema, body, "", func(place string, bare func(bool) func()) {
				for _, null := range []bool{false, true} {
					back := bare(null)
					if back == nil {
						t.Fatalf("the body of the test has no %s", place)
					}
					r := send()
					back()
					tried++
					if _, target := r.code(); r.status != 400 || !strings.HasSuffix("."+target, place) && !strings.HasPrefix("."+target, place+".") {
						t.Errorf("without %s (null: %t): %d %s", place, null, r.status, r.text)
					}
				}
			})
			if after := a.call("GET", "/api/machines", "").text; after != before {
				t.Errorf("refusals changed\n%s\nto\n%s", before, after)
			}
			if r := send(); r.status >= 300 {
				t.Errorf("the whole body: %d %s", r.status, r.text)
			}
		})
	}
	for path, item := range described().doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			if decides := strings.HasSuffix(path, "/approve") || strings.HasSuffix(path, "/deny"); decides {
				continue // nothing is required of these, and who asked cannot send them: see TestApproveOverHTTP
			}
			if op.(map[string]any)["requestBody"] != nil && wholeBodies[strings.ToUpper(method)+" "+path] == "" {
				t.Errorf("%s %s has no body here", method, path)
			}
		}
	}
	if tried < 50 {
		t.Errorf("only %d bodies were sent", tried)
	}
}
