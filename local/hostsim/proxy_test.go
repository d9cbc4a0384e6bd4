package hostsim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"portcullis/local/hostsim"
)

// TestNoRoute checks what is not proxied: 404 and nothing else.
func TestNoRoute(t *testing.T) {
	tests := []struct{ name, method, target string }{
		{"no function", "GET", "/api/nothing"},
		{"without the prefix", "GET", "/items/1"},
		{"a trigger by its path", "POST", "/Revoke"},
		{"a trigger below the prefix", "POST", "/api/Revoke"},
		{"a trigger by an encoded dot segment", "POST", "/api/%2e%2e/Revoke"},
		{"a trigger by dot segments below a catch-all", "POST", "/api/files/../../Revoke"},
		{"another method", "DELETE", "/api/items/1"},
		{"a segment too many", "GET", "/api/items/1/2"},
		{"two slashes at the beginning", "GET", "//api/items"},
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
	tests := []struct{ name, method, target, function, want string }{
		{"with its parameter", "GET", "/api/items/1", "item", ""},
		{"without the optional one", "GET", "/api/items", "item", ""},
		{"a slash at the end", "GET", "/api/items/", "item", ""},
		{"in other letters", "GET", "/API/ITEMS/One", "item", ""},
		{"a literal before a parameter", "GET", "/api/items/special", "special", ""},
		{"the other route for another method", "POST", "/api/items/special", "item", ""},
		{"a method in small letters", "post", "/api/items/special", "item", ""},
		{"any method where none is named", "PATCH", "/api/files/a/b", "files", ""},
		{"a catch-all of nothing", "GET", "/api/files", "files", ""},
		{"an encoded slash, encoded again", "GET", "/api/items/a%2Fb", "item", "/api/items/a%252Fb"},
		{"one that is encoded twice", "GET", "/api/items/a%252Fb", "item", ""},
		{"three times", "GET", "/api/items/a%25252Fb", "item", ""},
		{"an encoded slash before dot segments", "GET", "/api/items/..%2f..", "item", "/api/items/..%252f.."},
		{"a dot segment", "GET", "/api/files/a/./%2E%2E/b", "files", "/api/files/b"},
		{"dot segments into another route", "GET", "/api/files/../items/special", "special", "/api/items/special"},
		{"encoded twice, no dot segment", "GET", "/api/files/%252E%252E/b", "files", ""},
		{"what a path may hold, decoded", "GET", "/api/files/%41%2B%40%3A%7E%3B", "files", "/api/files/A+@:~;"},
		{"what a path may not hold, encoded", "GET", "/api/files/%3F%23%5C%20%5B%7C", "files", ""},
		{"UTF-8", "GET", "/api/files/caf%C3%A9", "files", ""},
		{"what is no UTF-8", "GET", "/api/files/caf%E9", "files", "/api/files/caf%25E9"},
		{"a query as it is", "GET", "/api/files/a?a=1&a=%2F,b+%E9&", "files", ""},
		{"a query that .NET cannot hold", "GET", "/api/files/a?a=%zz|", "files", "/api/files/a?a=%25zz%7C"},
	}
	r := start(t, theApp, "echo", nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			r.ServeHTTP(w, httptest.NewRequest(tt.method, tt.target, nil))
			if w.Code != http.StatusOK {
				t.Fatalf("got %d", w.Code)
			}
			want := tt.want
			if want == "" {
				want = tt.target
			}
			got := decode(t, w.Body)
			if got.URI != want {
				t.Errorf("proxied as %s, want %s", got.URI, want)
			}
			r.log.waitFor(t, "msg=proxy function="+tt.function+" invocation="+got.Header.Get("X-Ms-Invocation-Id"))
		})
	}
}

// TestRefuses checks what the host's server answers for itself.
func TestRefuses(t *testing.T) {
	long := strings.Repeat("a", 8200)
	tests := []struct {
		name, target string
		header       http.Header
		status       int
	}{
		{"an encoded zero", "/api/items/%00", nil, 400},
		{"a header of Latin-1", "/api/items", http.Header{"X-A": {"caf\xe9"}}, 400},
		{"a header of UTF-8", "/api/items", http.Header{"X-A": {"café"}}, 500},
		{"a long line", "/api/items/" + long, nil, 414},
		{"many headers", "/api/items", http.Header{"X-A": make([]string, 100)}, 431},
		{"much in the headers", "/api/items", http.Header{"X-A": {strings.Repeat("a", 33000)}}, 431},
		{"the home page, which is off", "/", nil, 204},
		{"the host's own doors", "/admin/functions/sweep", nil, 401},
		{"the doors of its extensions", "/runtime/webhooks/x", nil, 401},
	}
	r := start(t, theApp, "echo", nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := httptest.NewRequest("GET", tt.target, nil)
			for name, values := range tt.header {
				req.Header[name] = values
			}
			w := httptest.NewRecorder()
			r.ServeHTTP(w, req)
			if w.Code != tt.status || w.Body.Len() > 0 {
				t.Errorf("got %d %q, want %d and an empty body", w.Code, w.Body, tt.status)
			}
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

// TestBodies checks that a body arrives as it was sent, in chunks too, up to the bound.
func TestBodies(t *testing.T) {
	r := start(t, theApp, "echo", func(c *hostsim.Config) { c.MaxBody = 10 })
	server := httptest.NewServer(r)
	defer server.Close()
	tests := []struct {
		name   string
		body   io.Reader
		status int
		want   string
		length int64
	}{
		{"declared and too long", strings.NewReader("12345678901"), 500, "", 0},
		{"chunked and too long", io.MultiReader(strings.NewReader("12345678901")), 500, "", 0},
		{"chunked", io.MultiReader(strings.NewReader("there")), 200, "there", -1},
		{"none", nil, 200, "", 0},
		{"declared", strings.NewReader("1234567890"), 200, "1234567890", 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, err := http.Post(server.URL+"/api/items", "json;", tt.body)
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
			if got.Body != tt.want || got.Length != tt.length || got.Header.Get("Content-Type") != "json;" {
				t.Errorf("the handler saw %q, length %d, %q, want %q", got.Body, got.Length, got.Header.Get("Content-Type"), tt.want)
			}
		})
	}
}

// TestHeaders checks what a client may say of itself, with and without the setting that
// takes the nearest proxy at its word.
func TestHeaders(t *testing.T) {
	sent := http.Header{
		"User-Agent":                     {"curl/8", "too"},
		"Authorization":                  {"Bearer x"},
		"Cookie":                         {"a=1", "b=2"},
		"X-Twice":                        {"1", "2"},
		"X-Forwarded-For":                {"10.0.0.1", "10.0.0.2:80, 192.0.2.1:4711"},
		"X-Forwarded-Host":               {"spoofed"},
		"X-Forwarded-Proto":              {"https"},
		"Forwarded":                      {"for=spoofed"},
		"X-Original-Host":                {"spoofed"},
		"Connection":                     {"X-Twice"},
		"X-Azure-Functions-Hostversion":  {"spoofed"},
		"X-Azure-Functions-Invocationid": {"spoofed"},
		"X-Ms-Invocation-Id":             {"spoofed"},
	}
	want := http.Header{
		"User-Agent":                    {"curl/8 too"},
		"Authorization":                 {"Bearer x"},
		"Cookie":                        {"a=1; b=2"},
		"X-Twice":                       {"1, 2"},
		"X-Forwarded-For":               {"192.0.2.7"},
		"X-Forwarded-Host":              {"app.example"},
		"X-Forwarded-Proto":             {"http"},
		"X-Original-Host":               {"spoofed"}, // the client's own, never to be read
		"X-Azure-Functions-Hostversion": {hostsim.Version},
	}
	trusting := want.Clone()
	trusting["X-Forwarded-For"], trusting["X-Forwarded-Proto"] = []string{"192.0.2.1"}, []string{"https"}
	trusting["X-Original-For"], trusting["X-Original-Proto"] = []string{"192.0.2.7:4711"}, []string{"http"}
	for name, want := range map[string]http.Header{"": want, "ASPNETCORE_FORWARDEDHEADERS_ENABLED=true": trusting} {
		t.Run(name, func(t *testing.T) {
			r := start(t, theApp, "echo", func(c *hostsim.Config) { c.Env = append(c.Env, name) })
			req := httptest.NewRequest("GET", "http://app.example/api/items", nil)
			req.RemoteAddr, req.Header = "192.0.2.7:4711", sent.Clone()
			w := httptest.NewRecorder()
			r.ServeHTTP(w, req)
			got := decode(t, w.Body)
			invocation := got.Header.Get("X-Azure-Functions-Invocationid")
			if _, err := uuid.Parse(invocation); err != nil || got.Header.Get("X-Ms-Invocation-Id") != invocation {
				t.Errorf("invocation ids %q, %q", invocation, got.Header.Get("X-Ms-Invocation-Id"))
			}
			delete(got.Header, "X-Azure-Functions-Invocationid")
			delete(got.Header, "X-Ms-Invocation-Id")
			if diff := cmp.Diff(want, got.Header); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
			if !strings.HasPrefix(got.Host, "127.0.0.1:") {
				t.Errorf("host %q, want the handler's own", got.Host)
			}
			if diff := cmp.Diff([]string{"a", "b"}, w.Header().Values("X-Twice")); diff != "" {
				t.Errorf("answer's headers (-want +got):\n%s", diff)
			}
		})
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
