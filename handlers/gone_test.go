package handlers_test

import (
	"context"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/store"
)

// TestCallersWhoGoAway: a change that is begun is carried out and written down although its caller goes away in the middle, and
// so is a refusal: nobody changes or tries something without its line in the activity log by hanging up in time.
func TestCallersWhoGoAway(t *testing.T) {
	document := furnished(t).exports(t)
	refused := some(func(string, string) bool { return false })
	for name, tt := range map[string]struct {
		method, path, body string
		rights             some
		want               store.Operation
		result             store.Result
	}{
		"enable":           {"POST", "/api/enable", `{"virtualMachines":[{"id":"` + web + `"}]}`, nil, store.OpEnable, store.Succeeded},
		"enable, refused":  {"POST", "/api/enable", `{"virtualMachines":[{"id":"` + web + `"}]}`, refused, store.OpEnable, store.Refused},
		"disable":          {"POST", "/api/disable", `{"virtualMachines":[{"id":"` + app1 + `"}]}`, nil, store.OpDisable, store.Succeeded},
		"put":              {"PUT", policy + version, putBody(app1), nil, store.OpDisable, store.Succeeded},
		"delete":           {"DELETE", policy + version, "", nil, store.OpDisable, store.Succeeded},
		"import":           {"POST", restoring, document, nil, store.OpEnable, store.Succeeded},
		"request, refused": {"POST", "/api/request", `{"virtualMachines":[{"id":"` + app1 + `","ports":[{"number":22,"duration":"PT1H"}]}]}`, refused, store.OpRequest, store.Refused},
		"sweep, refused":   {"POST", "/api/sweep", "", refused, store.OpSweep, store.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			a := newCompat(t)
			a.put(app1, app2)
			told := func() int {
				entries, _, err := a.store.Store.Entries(t.Context(), store.EntryFilter{}, "", 100)
				if err != nil {
					t.Fatal(err)
				}
				return len(slices.DeleteFunc(entries, func(e store.Entry) bool {
					return e.Operation != tt.want || e.Result != tt.result || e.Requestor != "alice@example.com"
				}))
			}
			before := told()
			ctx, hangUp := context.WithCancel(t.Context())
			defer hangUp()
			var begun atomic.Bool // changes are made side by side
			a.wire(func(p *core.Ports) {
				if tt.rights != nil {
					p.Authority = some(func(action, scope string) bool { begun.Store(true); hangUp(); return tt.rights(action, scope) })
				}
			})
			a.store.Fault = func(ctx context.Context, s coretest.Step) error {
				if s.After && slices.Contains([]string{"PutPolicy", "DeletePolicy", "PutListed", "DropListed"}, s.Op) {
					begun.Store(true)
					hangUp()
				}
				return ctx.Err()
			}
			r := httptest.NewRequestWithContext(ctx, tt.method, tt.path, strings.NewReader(tt.body))
			r.Header.Set("Authorization", "Bearer test")
			r.Header.Set("X-Forwarded-For", "203.0.113.7")
			got := a.do(r)
			if !begun.Load() {
				t.Fatalf("nobody hung up: %d %s", got.status, got.text)
			}
			if told() <= before {
				t.Errorf("%s %s is not in the log: %d %s", tt.want, tt.result, got.status, got.text)
			}
		})
	}
}
