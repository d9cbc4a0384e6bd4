package handlers_test

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
)

var updateConnector = flag.Bool("update-connector", false, "write docs/connector.json anew")

const connectorFile = "../docs/connector.json"

// TestConnector holds docs/connector.json to the API: the OpenAPI document in
// version 2.0, the one that Logic Apps custom connectors take, without the paths of
// Azure clients and with Entra ID as its security.
func TestConnector(t *testing.T) {
	got := connector(t, openapi(t, newApp(t)).text)
	if *updateConnector {
		if err := os.WriteFile(connectorFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(connectorFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("docs/connector.json (-) is not the API (+); go test ./handlers -run TestConnector -update-connector writes it anew:\n%s", diff)
	}
	var doc openapi2.T
	if err := json.Unmarshal(want, &doc); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for path, item := range doc.Paths {
		for method, op := range item.Operations() {
			if op.OperationID == "" || op.Summary == "" || seen[op.OperationID] {
				t.Errorf("%s %s: the designer needs an operation id of its own and a summary", method, path)
			}
			seen[op.OperationID] = true
		}
	}
	for _, word := range []string{"oneOf", "anyOf", `"not"`, `"nullable"`, `"requestBody"`, "/api/subscriptions"} {
		if strings.Contains(string(want), word) {
			t.Errorf("version 2.0 has no %s, or the connector needs none", word)
		}
	}
	if doc.Swagger != "2.0" || len(seen) < 10 || len(want) > 1<<20 {
		t.Errorf("version %s with %d operations in %d bytes", doc.Swagger, len(seen), len(want))
	}
}

// connector converts the document.
func connector(t *testing.T, text string) []byte {
	t.Helper()
	text = earlier(t, text)
	doc, err := openapi3.NewLoader().LoadFromData([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for path := range doc.Paths.Map() {
		if slices.Contains([]string{"/api/metadata/endpoints", "/api/tenants"}, path) || strings.HasPrefix(path, "/api/subscriptions") || path == "/api/openapi.json" || strings.HasPrefix(path, "/api/portal") {
			doc.Paths.Delete(path)
		}
	}
	doc.Info.Version, doc.Info.Description = "1.0", "Just-in-time access to the management ports of Azure virtual machines."
	doc.Servers = openapi3.Servers{{URL: "https://portcullis.example"}}
	doc.Components.SecuritySchemes = nil // 2.0 knows no bearer scheme; Entra ID is put in its place
	old, err := openapi2conv.FromV3(doc)
	if err != nil {
		t.Fatal(err)
	}
	old.SecurityDefinitions = map[string]*openapi2.SecurityScheme{"bearer": {Type: "oauth2", Flow: "accessCode",
		AuthorizationURL: "https://login.microsoftonline.com/common/oauth2/authorize", TokenURL: "https://login.microsoftonline.com/common/oauth2/token", Scopes: map[string]string{"user_impersonation": "call Portcullis as the person who signed in"}}}
	for pruned := true; pruned; { // what only the paths of Azure clients refer to
		text, err := json.Marshal(old)
		if err != nil {
			t.Fatal(err)
		}
		pruned = false
		for name := range old.Definitions {
			if !strings.Contains(string(text), `"#/definitions/`+name+`"`) {
				delete(old.Definitions, name)
				pruned = true
			}
		}
	}
	out, err := json.MarshalIndent(old, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

// earlier writes the document in the words of OpenAPI 3.0, which the conversion knows: there null is not a type, and is told
// beside the type instead.
func earlier(t *testing.T, text string) string {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	doc["openapi"] = "3.0.3"
	withoutNull(doc["paths"])
	withoutNull(doc["components"])
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// withoutNull takes null out of types, enumerations and alternatives, and leaves a nullable in its place.
func withoutNull(v any) {
	switch v := v.(type) {
	case []any:
		for _, below := range v {
			withoutNull(below)
		}
	case map[string]any:
		if types, ok := v["type"].([]any); ok {
			v["type"], v["nullable"] = types[0], true
			if values, ok := v["enum"].([]any); ok {
				v["enum"] = slices.DeleteFunc(values, func(w any) bool { return w == nil })
			}
		}
		// Version 2.0 has no alternatives: what may be null is what it is otherwise, and what has several forms is any value.
		if forms, ok := v["anyOf"].([]any); ok {
			delete(v, "anyOf")
			maps.Copy(v, forms[0].(map[string]any))
		}
		for _, unknown := range []string{"oneOf", "if", "then", "else", "not"} {
			delete(v, unknown)
		}
		for _, below := range v {
			withoutNull(below)
		}
	}
}
