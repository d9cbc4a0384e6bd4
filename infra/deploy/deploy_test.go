// Package deploy_test holds the Terraform module and the program together: what the
// roles allow is what the code asks for, and what the alerts look for is what it writes.
package deploy_test

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/permit"
	"portcullis/core/store"
	"portcullis/infra/telemetry"
)

// actions reads a file of roles/: lists of actions, each list sorted.
func actions(t *testing.T, name string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("roles", name))
	if err != nil {
		t.Fatal(err)
	}
	var roles map[string][]string
	if err := json.Unmarshal(text, &roles); err != nil {
		t.Fatal(err)
	}
	for role, list := range roles {
		if !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
			t.Errorf("%s: %s is not sorted, or names an action twice", name, role)
		}
		for _, a := range list {
			if strings.Contains(a, "*") {
				t.Errorf("%s: %s has the wildcard %s", name, role, a)
			}
		}
	}
	return roles
}

// needed gives what the verbs ask for, sorted.
func needed(verbs ...permit.Verb) []string {
	var out []string
	for _, v := range verbs {
		out = append(out, permit.Needs(v)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestPeople holds that each role for people is what its verbs ask for, no more and no less.
func TestPeople(t *testing.T) {
	viewer := []permit.Verb{permit.VerbRead}
	requester := append(viewer, permit.VerbRequest, permit.VerbExtend)
	administrator := append(requester, permit.VerbEnable, permit.VerbDisable, permit.VerbRevokeOther, permit.VerbSweep)
	want := map[string][]string{"viewer": needed(viewer...), "requester": needed(requester...), "administrator": needed(administrator...)}
	if diff := cmp.Diff(want, actions(t, "people.json")); diff != "" {
		t.Errorf("what verbs ask for (-) and roles/people.json (+) differ:\n%s", diff)
	}
}

// TestApp holds the form of the app's role; that it is what the app calls is
// held by the end-to-end tests in local/.
func TestApp(t *testing.T) {
	for part, list := range actions(t, "app.json") {
		for _, a := range list {
			// An action whose name begins with list is a POST that reads.
			reads := strings.HasSuffix(a, "/read") || strings.HasPrefix(path.Base(path.Dir(a)), "list") && path.Base(a) == "action"
			if (part == "read" || part == "count") != reads {
				t.Errorf("%s is among the actions to %s", a, part)
			}
		}
	}
}

// TestLines holds that the queries look for lines and findings that the app writes.
func TestLines(t *testing.T) {
	kinds := map[string]bool{}
	for _, k := range store.FindingKinds() {
		if telemetry.Urgent(k) {
			kinds[string(k)] = false
		}
	}
	if len(kinds) < 4 {
		t.Fatalf("findings with a line: %v", kinds)
	}
	files, err := filepath.Glob("queries/*.kql")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	list := regexp.MustCompile(`tostring\(line\.kind\) (?:==|in) \(?((?:'\w+'(?:, )?)+)\)?`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list.FindAllStringSubmatch(string(text), -1) {
			for name := range strings.SplitSeq(m[1], ", ") {
				name = strings.Trim(name, "'")
				if _, known := kinds[name]; !known {
					t.Errorf("%s looks for findings %s, which get no line", file, name)
				}
				kinds[name] = true
			}
		}
	}
	for name, watched := range kinds {
		if !watched {
			t.Errorf("no alert looks for findings %s", name)
		}
	}
}

// TestEveryQueryIsUsed holds that no query lies about unused, since nothing else would notice.
func TestEveryQueryIsUsed(t *testing.T) {
	text, err := os.ReadFile("monitor.tf")
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob("queries/*.kql")
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".kql")
		if !regexp.MustCompile(`(?m)^    ` + name + ` = \{|query = "` + name + `"|queries/` + name + `[.]kql`).Match(text) {
			t.Errorf("monitor.tf uses %s nowhere", file)
		}
	}
}

// TestRunbook holds that the guide says what to do about every kind of finding and every alert.
func TestRunbook(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	guide, ports, monitor := read("../../docs/operations.md"), read("../../core/store/sweep.go"), read("monitor.tf")
	kinds := regexp.MustCompile(`(?m)^\s+Finding\w+ +(?:FindingKind )?= "(\w+)"`).FindAllStringSubmatch(ports, -1)
	if len(kinds) < 5 || len(kinds) != len(store.FindingKinds()) {
		t.Fatalf("found the kinds %q, and FindingKinds gives %q", kinds, store.FindingKinds())
	}
	for _, m := range kinds {
		if !slices.Contains(store.FindingKinds(), store.FindingKind(m[1])) {
			t.Errorf("FindingKinds does not give %s", m[1])
		}
		if !strings.Contains(guide, "| `"+m[1]+"` |") {
			t.Errorf("docs/operations.md does not say what to do about findings %s", m[1])
		}
	}
	alerts := regexp.MustCompile(`docs/operations\.md, alert ([\w-]+)`).FindAllStringSubmatch(monitor, -1)
	if len(alerts) < 4 {
		t.Fatalf("found the alerts %q only", alerts)
	}
	for _, m := range alerts {
		if !strings.Contains(guide, "### alert "+m[1]+" ") {
			t.Errorf("docs/operations.md does not say what to do about the alert %s", m[1])
		}
	}
}
