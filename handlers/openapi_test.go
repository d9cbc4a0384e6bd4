package handlers_test

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/handlers"
)

var documentFile = flag.String("document", "", "write the OpenAPI document there")

// openapi reads the document as anybody can.
func openapi(t *testing.T, a *app) answer {
	t.Helper()
	r := a.do(httptest.NewRequest("GET", "/api/openapi.json", nil))
	if r.status != 200 || r.body["openapi"] != "3.1.0" {
		t.Fatalf("%d %s", r.status, r.text)
	}
	return r
}

// operations gives "METHOD path" of every operation in the document.
func operations(r answer) []string {
	var out []string
	for path, item := range r.body["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
			out = append(out, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(out)
	return out
}

// TestOpenAPI holds the document and the routes together: every route is in the
// document, and every operation of the document is there.
func TestOpenAPI(t *testing.T) {
	a := newCompat(t)
	var want []string
	for _, p := range handlers.Patterns() {
		if _, path, _ := strings.Cut(p, " "); strings.HasPrefix(path, "/api/") && !strings.HasSuffix(path, "...}") && !strings.HasPrefix(path, "/api/portal/") {
			want = append(want, p)
		}
	}
	const all, group = "/api/subscriptions/{subscriptionId}", "/api/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}"
	const list, region = "/providers/Microsoft.Security/jitNetworkAccessPolicies", "/providers/Microsoft.Security/locations/{ascLocation}/jitNetworkAccessPolicies"
	const one = group + region + "/{jitNetworkAccessPolicyName}"
	want = append(want, "GET /api/subscriptions", "GET "+all, "GET "+all+list, "GET "+all+region, "GET "+group+list, "GET "+group+region, "GET "+one, "PUT "+one, "DELETE "+one, "POST "+one+"/initiate")
	slices.Sort(want)
	doc := openapi(t, a)
	if *documentFile != "" {
		if err := os.WriteFile(*documentFile, []byte(doc.text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, operations(doc)); diff != "" {
		t.Errorf("operations (-routes +document):\n%s", diff)
	}
	fill := strings.NewReplacer("{subscriptionId}", sub, "{resourceGroupName}", "demo", "{ascLocation}", "westeurope", "{jitNetworkAccessPolicyName}", "default", "{id}", "00000000-0000-7000-8000-000000000000")
	for _, op := range operations(doc) {
		method, path, _ := strings.Cut(op, " ")
		if code, _ := a.call(method, fill.Replace(path)+version, "{}").code(); code == "NotFound" {
			t.Errorf("%s is in the document and not there", op)
		}
	}
}

// TestOpenAPIWrittenOnce holds that whoever asks for the document, which anybody may, costs next to nothing.
func TestOpenAPIWrittenOnce(t *testing.T) {
	a := newCompat(t)
	first := openapi(t, a).text
	if again := openapi(t, a).text; again != first {
		t.Error("asked again, the document is another one")
	}
	if n := testing.AllocsPerRun(20, func() { a.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/api/openapi.json", nil)) }); n > 500 {
		t.Errorf("an answer takes %.0f allocations, as if the document were written again", n)
	}
}

// at gives what a reference leads to, nil for nothing.
func at(v any, ref string) any {
	for _, name := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	return v
}

// TestOpenAPIWhole: references lead somewhere, ids are unique, path parameters
// are declared, and only what is open says that it needs no token.
func TestOpenAPIWhole(t *testing.T) {
	doc := openapi(t, newCompat(t))
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok && at(doc.body, ref) == nil {
				t.Errorf("%s leads nowhere", ref)
			}
			for _, w := range v {
				walk(w)
			}
		case []any:
			for _, w := range v {
				walk(w)
			}
		}
	}
	walk(doc.body)
	ids, open := map[string]bool{}, []string(nil)
	for path, item := range doc.body["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			op := op.(map[string]any)
			if id := op["operationId"].(string); id == "" || ids[id] {
				t.Errorf("%s %s: id %q", method, path, id)
			} else {
				ids[id] = true
			}
			if security, ok := op["security"].([]any); ok && len(security) == 0 {
				open = append(open, path)
			}
			declared := 0
			parameters, _ := op["parameters"].([]any)
			for _, p := range parameters {
				if p := p.(map[string]any); p["in"] == "path" && strings.Contains(path, "{"+p["name"].(string)+"}") {
					declared++
				}
			}
			if declared != strings.Count(path, "{") {
				t.Errorf("%s %s: %d path parameters are declared", method, path, declared)
			}
		}
	}
	slices.Sort(open)
	if diff := cmp.Diff([]string{"/api/health", "/api/metadata/endpoints", "/api/openapi.json"}, open); diff != "" {
		t.Errorf("open operations (-want +got):\n%s", diff)
	}
}

// TestErrorCodes: the document lists every code that the sources name.
func TestErrorCodes(t *testing.T) {
	doc := openapi(t, newCompat(t))
	schema := doc.body["components"].(map[string]any)["schemas"].(map[string]any)["ErrorDetail"].(map[string]any)["properties"].(map[string]any)["code"].(map[string]any)
	var listed []string
	for _, code := range schema["x-extensible-enum"].([]any) {
		listed = append(listed, code.(string))
	}
	if !slices.IsSorted(listed) {
		t.Error("the codes are not sorted")
	}
	var named []string
	for _, root := range []string{"../core", "../handlers", "../infra"} {
		if root == "../handlers" {
			root = "."
		}
		named = append(named, codesIn(t, root)...)
	}
	if len(named) < 50 {
		t.Fatalf("only %d codes found in the sources", len(named))
	}
	for _, code := range named {
		if !slices.Contains(listed, code) {
			t.Errorf("%s is not in wire/codes.go", code)
		}
	}
	for _, code := range listed {
		if !slices.Contains(named, code) && !strings.HasSuffix(code, "Unavailable") {
			t.Errorf("%s is in wire/codes.go and no source names it", code)
		}
	}
}

// codesIn gives the values of the constants of type jit.Code in the packages below root.
func codesIn(t *testing.T, root string) []string { return constants(t, root, isCode) }

// eachFile parses every file of the product below root.
func eachFile(t *testing.T, root string, see func(*ast.File)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err == nil {
			see(file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func isCode(t ast.Expr) bool {
	switch t := t.(type) {
	case *ast.Ident:
		return t.Name == "Code"
	case *ast.SelectorExpr:
		return t.Sel.Name == "Code"
	}
	return false
}
