package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/functions"
	"portcullis/local/armsim"
	"portcullis/local/issuer"
)

// doors is the expected result of every call by every caller, over HTTP, through the host, the app, its token
// verification and its role assignments. The columns are callers: without a token; with App Service's identity
// headers and no token; with a valid token for Resource Manager; with the admin's ID token instead of an access
// token; the app's own identity, which has no role as a caller; and the personas. A status with + shows something
// about the machine web, one with - must not. A row is a function's route, followed by the subject of the call.
const doors = `
                                nobody forged foreign idtoken app  reader requester admin approver
enable                          401    401    401     401     403  403    403       200   403
enable?dryRun=true              401    401    401     401     403  403    403       200   403
request                         401    401    401     401     403  403    200       200   403
request?dryRun=true             401    401    401     401     403  403    200       200   403
requests/{id?}                  401    401    401     401     200- 200+   200+      200+  200+
requests/{id?} requester's      401    401    401     401     404  200+   200+      200+  200+
requests/{id?} admin's          401    401    401     401     404  200+   200+      200+  200+
requests/{id}/revoke requester's 401   401    401     401     404  403    200       200   403
requests/{id}/revoke admin's    401    401    401     401     404  403    403       200   403
requests/{id}/extend requester's 401   401    401     401     404  403    200       403   403
requests/{id}/extend admin's    401    401    401     401     404  403    403       200   403
requests/{id}/again requester's 401    401    401     401     404  403    200+      403   403
requests/{id}/again admin's     401    401    401     401     404  403    403       200+  403
requests/{id}/approve requester's 401  401    401     401     404  403    403       409   409
requests/{id}/approve admin's   401    401    401     401     404  403    403       403   409
requests/{id}/deny requester's  401    401    401     401     404  403    403       409   409
requests/{id}/deny admin's      401    401    401     401     404  403    403       403   409
requests/{id}/review requester's 401   401    401     401     404  403    403       409   409
requests/{id}/review?dryRun=true admin's 401 401 401   401     404  403    403       403   409
machines                        401    401    401     401     200- 200+   200+      200+  200+
activity                        401    401    401     401     200- 200+   200+      200+  200+
activity/verify                 401    401    401     401     403  200    200       200   200
doctor                          401    401    401     401     403  403    403       200   403
compliance                      401    401    401     401     200- 200    200       200   200
sweep                           401    401    401     401     403  403    403       200   403
lockdown?dryRun=true            401    401    401     401     403  403    403       200+  403
lockdown                        401    401    401     401     403  403    403       200+  403
lockdown/{id}/lift              401    401    401     401     404  403    403       200   403
lockdown/{id?}                  401    401    401     401     200  200    200       200   200
import                          401    401    401     401     200- 200-   200-      200+  200-
policies/export                 401    401    401     401     200- 200+   200+      200+  200+
policies/import                 401    401    401     401     200- 200-   200-      200+  200-
subscriptions/{*path} list      401    401    401     401     200- 200+   200+      200+  200+
subscriptions/{*path} get       401    401    401     401     403  200+   200+      200+  200+
subscriptions/{*path} put       401    401    401     401     403  403    403       200+  403
subscriptions/{*path} initiate  401    401    401     401     403  403    202+      202+  403
subscriptions/{*path} delete    401    401    401     401     403  403    403       200   403
disable                         401    401    401     401     403  403    403       200   403
portal/{*path} machines         401    401    401     401     200- 200+   200+      200+  200+
tenants?api-version=2022-12-01  401    401    401     401     200- 200-   200-      200-  200-
subscriptions/{*path} all       401    401    401     401     200  200    200       200   200
subscriptions/{*path} one       401    401    401     401     404  200    200       200   200
metadata/endpoints?api-version=2022-09-01 200 200 200   200     200- 200-   200-      200- 200-
health                          200    200    200     200     200  200    200       200   200
openapi.json                    200    200    200     200     200  200    200       200   200
`

// callers returns the headers of each column.
func (r *rig) callers() map[string]http.Header {
	r.t.Helper()
	bearer := func(token string, err error) http.Header {
		if err != nil {
			r.t.Fatal(err)
		}
		return http.Header{"Authorization": {"Bearer " + token}}
	}
	return map[string]http.Header{
		"nobody": {},
		"forged": {
			"X-Ms-Client-Principal":      {"eyJhdXRoX3R5cCI6ImFhZCIsImNsYWltcyI6W3sidHlwIjoib2lkIiwidmFsIjoiMDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMGUzIn1dfQ=="},
			"X-Ms-Client-Principal-Id":   {"00000000-0000-0000-0000-0000000000e3"},
			"X-Ms-Client-Principal-Name": {"admin@portcullis.example"},
			"X-Ms-Client-Principal-Idp":  {"aad"},
		},
		"foreign":   bearer(r.tokens.Token("admin", issuer.ResourceManager)),
		"idtoken":   bearer(r.tokens.IDToken("admin")),
		"app":       bearer(r.tokens.AppToken(issuer.DefaultAudience)),
		"reader":    r.as("reader"),
		"requester": r.as("requester"),
		"admin":     r.as("admin"),
		"approver":  r.as("approver"),
	}
}

// visit is one call of the matrix.
type visit struct {
	method, path string
	body         any
}

const policies = sub + "/resourceGroups/demo/providers/Microsoft.Security/locations/westeurope/jitNetworkAccessPolicies"

// visits returns the call of a row. source makes every request different.
func (r *rig) visits(row, source string) visit {
	r.t.Helper()
	const version = "?api-version=2020-01-01"
	port := map[string]any{"number": 22, "protocol": "*", "allowedSourceAddressPrefix": "*", "maxRequestAccessDuration": "PT3H"}
	policy := map[string]any{"virtualMachines": []any{map[string]any{"id": web, "ports": []any{port}}}}
	wanted := map[string]any{"virtualMachines": []any{map[string]any{"id": web,
		"ports": []any{map[string]any{"number": 22, "duration": "PT30M", "allowedSourceAddressPrefix": source}}}}}
	locked := map[string]any{"scope": map[string]any{"virtualMachine": web}, "reason": "a test"}
	route, about, _ := strings.Cut(row, " ")
	path := "/api/" + route
	if who, ok := strings.CutSuffix(about, "'s"); ok {
		grant := r.mustAs(r.as(who), 200, "POST", "/api/request", wanted)
		path = "/api/" + strings.NewReplacer("{id?}", grant["id"].(string), "{id}", grant["id"].(string)).Replace(route)
	}
	switch route {
	case "enable", "enable?dryRun=true":
		return visit{"POST", path, vms(web)}
	case "disable":
		return visit{"POST", path, vms(web)}
	case "request", "request?dryRun=true":
		return visit{"POST", path, wanted}
	case "requests/{id}/revoke", "requests/{id}/again", "sweep":
		return visit{"POST", path, map[string]any{}}
	case "requests/{id}/approve":
		return visit{"POST", path, map[string]any{"digest": ""}}
	case "requests/{id}/deny":
		return visit{"POST", path, map[string]any{"justification": "no"}}
	case "lockdown", "lockdown?dryRun=true":
		return visit{"POST", path, locked}
	case "lockdown/{id}/lift":
		held := r.mustAs(r.as("admin"), 200, "POST", "/api/lockdown", map[string]any{"scope": map[string]any{"resourceGroup": sub + "/resourceGroups/elsewhere"}, "reason": "a test", "hold": true})
		return visit{"POST", strings.Replace(path, "{id}", held["hold"].(string), 1), map[string]any{"reason": "a test"}}
	case "lockdown/{id?}":
		return visit{"GET", strings.TrimSuffix(path, "/{id?}"), nil}
	case "requests/{id}/review", "requests/{id}/review?dryRun=true":
		return visit{"POST", path, map[string]any{"review": "it was no break-glass, so nobody may say so"}}
	case "requests/{id}/extend":
		return visit{"POST", path, map[string]any{"duration": "PT1H"}}
	case "import":
		return visit{"POST", path, map[string]any{"value": []any{map[string]any{"id": policies + "/default", "properties": policy}}}}
	case "policies/import":
		held := map[string]any{"id": web, "existingRules": "override", "ports": []any{port}}
		return visit{"POST", path, map[string]any{"format": "portcullis-policies", "version": 1, "policies": []any{map[string]any{"id": policies + "/default", "virtualMachines": []any{held}}},
			"virtualMachineCount": 1, "complete": true}}
	case "requests/{id?}":
		return visit{"GET", strings.TrimSuffix(path, "/{id?}"), nil}
	}
	switch about {
	case "machines":
		return visit{"GET", "/api/portal/", nil}
	case "list":
		return visit{"GET", "/api" + policies + version, nil}
	case "all":
		return visit{"GET", "/api/subscriptions" + version, nil}
	case "one":
		return visit{"GET", "/api" + sub + version, nil}
	case "get":
		return visit{"GET", "/api" + policies + "/default" + version, nil}
	case "put":
		return visit{"PUT", "/api" + policies + "/default" + version, map[string]any{"kind": "Basic", "properties": policy}}
	case "initiate":
		return visit{"POST", "/api" + policies + "/default/initiate" + version, wanted}
	case "delete":
		return visit{"DELETE", "/api" + policies + "/default" + version, nil}
	}
	return visit{"GET", path, nil}
}

func (r *rig) mustAs(header http.Header, status int, method, path string, body any) map[string]any {
	r.t.Helper()
	got, answer := r.callWith(header, method, path, body)
	if got != status {
		r.t.Fatalf("%s %s: status %d, want %d: %v", method, path, got, status, answer)
	}
	return answer
}

// TestDoors checks the matrix, and that a refusal changes no rule.
func TestDoors(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), nil)
	if err := r.arm.SetKnobs(armsim.Knobs{Writes: armsim.Writes{Answer: armsim.AnswerSucceeded}}); err != nil {
		t.Fatal(err)
	}
	declared, err := functions.All()
	if err != nil {
		t.Fatal(err)
	}
	var routes, rows []string
	for _, f := range declared {
		if f.Kind == functions.HTTP {
			routes = append(routes, f.Route)
		}
	}
	var columns []string
	visits, changed := 0, true
	for _, line := range strings.Split(strings.TrimSpace(doors), "\n") {
		fields := strings.Fields(line)
		if columns == nil {
			columns = fields
			continue
		}
		row := strings.Join(fields[:len(fields)-len(columns)], " ")
		cells := fields[len(fields)-len(columns):]
		rows = append(rows, strings.FieldsFunc(row, func(c rune) bool { return c == ' ' || c == '?' && !strings.Contains(row, "?}") })[0])
		if !slices.Contains(routes, rows[len(rows)-1]) {
			t.Errorf("there is no function with the route of %s", row)
			continue
		}
		for i, cell := range cells {
			visits++
			if changed { // by the previous visit
				r.must(200, "POST", "/api/enable", vms(web))
			}
			call := r.visits(row, fmt.Sprintf("198.18.%d.%d", visits/250, visits%250))
			before := r.rules("web-nsg")
			status, answer := r.callWith(r.callers()[columns[i]], call.method, call.path, call.body)
			changed = status < 300 && call.method != "GET"
			text, err := json.Marshal(answer)
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprint(status)
			shows := (strings.Contains(string(text), "virtualMachines/web") || strings.Contains(string(text), "virtualMachines%2Fweb")) &&
				!strings.Contains(string(text), `"enabled":false`) && !strings.Contains(string(text), `"outcome":"failed"`)
			if strings.HasSuffix(cell, "+") && shows {
				got += "+"
			}
			if strings.HasSuffix(cell, "-") && !shows {
				got += "-"
			}
			if got != cell {
				t.Errorf("%s by %s: %s, want %s: %s", row, columns[i], got, cell, text)
			}
			if diff := cmp.Diff(before, r.rules("web-nsg")); status >= 400 && diff != "" {
				t.Errorf("%s by %s is refused and changed rules:\n%s", row, columns[i], diff)
			}
			if status >= 400 && strings.Contains(string(text), "Bearer") {
				t.Errorf("%s by %s: the answer holds a token", row, columns[i])
			}
		}
	}
	for _, route := range routes {
		if !slices.Contains(rows, route) {
			t.Errorf("the route %s has no row: say for whom it is", route)
		}
	}
}

// TestReaderAsks checks the responses to a caller who may only read, whatever they claim about themselves.
func TestReaderAsks(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), nil)
	r.must(200, "POST", "/api/enable", vms(web))
	header := r.as("reader")
	for name, values := range r.callers()["forged"] {
		header[name] = values
	}
	status, answer := r.callWith(header, "POST", "/api/request", ask("PT5M", "I am the admin"))
	refused, _ := answer["error"].(map[string]any)
	message, _ := refused["message"].(string)
	if status != 403 || refused["code"] != "AuthorizationFailed" || refused["target"] != web ||
		!strings.Contains(message, "Microsoft.Security/locations/jitNetworkAccessPolicies/initiate/action") || !strings.Contains(message, "reader@portcullis.example") {
		t.Errorf("%d %v", status, answer)
	}
	if r.open("web-nsg") {
		t.Error("a port is open")
	}
	entries := r.mustAs(r.as("reader"), 200, "GET", "/api/activity", nil)["value"].([]any)
	last := entries[0].(map[string]any)
	if last["operation"] != "Request" || last["result"] != "Refused" || last["requestor"] != "reader@portcullis.example" || last["reason"] != "AuthorizationFailed" {
		t.Errorf("the log says %v", last)
	}
}

// TestRolesCannotBeRead checks that nobody may do anything while the app may not read role assignments.
func TestRolesCannotBeRead(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), nil)
	before := r.nsg("web-nsg")
	denied := []armsim.Denied{{Principal: issuer.AppObjectID, Action: "Microsoft.Authorization/*"}}
	if err := r.arm.Tune(func(k *armsim.Knobs) { k.Denied = denied }); err != nil {
		t.Fatal(err)
	}
	for _, call := range []visit{{"POST", "/api/enable", vms(web)}, {"POST", "/api/request", ask("PT5M", "x")}, {"POST", "/api/sweep", map[string]any{}}} {
		status, answer := r.call(call.method, call.path, call.body)
		if refused, _ := answer["error"].(map[string]any); status != 502 || refused["code"] != "AppPermissionMissing" {
			t.Errorf("%s: %d %v", call.path, status, answer)
		}
	}
	if diff := cmp.Diff(before, r.nsg("web-nsg")); diff != "" {
		t.Errorf("a rule was changed:\n%s", diff)
	}
}
