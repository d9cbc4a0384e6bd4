package attack

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"
)

// The envelope of the timer, as the host posts it.
const timerEnvelope = `{"Data":{"timer":{"IsPastDue":false}},"Metadata":{"sys":{"MethodName":"sweep"}}}`

// paths is what somebody sends to get to a door by another way than its own.
func paths() []attack {
	var rows []attack
	host := map[string][]string{"X-Azure-Functions-Invocationid": {"f8a4b0de-6b5c-4f0f-9d0e-0f5b8f0c6f11"}, "User-Agent": {"Azure-Functions-Host/4.1045.200.25556"}}
	for _, door := range []string{"sweep", "revoke"} {
		for _, path := range []string{"/%s", "/%s/", "/./%s", "/x/../%s", "/api/../%s", "/api/%%2e%%2e/%s", "/api/portal/..%%2f..%%2f%s", "/api/portal/%%2e%%2e/%%2e%%2e/%s", "/api/subscriptions/../../%s", "/api/subscriptions/..%%252f..%%252f%s",
			"/api/requests/..;/..;/%s", "/admin/functions/%s", "/runtime/webhooks/%s", "/api/portal/assets/..%%5c..%%5c%s"} {
			at := fmt.Sprintf(path, door)
			rows = append(rows, attack{letter: "L", name: "a trigger by " + at, do: func(t *testing.T, s *stack, _ *figures) {
				for _, who := range []string{"", "admin"} {
					header := s.as(who)
					for name, values := range host {
						header[name] = values
					}
					if r := s.do(s.app, "POST", at, header, timerEnvelope); r.status < 400 {
						t.Errorf("by %q: %d %.300s", who, r.status, r.text)
					}
				}
			}})
		}
	}
	for _, path := range []string{"/api/portal/assets/..%2f..%2f..%2fetc%2fpasswd", "/api/portal/assets/%2e%2e/%2e%2e/etc/passwd", "/api/portal/assets/../templates/layout.html", "/api/portal/assets/%00", "/api/portal/assets/portal.css%00.js", "/api/portal/assets/", "/api/portal/assets/htmx",
		"/api/host.json", "/host.json", "/local.settings.json", "/.git/config", "/api/debug/pprof/", "/debug/pprof/", "/api/metrics", "/metrics", "/api/.env", "/local/counts", "/local/token?as=admin", "/local/knobs"} {
		rows = append(rows, attack{letter: "L", name: "a file by " + path, do: func(t *testing.T, s *stack, _ *figures) {
			r := s.call("admin", "GET", path, "")
			if r.status < 400 || strings.Contains(r.text, "root:") || strings.Contains(r.text, "{{") {
				t.Errorf("%d %.300s", r.status, r.text)
			}
		}})
	}
	for _, id := range []string{"../sweep", "%2e%2e", "..%2fsweep", "a%00b", "00000000-0000-7000-8000-000000000000'%20or%201%20eq%201", "*", "%25", "00000000-0000-7000-8000-00000000000G", strings.Repeat("a", 5000), "%ef%bc%90", "grant|x", "%0d%0aX-Evil:%201"} {
		rows = append(rows, attack{letter: "L", name: fmt.Sprintf("a request's id: %.30s", id), do: func(t *testing.T, s *stack, _ *figures) {
			for _, c := range []struct{ method, tail string }{{"GET", ""}, {"POST", "/revoke"}} {
				r := s.call("admin", c.method, "/api/requests/"+id+c.tail, "")
				if r.status < 400 || r.status >= 500 || r.header.Get("X-Evil") != "" {
					t.Errorf("%s: %d %.300s", c.method, r.status, r.text)
				}
			}
		}})
	}
	for _, method := range []string{"OPTIONS", "HEAD", "TRACE", "PATCH", "PUT", "DELETE", "GET", "post", "PROPFIND", "X"} {
		rows = append(rows, attack{letter: "L", name: "the method " + method, do: func(t *testing.T, s *stack, _ *figures) {
			header := s.as("admin")
			header["X-Http-Method-Override"], header["X-Http-Method"], header["X-Method-Override"] = []string{"POST"}, []string{"POST"}, []string{"POST"}
			header["Origin"], header["Access-Control-Request-Method"] = []string{"https://evil.example"}, []string{"POST"}
			if r := s.do(s.app, method, "/api/disable", header, named(web)); r.status < 400 || r.header.Get("Access-Control-Allow-Origin") != "" || strings.Contains(r.text, "evil.example") {
				t.Errorf("%d %v %.300s", r.status, r.header, r.text)
			}
		}})
	}
	rows = append(rows,
		attack{letter: "L", name: "one header of 60 KB", as: "nobody", method: "GET", path: "/api/health", header: map[string][]string{"X-Long": {strings.Repeat("a", 60_000)}}, do: func(t *testing.T, s *stack, _ *figures) {
			if r := s.do(s.app, "GET", "/api/health", map[string][]string{"X-Long": {strings.Repeat("a", 60_000)}}, ""); r.status != 431 {
				t.Errorf("%d %.200s", r.status, r.text)
			}
		}},
		attack{letter: "L", name: "a path of 60 KB", do: func(t *testing.T, s *stack, _ *figures) {
			if r := s.call("admin", "GET", "/api/requests/"+strings.Repeat("a", 60_000), ""); r.status < 400 || r.status >= 500 {
				t.Errorf("%d %.200s", r.status, r.text)
			}
		}},
		attack{letter: "L", name: "a body with two lengths", do: func(t *testing.T, s *stack, _ *figures) {
			body := named(web)
			got := s.raw(fmt.Sprintf("POST /api/disable HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\nContent-Length: 5\r\nConnection: close\r\n\r\n%s", s.door, s.tokens["admin"], len(body), body))
			if !strings.HasPrefix(got, "HTTP/1.1 400") {
				t.Errorf("answered %q", got)
			}
		}},
	)
	return rows
}

// bodies is what somebody sends so that two readers read it in two ways, or none understands it: refused before anybody is asked anything.
func bodies() []attack {
	good := asking(web, 22, "x", "198.51.100.9")
	with := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	nested := func(n int, open, close string) string { return strings.Repeat(open, n) + strings.Repeat(close, n) }
	var squeezed bytes.Buffer
	z := gzip.NewWriter(&squeezed)
	_, _ = z.Write([]byte(good)) // into memory
	_ = z.Close()
	type sent struct{ name, body, code string }
	list := []sent{
		{"nothing", "", "RequestBodyMissing"}, {"blanks", "  \n", ""}, {"null", "null", ""}, {"true", "true", ""}, {"a number", "1", ""}, {"a text", `"x"`, ""}, {"a list", "[]", ""}, {"a list in a list", "[" + good + "]", ""},
		{"not JSON", "{virtualMachines:[]}", "InvalidRequestContent"}, {"single quotes", strings.ReplaceAll(good, `"`, "'"), "InvalidRequestContent"}, {"a comment", "/* */" + good, "InvalidRequestContent"}, {"a final comma", strings.TrimSuffix(good, "}") + ",}", "InvalidRequestContent"},
		{"two values", good + good, "InvalidRequestContent"}, {"cut off", good[:len(good)-3], "InvalidRequestContent"}, {"UTF-16", "{\x00\"\x00", "InvalidRequestContent"}, {"compressed", squeezed.String(), "InvalidRequestContent"},
		{"lists 3,000 deep", `{"virtualMachines":` + nested(3000, "[", "]") + `}`, ""}, {"objects 3,000 deep", nested(3000, `{"virtualMachines":`, "}"), ""}, {"100,000 empty lists", `{"virtualMachines":[` + strings.Repeat("[],", 100_000) + `[]]}`, ""}, {"100,000 fields", "{" + strings.Repeat(`"a":1,`, 100_000) + `"b":1}`, ""},
		{"machines twice", with(`{"virtualMachines"`, `{"virtualMachines":[],"virtualMachines"`), "DuplicateField"}, {"an id twice", with(`{"id"`, `{"id":"`+app1+`","id"`), "DuplicateField"}, {"a port's number twice", with(`{"number":22`, `{"number":3389,"number":22`), "DuplicateField"},
		{"an id twice, once escaped", with(`{"id"`, `{"\u0069d":"`+app1+`","id"`), "DuplicateField"}, {"another case", with(`"virtualMachines"`, `"VirtualMachines"`), "UnknownField"}, {"an unknown field", with(`"justification"`, `"approved":true,"justification"`), "UnknownField"}, {"a prototype", with(`"justification"`, `"__proto__":{"admin":true},"justification"`), "UnknownField"},
		{"machines as an object", with(`"virtualMachines":[`, `"virtualMachines":{"0":[`) + "}", ""}, {"ports as a text", strings.Replace(good, good[strings.Index(good, `"ports":`):strings.Index(good, `}],"just`)], `"ports":"22"`, 1), "InvalidRequestContent"},
		{"no machines", `{"virtualMachines":[],"justification":"x"}`, "VirtualMachinesMissing"}, {"the same machine twice", strings.Replace(good, `"virtualMachines":[`, `"virtualMachines":[{"id":"`+strings.ToUpper(web)+`","ports":[`+asked+`]},`, 1), ""},
		{"both lengths", with(`"duration":"PT30M"`, `"duration":"PT30M","endTimeUtc":"2030-01-01T00:00:00Z"`), "InvalidInitiateInput"}, {"no length", with(`,"duration":"PT30M"`, ""), "InvalidInitiateInput"},
	}
	for _, n := range []string{"-1", "65536", "4294967318", "22.5", "2.2e1", "1e309", `"22"`, "null", "022", "0x16", "NaN"} {
		list = append(list, sent{"port " + n, with(`"number":22`, `"number":`+n), ""})
	}
	for _, d := range []string{"", "30", "PT", "P", "-PT1H", "PT-1H", "P1Y", "P1M", "PT999999999999999999999H", "PT0S", "PT0.5S", "PT30M ", "PT30M\\n", "pt30m", "PT1H30", "NaN"} {
		list = append(list, sent{fmt.Sprintf("duration %q", d), with(`"PT30M"`, `"`+d+`"`), ""})
	}
	for _, id := range []string{"", "/", "web", web + "/", web + "/../app1", web + "/extensions/x", "/" + web, strings.Replace(web, "demo", "..", 1), strings.Replace(web, "demo", "%2e%2e", 1), strings.Replace(web, "demo", "de%6do", 1), web + "?x", web + "#x", web + "%20", web + " ", " " + web, web + "'", web + "\\\\app1",
		strings.Replace(web, "virtualMachines", "v\u0131rtualMachines", 1), strings.Replace(web, "virtualMachines", "virtualMach\u0130nes", 1), strings.Replace(web, "Microsoft", "Micro\u017foft", 1), strings.Replace(web, "Microsoft.Compute/virtualMachines", "Microsoft.Network/networkSecurityGroups", 1), "https://management.azure.com" + web,
		"/subscriptions/" + sub, "/subscriptions/*/resourceGroups/demo/providers/Microsoft.Compute/virtualMachines/web", strings.Repeat("/subscriptions", 20), web + strings.Repeat("a", 600)} {
		list = append(list, sent{fmt.Sprintf("the id %.140q", id), asking(id, 22, "x", "198.51.100.9"), ""})
	}
	for _, source := range []string{"", "*.*", "0", "1.2.3", "1.2.3.4.5", "256.1.1.1", "010.1.1.1", "1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/024", "1.2.3.4/", "::1%25eth0", "fe80::1%eth0", "::ffff:203.0.113.7/80", "1.2.3.4-1.2.3.9", "203.0.113.7,203.0.113.8", "203.0.113.7 203.0.113.8", "evil.example", "0x7f.1.1.1", "203.0.113.7\\u0000", "１.2.3.4", "any", "0.0.0.0/0", "::/0", "*", "Internet", "VirtualNetwork"} {
		list = append(list, sent{fmt.Sprintf("the source %q", source), with(`"198.51.100.9"`, `"`+source+`"`), ""})
	}
	var rows []attack
	for _, b := range list {
		a := attack{letter: "L", name: b.name, as: "requester", path: "/api/request", body: b.body, status: 400, code: b.code, reads: 4, rows: line}
		if b.name == "compressed" {
			a.header = map[string][]string{"Content-Encoding": {"gzip"}}
		}
		rows = append(rows, a)
	}
	named := `{"properties":{"virtualMachines":[{"id":"` + web + `","ports":[` + ruled + `]}]}}`
	for name, body := range map[string]string{"properties twice": `{"properties":{},` + named[1:], "properties twice, in two cases": `{"Properties":{"virtualMachines":[]},` + named[1:], "an id twice, in two cases": strings.Replace(named, `{"id"`, `{"ID":"`+app1+`","id"`, 1)} {
		rows = append(rows, attack{letter: "L", name: "stored, " + name, as: "admin", method: "PUT", path: policies + "/default" + version, body: body, status: 400, code: "DuplicateField"})
	}
	return rows
}
