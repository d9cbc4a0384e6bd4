package attack

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
)

// bounds is D: a refusal is never missing because what was refused was large.
func bounds() []attack {
	text := func(n int) string { return strings.Repeat("a", n) }
	ports := func(n int) string {
		return `{"virtualMachines":[{"id":"` + web + `","ports":` + many(n, func(i int) string { return fmt.Sprintf(`{"number":%d,"duration":"PT1H"}`, i%65536) }) + `}],"justification":"x"}`
	}
	sources := func(n int) string {
		return asking(web, 22, "x", strings.Split(strings.TrimSuffix(strings.Repeat("203.0.113.7,", n), ","), ",")...)
	}
	rows := []attack{
		{name: "ports, 600 KB", as: "reader", path: "/api/request", body: ports(18000), status: 400, code: "TooManyPorts", target: "virtualMachines[0].ports"},
		{name: "ports, 900 KB", path: "/api/request", body: ports(27000), status: 400, code: "TooManyVirtualMachines", target: "virtualMachines"},
		{name: "sources, 900 KB", path: "/api/request", body: sources(60000), status: 400, code: "TooManySources"},
		{name: "a justification, 900 KB", path: "/api/request", body: asking(web, 22, text(900_000), "203.0.113.7"), status: 400, code: "JustificationTooLong"},
		{name: "a source, 900 KB", path: "/api/request", body: asking(web, 22, "x", text(900_000)), status: 400, code: "FieldTooLong"},
		{name: "an id, 900 KB", path: "/api/request", body: named(text(900_000)), status: 400, code: "FieldTooLong"},
		{name: "a name of a field, 900 KB", path: "/api/request", body: `{"` + text(900_000) + `":1}`, status: 400, code: "FieldTooLong"},
		{name: "over 1 MiB", path: "/api/request", body: asking(web, 22, text(1<<20), "203.0.113.7"), status: 413, code: "RequestBodyTooLarge"},
		{name: "over 1 MiB, disable", path: "/api/disable", body: named(text(1 << 20)), status: 413, code: "RequestBodyTooLarge"},
		{name: "over 1 MiB, revoke", path: "/api/requests/00000000-0000-7000-8000-000000000000/revoke", body: `{"x":"` + text(1<<20) + `"}`, status: 413, code: "RequestBodyTooLarge"},
		{name: "over 1 MiB, extend", path: "/api/requests/00000000-0000-7000-8000-000000000000/extend", body: `{"duration":"` + text(1<<20) + `"}`, status: 413, code: "RequestBodyTooLarge"},
	}
	for i := range rows {
		rows[i].as = cmp.Or(rows[i].as, "requester") // the log takes ten refusals of one caller
		rows[i].letter, rows[i].rows = "D", line
		rows[i].also = isLogged(rows[i].code, rows[i].as+"@portcullis.example")
	}
	rows[0].figure, rows[0].before = "a request of 900 KB that is refused", "no row, no line in the log"
	return rows
}

// newest gives the newest entry of the log as the admin sees it.
func newest(t *testing.T, s *stack) map[string]any {
	t.Helper()
	all := s.must(200, "admin", "GET", "/api/activity?top=1", "").list()
	if len(all) != 1 {
		t.Fatal("the log is empty")
	}
	return all[0]
}

// isLogged holds that the newest entry of the log is this refusal, and short.
func isLogged(code, requestor string) func(*testing.T, *stack, reply) {
	return func(t *testing.T, s *stack, r reply) {
		e := newest(t, s)
		if e["result"] != "Refused" || e["reason"] != code || e["requestor"] != requestor || e["correlationId"] != r.header.Get("X-Ms-Request-Id") {
			t.Errorf("the newest entry of the log is %.600v", e)
		}
		if n := len(fmt.Sprint(e)); n > 4000 {
			t.Errorf("the entry has %d bytes", n)
		}
	}
}
