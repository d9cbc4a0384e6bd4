package handlers_test

import (
	"strings"
	"testing"
	"time"
)

// mostRepeats is how often the Functions host was seen to send a call without a body whose
// connection the handler drops (host 4.1045.200, proxy mode).
const mostRepeats = 40

// entries counts the entries of the activity log by operation and result.
func (a *app) entries() map[string]int {
	a.t.Helper()
	out := map[string]int{}
	list, _ := a.call("GET", "/api/activity?top=1000", "").body["value"].([]any)
	for _, e := range list {
		e := e.(map[string]any)
		out[e["operation"].(string)+" "+e["result"].(string)]++
	}
	return out
}

// TestRepeatedByTheHost: the host sends a call again whose answer it did not get. Whatever was
// done for the first, the last one is answered well and everything is as after one call.
func TestRepeatedByTheHost(t *testing.T) {
	port := `{"number":"22","duration":"PT1H","allowedSourceAddressPrefix":"203.0.113.7"}`
	for _, tc := range []struct {
		name         string
		method, path string // with {id} for the open request's
		late         time.Duration
		first, later int
		once         []string // entries of which there is one
		open         int      // rules that still let somebody in
	}{
		{"revoke", "POST", "/api/requests/{id}/revoke", 0, 200, 200, []string{"Close Succeeded", "Revoke Succeeded"}, 0},
		{"delete a policy", "DELETE", policy + version, 0, 200, 204, []string{"Close Succeeded", "Disable Succeeded"}, 0},
		{"sweep by hand", "POST", "/api/sweep", 2 * time.Hour, 200, 200, []string{"Close Succeeded"}, 0},
		{"read", "GET", "/api/requests/{id}", 0, 200, 200, []string{"Open Succeeded"}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newCompat(t)
			a.put(web)
			a.call("POST", policy+"/initiate"+version, initiate(web, port)).wants(t, 202, "")
			a.leap(tc.late)
			path := strings.Replace(tc.path, "{id}", a.openGrant(), 1)
			for n := range 1 + mostRepeats {
				want := tc.first
				if n > 0 {
					want = tc.later
				}
				if r := a.call(tc.method, path, ""); r.status != want {
					t.Fatalf("call %d is answered %d %s, want %d", n+1, r.status, r.text, want)
				}
			}
			got := a.entries()
			for _, what := range tc.once {
				if got[what] != 1 {
					t.Errorf("%d entries %q: %v", got[what], what, got)
				}
			}
			if n := a.allows("web-nsg"); n != tc.open {
				t.Errorf("%d rules let somebody in, want %d", n, tc.open)
			}
		})
	}
}
