package provider_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"portcullis/core/store"
	"portcullis/infra/arm"
	"portcullis/infra/provider"
	"portcullis/local/armsim"
)

const sub = "11111111-1111-1111-1111-111111111111"

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type credential struct{}

func (credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "app", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// client returns the adapter for a loopback server, without retries.
func client(t *testing.T, h http.Handler) *provider.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := provider.New(credential{}, arm.Connection{Endpoint: server.URL, Audience: "https://management.azure.com",
		Options: azarm.ClientOptions{ClientOptions: policy.ClientOptions{InsecureAllowCredentialWithHTTP: true, Retry: policy.RetryOptions{MaxRetries: -1}}}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func sim(t *testing.T, knobs armsim.Knobs) *armsim.Server {
	t.Helper()
	s, err := armsim.Open(armsim.Config{Verify: func(token string) (string, error) { return token, nil }, Now: func() time.Time { return noon }, Knobs: knobs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestRefusesConnections(t *testing.T) {
	if _, err := provider.New(nil, arm.Connection{}); err == nil {
		t.Error("no credential is taken")
	}
	if _, err := provider.New(credential{}, arm.Connection{Endpoint: "https://management.azure.com"}); err == nil {
		t.Error("an endpoint without an audience is taken")
	}
}

// TestErrors: a failed read is translated into the port's errors; a refusal still reports the time.
func TestErrors(t *testing.T) {
	denied := sim(t, armsim.Knobs{Denied: []armsim.Denied{{Action: "Microsoft.Resources/subscriptions/providers/read"}}})
	if state, at, err := client(t, denied).Registration(t.Context(), sub, "Microsoft.Network"); !errors.Is(err, store.ErrForbidden) || state != "" || !at.Equal(noon) {
		t.Errorf("denied: %q %v %v", state, at, err)
	}
	_, _, err := client(t, sim(t, armsim.Knobs{Down: true})).Registration(t.Context(), sub, "Microsoft.Network")
	if _, down := errors.AsType[*store.Unavailable](err); !down {
		t.Errorf("down: %v", err)
	}
	if _, _, err := client(t, denied).Registration(t.Context(), "../x", "Microsoft.Network"); err == nil || len(denied.Requests()) != 1 {
		t.Errorf("what is no id of a subscription was asked for: %v", err)
	}
	for name, body := range map[string]string{"nothing": "", "no JSON": "<html>", "no state": `{"namespace":"Microsoft.Network"}`} {
		c := client(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
		if state, _, err := c.Registration(t.Context(), sub, "Microsoft.Network"); err == nil || state != "" {
			t.Errorf("%s: %q", name, state)
		}
	}
	c := client(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Date"] = nil
		_, _ = w.Write([]byte(`{"registrationState":"Registered"}`))
	}))
	if _, at, err := c.Registration(t.Context(), sub, "Microsoft.Network"); err != nil || !at.IsZero() {
		t.Errorf("an answer without a time: %v %v", at, err)
	}
}

// TestHangs: the adapter waits for a Resource Manager that does not answer only as long as its caller does.
func TestHangs(t *testing.T) {
	release := make(chan struct{})
	var once sync.Once
	let := func() { once.Do(func() { close(release) }) }
	t.Cleanup(let)
	ctx, cancel := context.WithCancel(t.Context())
	c := client(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { cancel(); <-release }))
	t.Cleanup(let) // before the server is closed, which waits for its calls
	if _, _, err := c.Registration(ctx, sub, "Microsoft.Network"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestRegistration: one read returns the state and the time.
func TestRegistration(t *testing.T) {
	s := sim(t, armsim.Knobs{Providers: map[string]string{"Microsoft.Compute": "NotRegistered"}, Ahead: armsim.Duration(time.Minute)})
	c := client(t, s)
	for namespace, want := range map[string]string{"Microsoft.Compute": "NotRegistered", "Microsoft.Network": "Registered"} {
		s.Reset()
		state, at, err := c.Registration(t.Context(), sub, namespace)
		if err != nil || state != want || !at.Equal(noon.Add(time.Minute)) || s.Counts() != (armsim.Counts{Reads: 1}) {
			t.Errorf("%s: %q %v %v at the cost of %+v", namespace, state, at, err, s.Counts())
		}
	}
}
