package attack

import (
	"encoding/csv"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// cells reads CSV.
func cells(t *testing.T, text string) [][]string {
	t.Helper()
	all, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// The marks of a window that stands all the time, and of which only who may read its machine may learn.
const (
	hiddenWhy    = "a-reason-that-others-must-not-see"
	hiddenSource = "198.51.100.77"
)

// quotas is F: what many share, one requestor cannot use up.
func quotas() []attack {
	many := make([]string, mostAddresses/2+1)
	for i := range many {
		many[i] = fmt.Sprintf("203.0.113.%d", 1+2*i)
	}
	const refused = "RequestorQuotaExceeded"
	half := many[:mostAddresses/2]
	over := asking(app2, 3389, "more than one's share", many...)
	return []attack{
		{letter: "F", name: "addresses of a group that is shared", rows: 70, reads: 40, do: func(t *testing.T, s *stack, _ *figures) {
			id := s.opened(t, "asker2", asking(app2, 22, "one's share", half...))
			defer s.closed("asker2", id)
			for _, path := range []string{"/api/request?dryRun=true", "/api/request"} {
				r := s.call("asker2", "POST", path, over)
				if code, target := r.code(); r.status != 409 || code != refused || !strings.HasSuffix(target, "/apps-nsg") {
					t.Errorf("%s: %d %.300s", path, r.status, r.text)
				}
				clean(t, r)
			}
			if e := newest(t, s); e["reason"] != refused {
				t.Errorf("the newest entry of the log is %v", e)
			}
			other := s.opened(t, "requester", asking(app1, 22, "somebody else", "203.0.113.200"))
			s.closed("requester", other)
		}},
		{letter: "F", name: "windows of a group that is shared", rows: 100, reads: 60, do: func(t *testing.T, s *stack, _ *figures) {
			var ids []string
			defer func() { s.closed("asker2", ids...) }()
			for _, port := range []int{22, 3389, 5985, 5986} {
				r := s.call("asker2", "POST", "/api/request", asking(app2, port, "one port after the other", "203.0.113.9"))
				if id, _ := r.object()["id"].(string); r.status == 200 {
					ids = append(ids, id)
				} else if code, _ := r.code(); code != refused {
					t.Errorf("port %d: %d %.300s", port, r.status, r.text)
				}
			}
			if len(ids) != mostWindows {
				t.Errorf("one requestor has %d windows at a group, %d were to be the most", len(ids), mostWindows)
			}
		}},
	}
}

// one is a sample of G: who may read one machine sees no mark of others, not in what is derived either. All answers are walked
// in the tests of package handlers.
func one() []attack {
	paths := []string{"/api/machines", "/api/machines?q=app", "/api/requests?top=1000", "/api/activity?top=1000", "/api/activity?format=csv", "/api/activity?format=jsonl", "/api/compliance", "/api/policies/export", "/api/health",
		"/api/activity?requestor=admin@portcullis.example", "/api/activity?operation=Open", policies + version, policies + "/default" + version, "/api/subscriptions/" + sub + "/providers/Microsoft.Security/jitNetworkAccessPolicies" + version,
		"/api/portal/", "/api/portal/open", "/api/portal/last", "/api/portal/activity", "/api/portal/windows", "/api/portal/findings", "/api/portal/machine?vm=" + url.QueryEscape(app2), "/api/portal/request?vm=" + url.QueryEscape(app2), "/api/portal/configure?vm=" + url.QueryEscape(app2)}
	var rows []attack
	for _, who := range []string{"reader2", "asker2"} {
		for _, path := range paths {
			rows = append(rows, attack{letter: "G", name: who + " reads " + path, rows: 0, reads: 20, table: 200, do: func(t *testing.T, s *stack, _ *figures) {
				r := s.call(who, "GET", path, "")
				if r.status >= 500 {
					t.Errorf("%d %.300s", r.status, r.text)
				}
				unmarked(t, s, r)
			}})
		}
		for _, c := range []struct{ method, path, body string }{{"GET", "", ""}, {"POST", "/revoke", ""}, {"POST", "/revoke?dryRun=true", ""}, {"POST", "/extend", `{"duration":"PT2H"}`}, {"POST", "/extend?dryRun=true", `{"duration":"PT2H"}`}} {
			rows = append(rows, attack{letter: "G", name: who + " names another's request: " + c.method + c.path, as: who, method: c.method, path: "/api/requests/{window}" + c.path, body: c.body, status: 404, code: "RequestNotFound", reads: 10, rows: line})
		}
	}
	dry := asking(app2, 22, "a look", "203.0.113.9")
	return append(rows,
		attack{letter: "G", name: "a dry run at a group that is shared", as: "asker2", path: "/api/request?dryRun=true", body: dry, status: 200, reads: 20, table: 40, also: unmarked},
		attack{letter: "G", name: "a request at a group that is shared", rows: 40, reads: 40, do: func(t *testing.T, s *stack, _ *figures) {
			r := s.must(200, "asker2", "POST", "/api/request", dry)
			unmarked(t, s, r)
			id, _ := r.object()["id"].(string)
			unmarked(t, s, s.must(200, "asker2", "GET", "/api/requests/"+id, ""))
			unmarked(t, s, s.must(200, "asker2", "POST", "/api/requests/"+id+"/revoke?dryRun=true", ""))
			unmarked(t, s, s.must(200, "asker2", "POST", "/api/requests/"+id+"/revoke", ""))
		}},
	)
}

// unmarked holds that an answer shows nothing of the window that is hidden from its reader, nor of machines that he may not read.
func unmarked(t *testing.T, s *stack, r reply) {
	t.Helper()
	for _, mark := range []string{hiddenWhy, hiddenSource, s.window, "virtualMachines/app1", "virtualMachines%2Fapp1", ">app1<", `"app1"`, "virtualMachines/web", "web-nsg", "web-team"} {
		if at := strings.Index(strings.ToLower(r.text), strings.ToLower(mark)); at >= 0 {
			t.Errorf("%d: the answer shows %q: %.300s", r.status, mark, r.text[max(0, at-100):])
		}
	}
}
