package client_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/cmd/portcullis/apptest"
	"portcullis/cmd/portcullis/client"
	"portcullis/handlers/api"
)

// described is what the OpenAPI document says of an operation, less what is not looked at here.
type described struct {
	Parameters []struct {
		Name, In string
	}
	RequestBody struct {
		Content map[string]struct{ Schema map[string]any }
	}
	Responses map[string]struct {
		Content map[string]struct{ Schema map[string]any }
	}
	Security *[]map[string]any
}

// document is the OpenAPI document, as the app gives it.
type document struct {
	Paths      map[string]map[string]described
	Components struct{ Schemas map[string]map[string]any }
}

func read(t *testing.T) document {
	t.Helper()
	resp, err := http.Get(apptest.New(t).URL + "/api/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestOperations holds the client to the OpenAPI document: every operation that it calls is there by that method and path, with those
// parameters and headers, and every member of what it sends and reads is one that the document names there.
func TestOperations(t *testing.T) {
	t.Parallel()
	doc := read(t)
	ops := client.Operations()
	if len(ops) < 20 {
		t.Fatalf("the client calls %d operations", len(ops))
	}
	var faults []string
	for _, op := range ops {
		name := op.Method + " " + op.Path
		says, ok := doc.Paths[op.Path][strings.ToLower(op.Method)]
		if !ok {
			t.Errorf("%s is not in the document", name)
			continue
		}
		for in, names := range map[string][]string{"query": op.Query, "header": op.Headers} {
			for _, n := range names {
				if !slices.ContainsFunc(says.Parameters, func(p struct{ Name, In string }) bool { return p.Name == n && p.In == in }) {
					t.Errorf("%s takes no %s %q", name, in, n)
				}
			}
		}
		if body := says.RequestBody.Content["application/json"].Schema; op.Body != nil {
			faults = append(faults, doc.hold(name+" body", op.Body, body)...)
		} else if body != nil {
			t.Errorf("%s wants a body, and the client sends none", name)
		}
		faults = append(faults, doc.hold(name+" answer", op.Answer, says.Responses["200"].Content["application/json"].Schema)...)
	}
	for _, f := range faults {
		t.Error(f)
	}
}

// hold compares the members of a type with those of a schema, all the way down. Only shapes of handlers/api are sent and read.
func (d document) hold(at string, typ reflect.Type, schema map[string]any) (faults []string) {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	schema = d.resolve(schema)
	if schema == nil {
		return []string{fmt.Sprintf("%s: the document says nothing of %s", at, typ)}
	}
	switch {
	case typ == reflect.TypeFor[api.PortNumber](), typ.Kind() == reflect.Map:
	case typ.Kind() == reflect.Slice:
		items, _ := schema["items"].(map[string]any)
		faults = d.hold(at+"[]", typ.Elem(), items)
	case typ.Kind() == reflect.Struct:
		if typ.PkgPath() != reflect.TypeFor[api.Machine]().PkgPath() {
			faults = append(faults, fmt.Sprintf("%s: %s is no shape of the API", at, typ))
		}
		properties, _ := schema["properties"].(map[string]any)
		var known, has []string
		for name := range properties {
			known = append(known, name)
		}
		for f := range fields(typ) {
			has = append(has, f.name)
			property, _ := properties[f.name].(map[string]any)
			faults = append(faults, d.hold(at+"."+f.name, f.typ, property)...)
		}
		slices.Sort(known)
		slices.Sort(has)
		if diff := cmp.Diff(known, has); diff != "" {
			faults = append(faults, fmt.Sprintf("%s: members of the document (-) and of %s (+):\n%s", at, typ, diff))
		}
	}
	return faults
}

type field struct {
	name string
	typ  reflect.Type
}

func fields(typ reflect.Type) func(func(field) bool) {
	return func(yield func(field) bool) {
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if !yield(field{name, typ.Field(i).Type}) {
				return
			}
		}
	}
}

// resolve follows references, and takes what is not null of what may be.
func (d document) resolve(schema map[string]any) map[string]any {
	for range 10 {
		if ref, ok := schema["$ref"].(string); ok {
			schema = d.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")]
			continue
		}
		some, ok := schema["oneOf"].([]any)
		if !ok {
			some, ok = schema["anyOf"].([]any)
		}
		if !ok {
			return schema
		}
		for _, s := range some {
			if s, ok := s.(map[string]any); ok && s["type"] != "null" {
				schema = s
			}
		}
	}
	return nil
}

// TestOperationsFail checks that the comparison can fail: what the document does not have is found.
func TestOperationsFail(t *testing.T) {
	t.Parallel()
	doc := read(t)
	doc.Components.Schemas["Machine"]["properties"].(map[string]any)["colour"] = map[string]any{"type": "string"}
	schema := doc.Paths["/api/machines"]["get"].Responses["200"].Content["application/json"].Schema
	if faults := doc.hold("machines", reflect.TypeFor[api.MachinesAnswer](), schema); len(faults) != 1 || !strings.Contains(faults[0], "colour") {
		t.Errorf("a member that the client does not know: %q", faults)
	}
	if faults := doc.hold("machines", reflect.TypeFor[document](), schema); len(faults) == 0 {
		t.Error("a shape of somebody else goes unnoticed")
	}
}
