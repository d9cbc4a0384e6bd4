package handlers_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/handlers"
)

// TestPanicBehindADoor: a panic in what a call does in a goroutine of its own is answered with 500 and told with its stack. It does not end
// the process, and the same call passes afterwards.
func TestPanicBehindADoor(t *testing.T) {
	const ask = `{"virtualMachines":[{"id":"` + web + `","ports":[{"number":22,"duration":"PT1H"}]}]}`
	for name, door := range map[string]struct {
		op   string // in which the table panics
		path func(id string) string
		body string
	}{
		"revoke, which looks for the request": {"Grant", func(id string) string { return "/api/requests/" + id + "/revoke" }, ""},
		"revoke, which changes it":            {"UpdateGrants", func(id string) string { return "/api/requests/" + id + "/revoke" }, ""},
		"request, which opens it":             {"UpdateGrants", func(string) string { return "/api/request" }, strings.Replace(ask, "22", "3389", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t)
			var told atomic.Int32
			a.wire(func(p *core.Ports) {
				p.Panicked = func(of string, stack []byte) {
					if told.Add(1); of == "" || !strings.Contains(string(stack), "a bug") {
						t.Errorf("told of %q: %s", of, stack)
					}
				}
			})
			a.call("POST", "/api/enable", `{"virtualMachines":[{"id":"`+web+`"}]}`)
			id, _ := a.call("POST", "/api/request", ask).body["id"].(string)
			a.leap(time.Second)
			a.store.Fault = func(_ context.Context, s coretest.Step) error {
				if s.Op == door.op {
					panic("a bug")
				}
				return nil
			}
			if got := a.call("POST", door.path(id), door.body); got.status != 500 || strings.Contains(got.text, "a bug") || told.Load() == 0 {
				t.Errorf("%d %s, told %d times", got.status, got.text, told.Load())
			}
			a.store.Fault = nil
			a.leap(time.Minute)
			if got := a.call("POST", door.path(id), door.body); got.status != 200 {
				t.Errorf("afterwards: %d %s", got.status, got.text)
			}
		})
	}
}

// panicsOnSweeps panics in what health reads.
type panicsOnSweeps struct{ store.Sweeps }

func (panicsOnSweeps) LastSweep(context.Context) (store.SweepRecord, error) { panic("a bug") }

// TestHealthPanics: a panic in one of the looks is that look's alone: what it would have said is unavailable or unknown.
func TestHealthPanics(t *testing.T) {
	a := newApp(t)
	told := make(chan string, 3)
	a.wire(func(p *core.Ports) {
		p.Sweeps = panicsOnSweeps{p.Sweeps}
		p.Panicked = func(of string, _ []byte) { told <- of }
	})
	a.store.Fault = func(context.Context, coretest.Step) error { panic("a bug") }
	h := handlers.New(a.rooms, handlers.Options{
		Dependencies: map[string]store.Pinger{"tableStorage": ping(func() error { return nil }), "resourceManager": ping(func() error { panic("a bug") })},
		Log:          slog.New(slog.DiscardHandler), NewID: uuid.NewString, Caller: func(*http.Request) (jit.Caller, error) { return jit.Caller{ID: "t/o"}, nil }})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/api/health", nil))
	for _, want := range []string{`"resourceManager":"unavailable"`, `"tableStorage":"ok"`, `"lastSweepAgeSeconds":null`, `"oldestOverdueClosingSeconds":null`} {
		if w.Code != 503 || !strings.Contains(w.Body.String(), want) || strings.Contains(w.Body.String(), "a bug") {
			t.Errorf("%d %s, want %s", w.Code, w.Body, want)
		}
	}
	if len(told) != 3 {
		t.Errorf("told of %d panics, want 3", len(told))
	}
}
