package handlers_test

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"portcullis/handlers"
)

// forms gives the ways to write the path of a pattern that a mux may clean: without its end, with a slash more, with empty and with dot segments,
// in other letters.
func forms(path string) []string {
	path = strings.Replace(path, "{id}", "00000000-0000-7000-8000-000000000000", 1)
	path = strings.Replace(path, "{$}", "", 1)
	bare := strings.TrimSuffix(path, "/{path...}")
	out := []string{bare, bare + "/", bare + "//", bare + "/.", bare + "/..", "/" + bare, strings.Replace(bare, "/", "//", 2), bare + "/x/../", "/x/.." + bare,
		strings.ToUpper(bare), strings.ToUpper(bare) + "/", bare + "/x", bare + "/x/", bare + "%2f", bare + "?x=y"}
	return slices.DeleteFunc(out, func(form string) bool { return form == "" })
}

// TestMuxAnswersNothing: whatever the path and the method, no answer is of Go's mux: there is no redirect but that to the page, every other answer is
// in our form, and below the compatible face nobody who is unknown gets anything but 401 or the word that there is no such path.
func TestMuxAnswersNothing(t *testing.T) {
	a, redirects := newCompat(t), 0
	for _, pattern := range handlers.Patterns() {
		_, path, _ := strings.Cut(pattern, " ")
		for _, form := range forms(path) {
			a = newCompat(t) // of one app so many calls without a token would wait: see TestUnidentifiedWait
			for _, method := range []string{"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"} {
				for _, token := range []string{"", "Bearer test"} {
					r := httptest.NewRequest("GET", "/", nil)
					r.Method, r.RequestURI = method, form
					u, err := r.URL.Parse("http://app.example" + form)
					if err != nil {
						t.Fatal(err)
					}
					u.Host, u.Scheme = "", ""
					r.URL = u
					if token != "" {
						r.Header.Set("Authorization", token)
					}
					w := httptest.NewRecorder()
					a.ServeHTTP(w, r)
					where := method + " " + form + " with the token " + token
					page := strings.HasPrefix(u.Path, "/api/portal")
					if w.Code >= 300 && w.Code < 400 {
						redirects++
						if u.Path != "/api/portal" || w.Header().Get("Location") != "/api/portal/" {
							t.Errorf("%s is redirected to %q", where, w.Header().Get("Location"))
						}
					}
					if kind := w.Header().Get("Content-Type"); !page && u.Path != "/" && method != "HEAD" && !strings.HasPrefix(kind, "application/json") && w.Code != 204 {
						t.Errorf("%s is answered %d with %q: %s", where, w.Code, kind, w.Body)
					}
					if strings.HasPrefix(strings.ToLower(u.Path), "/api/subscriptions") && token == "" && !slices.Contains([]int{400, 401, 404, 405}, w.Code) {
						t.Errorf("%s is answered %d: %s", where, w.Code, w.Body)
					}
				}
			}
		}
	}
	if redirects == 0 {
		t.Error("the page is not found without its slash")
	}
	for _, form := range []string{"/api/subscriptions", "/api/Subscriptions", "/api/subscriptions/", "/API/SUBSCRIPTIONS/"} {
		r := httptest.NewRequest("GET", form, nil)
		if code, _ := a.do(r).code(); code != "Unauthenticated" {
			t.Errorf("GET %s without a token: %s", form, code)
		}
	}
}

// TestMethodNotAllowed: a path that is there says which methods it takes, and each of these is taken.
func TestMethodNotAllowed(t *testing.T) {
	a := newCompat(t)
	for path, allow := range map[string]string{
		"/api/requests": "GET", "/api/enable": "POST", "/api/requests/00000000-0000-7000-8000-000000000000": "GET",
		policy + version: "GET, PUT, DELETE", policy + "/initiate" + version: "POST", strings.TrimSuffix(policy, "/default") + version: "GET",
		strings.ToUpper(policy) + "/" + version: "GET, PUT, DELETE",
	} {
		for _, method := range []string{"GET", "PUT", "POST", "DELETE", "PATCH"} {
			if strings.Contains(strings.ToLower(path), "subscriptions") && method == "PATCH" {
				continue // neither the host nor a route lets it through
			}
			r := a.call(method, strings.Replace(path, "/API/", "/api/", 1), "{}")
			taken := slices.Contains(strings.Split(allow, ", "), method)
			if code, _ := r.code(); (r.status == 405 || code == "MethodNotAllowed" || r.header.Get("Allow") != "") == taken {
				t.Errorf("%s %s: %d %s", method, path, r.status, r.text)
			} else if !taken && (r.status != 405 || r.header.Get("Allow") != allow || code != "MethodNotAllowed") {
				t.Errorf("%s %s: %d, Allow %q, want %q", method, path, r.status, r.header.Get("Allow"), allow)
			}
		}
	}
	for _, trigger := range []string{"/sweep", "/revoke", "/"} { // the host's own, of which nothing is told
		if r := a.call("PUT", trigger, "{}"); r.status != 404 || r.header.Get("Allow") != "" {
			t.Errorf("PUT %s: %d %s", trigger, r.status, r.text)
		}
	}
}

// TestClientRequestID: the client's id comes back where it asks for it, and nothing else does.
func TestClientRequestID(t *testing.T) {
	const id = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
	a := newCompat(t)
	for _, tc := range []struct{ id, asks, want string }{
		{id, "", ""}, {id, "false", ""}, {id, "1", ""}, {"", "true", ""}, {"x, y", "true", ""}, {strings.Repeat("a", 5000), "true", ""}, {id, "true", id}, {id, "True", id},
	} {
		for _, path := range []string{policy + version, "/api/health", "/api/nothing"} {
			if got := a.call("GET", path, "", "x-ms-client-request-id", tc.id, "x-ms-return-client-request-id", tc.asks).header.Get("x-ms-client-request-id"); got != tc.want {
				t.Errorf("GET %s with %.40q, %q: %q", path, tc.id, tc.asks, got)
			}
		}
	}
}
