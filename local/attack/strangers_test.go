package attack

import (
	"fmt"
	"strings"
	"testing"
)

// stranger is a machine in a subscription that is made up, another for each number.
func stranger(i int) string {
	return fmt.Sprintf("/subscriptions/%08x-0000-4000-8000-000000000000/resourceGroups/x/providers/Microsoft.Compute/virtualMachines/v", i)
}

// ours is a machine in the subscription that is managed, which is not there.
func ours(i int) string { return fmt.Sprintf("%sv%d", machines, i) }

func bare(n int, id func(int) string) string {
	return `{"virtualMachines":` + many(n, func(i int) string { return `{"id":"` + id(i) + `"}` }) + `}`
}

// ported names machines with one port each, of a policy or of a request.
func ported(n int, id func(int) string, port string) string {
	return `{"virtualMachines":` + many(n, func(i int) string { return `{"id":"` + id(i) + `","ports":[` + port + `]}` }) + `}`
}

const (
	asked = `{"number":22,"allowedSourceAddressPrefix":"203.0.113.7","duration":"PT1H"}`
	ruled = `{"number":22,"protocol":"*","allowedSourceAddressPrefix":"203.0.113.7","maxRequestAccessDuration":"PT3H"}`
)

// policyID is the id of a named policy in the subscription of a machine.
func policyID(vm string) string {
	return "/subscriptions/" + strings.Split(vm, "/")[2] + "/resourceGroups/x/providers/Microsoft.Security/locations/westeurope/jitNetworkAccessPolicies/default"
}

// listed is policies as Microsoft lists them, one for each machine.
func listed(n int, id func(int) string) string {
	return `{"value":` + many(n, func(i int) string {
		return `{"id":"` + policyID(id(i)) + `","properties":{"virtualMachines":[{"id":"` + id(i) + `","ports":[` + ruled + `]}]}}`
	}) + `}`
}

// documented is a document of policies, one for each machine.
func documented(n int, id func(int) string) string {
	return fmt.Sprintf(`{"format":"portcullis-policies","version":1,"policies":%s,"virtualMachineCount":%d,"complete":true}`, many(n, func(i int) string {
		return `{"id":"` + policyID(id(i)) + `","virtualMachines":[{"id":"` + id(i) + `","existingRules":"override","ports":[` + ruled + `]}]}`
	}), n)
}

// most is how many machines one call may name.
const most = 200

// strangers is B: no input of nobody's does work before bounds, scope and permission.
func strangers() []attack {
	const unmanaged, unfound, forbidden = "SubscriptionNotManaged", "SubscriptionNotFound", "AuthorizationFailed"
	made := policyID(stranger(7))
	return []attack{
		{letter: "B", name: "disable, as many machines as a body holds", as: "nobody", path: "/api/disable", body: bare(7000, stranger), times: 10, status: 400, code: "TooManyVirtualMachines", target: "virtualMachines", rows: 10 * line,
			figure: "disable with thousands of strangers' machines, ten times", before: "16,000 reads, 7 s each; 26 to 136 MiB in four calls", also: flat},
		{letter: "B", name: "disable, as many as a call may name", as: "nobody", path: "/api/disable", body: bare(most, stranger), times: 10, status: 400, code: unmanaged, rows: 10 * line,
			figure: "disable with 200 strangers' machines, ten times", also: flat},
		{letter: "B", name: "enable", as: "nobody", path: "/api/enable", body: ported(most, stranger, ruled), times: 10, status: 400, code: unmanaged, rows: 10 * line},
		{letter: "B", name: "enable, dry", as: "nobody", path: "/api/enable?dryRun=true", body: ported(most, stranger, ruled), times: 10, status: 400, code: unmanaged},
		{letter: "B", name: "request", as: "nobody", path: "/api/request", body: ported(most, stranger, asked), times: 10, status: 400, code: unmanaged, rows: 10 * line},
		{letter: "B", name: "request, dry", as: "nobody", path: "/api/request?dryRun=true", body: ported(most, stranger, asked), times: 10, status: 400, code: unmanaged},
		{letter: "B", name: "import", as: "nobody", path: "/api/import", body: listed(1000, stranger), times: 10, status: 200, rows: 10 * line, figure: "import of 1,000 strangers' policies, ten times", before: "3,000 reads for 1,500 policies each", also: eachRefused(unmanaged)},
		{letter: "B", name: "import of a document", as: "nobody", path: "/api/policies/import", body: documented(1000, stranger), times: 10, status: 200, rows: 10 * line, also: eachRefused(unmanaged)},
		{letter: "B", name: "import of more policies than it takes", as: "nobody", path: "/api/import", body: listed(1500, stranger), times: 10, status: 400, code: "TooManyPolicies", target: "value", rows: 10 * line},
		{letter: "B", name: "named policy, read", as: "nobody", method: "GET", path: "/api" + made + version, status: 404, code: unfound, times: 10},
		{letter: "B", name: "named policy, stored", as: "nobody", method: "PUT", path: "/api" + made + version, body: `{"properties":` + ported(most, func(int) string { return stranger(7) }, ruled) + `}`, status: 404, times: 10, rows: 10 * line},
		{letter: "B", name: "named policy, removed", as: "nobody", method: "DELETE", path: "/api" + made + version, status: 404, code: unfound, times: 10, rows: 10 * line},
		{letter: "B", name: "named policy, initiated", as: "nobody", path: "/api" + made + "/initiate" + version, body: ported(most, stranger, asked), status: 404, code: unfound, times: 10, rows: 10 * line},
		{letter: "B", name: "lists of a subscription that is made up", as: "nobody", method: "GET", path: "/api/activity?subscription=" + strings.Split(made, "/")[2], status: 200, times: 10},
		// What is managed costs the question who may, once in a while and not for each machine.
		{letter: "B", name: "disable in the managed subscription", as: "nobody", path: "/api/disable", body: bare(most, ours), times: 10, status: 403, code: forbidden, reads: 40, rows: 10 * line, figure: "disable with 200 made-up machines of ours, ten times"},
		{letter: "B", name: "request in the managed subscription", as: "nobody", path: "/api/request", body: ported(most, ours, asked), times: 10, status: 403, code: forbidden, reads: 40, rows: 10 * line},
		{letter: "B", name: "health, asked by everybody", method: "GET", path: "/api/health", times: 200, status: 200, reads: 4},
	}
}

// eachRefused holds that every element of the answer of an import is refused with the code.
func eachRefused(code string) func(*testing.T, *stack, reply) {
	return func(t *testing.T, _ *stack, r reply) {
		if n := strings.Count(r.text, `"code":"`+code+`"`); n != 1000 {
			t.Errorf("%d of 1,000 are refused with %s: %.600s", n, code, r.text)
		}
	}
}

// growth is how much the handler's resident memory may have grown over a row, in MiB, once what is in flight is done with: what the collector
// has not given back yet.
const growth = 48

// flat holds that it cost no memory. Where there is no /proc it is not looked at, which the table says.
func flat(t *testing.T, s *stack, _ reply) {
	m := s.memory()
	if m.known && m.now > s.idle.now+growth {
		t.Errorf("the handler has %.0f MiB resident, %.0f when it had done nothing", m.now, s.idle.now)
	}
}
