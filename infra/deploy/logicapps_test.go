package deploy_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"portcullis/functions"
)

// workflow is a file of logic-apps/, as the designer's code view has it. Its fields are
// all that such a file may have here.
type workflow struct {
	Definition struct {
		Schema         string             `json:"$schema"`
		ContentVersion string             `json:"contentVersion"`
		Parameters     map[string]any     `json:"parameters"`
		Triggers       map[string]any     `json:"triggers"`
		Actions        map[string]*action `json:"actions"`
		Outputs        map[string]any     `json:"outputs"`
	} `json:"definition"`
	Parameters map[string]struct {
		Value any `json:"value"`
	} `json:"parameters"`
}

type action struct {
	Type       string              `json:"type"`
	Inputs     json.RawMessage     `json:"inputs"`
	Expression any                 `json:"expression"`
	RunAfter   map[string][]string `json:"runAfter"`
	Limit      map[string]any      `json:"limit"`
	Options    string              `json:"operationOptions"`
	Actions    map[string]*action  `json:"actions"`
	Else       struct {
		Actions map[string]*action `json:"actions"`
	} `json:"else"`
}

// TestLogicApps holds the form of the workflows, and that what they call is there.
func TestLogicApps(t *testing.T) {
	files, err := filepath.Glob("logic-apps/*.json")
	if err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	declared, err := functions.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, problem := range faults(text, declared) {
				t.Error(problem)
			}
		})
	}
}

// TestLogicAppsFaults holds that faults are seen: each row breaks a workflow in one way.
func TestLogicAppsFaults(t *testing.T) {
	declared, err := functions.All()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("logic-apps/approve-and-request.json")
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct{ name, old, new, want string }{
		{"no JSON", `"definition": {`, `"definition": `, "invalid character"},
		{"an unknown key", `"outputs": {}`, `"output": {}`, "unknown field"},
		{"another schema", "2016-06-01/workflowdefinition", "2015-08-01-preview/workflowdefinition", "$schema"},
		{"after nobody", `"Ask": [`, `"Asked": [`, "runs after Asked"},
		{"after another scope", `"runAfter": {
              "Request": [`, `"runAfter": {
              "Ask": [`, "runs after Ask"},
		{"after a status that is none", `"TimedOut"`, `"Late"`, "Late"},
		{"a loop without an end", `"count": 60,`, ``, "for ever"},
		{"no managed identity", "ManagedServiceIdentity", "Basic", "managed identity"},
		{"no such route", "/api/request", "/api/requested", "/api/requested"},
		{"the wrong method", `"method": "POST"`, `"method": "GET"`, "GET /api/request"},
		{"a parameter that is none", "parameters('audience')", "parameters('resource')", "parameters('resource')"},
		{"a connection that is none", "['teams']", "['slack']", "slack"},
		{"an action that is none", "body('Ask')", "body('Asked')", "body('Asked')"},
		{"a signature", `"Answered; what`, `"https://example.com/?sig=x Answered; what`, "secret"},
		{"a token", `"Answered; what`, `"eyJhbGciOiJSUzI1NiIsInR5cCI6 Answered; what`, "secret"},
		{"a password", `"duration": {`, `"password": {`, "secret"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			broken := strings.Replace(string(text), row.old, row.new, 1)
			if broken == string(text) {
				t.Fatalf("the workflow has no %q", row.old)
			}
			if got := strings.Join(faults([]byte(broken), declared), "\n"); !strings.Contains(got, row.want) {
				t.Errorf("faults are %q, want one with %q", got, row.want)
			}
		})
	}
}

const definitionSchema = "https://schema.management.azure.com/providers/Microsoft.Logic/schemas/2016-06-01/workflowdefinition.json#"

var (
	secretLike = regexp.MustCompile(`(?i)[?&]sig=|accountkey=|sharedaccess|"(password|secret|apikey|clientsecret)"|\beyJ[\w-]{20}|securestring`)
	reference  = regexp.MustCompile(`\b(parameters|body|outputs)\('([^']+)'\)(?:\['(\w+)'\])?`)
	statuses   = []string{"Succeeded", "Failed", "Skipped", "TimedOut"}
)

// faults gives what is wrong with a workflow.
func faults(text []byte, declared []functions.Function) []string {
	var out []string
	wrong := func(parts ...string) { out = append(out, strings.Join(parts, " ")) }
	if m := secretLike.Find(text); m != nil {
		wrong("something looks like a secret:", string(m))
	}
	var w workflow
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&w); err != nil {
		return append(out, err.Error())
	}
	if _, err := d.Token(); err != io.EOF {
		wrong("something follows the workflow")
	}
	def := w.Definition
	if def.Schema != definitionSchema || def.ContentVersion == "" {
		wrong("$schema or contentVersion is", def.Schema, def.ContentVersion)
	}
	if def.Parameters == nil || len(def.Triggers) != 1 || len(def.Actions) == 0 || def.Outputs == nil {
		wrong("parameters, one trigger, actions or outputs are missing")
	}
	all := map[string]bool{}
	scope(def.Actions, all, declared, wrong)

	for name := range w.Parameters {
		if def.Parameters[name] == nil {
			wrong("the value of", name, "is for no parameter")
		}
	}
	connections, _ := w.Parameters["$connections"].Value.(map[string]any)
	for _, m := range reference.FindAllStringSubmatch(string(text), -1) {
		switch kind, name := m[1], m[2]; {
		case kind == "parameters" && name == "$connections":
			if connections[m[3]] == nil {
				wrong("there is no connection", m[3])
			}
		case kind == "parameters":
			if _, given := w.Parameters[name]; def.Parameters[name] == nil || !given {
				wrong(m[0], "is no parameter, or has no value to fill in")
			}
		case !all[name]:
			wrong(m[0], "is of no action")
		}
	}
	return out
}

// scope looks at the actions of one scope, in which alone runAfter finds others, and at those inside.
func scope(actions map[string]*action, all map[string]bool, declared []functions.Function, wrong func(...string)) {
	for name, a := range actions {
		if all[name] {
			wrong("two actions are called", name)
		}
		all[name] = true
		if a.RunAfter == nil {
			wrong(name, "has no runAfter")
		}
		for before, after := range a.RunAfter {
			if actions[before] == nil || before == name {
				wrong(name, "runs after", before, "which is no action beside it")
			}
			for _, status := range after {
				if !slices.Contains(statuses, status) {
					wrong(name, "runs after the status", status)
				}
			}
		}
		if a.Type == "Until" && (a.Limit["count"] == nil || a.Limit["timeout"] == nil) {
			wrong(name, "may go on for ever")
		}
		if a.Type == "Http" {
			call(name, a.Inputs, declared, wrong)
		}
		scope(a.Actions, all, declared, wrong)
		scope(a.Else.Actions, all, declared, wrong)
	}
}

// call looks at a call of the app.
func call(name string, inputs json.RawMessage, declared []functions.Function, wrong func(...string)) {
	var in struct {
		Method, URI    string
		Headers        map[string]string
		Authentication struct{ Type, Audience string }
	}
	if err := json.Unmarshal(inputs, &in); err != nil {
		wrong(name, err.Error())
		return
	}
	if in.Authentication.Type != "ManagedServiceIdentity" || in.Authentication.Audience != "@parameters('audience')" {
		wrong(name, "does not call as the managed identity, for the audience of the parameter")
	}
	path, own := strings.CutPrefix(in.URI, "@{parameters('app')}")
	path = strings.ReplaceAll(path, "@{body('Request')?['id']}", "{id}")
	known := slices.ContainsFunc(declared, func(f functions.Function) bool {
		return f.Kind == functions.HTTP && path == "/api/"+strings.ReplaceAll(f.Route, "?}", "}") && slices.Contains(f.Methods, in.Method)
	})
	if !own || !known {
		wrong(name, "calls", in.Method, path, "which the app does not have")
	}
	if in.Method == "POST" && in.Headers["Idempotency-Key"] != "@{workflow().run.name}" {
		wrong(name, "sends no Idempotency-Key of its run")
	}
}
