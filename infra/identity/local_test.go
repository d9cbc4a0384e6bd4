package identity_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/infra/identity"
	"portcullis/local/issuer"
)

// local serves the issuer of one machine, as `make run` has it, and gives a verifier of its tokens. The clock is the
// verifier's and the issuer's.
func local(t *testing.T, audiences ...string) (*identity.Verifier, *issuer.Issuer, string, func(time.Duration)) {
	t.Helper()
	var mu sync.Mutex
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	server := httptest.NewUnstartedServer(nil)
	url := "http://" + server.Listener.Addr().String()
	i, err := issuer.Open(issuer.Config{URL: url, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = i
	server.Start()
	t.Cleanup(server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	v, err := identity.New(identity.Config{Authority: url, Tenants: []string{issuer.DefaultTenant}, Audiences: audiences, Now: clock, HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	return v, i, url, func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
}

func TestLocalRefusals(t *testing.T) {
	v, i, _, advance := local(t, issuer.DefaultAudience)
	_, other, _, _ := local(t, issuer.DefaultAudience)
	token := func(i *issuer.Issuer, audience string) string {
		t.Helper()
		s, err := i.Token("admin", audience)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	refused(t, v, with(t, token(i, issuer.ResourceManager)), "made for the audience")
	refused(t, v, with(t, token(other, "")), "is not that of an accepted tenant")
	own, err := i.AppToken(issuer.ResourceManager)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, v, with(t, own), "made for the audience")
	good := token(i, "")
	if got := call(t, v, good); got != "" {
		t.Fatal(got)
	}
	advance(time.Hour + identity.Skew)
	refused(t, v, with(t, good), "expired")
}

// TestLocalPersonas takes the way of a person at the command line: a token over HTTP, then a call with it.
func TestLocalPersonas(t *testing.T) {
	v, i, url, _ := local(t, issuer.DefaultAudience)
	for _, p := range issuer.Personas() {
		res, err := http.Post(url+"/local/token?as="+p.Name, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct {
			Token string `json:"access_token"`
		}
		err = json.NewDecoder(res.Body).Decode(&answer)
		if res.Body.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := v.Caller(with(t, answer.Token))
		if err != nil {
			t.Fatalf("%s: %v", p.Name, err)
		}
		if want := (jit.Caller{ID: issuer.DefaultTenant + "/" + p.ObjectID, Name: p.PreferredUsername, Kind: jit.Person, Client: got.Client,
			Roles: jit.Roles{Approver: p.Name == "approver", BreakGlass: p.Name == "requester"}}); got != want || !jit.ValidGUID(got.Client) {
			t.Errorf("%s: %+v, want %+v", p.Name, got, want)
		}
	}
	id, err := i.IDToken("admin")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.Caller(request(t, identity.IDTokenHeader, id)); err != nil || got.Name != "admin@portcullis.example" {
		t.Errorf("signed in to the page: %+v, %v", got, err)
	}
	refused(t, v, with(t, id), "an ID token")
	if err := v.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestLocalManagedIdentity holds that an application's token is as good as a person's.
func TestLocalManagedIdentity(t *testing.T) {
	v, i, _, _ := local(t, issuer.DefaultAudience)
	token, err := i.AppToken(issuer.DefaultAudience)
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Caller(with(t, token))
	if err != nil {
		t.Fatal(err)
	}
	if want := (jit.Caller{ID: issuer.DefaultTenant + "/" + issuer.AppObjectID, Name: "app:" + issuer.AppClientID, Kind: jit.Application, Client: issuer.AppClientID}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
