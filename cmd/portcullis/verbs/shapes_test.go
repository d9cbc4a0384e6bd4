package verbs_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/cmd/portcullis/apptest"
	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/verbs"
)

// moment is a time, of which two calls have different ones where a dry run says when something would end.
var moment = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[0-9:.]+Z"`)

// TestShapes: with --json an answer is that of the API, member by member: none is added, none is missing and none is written otherwise.
func TestShapes(t *testing.T) {
	t.Parallel()
	app := apptest.New(t, "web", "db")
	w := world(t, app, "admin")
	run := func(args ...string) []byte {
		t.Helper()
		out := w.Out.(*bytes.Buffer)
		out.Reset()
		if code := verbs.Run(t.Context(), args, w); code != exit.Done {
			t.Fatalf("%q ends with %d: %s", args, code, w.Err)
		}
		return bytes.Clone(out.Bytes())
	}
	call := func(method, path, body string) []byte {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, app.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer admin")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %d, %v, %s", method, path, resp.StatusCode, err, text)
		}
		return text
	}
	same := func(what string, ours, raw []byte) {
		t.Helper()
		var got, want any
		if err := json.Unmarshal(moment.ReplaceAll(ours, []byte(`"then"`)), &got); err != nil {
			t.Fatalf("%s: %v in %s", what, err, ours)
		}
		if err := json.Unmarshal(moment.ReplaceAll(raw, []byte(`"then"`)), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-API +client):\n%s", what, diff)
		}
	}
	run("enable", "web", "--yes", "--port", "22/tcp", "--maximum", "2h")
	run("request", "web", "--port", "22", "--for", "30m", "--reason", `"look" <here>`)
	var asked struct{ ID string }
	if err := json.Unmarshal(run("request", "web", "--port", "22", "--for", "30m", "--reason", "twice", "--json"), &asked); err != nil {
		t.Fatal(err)
	}
	vm := `{"virtualMachines":[{"id":"` + apptest.VM("demo", "web") + `"`
	for _, row := range []struct {
		args               string
		method, path, body string
	}{
		{"machines", "GET", "/api/machines?top=1000", ""},
		{"requests --top 0", "GET", "/api/requests?top=1000", ""},
		{"requests " + asked.ID, "GET", "/api/requests/" + asked.ID, ""},
		{"activity --top 0", "GET", "/api/activity?top=1000", ""},
		{"lockdown --list", "GET", "/api/lockdown", ""},
		{"revoke " + asked.ID + " --dry-run", "POST", "/api/requests/" + asked.ID + "/revoke?dryRun=true", "{}"},
		{"disable web --dry-run", "POST", "/api/disable?dryRun=true", vm + `}]}`},
		{"lockdown --everything --reason test --dry-run", "POST", "/api/lockdown?dryRun=true", `{"scope":{"everything":true},"reason":"test"}`},
	} {
		same(row.args, run(append(strings.Fields(row.args), "--json")...), call(row.method, row.path, row.body))
	}
}
