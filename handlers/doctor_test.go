package handlers_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/doctor"
	"portcullis/core/jit"
	"portcullis/core/permit"
	"portcullis/handlers"
)

// newIll is an installation whose doctor finds nothing where it looks, and no queue.
func newIll(t *testing.T) *app {
	a := newApp(t)
	a.bell.Fault = func(context.Context, coretest.Step) error { return errors.New("SECRET of the bus") }
	return a
}

// readers lets everybody read and nothing else.
type readers struct{}

func (readers) Missing(_ context.Context, _ jit.Caller, _ string, actions ...string) (string, error) {
	for _, action := range actions {
		if action != permit.ActionRead {
			return action, nil
		}
	}
	return "", nil
}

// TestDoctorRefuses: without a token nobody is told anything, nor who may not administer; nothing is set for them.
func TestDoctorRefuses(t *testing.T) {
	a := newIll(t)
	if r := a.do(httptest.NewRequest("GET", "/api/doctor", nil)); r.status != 401 {
		t.Errorf("without a token: %d %s", r.status, r.text)
	}
	a.wire(func(p *core.Ports) { p.Authority = readers{} })
	r := a.call("GET", "/api/doctor", "")
	if code, target := r.code(); r.status != 403 || code != "AuthorizationFailed" || target != "/subscriptions/"+sub || !strings.Contains(r.text, permit.ActionWrite) {
		t.Errorf("a reader: %d %s", r.status, r.text)
	}
	if n := len(a.bell.Set()); n != 0 {
		t.Errorf("%d wake-ups were set", n)
	}
}

// checkOf gives a check of the answer.
func checkOf(t *testing.T, r answer, name string) map[string]any {
	t.Helper()
	checks, _ := r.body["checks"].([]any)
	for _, c := range checks {
		if c := c.(map[string]any); c["name"] == name {
			return c
		}
	}
	t.Fatalf("there is no check %s: %s", name, r.text)
	return nil
}

// factOf gives the value and the reason of a fact.
func factOf(t *testing.T, c map[string]any, name string) (value any, reason string) {
	t.Helper()
	for _, f := range c["facts"].([]any) {
		if f := f.(map[string]any); f["name"] == name {
			reason, _ = f["reason"].(string)
			return f["value"], reason
		}
	}
	t.Fatalf("there is no fact %s: %v", name, c)
	return nil, ""
}

// TestDoctorAnswers: 200 whatever is ill; what is not known is null with its reason; causes are in the log alone.
func TestDoctorAnswers(t *testing.T) {
	a := newIll(t)
	r := a.call("GET", "/api/doctor", "")
	if r.status != 200 || r.body["state"] != "broken" || r.body["version"] != "test" || r.body["time"] != "2026-11-23T12:00:00.000Z" {
		t.Fatalf("%d %s", r.status, r.text)
	}
	if who := r.body["caller"].(map[string]any); who["name"] != "alice@example.com" || who["address"] != "203.0.113.7" {
		t.Errorf("the caller is %v", who)
	}
	if c := checkOf(t, r, "sweep"); c["state"] != "unknown" || c["seen"] != nil || c["reason"] == "" || c["advice"] == "" {
		t.Errorf("%v", c)
	}
	if c := checkOf(t, r, "queue"); c["state"] != "broken" {
		t.Errorf("%v", c)
	}
	if strings.Contains(r.text, "SECRET") || !strings.Contains(a.log.String(), "SECRET of the bus") {
		t.Errorf("a cause is not in the log alone: %s\n%s", r.text, a.log)
	}
}

// TestFrontEnd: what came is shown, and what holds a person's name or a token is not.
func TestFrontEnd(t *testing.T) {
	a := newIll(t)
	r := a.call("GET", "/api/doctor", "", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "app.example.com", "X-Azure-Functions-Hostversion", "4.1045.200.0",
		"X-MS-CLIENT-PRINCIPAL", "SECRET", "X-MS-TOKEN-AAD-ID-TOKEN", "SECRET")
	front := checkOf(t, r, "frontEnd")
	if front["state"] != "ok" || !strings.Contains(front["seen"].(string), "203.0.113.7") || strings.Contains(r.text, "SECRET") {
		t.Errorf("%s", r.text)
	}
	for name, want := range map[string]string{"X-Forwarded-For": `"203.0.113.7"`, "X-Forwarded-Proto": `"https"`, "X-Forwarded-Host": `"app.example.com"`, "ASPNETCORE_FORWARDEDHEADERS_ENABLED": "true",
		"appServiceAuthentication": "sent, and not trusted: X-Ms-Client-Principal, X-Ms-Token-Aad-Id-Token"} {
		if value, _ := factOf(t, front, name); value != want {
			t.Errorf("%s is %v, want %s", name, value, want)
		}
	}
	if value, _ := factOf(t, checkOf(t, r, "versions"), "host"); value != `"4.1045.200.0"` {
		t.Errorf("the host's version is %v", value)
	}

	r = a.call("GET", "/api/doctor", "", "X-Forwarded-For", "203.0.113.7, 203.0.113.8\u00e9"+strings.Repeat("9", 400))
	front = checkOf(t, r, "frontEnd")
	if value, _ := factOf(t, front, "X-Forwarded-For"); front["state"] != "attention" || len(value.(string)) > 200 || strings.Contains(value.(string), "\u00e9") {
		t.Errorf("%v", front)
	}
	if value, reason := factOf(t, front, "X-Forwarded-Proto"); value != nil || reason == "" {
		t.Errorf("what was not sent is %v: %s", value, reason)
	}
	if who := r.body["caller"].(map[string]any); who["address"] != nil {
		t.Errorf("the caller is %v", who)
	}
	if value, reason := factOf(t, checkOf(t, r, "versions"), "host"); value != nil || reason == "" {
		t.Errorf("the host's version is %v: %s", value, reason)
	}

	// Where the app is not set to know, it says so rather than what the header says.
	a.Handler = handlers.New(a.rooms, handlers.Options{Caller: func(*http.Request) (jit.Caller, error) { return jit.Caller{ID: "tid/alice", Name: "alice"}, nil },
		Version: "v1 (abc)+dirty", Log: slog.New(slog.DiscardHandler), NewID: uuid.NewString})
	r = a.call("GET", "/api/doctor", "")
	if front := checkOf(t, r, "frontEnd"); front["state"] != "attention" || !strings.Contains(front["advice"].(string), "ASPNETCORE_FORWARDEDHEADERS_ENABLED") || strings.Contains(front["seen"].(string), "203.0.113.7") {
		t.Errorf("%v", front)
	}
	if c := checkOf(t, r, "versions"); c["state"] != "attention" {
		t.Errorf("%v", c)
	}
}

// TestDoctorsWake: a message of a doctor's is answered as one that was dealt with, and no grant is looked for.
func TestDoctorsWake(t *testing.T) {
	a := newIll(t)
	a.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Grant" {
			t.Error("a grant was looked for")
		}
		return nil
	}
	for _, rows := range []doctor.Rows{nil, noRows{}} {
		a.wire(func(p *core.Ports) { p.Doctor.Rows = rows })
		if r := a.posts("/revoke", `{"Data":{"message":"{\"grant\":\"doctor-0\",\"generation\":1}"},"Metadata":{}}`); r.status != 200 {
			t.Errorf("%v: %d %s", rows, r.status, r.text)
		}
	}
}

// noRows is a table that cannot be reached.
type noRows struct{}

func (noRows) Try(context.Context) (time.Time, error) { return time.Time{}, errors.New("down") }

func (noRows) Answer(context.Context, string, time.Time) error { return errors.New("down") }

func (noRows) Answered(context.Context) (string, time.Time, error) {
	return "", time.Time{}, errors.New("down")
}
