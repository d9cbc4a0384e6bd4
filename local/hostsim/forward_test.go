package hostsim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/local/hostsim"
)

// TestNoRoute holds what is not forwarded: 404 and nothing else.
func TestNoRoute(t *testing.T) {
	tests := []struct{ name, method, target string }{
		{"the root", "GET", "/"},
		{"no function", "GET", "/api/nothing"},
		{"without the prefix", "GET", "/items/1"},
		{"a trigger by its path", "POST", "/Revoke"},
		{"a trigger below the prefix", "POST", "/api/Revoke"},
		{"a trigger by an encoded dot segment", "POST", "/api/%2e%2e/Revoke"},
		{"another method", "DELETE", "/api/items/1"},
		{"a segment too many", "GET", "/api/items/1/2"},
		{"an empty segment", "GET", "/api//items"},
		{"the longer name of a route", "GET", "/api/itemsandmore"},
		{"an encoded slash is no separator", "GET", "/api%2Fitems"},
	}
	r := start(t, theApp, "echo", nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			r.ServeHTTP(w, httptest.NewRequest(tt.method, tt.target, nil))
			if w.Code != http.StatusNotFound || w.Body.Len() > 0 {
				t.Errorf("got %d %q, want 404 and an empty body", w.Code, w.Body)
			}
		})
	}
}

func TestRoutes(t *testing.T) {
	tests := []struct{ name, method, target, function string }{
		{"with its parameter", "GET", "/api/items/1", "item"},
		{"without the optional one", "GET", "/api/items", "item"},
		{"a slash at the end", "GET", "/api/items/", "item"},
		{"in other letters", "GET", "/API/ITEMS/One", "item"},
		{"an encoded parameter", "GET", "/api/items/a%2Fb", "item"},
		{"a literal before a parameter", "GET", "/api/items/special", "special"},
		{"the other route for another method", "POST", "/api/items/special", "item"},
		{"any method where none is named", "PATCH", "/api/files/a/b", "files"},
		{"a catch-all of nothing", "GET", "/api/files", "files"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, theApp, "echo", nil)
			w := httptest.NewRecorder()
			r.ServeHTTP(w, httptest.NewRequest(tt.method, tt.target, nil))
			if w.Code != http.StatusOK {
				t.Fatalf("got %d", w.Code)
			}
			if got := decode(t, w.Body).URI; got != tt.target {
				t.Errorf("forwarded as %s, want %s", got, tt.target)
			}
			r.log.waitFor(t, "msg=forward function="+tt.function+" ")
		})
	}
}

func decode(t *testing.T, body io.Reader) seen {
	t.Helper()
	var s seen
	if err := json.NewDecoder(body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestQueryCollapses(t *testing.T) {
	tests := []struct{ name, sent, want string }{
		{"none", "", ""},
		{"one", "?a=1", "?a=1"},
		{"a repeated key", "?a=1&b=2&a=3", "?a=1%2C3&b=2"},
		{"keys that differ by case", "?vm=1&VM=2", "?vm=1%2C2"},
		{"no value", "?a&b=", "?a=&b="},
		{"a space both ways", "?a=1+2%203", "?a=1%202%203"},
		{"stray separators", "?&a=1&&", "?a=1"},
	}
	r := start(t, theApp, "echo", nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			r.ServeHTTP(w, httptest.NewRequest("GET", "/api/items"+tt.sent, nil))
			if got, want := decode(t, w.Body).URI, "/api/items"+tt.want; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// TestBodies holds the loss that surprises: only a declared length gets a body
// through.
func TestBodies(t *testing.T) {
	r := start(t, theApp, "echo", func(c *hostsim.Config) { c.MaxBody = 10 })
	server := httptest.NewServer(r)
	defer server.Close()
	tests := []struct {
		name   string
		body   io.Reader
		status int
		want   string
	}{
		{"declared and too long", strings.NewReader("12345678901"), 413, ""},
		{"chunked and too long", io.MultiReader(strings.NewReader("12345678901")), 413, ""},
		{"chunked", io.MultiReader(strings.NewReader("lost")), 200, ""},
		{"none", nil, 200, ""},
		{"declared", strings.NewReader("1234567890"), 200, "1234567890"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, err := http.Post(server.URL+"/api/items", "text/plain", tt.body)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != tt.status {
				t.Fatalf("status %d, want %d", resp.StatusCode, tt.status)
			}
			if tt.status != 200 {
				return
			}
			got := decode(t, resp.Body)
			if got.Body != tt.want || got.Length != int64(len(tt.want)) || got.Coding != nil {
				t.Errorf("the handler saw %q, length %d, coding %q, want %q", got.Body, got.Length, got.Coding, tt.want)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	r := start(t, theApp, "echo", nil)
	req := httptest.NewRequest("GET", "http://app.example/api/items", nil)
	req.RemoteAddr = "192.0.2.7:4711"
	req.Header = http.Header{
		"User-Agent":                    {"curl/8"},
		"Authorization":                 {"Bearer x"},
		"X-Twice":                       {"1", "2"},
		"X-Forwarded-For":               {"10.0.0.1", "10.0.0.2:80"},
		"X-Azure-Functions-Hostversion": {"spoofed"},
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	got := decode(t, w.Body)
	invocation := got.Header.Get("X-Azure-Functions-Invocationid")
	if len(invocation) != 36 {
		t.Errorf("invocation id %q is not a UUID", invocation)
	}
	delete(got.Header, "X-Azure-Functions-Invocationid")
	want := http.Header{
		"User-Agent":      {"curl/8 Azure-Functions-Host/" + hostsim.Version},
		"Authorization":   {"Bearer x"},
		"X-Twice":         {"1", "2"},
		"X-Forwarded-For": {"10.0.0.1, 10.0.0.2:80, 192.0.2.7:4711"},
		// Forwarding adds to what the client sent; it is no proof of the host.
		"X-Azure-Functions-Hostversion": {"spoofed", hostsim.Version},
	}
	if diff := cmp.Diff(want, got.Header); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if got.Host != "app.example" {
		t.Errorf("host %q, want the client's", got.Host)
	}
	if diff := cmp.Diff([]string{"a", "b"}, w.Header().Values("X-Twice")); diff != "" {
		t.Errorf("answer's headers (-want +got):\n%s", diff)
	}
}

func TestStatusPassesThrough(t *testing.T) {
	r := start(t, theApp, "echo", nil)
	for _, status := range []string{"500", "302", "404", "201"} {
		t.Run(status, func(t *testing.T) {
			req := httptest.NewRequest("GET", "/api/items", nil)
			req.Header.Set("Want-Status", status)
			w := httptest.NewRecorder()
			r.ServeHTTP(w, req)
			if got := w.Result().Status; !strings.HasPrefix(got, status) {
				t.Errorf("got %s", got)
			}
			if got := w.Header().Get("Location"); got != "/elsewhere" {
				t.Errorf("location %q: not the handler's own answer", got)
			}
			decode(t, w.Body)
		})
	}
}
