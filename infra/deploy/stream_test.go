package deploy_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"portcullis/core/store"
	"portcullis/infra/logs/ocsf"
)

// pathOf reports whether an event has what a query asks of it, such as actor.user.name.
func pathOf(t reflect.Type, path []string) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if len(path) == 0 {
		return true
	}
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name == path[0] {
			return pathOf(t.Field(i).Type, path[1:])
		}
	}
	return false
}

// TestStreamQueries holds that the queries over the streamed log ask of events what these have, for values that the app writes, and that stream.tf uses each. infra/deploy/check parses them with
// Microsoft's parser, which knows the columns.
func TestStreamQueries(t *testing.T) {
	event := reflect.TypeFor[ocsf.Event]()
	for path, want := range map[string]bool{"actor.user.name": true, "unmapped.ports": true, "metadata.uid": true, "unmapped.port": false, "actor.name": false, "unmapped.ports.x": false} {
		if pathOf(event, strings.Split(path, ".")) != want {
			t.Errorf("%s is in an event: %t", path, !want)
		}
	}
	values := map[string][]string{"activity_name": {"Create", "Update", "Delete", "Enable", "Disable", "Activate", "Deactivate", "Chain head"}, "status": {"Success", "Failure"}, "unmapped.record": {ocsf.RecordEntry, ocsf.RecordHead}}
	for _, op := range store.Operations() {
		values["unmapped.operation"] = append(values["unmapped.operation"], string(op))
	}
	for _, r := range store.Results() {
		values["unmapped.result"] = append(values["unmapped.result"], string(r))
	}
	files, err := filepath.Glob("stream/*.kql")
	if err != nil || len(files) < 9 {
		t.Fatal(files, err)
	}
	module, err := os.ReadFile("stream.tf")
	if err != nil {
		t.Fatal(err)
	}
	paths := regexp.MustCompile(`\b(?:metadata|actor|src_endpoint|entity|unmapped)(?:\.[a-z_]+)+`)
	compared := regexp.MustCompile(`(?:tostring\()?([a-z_.]+)\)? [=!]= '([^']+)'`)
	asked, held := 0, 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths.FindAllString(string(text), -1) {
			asked++
			if !pathOf(event, strings.Split(path, ".")) {
				t.Errorf("%s asks for %s, which no event has", file, path)
			}
		}
		for _, m := range compared.FindAllStringSubmatch(string(text), -1) {
			if known, ok := values[m[1]]; ok {
				held++
				if !slices.Contains(known, m[2]) {
					t.Errorf("%s looks for %s %s, which nothing writes", file, m[1], m[2])
				}
			}
		}
		name := strings.TrimSuffix(filepath.Base(file), ".kql")
		if !regexp.MustCompile(`(?m)^    `+name+` = \{|query = "`+name+`"`).Match(module) || !strings.Contains(string(module), `"`+name+`"`) {
			t.Errorf("stream.tf uses %s nowhere", file)
		}
		if name != "heads" && !strings.Contains(string(text), "by uid") {
			t.Errorf("%s counts an event twice that was sent twice", file)
		}
	}
	if asked < 40 || held < 15 {
		t.Errorf("%d paths, %d values", asked, held)
	}
}
