package handlers_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers"
)

func TestHealth(t *testing.T) {
	a := newApp(t)
	got := a.call("GET", "/api/health", "")
	if got.status != 200 || got.body["lastSweepAgeSeconds"] != -1.0 {
		t.Errorf("%d %s", got.status, got.text)
	}
	a.call("POST", "/api/sweep", "{}")
	a.leap(90 * time.Second)
	if got := a.call("GET", "/api/health", ""); got.body["lastSweepAgeSeconds"] != 90.0 || got.body["oldestOverdueClosingSeconds"] != 0.0 {
		t.Errorf("%s", got.text)
	}
	h := handlers.New(a.rooms, handlers.Options{Dependencies: map[string]store.Pinger{"tableStorage": ping(func() error { return errors.New("SECRET") })},
		Log: slog.New(slog.DiscardHandler), NewID: uuid.NewString, Caller: func(*http.Request) (jit.Caller, error) { return jit.Caller{}, errors.New("nobody") }})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/api/health", nil))
	if w.Code != 503 || !strings.Contains(w.Body.String(), `"tableStorage":"unavailable"`) || strings.Contains(w.Body.String(), "SECRET") {
		t.Errorf("%d %s", w.Code, w.Body)
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
