package attack

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// signedIn gives the header of a browser in which somebody is signed in to the page.
func (s *stack) signedIn(t *testing.T, who string) http.Header {
	t.Helper()
	r := s.do(s.app, "GET", "/.auth/login/local?as="+who, nil, "")
	cookies := (&http.Response{Header: r.header}).Cookies()
	if r.status != 302 || len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite == http.SameSiteDefaultMode {
		t.Fatalf("sign in: %d %v", r.status, r.header)
	}
	return http.Header{"Cookie": {cookies[0].Name + "=" + cookies[0].Value}}
}

// Script that stands in a page itself: in an element, in an attribute (once the values of attributes are taken out, which are always quoted), or in a link.
var (
	values   = regexp.MustCompile(`="[^"]*"`)
	elements = regexp.MustCompile(`(?i)<script[^>]*>\s*[^<\s]|<style|<iframe|<object|<embed|<base|<[a-z][^>]*\s(?:on[a-z]+|style|srcdoc)\s*=`)
	links    = regexp.MustCompile(`(?i)(?:href|src|action|formaction|hx-[a-z-]+)="\s*(?:javascript|data|vbscript):`)
)

// page is what another site, or a text of another person, does in the browser of somebody who is signed in.
func page() []attack {
	form := url.Values{"vm": {web}}.Encode()
	kind := []string{"application/x-www-form-urlencoded"}
	posts := map[string]string{"/api/portal/disable": form, "/api/portal/request": form + "&intent=open&source=other&other=198.51.100.9&why=x&port-0-22=on&for-0-22=1+h", "/api/portal/configure": form + "&intent=save&number=22&protocol=TCP&sources=any&maximum=3+h",
		"/api/portal/requests/{window}/close": "", "/api/portal/requests/{window}/again": "", "/api/portal/requests/{window}/extend": "for=2+h", "/api/disable": named(web), "/api/requests/{window}/revoke": "", "/api/sweep": ""}
	var rows []attack
	for path, body := range posts {
		for name, from := range map[string]http.Header{
			"another origin":                      {"Origin": {"https://evil.example"}},
			"an origin without a name":            {"Origin": {"null"}},
			"another site, by its fetch":          {"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"no-cors"}},
			"another site of the domain":          {"Sec-Fetch-Site": {"same-site"}},
			"an origin that begins alike":         {"Origin": {"http://127.0.0.1.evil.example"}},
			"an origin at another port":           {"Origin": {"http://127.0.0.1:1"}},
			"another origin, as text":             {"Origin": {"https://evil.example"}, "Content-Type": {"text/plain"}},
			"another origin and a forwarded host": {"Origin": {"https://evil.example"}, "X-Forwarded-Host": {"evil.example"}},
		} {
			rows = append(rows, attack{letter: "M", name: path + " from " + name, do: func(t *testing.T, s *stack, _ *figures) {
				header := s.signedIn(t, "admin")
				header["Content-Type"] = kind
				for n, values := range from {
					header[n] = values
				}
				r := s.do(s.app, "POST", strings.ReplaceAll(path, "{window}", s.window), header, body)
				clean(t, r)
				if r.status != 403 {
					t.Errorf("%d %.300s", r.status, r.text)
				}
			}})
		}
		if strings.Contains(path, "/portal/") {
			rows = append(rows, attack{letter: "M", name: path + " from nowhere", do: func(t *testing.T, s *stack, _ *figures) {
				header := s.signedIn(t, "admin")
				header["Content-Type"] = kind
				if r := s.do(s.app, "POST", strings.ReplaceAll(path, "{window}", s.window), header, body); r.status != 403 {
					t.Errorf("%d %.300s", r.status, r.text)
				}
			}}, attack{letter: "M", name: path + " by a link", reads: 40, do: func(t *testing.T, s *stack, _ *figures) {
				if r := s.do(s.app, "GET", strings.ReplaceAll(path, "{window}", s.window)+"?"+body, s.signedIn(t, "admin"), ""); r.status >= 500 || r.status/100 == 3 {
					t.Errorf("%d %.300s", r.status, r.text)
				}
			}})
		}
	}
	rows = append(rows,
		attack{letter: "M", name: "the page's own form is taken", reads: 40, do: func(t *testing.T, s *stack, _ *figures) { // or what is refused above says nothing
			header := s.signedIn(t, "admin")
			header["Content-Type"], header["Origin"], header["Sec-Fetch-Site"] = kind, []string{s.app}, []string{"same-origin"}
			if r := s.do(s.app, "POST", "/api/portal/configure", header, form+"&intent=preview&number=22&protocol=TCP&sources=any&maximum=3+h"); r.status != 200 {
				t.Errorf("%d %.300s", r.status, r.text)
			}
		}},
		attack{letter: "M", name: "what people write stands in pages as text", rows: 60, reads: 80, do: written},
	)
	for _, path := range []string{"/api/portal/", "/api/portal/open", "/api/portal/last", "/api/portal/activity", "/api/portal/windows", "/api/portal/findings", "/api/portal/nothing", encoded("/api/portal/machine", web), encoded("/api/portal/request", web), encoded("/api/portal/configure", web), "/api/portal/requests/{window}"} {
		for _, who := range []string{"admin", ""} {
			rows = append(rows, attack{letter: "M", name: fmt.Sprintf("%s as %q in a frame, with script of others", path, who), reads: 40, do: func(t *testing.T, s *stack, _ *figures) {
				header := http.Header{}
				if who != "" {
					header = s.signedIn(t, who)
				}
				guardedPage(t, s.do(s.app, "GET", strings.ReplaceAll(path, "{window}", s.window), header, ""))
			}})
		}
	}
	const script = `"><script>alert(1)</script><img src=x onerror=alert(1)>`
	for _, path := range []string{"/api/portal/?q=", "/api/portal/?sort=", "/api/portal/?cursor=", "/api/portal/?subscription=", "/api/portal/activity?requestor=", "/api/portal/activity?vm=", "/api/portal/activity?from=", "/api/portal/activity?operation=", "/api/portal/machine?vm=", "/api/portal/request?vm=", "/api/portal/windows?vm=", "/api/portal/requests/", "/api/portal/"} {
		rows = append(rows, attack{letter: "M", name: "script in " + path, reads: 40, do: func(t *testing.T, s *stack, _ *figures) {
			for _, header := range []http.Header{s.signedIn(t, "admin"), {}} {
				r := s.do(s.app, "GET", path+url.PathEscape(script), header, "")
				if strings.Contains(r.text, "<script>alert") || strings.Contains(r.text, "<img src=x") {
					t.Errorf("%d %.600s", r.status, r.text)
				}
				clean(t, r)
			}
		}})
	}
	for _, path := range []string{"/api/portal/?next=https://evil.example", "/api/portal/?post_login_redirect_uri=//evil.example", "/api/portal//evil.example", "/api/portal/%5c%5cevil.example", "/api/portal/?x=%0d%0aLocation:%20https://evil.example", "/api/portal/@evil.example", "/api/portal/..//evil.example"} {
		rows = append(rows, attack{letter: "M", name: "sent on by " + path, do: func(t *testing.T, s *stack, _ *figures) {
			r := s.do(s.app, "GET", path, http.Header{"X-Forwarded-Host": {"evil.example"}, "Referer": {"https://evil.example/"}}, "")
			if to := r.header.Get("Location"); to != "" {
				t.Errorf("sent on to %q", to)
			}
			for _, m := range regexp.MustCompile(`(?:href|action|src|hx-[a-z]+)="([^"]*)"`).FindAllStringSubmatch(r.text, -1) {
				if strings.HasPrefix(m[1], "//") || strings.Contains(m[1], "://") {
					t.Errorf("a link leads to %q", m[1])
				}
				if _, query, ok := strings.Cut(m[1], "post_login_redirect_uri="); ok && !strings.HasPrefix(query, "%2Fapi%2Fportal%2F") {
					t.Errorf("after the sign-in it goes on to %q", query)
				}
			}
		}})
	}
	return rows
}

// guardedPage holds that a page runs no script but its own, and stands in no frame.
func guardedPage(t *testing.T, r reply) {
	t.Helper()
	clean(t, r)
	if r.status >= 500 || !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") {
		t.Errorf("%d %s", r.status, r.header.Get("Content-Type"))
	}
	csp := r.header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"} {
		if !strings.Contains(csp, part) {
			t.Errorf("the policy is %q, without %s", csp, part)
		}
	}
	if strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") || r.header.Get("X-Frame-Options") != "DENY" || r.header.Get("Referrer-Policy") == "" || r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the headers are %v", r.header)
	}
	if m := elements.FindString(values.ReplaceAllString(r.text, `=""`)) + links.FindString(r.text); m != "" {
		t.Errorf("the page holds %q", m)
	}
}

// written opens a window with markup in its reason and looks at every page that shows it.
func written(t *testing.T, s *stack, _ *figures) {
	const mark = `</textarea></script>"'><img src=x onerror=alert(1)><script>alert(2)</script>{{.}}`
	id := s.opened(t, "requester", asking(web, 22, mark, "198.51.100.9"))
	header := s.signedIn(t, "admin")
	for _, path := range []string{"/api/portal/", "/api/portal/open", "/api/portal/activity", "/api/portal/windows", encoded("/api/portal/machine", web), "/api/portal/requests/" + id, "/api/requests/" + id, "/api/activity?top=5", "/api/machines", "/api/requests"} {
		r := s.do(s.app, "GET", path, header, "")
		clean(t, r)
		if r.status != 200 || strings.Contains(r.text, "<img src=x") || strings.Contains(r.text, "<script>alert") {
			t.Errorf("%s: %d %.300s", path, r.status, r.text[max(0, strings.Index(r.text, "<img src=x")-100):])
		}
	}
	s.closed("requester", id)
}
