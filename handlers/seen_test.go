package handlers_test

import (
	"strings"
	"testing"
	"time"
)

// TestIfMatch: POST /api/enable with what the caller has seen of the policy, as REST has it.
func TestIfMatch(t *testing.T) {
	a := newCompat(t)
	body := func(ports string) string { return `{"virtualMachines":[{"id":"` + web + `","ports":[` + ports + `]}]}` }
	const ssh, rdp = `{"number":22}`, `{"number":3389}`
	first := a.call("POST", "/api/enable", body(ssh), "If-None-Match", "*")
	first.wants(t, 200, "")
	tag := first.header.Get("ETag")
	if tag == "" || !strings.Contains(first.text, `"etag":"`+strings.ReplaceAll(tag, `"`, `\"`)+`"`) {
		t.Fatalf("the ETag is %q, the answer %s", tag, first.text)
	}
	if shown := a.call("GET", "/api/machines?vm="+web, ""); !strings.Contains(shown.text, strings.ReplaceAll(tag, `"`, `\"`)) {
		t.Errorf("machines show another etag than %s: %s", tag, shown.text)
	}
	a.call("POST", "/api/enable?dryRun=true", body(rdp), "If-Match", tag).wants(t, 200, "")
	a.leap(time.Minute)
	a.call("POST", "/api/enable", body(ssh+","+rdp), "If-Match", tag).wants(t, 200, "")
	for name, headers := range map[string][2]string{"If-Match of before": {"If-Match", tag}, "any but it": {"If-Match", `"x", "y"`}, "none": {"If-None-Match", "*"}} {
		for _, dry := range []string{"", "?dryRun=true"} {
			got := a.call("POST", "/api/enable"+dry, body(rdp), headers[0], headers[1])
			got.wants(t, 412, "PreconditionFailed")
			if !strings.Contains(got.text, "alice@example.com changed the policy of web at 2026-11-23T") || !strings.Contains(got.text, "before: 22 ") {
				t.Errorf("%s%s: it does not say what changed: %s", name, dry, got.text)
			}
		}
	}
	two := `{"virtualMachines":[{"id":"` + web + `"},{"id":"` + strings.Replace(web, "/web", "/app1", 1) + `"}]}`
	a.call("POST", "/api/enable", two, "If-Match", tag).wants(t, 400, "InvalidRequestContent")
	a.call("POST", "/api/enable", body(rdp), "If-None-Match", tag).wants(t, 400, "InvalidRequestContent")
	a.call("POST", "/api/enable", body(rdp), "If-None-Match", "*", "If-Match", tag).wants(t, 400, "InvalidRequestContent")
	if got := a.call("GET", "/api/openapi.json", "").text; !strings.Contains(got, `"If-Match"`) || !strings.Contains(got, `"If-None-Match"`) {
		t.Error("the OpenAPI document does not name the headers")
	}
}
