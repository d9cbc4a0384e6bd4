package window_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"portcullis/cmd/portcullis/apptest"
	"portcullis/cmd/portcullis/client"
	"portcullis/cmd/portcullis/exit"
	"portcullis/cmd/portcullis/find"
	"portcullis/cmd/portcullis/signin"
	"portcullis/cmd/portcullis/window"
	"portcullis/handlers/api"
)

func TestMain(m *testing.M) {
	if apptest.Token(os.Args, os.Stdout) {
		return
	}
	os.Exit(m.Run())
}

// rig is an app with the machine web, whose SSH port is protected, and what somebody's processes were told.
type rig struct {
	*testing.T
	app  *apptest.App
	dir  string
	mu   sync.Mutex
	said bytes.Buffer
}

func open(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, app: apptest.New(t, "web"), dir: t.TempDir()}
	maximum := "PT5M"
	_, err := r.as("admin").Enable(t.Context(), api.EnableBody{VirtualMachines: []api.EnableVM{{ID: apptest.VM("demo", "web"),
		Ports: []api.PortRule{{Number: api.PortOf(22), Protocol: "TCP", Maximum: maximum}}}}}, client.How{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) as(name string) *client.Client {
	r.Helper()
	c, err := client.New(r.app.URL, client.Options{Version: "test", Now: time.Now, RetryDelay: time.Millisecond})
	if err != nil {
		r.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		r.Fatal(err)
	}
	return c.SignedIn(signin.Command([]string{self, "print-token", name}), "api://test")
}

// process is one of somebody's processes.
func (r *rig) process(name string) window.Keeper {
	return window.Keeper{App: r.as(name), Who: name, Dir: r.dir, Say: func(format string, args ...any) {
		r.mu.Lock()
		defer r.mu.Unlock()
		fmt.Fprintf(&r.said, format+"\n", args...)
	}}
}

func (r *rig) told() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said.String()
}

// opens has a process open the port of web as it stands.
func (r *rig) opens(k window.Keeper, length time.Duration) (*window.Window, error) {
	r.Helper()
	m, err := find.Machine(r.Context(), k.App, "web")
	if err != nil {
		r.Fatal(err)
	}
	return k.Open(r.Context(), window.Want{Machine: m, Port: 22, Length: length, Reason: "test"})
}

func (r *rig) must(w *window.Window, err error) *window.Window {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
	return w
}

// stands checks the status of a request.
func (r *rig) stands(id, want string) {
	r.Helper()
	g, err := r.as("admin").RequestByID(r.Context(), id)
	if err != nil || g.Status != want {
		r.Errorf("request %s is %s, %v; want %s", id, g.Status, err, want)
	}
}

// asked checks how many requests were made.
func (r *rig) asked(want int) {
	r.Helper()
	all, err := r.as("admin").AllRequests(r.Context(), nil, 0)
	if err != nil || len(all.Value) != want {
		r.Errorf("%d requests were made, %v; want %d", len(all.Value), err, want)
	}
}

// TestRefused: what the app refuses opens nothing and leaves nothing behind that the next one stumbles over.
func TestRefused(t *testing.T) {
	t.Parallel()
	r := open(t)
	if w, err := r.opens(r.process("reader"), time.Minute); exit.Of(err) != exit.Refused {
		t.Errorf("a reader opens %v, %v", w, err)
	}
	if w, err := r.opens(r.process("requester"), time.Hour); exit.Of(err) != exit.Refused {
		t.Errorf("longer than the policy allows: %v, %v", w, err)
	}
	r.asked(0)
	w := r.must(r.opens(r.process("requester"), time.Minute))
	if err := w.Close(t.Context()); err != nil {
		t.Error(err)
	}
	r.stands(w.Request, "Revoked")
}

// TestShared: of several processes the first opens, the last closes, and one call of each is made.
func TestShared(t *testing.T) {
	t.Parallel()
	r := open(t)
	first := r.must(r.opens(r.process("requester"), 4*time.Minute))
	second := r.must(r.opens(r.process("requester"), 2*time.Minute))
	if first.Request != second.Request || first.Port().Connect[0] != second.Port().Connect[0] {
		t.Errorf("they use %s and %s", first.Request, second.Request)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Error(err)
	}
	r.stands(second.Request, "Initiated")
	if err := second.Close(t.Context()); err != nil {
		t.Error(err)
	}
	r.stands(second.Request, "Revoked")
	r.asked(1)
	third := r.must(r.opens(r.process("requester"), time.Minute))
	if third.Request == first.Request {
		t.Error("what is closed is used")
	}
	if err := third.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestAtOnce: processes that begin together make one request, whichever is first.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	r := open(t)
	var all sync.WaitGroup
	for range 5 {
		k := r.process("requester")
		m, err := find.Machine(t.Context(), k.App, "web")
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			w, err := k.Open(t.Context(), window.Want{Machine: m, Port: 22, Length: time.Minute})
			if err != nil {
				t.Error(err)
				return
			}
			defer w.Close(t.Context())
			r.stands(w.Request, "Initiated")
		})
	}
	all.Wait()
	requests, err := r.as("admin").AllRequests(t.Context(), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range requests.Value {
		if g.Status != "Revoked" {
			t.Errorf("request %d is %s", i, g.Status)
		}
	}
}

// TestOthers: two people on one account of a machine share nothing.
func TestOthers(t *testing.T) {
	t.Parallel()
	r := open(t)
	one := r.must(r.opens(r.process("requester"), time.Minute))
	other := r.must(r.opens(r.process("admin"), time.Minute))
	if one.Request == other.Request {
		t.Error("they share a window")
	}
	if err := other.Close(t.Context()); err != nil {
		t.Error(err)
	}
	r.stands(one.Request, "Initiated")
	r.stands(other.Request, "Revoked")
}

// TestElsewhere: a window that was opened on the page is used, and left open.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	r := open(t)
	length := "PT4M"
	ask := func(source string) client.Pending {
		t.Helper()
		p, err := r.as("requester").Request(t.Context(), api.RequestBody{VirtualMachines: []api.RequestVM{{ID: apptest.VM("demo", "web"),
			Ports: []api.RequestPort{{Number: api.PortOf(22), Duration: &length, Prefix: &source}}}}}, client.How{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	ask("203.0.113.99") // lets in somebody else
	page := ask("203.0.113.0/28")
	w := r.must(r.opens(r.process("requester"), 5*time.Minute))
	if w.Request != page.ID {
		t.Errorf("it uses %s, not %s", w.Request, page.ID)
	}
	if err := w.Close(t.Context()); err != nil {
		t.Error(err)
	}
	r.stands(page.ID, "Initiated")
	if !strings.Contains(r.told(), "it was opened elsewhere") {
		t.Errorf("told %s", r.told())
	}
	r.asked(2)
}

// TestInterrupted: who is interrupted while the app still works on the request closes what it opens.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	r := open(t)
	k := r.process("requester")
	m, err := find.Machine(t.Context(), k.App, "web")
	if err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	r.app.Before(func(_ http.ResponseWriter, q *http.Request) bool {
		if q.URL.Path == "/api/request" {
			interrupt()
		}
		return false
	})
	if w, err := k.Open(ctx, window.Want{Machine: m, Port: 22, Length: time.Minute}); exit.Of(err) != exit.Interrupted {
		t.Errorf("%v, %v", w, err)
	}
	r.app.Before(nil)
	all, err := r.as("admin").AllRequests(t.Context(), nil, 0)
	if err != nil || len(all.Value) != 1 || all.Value[0].Status != "Revoked" {
		t.Errorf("%+v, %v", all.Value, err)
	}
}

// TestNotClosed: an app that is gone when the use ends is told of, and the window ends by itself. The next process closes it.
func TestNotClosed(t *testing.T) {
	t.Parallel()
	r := open(t)
	w := r.must(r.opens(r.process("requester"), 4*time.Minute))
	r.app.Before(func(a http.ResponseWriter, _ *http.Request) bool {
		a.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	if err := w.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "ends by itself") {
		t.Errorf("%v", err)
	}
	r.app.Before(nil)
	next := r.must(r.opens(r.process("requester"), 4*time.Minute))
	if next.Request != w.Request {
		t.Error("the window that stands is not used")
	}
	if err := next.Close(t.Context()); err != nil {
		t.Error(err)
	}
	r.stands(w.Request, "Revoked")
}

// TestKeep: a window is extended before it ends, as far as the policy allows.
func TestKeep(t *testing.T) {
	t.Parallel()
	r := open(t)
	k := r.process("requester")
	w := r.must(r.opens(k, 3*time.Minute))
	defer w.Close(t.Context())
	before := w.Ends()
	r.app.Ahead(170 * time.Second)
	if _, err := k.App.RequestByID(t.Context(), w.Request); err != nil { // by which the client learns the app's time
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r.app.Before(func(_ http.ResponseWriter, q *http.Request) bool {
		if strings.HasSuffix(q.URL.Path, "/extend") {
			context.AfterFunc(q.Context(), stop) // once it is answered
		}
		return false
	})
	if err := w.Keep(ctx); err != nil {
		t.Error(err)
	}
	g, err := r.as("admin").RequestByID(t.Context(), w.Request)
	if err != nil || g.End == before.UTC().Format(time.RFC3339Nano) {
		t.Errorf("it still ends at %s, %v", g.End, err)
	}
	r.app.Before(nil)
	r.app.Ahead(295 * time.Second)
	if _, err := k.App.RequestByID(t.Context(), w.Request); err != nil {
		t.Fatal(err)
	}
	if err := w.Keep(t.Context()); err == nil || !strings.Contains(err.Error(), "the policy allows 5m0s from its start") {
		t.Errorf("beyond the policy: %v", err)
	}
	if got := w.Ends().Sub(before); got.Round(time.Second) != 2*time.Minute {
		t.Errorf("it is extended by %s", got)
	}
}
