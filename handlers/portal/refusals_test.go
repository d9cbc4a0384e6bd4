package portal_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// paths are all that a browser may be sent to.
var paths = []string{"", "open", "machine?vm=" + web, "request?vm=" + web, "configure?vm=" + web, "requests/00000000-0000-7000-8000-000000000000",
	"requests/00000000-0000-7000-8000-000000000000/rdp?vm=" + web, "requests/00000000-0000-7000-8000-000000000000/decide", "activity", "windows", "findings", "lockdown", "lockdown/00000000-0000-7000-8000-000000000000", "nothing/here"}

var posts = []string{"request", "configure", "disable", "requests/00000000-0000-7000-8000-000000000000/extend", "requests/00000000-0000-7000-8000-000000000000/close",
	"requests/00000000-0000-7000-8000-000000000000/approve", "requests/00000000-0000-7000-8000-000000000000/deny", "requests/00000000-0000-7000-8000-000000000000/review",
	"lockdown", "lockdown/00000000-0000-7000-8000-000000000000/lift"}

// TestUnknownCaller: somebody unknown gets the sign-in page and nothing else,
// whatever unsigned headers say.
func TestUnknownCaller(t *testing.T) {
	s := newSite(t)
	s.enable()
	nobody := []string{"X-Ms-Token-Aad-Id-Token", "", "X-Ms-Client-Principal-Name", "admin@example.com", "X-Ms-Client-Principal", "e30=", "Cookie", "AppServiceAuthSession=x"}
	for _, method := range []string{"GET", "POST"} {
		list := paths
		if method == "POST" {
			list = posts
		}
		for _, path := range list {
			p := s.send(s.ask(method, path, "vm="+web+"&intent=save", nobody...))
			if p.status != 401 {
				t.Errorf("%s %s: %d", method, path, p.status)
			}
			p.holds(t, "/.auth/login/aad?post_login_redirect_uri=%2Fapi%2Fportal%2F")
			p.lacks(t, "web-nsg", "198.51.100.4", "app1", "Sign out")
		}
	}
	p := s.send(s.ask("GET", "open", "", append(nobody, "HX-Request", "true")...))
	if p.status != 401 || p.header.Get("HX-Redirect") != "" || p.header.Get("Portcullis-View") != "signin" {
		t.Errorf("a part of the page is answered %d, so that what is typed around it is lost: %v", p.status, p.header)
	}
	if got := s.get("machine?vm="+web, nobody...); !strings.Contains(got.text, "post_login_redirect_uri=%2Fapi%2Fportal%2Fmachine%3Fvm%3D") {
		t.Errorf("signing in does not come back to the page: %s", got.text)
	}
	s.down = &store.Unavailable{Dependency: "Entra ID", Err: errors.New("down")}
	if got := s.get(""); got.status != 500 || strings.Contains(got.text, "web-nsg") { // this test's Explain knows no 503
		t.Errorf("nobody can be identified: %d", got.status)
	}
}

// TestOtherSites: what another site sends is refused before anything is looked at.
func TestOtherSites(t *testing.T) {
	s := newSite(t)
	writes := s.cloud.Writes()
	for name, headers := range map[string][]string{
		"another site":              {"Sec-Fetch-Site", "cross-site"},
		"another host of the site":  {"Sec-Fetch-Site", "same-site"},
		"an old browser, elsewhere": {"Sec-Fetch-Site", "", "Origin", "https://evil.example"},
		"an opaque origin":          {"Sec-Fetch-Site", "", "Origin", "null"},
		"no word on where from":     {"Sec-Fetch-Site", ""},
	} {
		for _, path := range posts {
			if p := s.send(s.ask("POST", path, "vm="+web+"&intent=save&number=22&protocol=*&sources=any&maximum=3h", headers...)); p.status != 403 {
				t.Errorf("%s: POST %s is answered %d", name, path, p.status)
			}
		}
	}
	if s.cloud.Writes() != writes {
		t.Error("something was written")
	}
	for _, headers := range [][]string{{"Sec-Fetch-Site", "same-origin"}, {"Sec-Fetch-Site", "", "Origin", "http://example.com"}} {
		if p := s.send(s.ask("POST", "configure", "vm="+web+"&intent=save&number=22&protocol=*&sources=any&maximum=3h", headers...)); p.status != 200 {
			t.Errorf("the page's own form is answered %d: %s", p.status, p.text)
		}
	}
}

func TestHeaders(t *testing.T) {
	s := newSite(t)
	const want = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	for _, path := range append(paths, "assets/portal.css", "assets/none") {
		h := s.get(path).header
		if h.Get("Content-Security-Policy") != want || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") != "same-origin" {
			t.Errorf("%s: %v", path, h)
		}
	}
	for name, kind := range map[string]string{"portal.js": "text/javascript; charset=utf-8", "portal.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml", "htmx/htmx.min.js": "text/javascript; charset=utf-8", "htmx/LICENSE": "text/plain; charset=utf-8"} {
		p := s.get("assets/" + name)
		if p.status != 200 || p.header.Get("Content-Type") != kind {
			t.Errorf("%s: %d %s", name, p.status, p.header.Get("Content-Type"))
		}
		if p.header.Get("Cache-Control") != "" {
			t.Errorf("%s without its version is kept: %s", name, p.header.Get("Cache-Control"))
		}
	}
	for _, path := range []string{"assets/..%2fembed.go", "assets/none.js", "assets/"} {
		r := httptest.NewRequest("GET", "/api/portal/"+path, nil)
		if p := s.send(r); p.status == 200 {
			t.Errorf("%s is served", path)
		}
	}
}

// TestRequestRefusals: each refusal stands beside its field, what was typed is kept, and nothing is opened.
func TestRequestRefusals(t *testing.T) {
	ok := []string{"intent", "open", "vm", web, "vm", app1, "source", "mine", "mine", "203.0.113.7", "why", "look"}
	for _, tc := range []struct {
		name  string
		form  []string
		may   func(jit.Caller, string, string) bool
		holds []string
	}{
		{"no port", nil, nil, []string{"Choose at least one port to open."}},
		{"a time over the maximum", []string{"port-1-22", "on", "for-1-22", "5 h"}, nil, []string{`id="wrong-for-1-22">5 h is longer than the 3 h that`, `aria-describedby="wrong-for-1-22"`, `value="5 h"`}},
		{"no time", []string{"port-0-22", "on", "for-0-22", "soon"}, nil, []string{`id="wrong-for-0-22">&#34;soon&#34; is not a length of time`}},
		{"no address", []string{"port-0-22", "on", "mine", ""}, nil, []string{"is not an IP address; to name a range, choose Other ranges"}},
		{"no ranges", []string{"port-0-22", "on", "source", "other"}, nil, []string{"Name at least one address or range"}},
		{"host bits", []string{"port-0-22", "on", "source", "other", "other", "10.1.2.3/8"}, nil, []string{"has host bits set", ">10.1.2.3/8</textarea>"}},
		{"an address of the other family", []string{"port-0-22", "on", "mine", "2001:db8::1"}, nil, []string{"web has no address of the family of 2001:db8::1", `aria-invalid="true"`}},
		{"too long a reason", []string{"port-0-22", "on", "why", strings.Repeat("x", 1001)}, nil, []string{"longer than 1000 characters"}},
		{"no permission on one of two", []string{"port-0-22", "on", "port-1-22", "on"},
			func(_ jit.Caller, scope, action string) bool {
				return action != permit.ActionInitiate || scope == web
			},
			[]string{"alice@example.com does not have the permission " + permit.ActionInitiate + " at app1"}},
		{"no policy", []string{"vm", bare, "port-2-22", "on"}, nil, []string{"bare has no just-in-time policy"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t)
			s.enable()
			if tc.may != nil {
				s.may = tc.may
			}
			writes := s.cloud.Writes()
			p := s.post("request", merge(ok, tc.form)...)
			if p.status < 400 || p.status >= 500 {
				t.Errorf("status %d", p.status)
			}
			p.holds(t, append(tc.holds, "Nothing was opened.")...)
			if open, _ := s.store.OpenGrants(t.Context()); len(open) != 0 || s.cloud.Writes() != writes {
				t.Error("a refusal opened something")
			}
		})
	}
}

// merge gives the fields with those of more in the place of their own; vm is added.
func merge(fields, more []string) []string {
	var out []string
	for i := 0; i+1 < len(fields); i += 2 {
		replaced := false
		for j := 0; j+1 < len(more); j += 2 {
			replaced = replaced || more[j] == fields[i] && fields[i] != "vm"
		}
		if !replaced {
			out = append(out, fields[i], fields[i+1])
		}
	}
	return append(out, more...)
}

func TestConfigureRefusals(t *testing.T) {
	row := func(number, protocol, sources, maximum string) []string {
		return []string{"number", number, "protocol", protocol, "sources", sources, "maximum", maximum}
	}
	for _, tc := range []struct {
		name  string
		rows  []string
		may   func(jit.Caller, string, string) bool
		holds []string
	}{
		{"no port", nil, nil, []string{"A policy needs at least one port."}},
		{"not a number", row("ssh", "*", "any", "3 h"), nil, []string{`id="wrong-number-0">&#34;ssh&#34; is not a port`, `value="ssh"`}},
		{"over 65535", row("65536", "*", "any", "3 h"), nil, []string{`id="wrong-number-0"`}},
		{"twice", append(row("22", "*", "any", "3 h"), row("22", "TCP", "any", "3 h")...), nil, []string{`id="wrong-number-1">Port 22 stands twice`}},
		{"a protocol of its own", row("22", "ICMP", "any", "3 h"), nil, []string{"none of TCP, UDP, *"}},
		{"a broken source", append(row("22", "*", "any", "3 h"), row("23", "*", "10.0.0.0/33", "3 h")...), nil, []string{`id="wrong-sources-1">&#34;10.0.0.0/33&#34; is not a prefix`}},
		{"no source", row("22", "*", "", "3 h"), nil, []string{`id="wrong-sources-0">No source is allowed for port 22`}},
		{"too long", row("22", "*", "any", "25 h"), nil, []string{`id="wrong-maximum-0">A maximum of 25 h is outside 5 min to 24 h`}},
		{"no time", row("22", "*", "any", ""), nil, []string{`id="wrong-maximum-0"`}},
		{"no permission", row("22", "*", "any", "3 h"), func(_ jit.Caller, _, action string) bool { return action != permit.ActionWriteVM },
			[]string{"does not have the permission " + permit.ActionWriteVM}},
		{"nothing guards it", append(row("22", "*", "any", "3 h"), "vm", bare), nil, []string{"bare has no network security group"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t)
			if tc.may != nil {
				s.may = tc.may
			}
			writes := s.cloud.Writes()
			p := s.post("configure", append([]string{"intent", "save", "vm", web}, tc.rows...)...)
			if p.status < 400 || p.status >= 500 {
				t.Errorf("status %d", p.status)
			}
			p.holds(t, append(tc.holds, "Not saved.")...)
			if all, _ := store.AllPolicies(t.Context(), s.store); len(all) != 0 || s.cloud.Writes() != writes {
				t.Error("a refusal saved something")
			}
			preview := s.post("configure", append([]string{"intent", "preview", "vm", web}, tc.rows...)...)
			if preview.status != 200 || strings.Contains(preview.text, "Deny") {
				t.Errorf("the preview of what is refused: %d %s", preview.status, preview.text)
			}
		})
	}
}

// TestNotFound: what is not there, or may not be read, is the same.
func TestNotFound(t *testing.T) {
	s := newSite(t)
	s.enable()
	id := s.opened("alice", "secret reason", time.Hour, 22)
	s.may = func(_ jit.Caller, scope, _ string) bool { return !strings.EqualFold(scope, web) }
	for _, path := range []string{"nothing", "machine?vm=" + strings.Replace(web, "Compute", "ClassicCompute", 1), "machine?vm=" + web, "requests/" + id, "requests/" + id + "/rdp?vm=" + web, "requests/x"} {
		p := s.get(path)
		if p.status != 404 {
			t.Errorf("%s: %d", path, p.status)
		}
		p.lacks(t, "secret reason", "198.51.100.4")
	}
	for _, path := range []string{"", "open", "activity", "windows"} {
		s.get(path).lacks(t, "secret reason", "198.51.100.4", `value="`+web+`"`)
	}
	// What is open in one's own name everybody closes, and nothing more.
	for _, tc := range []struct {
		verb   string
		status int
	}{{"/extend", 404}, {"/close", 303}, {"/extend", 403}} {
		p := s.post("requests/"+id+tc.verb, "for", "1 h")
		if p.status != tc.status {
			t.Errorf("POST %s: %d, want %d", tc.verb, p.status, tc.status)
		}
		p.lacks(t, "198.51.100.4")
	}
	p := s.get("requests/" + id) // and is shown what became of it
	p.holds(t, "Ports are closed")
	p.lacks(t, "198.51.100.4")
	for _, path := range []string{"machine", "machine?vm=", "request?vm=/subscriptions/x", "configure?vm=" + strings.Replace(web, "Compute", "ClassicCompute", 1)} {
		if p := s.get(path); p.status != 400 {
			t.Errorf("%s: %d", path, p.status)
		}
	}
}

// TestEscaping: what people and machines are called, and why they ask, is text.
func TestEscaping(t *testing.T) {
	s := newSite(t)
	const evil = `<script>alert(1)</script>"><img src=x onerror=alert(2)>'{{.}}`
	odd := jit.ID{Subscription: sub, ResourceGroup: evil, Type: jit.TypeVM, Name: evil}
	s.cloud.Place(network.Machine{VM: odd, Location: evil, Unguarded: []string{evil}})
	s.enable()
	id := s.opened(evil, evil, time.Hour, 22)
	for _, path := range []string{"", "?tab=unsupported", "open", "requests/" + id, "activity", "activity?requestor=" + "%3Cscript%3E&vm=%22%3E%3Cscript%3E", "windows", "machine?vm=" + web, "?text=%22%3E%3Cscript%3E"} {
		p := s.get(path)
		p.lacks(t, "<script>", "<img src=x")
		if strings.Contains(p.text, "alert(1)") && !strings.Contains(p.text, "&lt;script&gt;alert(1)") {
			t.Errorf("%s: %s", path, p.text)
		}
	}
	s.get("?tab=unsupported").holds(t, "&lt;script&gt;alert(1)&lt;/script&gt;")
	s.get("activity").holds(t, "&lt;script&gt;alert(1)&lt;/script&gt;")
}

// TestTooLarge: a form over the bound is refused and not read.
func TestTooLarge(t *testing.T) {
	s := newSite(t)
	if p := s.post("request", "intent", "open", "vm", web, "why", strings.Repeat("x", 5<<20)); p.status != http.StatusBadRequest {
		t.Errorf("status %d", p.status)
	}
	many := []string{"intent", "open"}
	for range 201 {
		many = append(many, "vm", web)
	}
	s.post("request", many...).holds(t, "Too many virtual machines at once")
}
