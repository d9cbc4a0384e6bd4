package handlers

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/admission"
	"portcullis/core/jit"
	"portcullis/handlers/document"
	"portcullis/handlers/surface"
	"portcullis/handlers/wire"
)

// TestBusy: where other documents are being read, the door answers 429 and says in whole seconds when to come again. What is refused for
// another reason does not.
func TestBusy(t *testing.T) {
	for name, tc := range map[string]struct {
		atOnce, status int
		code           jit.Code
		again          bool
	}{
		"no turn": {0, 429, wire.CodeTooManyDocuments, true},
		"a turn":  {1, 400, wire.CodeUnknownFormat, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := &server{app: &core.App{Now: time.Now, Admission: admission.New(time.Now, func(jit.Caller) {})}, parameters: surface.Parameters(), documents: document.NewReader(tc.atOnce, time.Duration(tc.atOnce)*time.Hour), Options: Options{
				Log: slog.New(slog.DiscardHandler), Caller: func(*http.Request) (jit.Caller, error) { return jit.Caller{ID: "t/a", Name: "ann"}, nil }}}
			mux := http.NewServeMux()
			mux.Handle("POST /api/policies/import", s.identified(s.restorePolicies))
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequest("POST", "/api/policies/import", strings.NewReader(`{"format":"other"}`)))
			if w.Code != tc.status || w.Header().Get("x-ms-error-code") != string(tc.code) {
				t.Fatalf("%d %s, want %d %s", w.Code, w.Body, tc.status, tc.code)
			}
			if seconds, err := strconv.Atoi(w.Header().Get("Retry-After")); (err == nil && seconds > 0) != tc.again {
				t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
			}
		})
	}
}
