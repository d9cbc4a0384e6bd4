package attack

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// verb is a call that changes something when it is made by the admin.
type verb struct {
	name, method, path, body string
	dry                      bool // it has a dry run
}

// verbs are all of them. {window} is the request that stands all the time; the rest in braces is what [stack.await] made.
func verbs() []verb {
	document := strings.Replace(documented(1, func(int) string { return web }), policyID(web), strings.TrimPrefix(policies, "/api")+"/default", 1)
	return []verb{
		{"enable", "POST", "/api/enable", `{"virtualMachines":[{"id":"` + web + `","ports":[` + ruled + `]}]}`, true},
		{"disable", "POST", "/api/disable", named(web), true},
		{"request", "POST", "/api/request", asking(web, 22, "why", "198.51.100.9"), true},
		{"revoke", "POST", "/api/requests/{window}/revoke", "", true},
		{"extend", "POST", "/api/requests/{window}/extend", `{"duration":"PT2H"}`, true},
		{"policies/import", "POST", "/api/policies/import", document, true},
		{"import", "POST", "/api/import", `{"value":[{"id":"` + strings.TrimPrefix(policies, "/api") + `/default","properties":{"virtualMachines":[{"id":"` + web + `","ports":[` + ruled + `]}]}}]}`, true},
		{"sweep", "POST", "/api/sweep", "", true},
		{"approve", "POST", "/api/requests/{waiting}/approve", `{"digest":"{digest}"}`, true},
		{"deny", "POST", "/api/requests/{waiting}/deny", `{"justification":"why not"}`, true},
		{"review", "POST", "/api/requests/{drill}/review", `{"review":"nothing happened"}`, true},
		{"lockdown", "POST", "/api/lockdown", `{"scope":{"virtualMachine":"` + web + `"},"reason":"why"}`, true},
		{"lift", "POST", "/api/lockdown/{hold}/lift", `{"reason":"why"}`, true},
		{"put", "PUT", policies + "/default" + version, `{"properties":{"virtualMachines":[{"id":"` + web + `","ports":[` + ruled + `]}]}}`, false},
		{"initiate", "POST", policies + "/default/initiate" + version, `{"virtualMachines":[{"id":"` + web + `","ports":[` + asked + `]}],"justification":"why"}`, false},
		{"delete", "DELETE", policies + "/default" + version, "", false},
	}
}

// flags is H: a safety flag never fails open, and a filter that is not understood is no empty list.
func flags() []attack {
	// Spellings of the flag that mean it, and such as are not understood and so must refuse.
	meant := []string{"dryRun=true", "DryRun=true", "dryrun=TRUE", "%64ryRun=%74rue"}
	unclear := []string{"dryRun", "dryRun=", "dryRun=1", "dryRun=yes", "dryRun=on", "dryRun=true%20", "dryRun=true%00", "dryRun=true,true", "dryRun=true;x", "dryRun=%ff", "dryRun=%zz",
		"dry-run=true", "dry_run=true", "Dry-Run=true", "whatIf=true", "what-if=true", "validateOnly=true", "dryRun%3Dtrue", "dryRun[]=true",
		"dryRun=true&dryRun=false", "dryRun=false&dryRun=true", "dryRun=false&DryRun=true", "x=1&dryRun=true"}
	var rows []attack
	for _, v := range verbs() {
		join := "?"
		if strings.Contains(v.path, "?") {
			join = "&"
		}
		for _, spelling := range append(meant, unclear...) {
			foreign := strings.Contains(v.path, "/subscriptions/")
			if foreign && (strings.HasPrefix(spelling, "dryRun%3D") || strings.HasPrefix(spelling, "dryRun=%zz")) {
				continue // on Microsoft's face what is not known is passed over, as Resource Manager does
			}
			a := attack{letter: "H", name: v.name + " ?" + spelling, as: "admin", method: v.method, path: v.path + join + spelling, body: v.body, status: 400, reads: 30, table: 60}
			if v.dry && strings.Contains(strings.Join(meant, " ")+" ", spelling+" ") {
				a.status, a.also = 200, saysDry
			}
			rows = append(rows, a)
		}
	}
	for _, v := range verbs()[:13] { // of the plain face
		body := `{"dryRun":true}`
		if strings.HasPrefix(v.body, "{") {
			body = `{"dryRun":true,` + v.body[1:]
		}
		code := "UnknownField"
		if v.name == "import" {
			continue // Defender's own answers may hold what it does not know
		}
		rows = append(rows, attack{letter: "H", name: v.name + " with dryRun in the body", as: "admin", method: v.method, path: v.path, body: body, status: 400, code: code, target: "dryRun"})
	}
	for _, filter := range []string{"activity?operation=open", "activity?operation=Foo", "activity?result=failed", "activity?format=xml", "requests?status=initiated", "requests?status=Open", "machines?state=Configured", "machines?sort=nothing",
		"activity?top=0", "activity?top=-1", "activity?top=1001", "activity?top=1e3", "activity?from=yesterday", "activity?Operation=Open&operation=Open", "activity?limit=5", "machines?subscription=x", "requests?vm=web"} {
		rows = append(rows, attack{letter: "H", name: "filter " + filter, as: "reader", method: "GET", path: "/api/" + filter, status: 400})
	}
	return rows
}

// saysDry holds that an answer says of itself that nothing was done.
func saysDry(t *testing.T, _ *stack, r reply) {
	if r.object()["dryRun"] != true {
		t.Errorf("the answer does not say that it is a dry run: %.300s", r.text)
	}
}

// unseen are texts with something in them that cannot be seen or that changes how the rest is seen.
func unseen() map[string]string {
	return map[string]string{"NUL": "a\x00b", "bell": "a\x07b", "escape sequence": "\x1b[31mred", "backspace": "a\bb", "right-to-left override": "a\u202eb", "isolate": "a\u2066b", "zero width space": "a\u200bb",
		"byte order mark": "a\ufeffb", "private use": "a\ue000b", "tag": "a\U000E0041b", "soft hyphen": "a\u00adb", "C1 control": "a\u0085\u009bb", "replacement": "a\ufffdb", "noncharacter": "a\uffffb"}
}

// texts is I: text stays text, wherever it comes in and however it goes out.
func texts() []attack {
	var rows []attack
	for name, text := range unseen() {
		rows = append(rows,
			attack{letter: "I", name: "justification with " + name, as: "requester", path: "/api/request", body: asking(web, 22, text, "198.51.100.9"), status: 400, code: "TextNotPrintable", target: "justification"},
			attack{letter: "I", name: "justification with " + name + ", initiated", as: "requester", path: policies + "/default/initiate" + version, body: `{"virtualMachines":[{"id":"` + web + `","ports":[` + asked + `]}],"justification":` + quoted(text) + `}`, status: 400, code: "TextNotPrintable"},
			attack{letter: "I", name: "id of a machine with " + name, as: "requester", path: "/api/request", body: asking(web+text, 22, "x", "198.51.100.9"), status: 400, code: "InvalidResourceId"},
			attack{letter: "I", name: "source with " + name, as: "requester", path: "/api/request", body: asking(web, 22, "x", "198.51.100.9"+text), status: 400, code: "InvalidSourceAddressPrefix"},
			attack{letter: "I", name: "filter with " + name, as: "reader", method: "GET", path: "/api/activity?top=1&requestor=" + url.QueryEscape(text), status: 200},
			attack{letter: "I", name: "cursor with " + name, as: "reader", method: "GET", path: "/api/activity?cursor=" + url.QueryEscape(text), status: 400},
		)
	}
	rows = append(rows,
		attack{letter: "I", name: "half of a surrogate pair", as: "requester", path: "/api/request", body: strings.Replace(asking(web, 22, "HERE", "198.51.100.9"), "HERE", `\ud800`, 1), status: 400},
		attack{letter: "I", name: "bytes that are not UTF-8", as: "requester", path: "/api/request", body: asking(web, 22, "a\xff\xfeb", "198.51.100.9"), status: 400},
		attack{letter: "I", name: "a long Idempotency-Key", as: "requester", path: "/api/request", header: map[string][]string{"Idempotency-Key": {strings.Repeat("k", 201)}}, body: asking(web, 22, "x", "198.51.100.9"), status: 400, target: "Idempotency-Key"},
		attack{letter: "I", name: "lines and formulas in a justification", rows: 420, reads: 120, do: forgedLines},
	)
	return rows
}

// logged are the rows of I and J that look for a refusal in the log. They come before those that are refused so often that the log
// would only count them.
func logged() []attack {
	rows := []attack{
		{letter: "I", name: "a caller whose name holds what cannot be seen", rows: 5 * line, reads: 10, do: unseenName},
		{letter: "J", name: "the platform's headers, forged, beside nobody's token", as: "nobody", path: "/api/disable", header: principals(), body: named(web), status: 403, code: "AuthorizationFailed", reads: 10, rows: line,
			also: isLogged("AuthorizationFailed", "nobody@portcullis.example")},
	}
	for _, name := range []string{"X-Ms-Request-Id", "X-Ms-Invocation-Id", "X-Azure-Functions-Invocationid", "X-Ms-Correlation-Request-Id", "X-Ms-Client-Request-Id", "Traceparent", "Request-Id"} {
		const made = "11111111-2222-4333-8444-555555555555"
		rows = append(rows, attack{letter: "I", name: "correlation id by " + name, as: "nobody", path: "/api/disable", header: map[string][]string{name: {made}}, body: named(web), status: 403, code: "AuthorizationFailed", reads: 10, rows: line,
			also: func(t *testing.T, s *stack, r reply) {
				e := newest(t, s)
				if id := r.header.Get("X-Ms-Request-Id"); id == made || e["correlationId"] != id {
					t.Errorf("the call is called %s, in the log %v", id, e["correlationId"])
				}
			}})
	}
	return rows
}

// forgedLines writes what would be lines, columns and formulas of the log, and reads the log in every form.
func forgedLines(t *testing.T, s *stack, _ *figures) {
	const mark = "forged-by-an-attacker"
	for i, text := range []string{
		"first\n2026-01-01T00:00:00Z,,,,Sweep,Succeeded,portcullis," + mark, "first\r\n{\"id\":\"" + mark + "\"}", "a\u2028b\u2029" + mark, "a\vb\fc " + mark, `","` + mark + `","`,
		"=HYPERLINK(\"https://evil.example\",\"" + mark + "\")", "+1+" + mark, "-1+" + mark, "@SUM(" + mark + ")", "\t=1+" + mark, "＝1+" + mark, "' =1+" + mark, "</script><script>" + mark,
	} {
		id := s.opened(t, "requester", asking(web, 22, text, fmt.Sprintf("198.51.100.%d", i+1)))
		s.closed("requester", id)
	}
	entries := 0
	for next := "/api/activity?top=1000"; next != ""; {
		r := s.must(200, "admin", "GET", next, "")
		entries += len(r.list())
		link, _ := r.object()["nextLink"].(string)
		next = strings.TrimPrefix(link, s.app)
	}
	csv := s.must(200, "admin", "GET", "/api/activity?format=csv", "")
	lines := strings.Split(strings.TrimSuffix(csv.text, "\r\n"), "\r\n")
	if len(lines) != entries+1 || strings.Count(csv.text, "\n") != len(lines) || strings.Count(csv.text, "\r") != len(lines) {
		t.Errorf("%d entries are %d lines of CSV, with %d LF and %d CR", entries, len(lines), strings.Count(csv.text, "\n"), strings.Count(csv.text, "\r"))
	}
	records := cells(t, csv.text)
	if len(records) != entries+1 {
		t.Errorf("%d entries are %d records of CSV", entries, len(records))
	}
	for _, r := range records {
		for i, cell := range r {
			if strings.Contains(cell, mark) && records[0][i] != "justification" {
				t.Errorf("what an attacker wrote stands in the column %s: %q", records[0][i], cell)
			}
			if trimmed := strings.TrimLeft(cell, " \t\"'"); cell != "" && strings.ContainsAny(cell[:1], "=+-@\t") || strings.HasPrefix(trimmed, "=") && !strings.HasPrefix(cell, "'") {
				t.Errorf("a spreadsheet takes this for a formula: %q", cell)
			}
		}
	}
	jsonl := s.must(200, "admin", "GET", "/api/activity?format=jsonl", "")
	whole := strings.Split(strings.TrimSuffix(jsonl.text, "\n"), "\n")
	if len(whole) != entries {
		t.Errorf("%d entries are %d lines of JSON", entries, len(whole))
	}
	for _, l := range whole {
		if e := (reply{text: l}).object(); e["id"] == nil || e["id"] == mark {
			t.Errorf("this line is no entry: %.300s", l)
		}
	}
}

// unseenName calls as somebody whose name in the directory would mislead who reads the log.
func unseenName(t *testing.T, s *stack, _ *figures) {
	for _, name := range []string{"admin@portcullis.example\n", "a\u202eb", "portcullis", "app:portcullis", "x\x1b[2J"} {
		claims := somebody(9, "x")
		claims["preferred_username"], claims["name"] = name, name
		token := s.token("reader", "", claims)
		r := s.do(s.app, "POST", "/api/disable", map[string][]string{"Authorization": {"Bearer " + token}}, named(web))
		if code, _ := r.code(); r.status != 403 || code != "AuthorizationFailed" {
			t.Errorf("%q: %d %.200s", name, r.status, r.text)
		}
		if got, _ := newest(t, s)["requestor"].(string); strings.EqualFold(got, name) || strings.ContainsAny(got, "\n\x1b\u202e") || !strings.Contains(got, fmt.Sprint(claims["oid"])) {
			t.Errorf("%q is in the log as %q", name, got)
		}
	}
}
