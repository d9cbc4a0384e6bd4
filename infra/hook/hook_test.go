package hook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"portcullis/core/store"
	"portcullis/infra/hook"
)

const secret = "s3cr3t-signature"

type identity struct {
	scope string
	err   error
}

func (i *identity) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	i.scope = strings.Join(o.Scopes, " ")
	return azcore.AccessToken{Token: "the-token"}, i.err
}

func client(t *testing.T, c hook.Config) *hook.Client {
	t.Helper()
	c.Name = "webhook"
	out, err := hook.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestNewRefuses: no address to which a secret would go in clear, and no error that holds it.
func TestNewRefuses(t *testing.T) {
	for _, address := range []string{
		"", "example.com", "/path", "ftp://example.com/" + secret, "http://example.com/" + secret, "http://localhost/" + secret, "http://127.0.0.1.example.com/" + secret,
		"https:///" + secret, "https://" + secret + "@example.com/", "https://example.com/#" + secret, "https://example.com/%zz" + secret, "javascript:" + secret,
	} {
		_, err := hook.New(hook.Config{Name: "slack", URL: address})
		if err == nil || !strings.HasPrefix(err.Error(), "slack: ") || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: error %v", address, err)
		}
	}
	if _, err := hook.New(hook.Config{Name: "webhook", URL: "https://example.com/", Audience: "api://x"}); err == nil {
		t.Error("an audience without an identity was taken")
	}
	for _, address := range []string{"https://example.com/x?sig=1", "http://127.0.0.1:8080/x", "http://[::1]:8080/x"} {
		if _, err := hook.New(hook.Config{Name: "webhook", URL: address}); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// TestUnresolved: an address that the platform could not read stops no start, and is no address.
func TestUnresolved(t *testing.T) {
	c := client(t, hook.Config{URL: "@Microsoft.KeyVault(SecretUri=https://vault.example/secrets/hook)"})
	err := c.Post(t.Context(), "application/json", []byte("{}"))
	if _, down := errors.AsType[*store.Unavailable](err); !down || !strings.Contains(err.Error(), "reference of its address is not resolved") {
		t.Errorf("error %v", err)
	}
}

// TestAnswers: what each answer means, that no error holds the address or what the receiver says, and that no redirect is followed.
func TestAnswers(t *testing.T) {
	now := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for _, tc := range []struct {
		status      int
		header      [2]string
		down        bool
		after       time.Duration
		want        string // in the error; "" for none
		description string
	}{
		{status: 200}, {status: 202}, {status: 204},
		{status: 400, want: "refused the message with 400"}, {status: 413, want: "refused the message with 413"}, {status: 422, want: "refused"},
		{status: 401, down: true, want: "answered 401"}, {status: 403, down: true, want: "answered 403"}, {status: 404, down: true, want: "answered 404"}, {status: 410, down: true, want: "answered 410"},
		{status: 429, down: true, want: "answered 429"},
		{status: 429, header: [2]string{"Retry-After", "30"}, down: true, after: 30 * time.Second, want: "answered 429"},
		{status: 503, header: [2]string{"Retry-After", "Mon, 02 Mar 2026 08:02:00 GMT"}, down: true, after: 2 * time.Minute, want: "answered 503"},
		{status: 503, header: [2]string{"Retry-After", "Mon, 02 Mar 2026 07:00:00 GMT"}, down: true, want: "answered 503"},
		{status: 503, header: [2]string{"Retry-After", "-5"}, down: true, want: "answered 503"},
		{status: 503, header: [2]string{"Retry-After", "999999999"}, down: true, after: 24 * time.Hour, want: "answered 503"},
		{status: 500, down: true, want: "answered 500"},
		{status: 301, header: [2]string{"Location", other.URL}, down: true, want: "a redirect, which is not followed"},
		{status: 307, header: [2]string{"Location", other.URL}, down: true, want: "a redirect, which is not followed"},
		{status: 308, header: [2]string{"Location", "/same"}, down: true, want: "a redirect, which is not followed"},
	} {
		t.Run(fmt.Sprint(tc.status, tc.header), func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if tc.header[0] != "" {
					w.Header().Set(tc.header[0], tc.header[1])
				}
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, secret)
			}))
			defer server.Close()
			err := client(t, hook.Config{URL: server.URL + "/hook?sig=" + secret, Now: func() time.Time { return now }}).Post(t.Context(), "application/json", []byte("{}"))
			down, is := errors.AsType[*store.Unavailable](err)
			switch {
			case (err == nil) != (tc.want == ""), is != tc.down, is && down.RetryAfter != tc.after, err != nil && !strings.Contains(err.Error(), tc.want):
				t.Errorf("error %v", err)
			case err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), server.URL)):
				t.Errorf("the error holds what is secret: %v", err)
			}
		})
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d calls went where a redirect leads", n)
	}
}

// TestNoAnswer: a receiver that hangs, hangs up or is not there is unavailable, within the caller's time, and the error holds no address.
func TestNoAnswer(t *testing.T) {
	stop := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	}))
	defer hangs.Close()
	defer close(stop)
	hangsUp := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer hangsUp.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := "http://" + l.Addr().String()
	_ = l.Close()
	for address, want := range map[string]string{hangs.URL: "did not answer in time", hangsUp.URL: "could not be reached", gone: "could not be reached"} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err := client(t, hook.Config{URL: address + "/" + secret}).Post(ctx, "application/json", nil)
		cancel()
		if _, down := errors.AsType[*store.Unavailable](err); !down || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), address) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// TestSent: what arrives is what was sent, with a token for the receiver's audience where it has one, and without one nothing is sent.
func TestSent(t *testing.T) {
	var got atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got.Store(fmt.Sprintf("%s %s %s [%s] %s", r.Method, r.URL, r.Header.Get("Content-Type"), r.Header.Get("Authorization"), body))
	}))
	defer server.Close()
	id := &identity{}
	for _, audience := range []string{"", "api://receiver"} {
		if err := client(t, hook.Config{URL: server.URL + "/in?x=1", Audience: audience, Identity: id}).Post(t.Context(), "text/x", []byte("body")); err != nil {
			t.Fatal(err)
		}
		want := "POST /in?x=1 text/x [] body"
		if audience != "" {
			want = "POST /in?x=1 text/x [Bearer the-token] body"
		}
		if got.Load() != want {
			t.Errorf("got %q, want %q", got.Load(), want)
		}
	}
	if id.scope != "api://receiver/.default" {
		t.Errorf("the token was for %q", id.scope)
	}
	got.Store("nothing")
	err := client(t, hook.Config{URL: server.URL, Audience: "api://receiver", Identity: &identity{err: errors.New("the identity says " + secret)}}).Post(t.Context(), "text/x", []byte("body"))
	if _, down := errors.AsType[*store.Unavailable](err); !down || strings.Contains(err.Error(), secret) || got.Load() != "nothing" {
		t.Errorf("without a token: error %v, arrived %q", err, got.Load())
	}
}
