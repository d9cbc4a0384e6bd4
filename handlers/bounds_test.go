package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// asked counts every question that a call causes: to Resource Manager, to the table, and about permissions.
type asked struct{ cloud, store, rights atomic.Int64 }

func (n *asked) Missing(context.Context, jit.Caller, string, ...string) (string, error) {
	n.rights.Add(1)
	return "any", nil
}

func (n *asked) all() int64 { return n.cloud.Load() + n.store.Load() + n.rights.Load() }

// newCounted is an app whose caller has no role at all, and everything that is asked for their sake counts.
func newCounted(t *testing.T) (*app, *asked) {
	t.Helper()
	a, n := newCompat(t), &asked{}
	a.cloud.Fault = func(context.Context, coretest.Step) error { n.cloud.Add(1); return nil }
	a.store.Fault = func(context.Context, coretest.Step) error { n.store.Add(1); return nil }
	a.wire(func(p *core.Ports) { p.Authority = n })
	return a, n
}

// lastEntry gives the newest entry of the activity log.
func (a *app) lastEntry() store.Entry {
	a.t.Helper()
	entries, _, err := a.store.Store.Entries(context.Background(), store.EntryFilter{}, "", 1)
	if err != nil || len(entries) != 1 {
		a.t.Fatalf("%d entries, %v", len(entries), err)
	}
	return entries[0]
}

// TestRefusalThatCannotBeLogged: who is refused is told so although the activity log does not take it, and the app's own log says that it is missing.
func TestRefusalThatCannotBeLogged(t *testing.T) {
	for path, body := range map[string]string{
		"/api/disable": `{"virtualMachines":[{"id":"` + web + `"}]}`,
		"/api/request": `{"virtualMachines":[],"justification":"` + strings.Repeat("a", 1<<20) + `"}`,
	} {
		a, _ := newCounted(t)
		a.store.Fault = func(_ context.Context, s coretest.Step) error {
			if s.Op == "Append" {
				return &store.Unavailable{Dependency: "Table Storage", Err: errors.New("down")}
			}
			return nil
		}
		r := a.call("POST", path, body)
		if r.status != 403 && r.status != 413 || !strings.Contains(a.log.String(), "a refusal is not in the activity log") {
			t.Errorf("%s: %d %s\n%s", path, r.status, r.text, a.log)
		}
	}
}

// many writes n elements, each by its number.
func many(n int, element func(i int) string) string {
	var out []string
	for i := range n {
		out = append(out, element(i))
	}
	return "[" + strings.Join(out, ",") + "]"
}

// TestBoundsComeFirst: what is larger than anybody would send is refused by name at every door, before anything is asked
// of anybody. The routes are all of them; who adds one with a body says here how it is bounded.
func TestBoundsComeFirst(t *testing.T) {
	stranger := func(i int) string {
		return fmt.Sprintf("/subscriptions/%08x-0000-4000-8000-000000000000/resourceGroups/x/providers/Microsoft.Compute/virtualMachines/v", i)
	}
	bare := func(i int) string { return `{"id":"` + stranger(i) + `"}` }
	port := func(i int) string { return fmt.Sprintf(`{"number":%d}`, i+1) }
	prefix := func(i int) string { return fmt.Sprintf(`"10.0.%d.%d"`, i/256, i%256) }
	of := func(ports string) string { return `[{"id":"` + web + `","ports":` + ports + `}]` }
	sourced := func(ports, each int) string {
		return many(ports, func(i int) string {
			return fmt.Sprintf(`{"number":%d,"allowedSourceAddressPrefixes":%s}`, i+1, many(each, prefix))
		})
	}
	plain := func(machines string) string { return `{"virtualMachines":` + machines + `}` }
	named := func(machines string) string { return `{"properties":` + plain(machines) + `}` }
	id := strings.TrimPrefix(policy, "/api")
	listed := func(policies ...string) string {
		for i, machines := range policies {
			policies[i] = `{"id":"` + id + `","properties":` + plain(machines) + `}`
		}
		return `{"value":[` + strings.Join(policies, ",") + `]}`
	}
	type attack struct{ name, body, code, target string }
	machines := func(wrap func(string) string, at string, most int, one func(int) string) []attack {
		return []attack{{"machines", wrap(many(most+1, one)), "TooManyVirtualMachines", at}}
	}
	ports := func(wrap func(string) string, at string) []attack {
		return []attack{
			{"ports", wrap(of(many(jit.MaxPorts+1, port))), "TooManyPorts", at + "[0].ports"},
			{"sources of a port", wrap(of(sourced(1, jit.MaxSources+1))), "TooManySources", at + "[0].ports[0].allowedSourceAddressPrefixes"},
			{"sources of a machine", wrap(of(sourced(11, 91))), "TooManySources", at + "[0].ports"},
			{"a long id", wrap(`[{"id":"` + strings.Repeat("x", 4001) + `"}]`), "FieldTooLong", at + "[0].id"},
			{"a long source", wrap(of(`[{"number":22,"allowedSourceAddressPrefixes":["` + strings.Repeat("1", 4001) + `"]}]`)), "FieldTooLong", at + "[0].ports[0].allowedSourceAddressPrefixes[0]"},
			{"a long name", wrap(of(`[{"` + strings.Repeat("é", 2001) + `":1}]`)), "FieldTooLong", ""},
		}
	}
	document := func(machines string) string {
		return `{"format":"portcullis-policies","version":1,"policies":[{"id":"` + id + `",` + plain(machines)[1:] + `]}`
	}
	importOf := func(machines string) string { return listed(machines) }
	reason := attack{"a justification", `{"virtualMachines":` + of(`[{"number":22,"duration":"PT1H"}]`) + `,"justification":"` + strings.Repeat("é", 2001) + `"}`, "JustificationTooLong", "justification"}
	const vms, properties = "virtualMachines", "properties.virtualMachines"
	attacks := map[string][]attack{
		"POST /api/enable":  append(machines(plain, vms, 200, bare), ports(plain, vms)...),
		"POST /api/request": append(append(machines(plain, vms, 200, bare), ports(plain, vms)...), reason),
		"POST /api/disable": append(machines(plain, vms, 200, bare), attack{"as many as a body holds", plain(many(7000, bare)), "TooManyVirtualMachines", vms},
			attack{"a long id", plain(`[{"id":"` + strings.Repeat("x", 513) + `"}]`), "FieldTooLong", vms + "[0].id"}),
		"POST /api/import": append(append(machines(importOf, "value", 1000, bare), ports(importOf, "value[0].properties.virtualMachines")...),
			attack{"machines over several policies", listed(many(600, bare), many(600, bare)), "TooManyVirtualMachines", "value"},
			attack{"policies", `{"value":` + many(1001, func(int) string { return `{"id":"x"}` }) + `}`, "TooManyPolicies", "value"}),
		"POST /api/policies/import": append(ports(document, "policies[0].virtualMachines"),
			attack{"machines that say nothing", document(many(1<<18, func(int) string { return "{}" })), "TooManyVirtualMachines", "policies"},
			attack{"sources that say nothing", document(of(`[{"allowedSourceAddressPrefixes":` + many(1<<21+1, func(int) string { return `""` }) + `}]`)), "TooManyVirtualMachines", "policies"}),
		"POST /api/requests/{id}/revoke":  nil,
		"POST /api/requests/{id}/again":   nil,
		"POST /api/requests/{id}/review":  {{"a long review", `{"review":"` + strings.Repeat("é", 4001) + `"}`, "ReviewTooLong", "review"}, {"a long field", `{"reviews":"` + strings.Repeat("x", 4001) + `"}`, "FieldTooLong", "reviews"}},
		"POST /api/requests/{id}/approve": {{"a long digest", `{"digest":"` + strings.Repeat("0", 513) + `"}`, "FieldTooLong", "digest"}},
		"POST /api/requests/{id}/deny":    {{"a long justification", `{"justification":"` + strings.Repeat("é", 1001) + `"}`, "JustificationTooLong", "justification"}},
		"POST /api/requests/{id}/extend":  {{"a long duration", `{"duration":"` + strings.Repeat("P", 513) + `"}`, "FieldTooLong", "duration"}},
		"POST /api/sweep":                 nil,
		"POST /api/lockdown": {{"a long reason", `{"scope":{"everything":true},"reason":"` + strings.Repeat("é", 2001) + `"}`, "ReasonTooLong", "reason"},
			{"a long id", `{"scope":{"virtualMachine":"` + strings.Repeat("x", 513) + `"},"reason":"r"}`, "FieldTooLong", "scope.virtualMachine"},
			{"a long person", `{"scope":{"person":"` + strings.Repeat("0", 513) + `"},"reason":"r"}`, "FieldTooLong", "scope.person"}},
		"POST /api/lockdown/{id}/lift": {{"a long reason", `{"reason":"` + strings.Repeat("é", 2001) + `"}`, "ReasonTooLong", "reason"}},
		"PUT " + policy:                append(machines(named, properties, 1000, bare), ports(named, properties)...),
		"POST " + policy + "/initiate": append(append(machines(plain, vms, 200, bare), ports(plain, vms)...), reason),
	}
	for _, route := range plainRoutes(t) {
		if _, ok := attacks[route]; !ok && strings.HasPrefix(route, "POST ") {
			t.Errorf("nothing says how %s is bounded", route)
		}
	}
	a, n := newCounted(t)
	if r := a.call("POST", "/api/disable", plain(many(1, func(int) string { return `{"id":"` + web + `"}` }))); r.status != 403 || n.all() == 0 {
		t.Fatalf("what is within the bounds is answered %d after %d questions: nothing counts them", r.status, n.all())
	}
	for route, list := range attacks {
		method, path, _ := strings.Cut(strings.Replace(route, "{id}", "00000000-0000-7000-8000-000000000000", 1), " ")
		if strings.HasPrefix(path, policy) {
			path += version
		}
		most := 1 << 20
		if path == "/api/policies/import" {
			most = 16 << 20
		}
		if method == "PUT" {
			most = 4 << 20
		}
		list = append(list, attack{"as large as bodies may be", `{"` + vms + `":[],"x":"` + strings.Repeat("a", most) + `"}`, "RequestBodyTooLarge", ""})
		for _, tc := range list {
			t.Run(route+" "+tc.name, func(t *testing.T) {
				a, n := newCounted(t)
				writes := a.cloud.Writes()
				r := a.call(method, path, tc.body)
				code, target := r.code()
				if r.status != 400 && r.status != 413 || code != tc.code || tc.target != "" && target != tc.target {
					t.Errorf("%d %s at %.300q, want %s at %q", r.status, code, target, tc.code, tc.target)
				}
				if appended := n.store.Load() / 2; appended != 1 { // a step before it and one after
					t.Errorf("the table was asked %d times, once for the entry of the log", appended)
				}
				if log, last := a.log.String(), a.lastEntry(); !strings.Contains(log, "code="+tc.code) || last.Result != store.Refused || last.Reason != tc.code || last.Requestor != "alice@example.com" || !last.VM.IsZero() {
					t.Errorf("the log: %+v\n%.300s", last, log)
				}
				if n.cloud.Load()+n.rights.Load() != 0 || a.cloud.Writes() != writes {
					t.Errorf("it cost %d questions to Resource Manager, %d to the table and %d about permissions", n.cloud.Load(), n.store.Load(), n.rights.Load())
				}
				if len(r.text) > 2000 || !utf8.ValidString(r.text) || !json.Valid([]byte(r.text)) {
					t.Errorf("the answer has %d bytes: %.300q", len(r.text), r.text)
				}
			})
		}
	}
}

// TestBoundsThemselves: what is just within the bounds is not refused for them.
func TestBoundsThemselves(t *testing.T) {
	a := newApp(t)
	ten := many(10, func(p int) string {
		return fmt.Sprintf(`{"number":%d,"allowedSourceAddressPrefixes":%s}`, p+1, many(jit.MaxSources, func(i int) string { return fmt.Sprintf(`"10.%d.%d.0/24"`, p, 2*i) }))
	})
	for name, ports := range map[string]string{"ports": many(jit.MaxPorts, func(i int) string { return fmt.Sprintf(`{"number":%d}`, i+1) }), "sources": ten} {
		if r := a.call("POST", "/api/enable?dryRun=true", `{"virtualMachines":[{"id":"`+web+`","ports":`+ports+`}]}`); r.status != 200 {
			t.Errorf("%s: %d %.300s", name, r.status, r.text)
		}
	}
}
