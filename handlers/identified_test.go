package handlers_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers"
)

// TestIssuerDown: while the issuer of the tokens does not answer nobody gets in, and everybody is told to come again
// rather than to sign in again.
func TestIssuerDown(t *testing.T) {
	for _, tc := range []struct {
		name   string
		err    error
		status int
		code   string
		retry  string
	}{
		{"no valid token", errors.New("no valid token: it has ended"), 401, "Unauthenticated", ""},
		{"the issuer is down", fmt.Errorf("read the keys: %w", &store.Unavailable{Dependency: "Entra ID", RetryAfter: 5 * time.Second, Err: errors.New("SECRET")}), 503, "EntraIDUnavailable", "5"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, log := newApp(t), &bytes.Buffer{}
			h := handlers.New(a.rooms, handlers.Options{
				Caller: func(*http.Request) (jit.Caller, error) { return jit.Caller{ID: "tid/alice"}, tc.err },
				NewID:  a.ports.NewID, Log: slog.New(slog.NewTextHandler(log, nil)),
			})
			a.Handler = h
			got := a.do(httptest.NewRequest("GET", "/api/requests", nil))
			code, _ := got.code()
			if got.status != tc.status || code != tc.code || got.header.Get("Retry-After") != tc.retry {
				t.Errorf("%d %s, Retry-After %q; want %d %s, %q", got.status, got.text, got.header.Get("Retry-After"), tc.status, tc.code, tc.retry)
			}
			if challenged := got.header.Get("WWW-Authenticate") != ""; challenged != (tc.status == 401) {
				t.Errorf("asked to sign in: %v", challenged)
			}
			if strings.Contains(got.text, "SECRET") || strings.Contains(got.text, "ended") {
				t.Errorf("the answer says why: %s", got.text)
			}
			if !strings.Contains(log.String(), tc.err.Error()) {
				t.Errorf("the log does not say why: %s", log)
			}
		})
	}
}
