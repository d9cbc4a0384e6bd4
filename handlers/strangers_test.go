package handlers_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"portcullis/core/coretest"
	"portcullis/core/jit"
)

// fewQuestions is how often a call that is refused may ask the table, its line in the log included, however many machines it names.
const fewQuestions = 3

// TestNobodyCausesNothing walks all routes with a valid token that holds no role: whatever machines he names, no call of his reads or writes a
// resource, and where they are in subscriptions that are not managed nobody is even asked what he may do. The routes are all of them; who adds
// one says here what a stranger may name at it.
func TestNobodyCausesNothing(t *testing.T) {
	stranger := func(i int) string {
		return fmt.Sprintf("/subscriptions/%08x-0000-4000-8000-000000000000/resourceGroups/x/providers/Microsoft.Compute/virtualMachines/v", i)
	}
	ours := func(i int) string {
		return fmt.Sprintf("/subscriptions/%s/resourceGroups/x/providers/Microsoft.Compute/virtualMachines/v%d", sub, i)
	}
	// Each gives the body, or the rest of the path, that names machines.
	bare := func(id func(int) string) string {
		return `{"virtualMachines":` + many(jit.MaxVMs, func(i int) string { return `{"id":"` + id(i) + `"}` }) + `}`
	}
	ports := func(id func(int) string) string {
		return `{"virtualMachines":` + many(jit.MaxVMs, func(i int) string {
			return `{"id":"` + id(i) + `","ports":[{"number":22,"allowedSourceAddressPrefix":"203.0.113.7","duration":"PT1H"}]}`
		}) + `}`
	}
	policies := func(id func(int) string) string {
		return `{"virtualMachines":` + many(jit.MaxVMs, func(i int) string { return ssh(id(i)) }) + `}`
	}
	subscription := func(id func(int) string) string { return strings.Split(id(7), "/")[2] }
	named := func(id func(int) string) string { return strings.Replace(policy, sub, subscription(id), 1) }
	list := func(id func(int) string) string {
		return `{"value":` + many(jit.MaxListedVMs, func(i int) string {
			return `{"id":"` + strings.Replace(strings.TrimPrefix(policy, "/api"), sub, strings.Split(id(i), "/")[2], 1) + `","properties":{"virtualMachines":[` + ssh(id(i)) + `]}}`
		}) + `}`
	}
	document := func(id func(int) string) string {
		policies := many(jit.MaxListedVMs, func(i int) string {
			return `{"id":"` + strings.Replace(strings.TrimPrefix(policy, "/api"), sub, strings.Split(id(i), "/")[2], 1) +
				`","virtualMachines":[{"id":"` + id(i) + `","existingRules":"override","ports":[{"number":22,"protocol":"*","allowedSourceAddressPrefix":"*","maxRequestAccessDuration":"PT3H"}]}]}`
		})
		return fmt.Sprintf(`{"format":"portcullis-policies","version":1,"exportedAt":"","holds":"","subscriptions":[],"resourceGroup":"","policies":%s,"virtualMachineCount":%d,"complete":true,"incompleteBecause":""}`, policies, jit.MaxListedVMs)
	}
	type call struct{ method, path, body string }
	const unknown = "00000000-0000-7000-8000-000000000000"
	calls := map[string]func(id func(int) string) []call{
		"POST /api/enable": func(id func(int) string) []call {
			return []call{{"POST", "/api/enable", policies(id)}, {"POST", "/api/enable?dryRun=true", policies(id)}}
		},
		"POST /api/disable": func(id func(int) string) []call { return []call{{"POST", "/api/disable", bare(id)}} },
		"POST /api/request": func(id func(int) string) []call {
			return []call{{"POST", "/api/request", ports(id)}, {"POST", "/api/request?dryRun=true", ports(id)}}
		},
		"POST /api/import": func(id func(int) string) []call { return []call{{"POST", "/api/import", list(id)}} },
		"POST /api/policies/import": func(id func(int) string) []call {
			return []call{{"POST", "/api/policies/import", document(id)}, {"POST", "/api/policies/import?dryRun=true", document(id)}}
		},
		"GET /api/policies/export": func(id func(int) string) []call {
			return []call{{"GET", "/api/policies/export?subscription=" + subscription(id), ""}}
		},
		"POST /api/requests/{id}/revoke": func(func(int) string) []call {
			return []call{{"POST", "/api/requests/" + unknown + "/revoke", ""}}
		},
		"POST /api/requests/{id}/extend": func(func(int) string) []call {
			return []call{{"POST", "/api/requests/" + unknown + "/extend", `{"duration":"PT1H"}`}}
		},
		"POST /api/requests/{id}/again": func(func(int) string) []call {
			return []call{{"POST", "/api/requests/" + unknown + "/again", ""}, {"POST", "/api/requests/" + unknown + "/again?dryRun=true", ""}}
		},
		"POST /api/requests/{id}/approve": func(func(int) string) []call {
			return []call{{"POST", "/api/requests/" + unknown + "/approve", `{"digest":""}`}, {"POST", "/api/requests/" + unknown + "/approve?dryRun=true", `{}`}}
		},
		"POST /api/requests/{id}/deny": func(func(int) string) []call {
			return []call{{"POST", "/api/requests/" + unknown + "/deny", `{"justification":"no"}`}}
		},
		"POST /api/requests/{id}/review": func(func(int) string) []call {
			return []call{{"POST", "/api/requests/" + unknown + "/review", `{"review":"x"}`}, {"POST", "/api/requests/" + unknown + "/review?dryRun=true", `{"review":"x"}`}}
		},
		"GET /api/requests/{id}": func(func(int) string) []call { return []call{{"GET", "/api/requests/" + unknown, ""}} },
		"GET /api/requests":      func(id func(int) string) []call { return []call{{"GET", "/api/requests?vm=" + id(7), ""}} },
		"GET /api/machines":      nil, // lists what is managed: see below
		"GET /api/activity": func(id func(int) string) []call {
			return []call{{"GET", "/api/activity?vm=" + id(7), ""}, {"GET", "/api/activity?subscription=" + subscription(id), ""}}
		},
		"GET /api/activity/verify": func(id func(int) string) []call {
			return []call{{"GET", "/api/activity/verify?subscription=" + subscription(id), ""}}
		},
		"GET /api/compliance": nil, // names nothing
		"POST /api/sweep":     nil,
		"GET /api/lockdown":   nil,
		"POST /api/lockdown": func(id func(int) string) []call {
			var out []call
			for _, scope := range []string{`{"virtualMachine":"` + id(7) + `"}`, `{"subscription":"` + subscription(id) + `"}`, `{"resourceGroup":"/subscriptions/` + subscription(id) + `/resourceGroups/g"}`} {
				out = append(out, call{"POST", "/api/lockdown", `{"scope":` + scope + `,"reason":"r","hold":true}`}, call{"POST", "/api/lockdown?dryRun=true", `{"scope":` + scope + `,"reason":"r"}`})
			}
			return out
		},
		"GET /api/lockdown/{id}": func(func(int) string) []call { return []call{{"GET", "/api/lockdown/" + unknown, ""}} },
		"POST /api/lockdown/{id}/lift": func(func(int) string) []call {
			return []call{{"POST", "/api/lockdown/" + unknown + "/lift", `{"reason":"r"}`}}
		},
		"GET /api/doctor":       nil,
		"GET /api/health":       nil,
		"GET /api/openapi.json": nil,

		"GET /api/metadata/endpoints": nil,
		"GET /api/tenants":            nil,
		"subscriptions": func(id func(int) string) []call {
			return []call{{"GET", "/api/subscriptions/" + subscription(id) + version, ""}}
		},
		"compatible": func(id func(int) string) []call {
			at := named(id)
			root := at[:strings.Index(at, "/resourceGroups")]
			return []call{{"GET", at + version, ""}, {"DELETE", at + version, ""}, {"PUT", at + version, `{"properties":` + policies(id) + `}`}, {"PUT", at + version, `{"properties":{"virtualMachines":[]}}`},
				{"POST", at + "/initiate" + version, ports(id)}, {"GET", root + "/providers/Microsoft.Security/jitNetworkAccessPolicies" + version, ""}}
		},
	}
	for _, route := range plainRoutes(t) {
		if _, ok := calls[route]; !ok {
			t.Errorf("nothing says what a stranger may name at %s", route)
		}
	}
	for route, of := range calls {
		if of == nil {
			continue
		}
		for who, id := range map[string]func(int) string{"made up": stranger, "managed": ours} {
			for _, c := range of(id) {
				t.Run(c.method+" "+route+" "+who, func(t *testing.T) {
					a, n := newCounted(t)
					steps := map[string]int{}
					a.store.Fault = func(_ context.Context, s coretest.Step) error {
						if !s.After {
							steps[s.Op]++
						}
						return nil
					}
					writes := a.cloud.Writes()
					r := a.call(c.method, c.path, c.body)
					if c.method != "GET" && !strings.HasSuffix(route, "import") && r.status < 400 || r.status >= 500 {
						t.Errorf("%d %.300s", r.status, r.text)
					}
					if n.cloud.Load() != 0 || a.cloud.Writes() != writes {
						t.Errorf("it cost %d reads of Resource Manager: %d %.200s", n.cloud.Load(), r.status, r.text)
					}
					if who == "made up" && n.rights.Load() != 0 {
						t.Errorf("it was asked %d times what a caller may do where nothing is managed", n.rights.Load())
					}
					if strings.HasSuffix(route, "import") && !strings.Contains(r.text, `"code":"SubscriptionNotManaged"`) && !strings.Contains(r.text, `"code":"AuthorizationFailed"`) {
						t.Errorf("%.300s", r.text)
					}
					if steps["Append"] > 1 {
						t.Errorf("one refusal was appended to the log %d times", steps["Append"])
					}
					asked := 0
					for _, n := range steps {
						asked += n
					}
					if asked > fewQuestions {
						t.Errorf("the table was asked %d times for one refusal: %v", asked, steps)
					}
				})
			}
		}
	}
}
