package handlers_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers"
)

// TestHealthToStrangers: who is not signed in, by a token that holds, learns whether all is well and nothing more.
func TestHealthToStrangers(t *testing.T) {
	a := newApp(t)
	for _, header := range []string{"X-MS-CLIENT-PRINCIPAL-NAME", "Cookie"} {
		r := httptest.NewRequest("GET", "/api/health", nil)
		r.Header.Set(header, "admin@example.com")
		if got := a.do(r); got.status != 200 || strings.TrimSpace(got.text) != `{"status":"ok"}` {
			t.Errorf("%d %s", got.status, got.text)
		}
	}
	down := handlers.New(a.rooms, handlers.Options{Dependencies: map[string]store.Pinger{"tableStorage": ping(func() error { return errors.New("SECRET") })},
		Log: slog.New(slog.DiscardHandler), NewID: uuid.NewString, Caller: func(*http.Request) (jit.Caller, error) { return jit.Caller{}, errors.New("nobody") }})
	w := httptest.NewRecorder()
	down.ServeHTTP(w, httptest.NewRequest("GET", "/api/health", nil))
	if w.Code != 503 || strings.TrimSpace(w.Body.String()) != `{"status":"unavailable"}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestHealth: what is not known is null, with the reason, and never a number.
func TestHealth(t *testing.T) {
	a := newApp(t)
	fields := []string{"lastSweepEndedAt", "lastSweepAgeSeconds", "oldestOverdueClosingSeconds"}
	got := a.call("GET", "/api/health", "")
	why, _ := got.body["unknown"].(map[string]any)
	if got.status != 200 || got.body["version"] != "test" || got.body["oldestOverdueClosingSeconds"] != 0.0 || why["oldestOverdueClosingSeconds"] != nil {
		t.Errorf("%d %s", got.status, got.text)
	}
	for _, field := range fields[:2] {
		if v, there := got.body[field]; !there || v != nil || why[field] != "no sweep has ended yet" {
			t.Errorf("%s before the first sweep: %s", field, got.text)
		}
	}
	a.call("POST", "/api/sweep", "{}")
	a.leap(90 * time.Second)
	if got := a.call("GET", "/api/health", ""); got.body["lastSweepAgeSeconds"] != 90.0 || got.body["oldestOverdueClosingSeconds"] != 0.0 || got.body["unknown"] != nil {
		t.Errorf("%s", got.text)
	}
	a.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "OpenGrants" {
			return &store.Unavailable{Dependency: "Table Storage", Err: errors.New("SECRET")}
		}
		return nil
	}
	a.wire(func(p *core.Ports) { p.Sweeps = noSweeps{p.Sweeps} })
	a.leap(time.Minute)
	got = a.call("GET", "/api/health", "")
	why, _ = got.body["unknown"].(map[string]any)
	for _, field := range fields {
		if v, there := got.body[field]; !there || v != nil || why[field] == nil || strings.Contains(got.text, "SECRET") {
			t.Errorf("%s while the table cannot be read: %s", field, got.text)
		}
	}
}

// noSweeps cannot be read.
type noSweeps struct{ store.Sweeps }

func (noSweeps) LastSweep(context.Context) (store.SweepRecord, error) {
	return store.SweepRecord{}, &store.Unavailable{Dependency: "Table Storage", Err: errors.New("SECRET")}
}

// TestHealthWithADependencyThatHangs: what the table knows is told although another dependency hangs, and what hangs is named.
func TestHealthWithADependencyThatHangs(t *testing.T) {
	a := newApp(t)
	a.call("POST", "/api/sweep", "{}")
	a.leap(time.Minute)
	synctest.Test(t, func(t *testing.T) {
		h := handlers.New(a.rooms, handlers.Options{
			Dependencies: map[string]store.Pinger{"tableStorage": ping(func() error { return nil }), "resourceManager": hangs{}},
			Log:          slog.New(slog.DiscardHandler), NewID: uuid.NewString, Caller: func(*http.Request) (jit.Caller, error) { return jit.Caller{ID: "t/o"}, nil }})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/api/health", nil))
		for _, want := range []string{`"resourceManager":"unavailable"`, `"tableStorage":"ok"`, `"lastSweepAgeSeconds":60`, `"oldestOverdueClosingSeconds":0`} {
			if w.Code != 503 || !strings.Contains(w.Body.String(), want) {
				t.Errorf("%d %s, want %s", w.Code, w.Body, want)
			}
		}
	})
}

// hangs answers nobody.
type hangs struct{}

func (hangs) Ping(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// TestTransportSecurity: every answer tells browsers to come over HTTPS alone, refusals and the page included.
func TestTransportSecurity(t *testing.T) {
	a := newApp(t)
	paths := []string{"GET /", "GET /api/nothing", "GET /api//x", "GET /api/%2fx", "POST /sweep", "GET /api/portal/", "GET /api/portal/nothing", "PUT /api/health"}
	for _, p := range append(paths, plainRoutes(t)...) {
		method, path, _ := strings.Cut(p, " ")
		for _, signedIn := range []string{"", "Bearer test"} {
			r := httptest.NewRequest(method, strings.Replace(path, "{id}", "x", 1), strings.NewReader("{}"))
			if signedIn != "" {
				r.Header.Set("Authorization", signedIn)
			}
			if got := a.do(r).header.Values("Strict-Transport-Security"); len(got) != 1 || got[0] != "max-age=31536000" {
				t.Errorf("%s: Strict-Transport-Security %q", p, got)
			}
		}
	}
}

// TestHealthIsNoLever: whoever asks for health, without a token and as often as they like, does not
// make the app ask its dependencies more often than once in five seconds.
func TestHealthIsNoLever(t *testing.T) {
	a := newApp(t)
	var pings atomic.Int32
	down := atomic.Bool{}
	h := handlers.New(a.rooms, handlers.Options{
		Dependencies: map[string]store.Pinger{"resourceManager": ping(func() error {
			pings.Add(1)
			if down.Load() {
				return errors.New("no answer")
			}
			return nil
		})},
		Log: slog.New(slog.DiscardHandler), NewID: uuid.NewString, Caller: func(*http.Request) (jit.Caller, error) { return jit.Caller{}, errors.New("nobody") }})
	ask := func(times, want int) {
		t.Helper()
		var all sync.WaitGroup
		for range times {
			all.Go(func() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest("GET", "/api/health", nil))
				if w.Code != want {
					t.Errorf("status %d, want %d: %s", w.Code, want, w.Body)
				}
			})
		}
		all.Wait()
	}
	ask(50, 200)
	a.leap(5*time.Second - time.Millisecond)
	ask(50, 200)
	if n := pings.Load(); n != 1 {
		t.Errorf("a hundred questions within five seconds became %d, want 1", n)
	}
	down.Store(true)
	a.leap(time.Millisecond)
	ask(50, 503)
	if n := pings.Load(); n != 2 {
		t.Errorf("after five seconds dependencies were asked %d times, want 2", n)
	}
}

// TestHealthSharesALookThatHangs: a look that takes as long as a look may still serves all who asked meanwhile.
func TestHealthSharesALookThatHangs(t *testing.T) {
	a := newApp(t)
	looks := 0
	h := handlers.New(a.rooms, handlers.Options{
		Dependencies: map[string]store.Pinger{"resourceManager": ping(func() error {
			looks++
			a.leap(5 * time.Second)
			return errors.New("no answer")
		})},
		Log: slog.New(slog.DiscardHandler), NewID: uuid.NewString, Caller: func(*http.Request) (jit.Caller, error) { return jit.Caller{}, errors.New("nobody") }})
	for range 20 { // those who waited come in one after the other
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/api/health", nil))
		if w.Code != 503 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if looks != 1 {
		t.Errorf("%d looks for 20 who asked during one, want 1", looks)
	}
}
