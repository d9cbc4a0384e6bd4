package client_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"portcullis/cmd/portcullis/client"
	"portcullis/cmd/portcullis/exit"
	"portcullis/handlers/api"
)

type token string

func (t token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(t), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// TestAddress checks where a token may be sent.
func TestAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                               "",
		"portcullis.example":             "",
		"http://portcullis.example":      "",
		"http://localhost:7071":          "", // a name, which may lead anywhere
		"http://127.0.0.1.example":       "",
		"ftp://portcullis.example":       "",
		"https://me:pw@portcullis.test":  "",
		"https://portcullis.example/app": "",
		"https:///api":                   "",
		"file:///etc/passwd":             "",
		"-https://portcullis.example":    "",
		"https://portcullis.example":     "https://portcullis.example",
		"https://portcullis.example/":    "https://portcullis.example",
		"https://portcullis.example/api": "https://portcullis.example",
		"https://portcullis.example/api/portal/machines?q=web#x": "https://portcullis.example",
		"http://127.0.0.1:7071":                                  "http://127.0.0.1:7071",
		"http://[::1]:7071":                                      "http://[::1]:7071",
	} {
		got, err := client.Address(text)
		if want == "" && err == nil || want != "" && (err != nil || got.String() != want) {
			t.Errorf("%q: %v, %v, want %q", text, got, err, want)
		}
	}
}

// TestTokenStays: links of an answer that lead elsewhere are followed at the app alone, and the token goes nowhere else.
func TestTokenStays(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s was called, with %q", r.URL, r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	var mu sync.Mutex
	var asked []string
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.RequestURI())
		if r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("the app was sent %q", r.Header.Get("Authorization"))
		}
		if len(asked) == 1 {
			_, _ = w.Write([]byte(`{"value":[{"id":"a"}],"nextLink":"` + elsewhere.URL + `/api/machines?cursor=two&top=1000"}`))
			return
		}
		_, _ = w.Write([]byte(`{"value":[{"id":"b"}]}`))
	}))
	defer app.Close()
	c, err := client.New(app.URL, client.Options{Version: "test", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.SignedIn(token("secret"), "api://test").AllMachines(t.Context(), nil, 0)
	if err != nil || len(got.Value) != 2 || got.NextLink != "" {
		t.Errorf("%+v, %v", got, err)
	}
	if want := "/api/machines?top=1000 /api/machines?cursor=two&top=1000"; strings.Join(asked, " ") != want {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}

// TestAbsentMembers: what is left out of a body is not sent as empty or null, which the app understands differently.
func TestAbsentMembers(t *testing.T) {
	t.Parallel()
	var body string
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b strings.Builder
		_ = r.Write(&b)
		_, body, _ = strings.Cut(b.String(), "\r\n\r\n")
		_, _ = w.Write([]byte(`{}`))
	}))
	defer app.Close()
	c, err := client.New(app.URL, client.Options{Version: "test", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	c = c.SignedIn(token("secret"), "api://test")
	none := "*"
	for want, send := range map[string]api.EnableBody{
		`{"virtualMachines":[{"id":"a"}]}`:              {VirtualMachines: []api.EnableVM{{ID: "a"}}},
		`{"virtualMachines":[{"id":"a","options":{}}]}`: {VirtualMachines: []api.EnableVM{{ID: "a", Options: &api.Options{}}}},
		`{"virtualMachines":[{"id":"a","ports":[{"number":0,"allowedSourceAddressPrefix":"*","maxRequestAccessDuration":"PT3H"}]}]}`: {VirtualMachines: []api.EnableVM{{ID: "a", Ports: []api.PortRule{{Number: api.PortOf(0), Prefix: &none, Maximum: "PT3H"}}}}},
	} {
		if _, err := c.Enable(t.Context(), send, client.How{}); err != nil || body != want {
			t.Errorf("sent %s, %v, want %s", body, err, want)
		}
	}
}

// TestOutOfTime: the end of the caller's time has its own exit code, wherever a call is then.
func TestOutOfTime(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer app.Close()
	c, err := client.New(app.URL, client.Options{Version: "test", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.SignedIn(token("secret"), "api://test").Machines(ctx, url.Values{}); exit.Of(err) != exit.TimedOut {
		t.Errorf("exit code %d: %v", exit.Of(err), err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Endpoints(gone); exit.Of(err) != exit.Interrupted {
		t.Errorf("exit code %d: %v", exit.Of(err), err)
	}
}

// TestUnknownParameter: what an operation is not known to take is an error of this program, and is not sent.
func TestUnknownParameter(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s was called", r.URL) }))
	defer app.Close()
	c, err := client.New(app.URL, client.Options{Version: "test", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.SignedIn(token("secret"), "api://test").Machines(t.Context(), url.Values{"tag": {"x"}}); err == nil {
		t.Error("it was sent")
	}
}
