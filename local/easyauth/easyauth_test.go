package easyauth_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"portcullis/local/easyauth"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// site is the stand-in before a host that answers with what it was sent.
type site struct {
	t     *testing.T
	clock time.Time
	seen  http.Header
	*easyauth.Server
}

func newSite(t *testing.T) *site {
	s := &site{t: t, clock: noon}
	s.Server = easyauth.New(easyauth.Config{
		Names: []string{"reader", "admin"}, Now: func() time.Time { return s.clock },
		Token:   func(name string) (string, error) { return "token-of-" + name, nil },
		Expired: func(name string) (string, error) { return "old-token-of-" + name, nil },
		Next:    http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.seen = r.Header; _, _ = io.WriteString(w, "host") }),
	})
	return s
}

func (s *site) get(path, cookie string, headers ...string) *http.Response {
	s.t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	if cookie != "" {
		r.AddCookie(&http.Cookie{Name: easyauth.Cookie, Value: cookie})
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header[headers[i]] = []string{headers[i+1]}
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result()
}

// TestCallersAddress checks that the caller's address stands last, whatever a client claims.
func TestCallersAddress(t *testing.T) {
	s := newSite(t)
	for claimed, want := range map[string]string{"": "192.0.2.1:1234", "10.0.0.1, 10.0.0.2:80": "10.0.0.1, 10.0.0.2:80, 192.0.2.1:1234"} {
		headers := []string{}
		if claimed != "" {
			headers = []string{"X-Forwarded-For", claimed}
		}
		s.get("/api/x", "", headers...)
		if got := s.seen.Values("X-Forwarded-For"); len(got) != 1 || got[0] != want {
			t.Errorf("claimed %q: the host got %q, want %q", claimed, got, want)
		}
	}
}

func (s *site) login(as string) string {
	s.t.Helper()
	res := s.get("/.auth/login/local?as="+as+"&post_login_redirect_uri=%2Fapi%2Fportal%2F", "")
	if res.StatusCode != 302 || res.Header.Get("Location") != "/api/portal/" || len(res.Cookies()) != 1 {
		s.t.Fatalf("login: %d %v", res.StatusCode, res.Header)
	}
	c := res.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || len(c.Value) < 20 {
		s.t.Errorf("cookie %+v", c)
	}
	return c.Value
}

func TestStrips(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"X-Ms-Token-Aad-Id-Token", "x-ms-token-aad-id-token", "X_MS_TOKEN_AAD_ID_TOKEN", "X-Ms-Token-Aad-Access-Token", "X-Ms-Client-Principal", "X-Ms-Client-Principal-Id", "X-MS-CLIENT-PRINCIPAL-NAME", "X-Ms-Auth-Internal"} {
		s.get("/api/portal/", "", name, "forged")
		for got, v := range s.seen {
			if strings.Contains(strings.Join(v, ""), "forged") {
				t.Errorf("%s came through as %s", name, got)
			}
		}
	}
	s.get("/api/requests", "", "Authorization", "Bearer own", "X-Ms-Client-Request-Id", "77")
	if s.seen.Get("Authorization") != "Bearer own" || s.seen.Get("X-Ms-Client-Request-Id") != "77" {
		t.Errorf("a client's own headers are gone: %v", s.seen)
	}
}

func TestSession(t *testing.T) {
	s := newSite(t)
	for _, cookie := range []string{"", "made-up"} {
		if s.get("/", cookie); s.seen.Get("X-Ms-Token-Aad-Id-Token") != "" {
			t.Errorf("cookie %q has a token", cookie)
		}
	}
	if got := s.get("/.auth/login/local?as=root", ""); got.StatusCode != 400 || len(got.Cookies()) != 0 {
		t.Errorf("login as somebody unknown: %d", got.StatusCode)
	}
	admin := s.login("admin")
	if s.get("/", admin, "X-Ms-Token-Aad-Id-Token", "forged"); s.seen.Get("X-Ms-Token-Aad-Id-Token") != "token-of-admin" {
		t.Errorf("a session is sent as %v", s.seen)
	}
	if body, _ := io.ReadAll(s.get("/.auth/me", admin).Body); !strings.Contains(string(body), `"admin"`) {
		t.Errorf("me: %s", body)
	}
	if body, _ := io.ReadAll(s.get("/.auth/me", "").Body); strings.TrimSpace(string(body)) != "[]" {
		t.Errorf("me of nobody: %s", body)
	}
	s.clock = noon.Add(8 * time.Hour)
	if s.get("/", admin); s.seen.Get("X-Ms-Token-Aad-Id-Token") != "" {
		t.Error("a session goes on after its end")
	}
	s.clock = noon
	s.get("/.auth/logout", admin)
	if s.get("/", admin); s.seen.Get("X-Ms-Token-Aad-Id-Token") != "" {
		t.Error("a session goes on after sign-out")
	}
	if got := s.get("/.auth/login/aad", ""); got.StatusCode != 404 {
		t.Errorf("another provider: %d", got.StatusCode)
	}
}

// TestRefresh: a session keeps its token until it asks for another; nobody else gets one.
func TestRefresh(t *testing.T) {
	s := newSite(t)
	for _, cookie := range []string{"", "made-up"} {
		if got := s.get("/.auth/refresh", cookie); got.StatusCode != 401 {
			t.Errorf("refresh with cookie %q: %d", cookie, got.StatusCode)
		}
	}
	admin := s.login("admin")
	if got := s.get("/.auth/local/expire", admin); got.StatusCode != 404 {
		t.Errorf("expire by GET: %d", got.StatusCode)
	}
	r := httptest.NewRequest("POST", "/.auth/local/expire", nil)
	r.AddCookie(&http.Cookie{Name: easyauth.Cookie, Value: admin})
	s.ServeHTTP(httptest.NewRecorder(), r)
	for range 2 {
		if s.get("/", admin); s.seen.Get("X-Ms-Token-Aad-Id-Token") != "old-token-of-admin" {
			t.Errorf("after its end the token is %v", s.seen)
		}
	}
	got := s.get("/.auth/refresh", admin)
	if body, _ := io.ReadAll(got.Body); got.StatusCode != 200 || len(body) != 0 {
		t.Errorf("refresh: %d %s", got.StatusCode, body)
	}
	if s.get("/", admin); s.seen.Get("X-Ms-Token-Aad-Id-Token") != "token-of-admin" {
		t.Errorf("a renewed session is sent as %v", s.seen)
	}
	s.get("/.auth/logout", admin)
	if got := s.get("/.auth/refresh", admin); got.StatusCode != 401 {
		t.Errorf("refresh after sign-out: %d", got.StatusCode)
	}
}

// TestRedirects: after sign-in and sign-out a browser stays on this site.
func TestRedirects(t *testing.T) {
	s := newSite(t)
	for to, want := range map[string]string{
		"/api/portal/machine%3Fvm%3D1": "/api/portal/machine?vm=1",
		"":                             "/",
		"https://evil.example/":        "/",
		"//evil.example/":              "/",
		"/%5Cevil.example":             "/",
		"/%09/evil.example":            "/",
		"javascript:alert(1)":          "/",
		"evil":                         "/",
	} {
		for _, path := range []string{"/.auth/login/local?as=admin&post_login_redirect_uri=", "/.auth/logout?post_logout_redirect_uri="} {
			if got := s.get(path+to, "").Header.Get("Location"); got != want {
				t.Errorf("%s%s leads to %q, want %q", path, to, got, want)
			}
		}
	}
}

func TestSessionsAreBounded(t *testing.T) {
	s := newSite(t)
	first := s.login("reader")
	for range 1000 {
		s.clock = s.clock.Add(time.Millisecond)
		s.login("admin")
	}
	if s.get("/", first); s.seen.Get("X-Ms-Token-Aad-Id-Token") != "" {
		t.Error("the oldest of 1,001 sessions is still there")
	}
}
