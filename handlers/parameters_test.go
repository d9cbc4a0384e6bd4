package handlers_test

import (
	"fmt"
	"go/ast"
	"slices"
	"strconv"
	"strings"
	"testing"

	"portcullis/handlers"
)

// plainRoutes gives every route of the plain face, with an id in its path.
func plainRoutes(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, p := range handlers.Patterns() {
		if strings.Contains(p, " /api/") && !strings.HasSuffix(p, "...}") {
			out = append(out, p)
		}
	}
	if len(out) < 14 {
		t.Fatalf("only %d routes", len(out))
	}
	return out
}

// documented gives the query parameters of every operation in the OpenAPI document: "METHOD path" => name => parameter.
func documented(t *testing.T) map[string]map[string]map[string]any {
	t.Helper()
	out := map[string]map[string]map[string]any{}
	for path, item := range openapi(t, newCompat(t)).body["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			names := map[string]map[string]any{}
			parameters, _ := op.(map[string]any)["parameters"].([]any)
			for _, p := range parameters {
				if p := p.(map[string]any); p["in"] == "query" {
					names[p["name"].(string)] = p["schema"].(map[string]any)
				}
			}
			out[strings.ToUpper(method)+" "+path] = names
		}
	}
	return out
}

// TestQueryParameters holds every route of the plain face and the OpenAPI document to one table: what the document
// names is taken in any case and once, and everything else is refused by name.
func TestQueryParameters(t *testing.T) {
	document, all := documented(t), map[string]bool{"whatIf": true, "dry-run": true, "dry_run": true, "code": true, "result": true, "api-version": true, "$filter": true, "id": true, "": true}
	for _, names := range document {
		for name := range names {
			all[name] = true
		}
	}
	a := newApp(t)
	for _, route := range plainRoutes(t) {
		method, path, _ := strings.Cut(strings.Replace(route, "{id}", "00000000-0000-7000-8000-000000000000", 1), " ")
		names, ok := document[route]
		if !ok {
			t.Fatalf("%s is not in the document", route)
		}
		for name := range all {
			_, known := names[name]
			for _, spelt := range []string{name, strings.ToUpper(name), strings.ToLower(name)} {
				r := a.call(method, path+"?"+spelt+"=x", "{}")
				code, target := r.code()
				if refused := code == "UnknownQueryParameter" && target == spelt && r.status == 400; refused == known {
					t.Errorf("%s?%s=x: %d %s, and in the document: %v", route, spelt, r.status, r.text, known)
				}
			}
			if !known {
				continue
			}
			for _, twice := range []string{name + "=x&" + name + "=x", name + "=&" + strings.ToUpper(name) + "="} {
				r := a.call(method, path+"?"+twice, "{}")
				if code, target := r.code(); name != "dryRun" && (code != "DuplicateQueryParameter" || target != name) || r.status != 400 {
					t.Errorf("%s?%s: %d %s", route, twice, r.status, r.text)
				}
			}
		}
		if r := a.call(method, path+"?a=%zz", "{}"); r.status != 400 {
			t.Errorf("%s with a query that cannot be read: %d %s", route, r.status, r.text)
		}
	}
}

// TestEnumeratedFilters: a value that a filter cannot have is told with those that it can.
func TestEnumeratedFilters(t *testing.T) {
	a, enumerated := newApp(t), 0
	for route, names := range documented(t) {
		method, path, _ := strings.Cut(route, " ")
		for name, schema := range names {
			values, _ := schema["enum"].([]any)
			if len(values) == 0 || method != "GET" || name == "api-version" { // that one is Resource Manager's, with codes of its own
				continue
			}
			enumerated++
			for _, wrong := range []string{"Foo", "x" + values[0].(string), strings.ToUpper(values[0].(string)), values[0].(string) + "%20"} {
				r := a.call(method, path+"?"+name+"="+wrong, "")
				code, target := r.code()
				if r.status != 400 || code != "InvalidQueryParameter" || target != name || !strings.Contains(r.text, fmt.Sprint(values[len(values)-1])) {
					t.Errorf("%s?%s=%s: %d %s", route, name, wrong, r.status, r.text)
				}
			}
			for _, right := range values {
				if r := a.call(method, path+"?"+name+"="+right.(string), ""); r.status != 200 {
					t.Errorf("%s?%s=%s: %d %s", route, name, right, r.status, r.text)
				}
			}
		}
	}
	if enumerated < 5 {
		t.Errorf("only %d enumerated filters", enumerated)
	}
	if r := a.call("GET", "/api/activity?operation=open", ""); r.status != 400 {
		t.Errorf("operation=open: %d %s", r.status, r.text)
	}
}

// TestOperations: the activity log can be asked for every operation that it may hold.
func TestOperations(t *testing.T) {
	var got []string
	for _, v := range documented(t)["GET /api/activity"]["operation"]["enum"].([]any) {
		got = append(got, v.(string))
	}
	want := constants(t, "../core/store", func(e ast.Expr) bool {
		id, ok := e.(*ast.Ident)
		return ok && id.Name == "Operation"
	})
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || len(want) < 9 {
		t.Errorf("filter %v, verbs %v", got, want)
	}
}

// TestDryRunNeverWrites: whatever asks for a dry run, in whatever spelling, on whatever route that writes, changes
// nothing; where it is not understood, or there is none, it says so.
func TestDryRunNeverWrites(t *testing.T) {
	const ask = `{"virtualMachines":[{"id":"` + web + `","ports":[{"number":22,"duration":"PT1H"}]}]}`
	for _, spelling := range []string{"dryRun=true", "DryRun=true", "dryrun=TRUE", "DRYRUN=True", "dryRun", "dryRun=", "dryRun=1", "dryRun=yes", "dryRun=true&dryRun=false", "dryRun=false&DryRun=true", "dry-run=true", "dry_run=true",
		"whatIf=true", "WhatIf", "what-if=1", "validateOnly=true", "dryRun=true;a=b", "dryRun=true%00", "%64ryRun=true", "dryRun%5B%5D=true"} {
		a := newCompat(t)
		if r := a.call("POST", "/api/enable", `{"virtualMachines":[{"id":"`+web+`","ports":[{"number":22},{"number":3389,"approvers":1}]}]}`); r.status != 200 {
			t.Fatal(r.text)
		}
		waiting := a.call("POST", "/api/request", strings.Replace(ask, "22", "3389", 1), "Authorization", "Bearer requester").body["id"].(string)
		open := a.call("POST", "/api/request", ask)
		if open.status != 200 {
			t.Fatalf("%d %s", open.status, open.text)
		}
		id := open.body["id"].(string)
		writes, before := a.cloud.Writes(), a.call("GET", "/api/requests", "").text
		for _, door := range []struct{ method, path, body string }{
			{"POST", "/api/enable", `{"virtualMachines":[{"id":"` + web + `","ports":[{"number":23}]}]}`},
			{"POST", "/api/request", ask},
			{"POST", "/api/disable", `{"virtualMachines":[{"id":"` + web + `"}]}`},
			{"POST", "/api/requests/" + id + "/revoke", ``},
			{"POST", "/api/requests/" + id + "/extend", `{"duration":"PT2H"}`},
			{"POST", "/api/requests/" + id + "/again", ``},
			{"POST", "/api/requests/" + waiting + "/approve", `{}`},
			{"POST", "/api/requests/" + waiting + "/deny", `{"justification":"no"}`},
			{"POST", "/api/sweep", ``},
			{"POST", "/api/import", `{"value":[]}`},
			{"PUT", policy + version, `{"properties":{"virtualMachines":[]}}`},
			{"DELETE", policy + version, ``},
			{"POST", policy + "/initiate" + version, ask},
		} {
			with := "?"
			if strings.Contains(door.path, "?") {
				with = "&"
			}
			r := a.call(door.method, door.path+with+spelling, door.body)
			if r.status != 400 && (r.status != 200 || r.body["dryRun"] != true) {
				t.Errorf("%s %s%s%s: %d %s", door.method, door.path, with, spelling, r.status, r.text)
			}
			if code, target := r.code(); r.status == 400 && (code == "" || target == "") {
				t.Errorf("%s %s%s%s is refused without a code or a target: %s", door.method, door.path, with, spelling, r.text)
			}
		}
		if after := a.call("GET", "/api/requests", "").text; after != before || a.cloud.Writes() != writes {
			t.Errorf("?%s changed something:\n%s\n%s", spelling, before, after)
		}
		if last := a.call("GET", "/api/compliance", ""); strings.Contains(last.text, "T12:") {
			t.Errorf("?%s swept: %s", spelling, last.text)
		}
	}
}

// TestDryRunOff: false is no dry run.
func TestDryRunOff(t *testing.T) {
	a := newApp(t)
	a.enable()
	if r := a.call("POST", "/api/disable?dryRun=false", `{"virtualMachines":[{"id":"`+web+`"}]}`); r.status != 200 {
		t.Errorf("dryRun=false: %d %s", r.status, r.text)
	}
}

// TestBodiesOfVerbsWithoutOne: a body that says something to a verb that reads none is refused, not passed over.
func TestBodiesOfVerbsWithoutOne(t *testing.T) {
	a := newApp(t)
	a.enable()
	id := a.call("POST", "/api/request", ports(`{"number":22,"duration":"PT1H"}`)).body["id"].(string)
	for _, path := range []string{"/api/requests/" + id + "/revoke", "/api/sweep"} {
		for _, body := range []string{`{"dryRun":true}`, `true`, `[1]`, `"x"`, `{"a":`} {
			if r := a.call("POST", path, body); r.status != 400 {
				t.Errorf("%s with %s: %d %s", path, body, r.status, r.text)
			}
		}
	}
	if r := a.call("GET", "/api/requests/"+id, ""); r.body["status"] != "Initiated" {
		t.Errorf("%s", r.text)
	}
	for _, body := range []string{``, `{}`} {
		if r := a.call("POST", "/api/requests/"+id+"/revoke", body); r.status != 200 {
			t.Errorf("with %q: %d %s", body, r.status, r.text)
		}
	}
}

// constants gives the texts of the constants whose type is as said, in the packages below root.
func constants(t *testing.T, root string, typed func(ast.Expr) bool) []string {
	t.Helper()
	var out []string
	eachFile(t, root, func(file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 || !typed(spec.Type) {
				return true
			}
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
				if text, err := strconv.Unquote(lit.Value); err == nil {
					out = append(out, text)
				}
			}
			return true
		})
	})
	return out
}
