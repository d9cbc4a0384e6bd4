// Package apptest is an app in memory behind a real socket, for tests of the command line client: the app's own doors and verbs, over the
// in-memory reference of Azure. The bearer token is the name of who calls: admin, requester, reader, approver (a reader with the app role for it) or oncall (a
// requester who may break the glass); every other is refused.
//
// It leaves out Azure, the Functions host, the verification of tokens and the wake-ups: a window does not end by itself here.
package apptest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
	"portcullis/handlers"
)

// Where everything is.
const (
	Subscription = "00000000-0000-0000-0000-00000000d3e0"
	Audience     = "api://portcullis-test"
	Authority    = "https://login.microsoftonline.com"
	tenant       = "aaaaaaaa-0000-4000-8000-00000000000a"
)

// VM gives the id of a machine in a group.
func VM(group, name string) string {
	return "/subscriptions/" + Subscription + "/resourceGroups/" + group + "/providers/Microsoft.Compute/virtualMachines/" + name
}

// People are those whom the app knows, with their object ids.
var people = map[string]string{
	"admin":     "eeeeeeee-0000-4000-8000-000000000001",
	"requester": "eeeeeeee-0000-4000-8000-000000000002",
	"reader":    "eeeeeeee-0000-4000-8000-000000000003",
	"approver":  "eeeeeeee-0000-4000-8000-000000000004",
	"oncall":    "eeeeeeee-0000-4000-8000-000000000005",
}

// App is the app.
type App struct {
	URL   string
	Cloud *coretest.Cloud
	Store *coretest.Faulty

	mu      sync.Mutex
	ahead   time.Duration
	expired bool
	calls   []string
	before  func(w http.ResponseWriter, r *http.Request) bool
}

// New starts an app that ends with the test. It has a machine for each name, in the group demo, or group/name.
func New(t testing.TB, names ...string) *App {
	t.Helper()
	a := &App{Cloud: coretest.NewCloud(), Store: &coretest.Faulty{Store: coretest.NewMemory()}}
	for i, name := range names {
		group, short, ok := strings.Cut(name, "/")
		if !ok {
			group, short = "demo", name
		}
		if err := a.place(group, short, byte(4+i)); err != nil {
			t.Fatal(err)
		}
	}
	newID := func() string { return uuid.Must(uuid.NewV7()).String() }
	rooms := core.New(core.Ports{Network: surveyed{a.Cloud}, Kinds: network.KindsOf(network.SecurityGroups(a.Cloud)), Policies: a.Store, Grants: a.Store, Keys: a.Store, History: a.Store, Targets: a.Store,
		Activity: a.Store, Holds: a.Store, Sweeps: a.Store, Reviews: a.Store, BreakGlass: time.Hour, Alarm: &coretest.Bell{}, Authority: roles{}, Subscriptions: []string{Subscription}, Now: a.now, NewID: newID})
	doors := handlers.New(rooms, handlers.Options{Address: "127.0.0.1:1", ForwardedHeaders: true, Caller: a.caller,
		ParseWake: func(b []byte) (w store.Wake, err error) { return w, json.Unmarshal(b, &w) },
		Wait:      10 * time.Second, Version: "test", Authority: Authority, Audiences: []string{Audience}, NewID: newID, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-Forwarded-For", "203.0.113.7")
		a.mu.Lock()
		a.calls = append(a.calls, r.Method+" "+r.URL.Path)
		before := a.before
		a.mu.Unlock()
		w.Header().Set("Date", a.now().UTC().Format(http.TimeFormat))
		w = hurried{w}
		if before == nil || !before(w, r) {
			doors.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	a.URL = srv.URL
	return a
}

// hurried has whoever waits look again after a second, since a test must not take long.
type hurried struct{ http.ResponseWriter }

func (w hurried) WriteHeader(status int) {
	if w.Header().Get("Retry-After") != "" {
		w.Header().Set("Retry-After", "1")
	}
	w.ResponseWriter.WriteHeader(status)
}

// surveyed is the cloud as a list of all resources shows it: machines whose names are in tags have them.
type surveyed struct{ *coretest.Cloud }

var tags = map[string]map[string]string{"web": {"env": "prod", "Team": "shop"}, "db": {"env": "prod", "Team": "data"}, "web2": {"env": "test", "Team": "shop"}}

func (s surveyed) Survey(ctx context.Context, subscription string) (network.Survey, error) {
	machines, err := s.Machines(ctx, subscription)
	out := network.Survey{Machines: machines, Tags: map[string]map[string]string{}}
	for _, m := range machines {
		if t, known := tags[m.VM.Name]; known {
			out.Tags[m.VM.Key()] = t
		}
	}
	return out, err
}

func (a *App) place(group, name string, last byte) error {
	vm, err := jit.ParseVM(VM(group, name))
	if err != nil {
		return err
	}
	nsg := jit.ID{Subscription: Subscription, ResourceGroup: group, Type: jit.TypeNSG, Name: name + "-nsg"}
	private := []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, last})}
	a.Cloud.SetRules(nsg)
	a.Cloud.Place(network.Machine{VM: vm, Location: "westeurope", Private: private, Public: []netip.Addr{netip.AddrFrom4([4]byte{198, 51, 100, last})},
		Placements: []store.Placement{{Target: nsg, Addresses: private}}})
	return nil
}

// Ahead sets the app's clock so far ahead of this machine's.
func (a *App) Ahead(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ahead = d
}

// Expire has the app refuse every token from now on.
func (a *App) Expire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expired = true
}

// Before has a function look at each call first; it answers those for which it gives true. Nil ends that.
func (a *App) Before(f func(http.ResponseWriter, *http.Request) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.before = f
}

// Calls gives what was called, as METHOD path.
func (a *App) Calls() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.calls)
}

func (a *App) now() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Now().Add(a.ahead)
}

func (a *App) caller(r *http.Request) (jit.Caller, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	id, known := people[name]
	if !known || a.expired {
		return jit.Caller{}, errors.New("the token is not valid")
	}
	return jit.Caller{ID: tenant + "/" + id, Name: name + "@portcullis.example", Kind: jit.Person, Client: "ffffffff-0000-4000-8000-00000000000f",
		Roles: jit.Roles{Approver: name == "approver", BreakGlass: name == "oncall"}}, nil
}

// roles are who may do what: reader and approver read, requester and oncall also ask, admin does everything.
type roles struct{}

func (roles) Missing(_ context.Context, who jit.Caller, _ string, actions ...string) (string, error) {
	for _, action := range actions {
		switch who.Name {
		case "admin@portcullis.example":
			continue
		case "requester@portcullis.example", "oncall@portcullis.example":
			if strings.HasSuffix(action, "/read") || strings.HasSuffix(action, "/initiate/action") {
				continue
			}
		case "reader@portcullis.example", "approver@portcullis.example":
			if strings.HasSuffix(action, "jitNetworkAccessPolicies/read") {
				continue
			}
		}
		return action, nil
	}
	return "", nil
}

// Command gives what PORTCULLIS_TOKEN_COMMAND says for a person: a program that prints the token. It is the test's own binary where
// TestMain calls [Token].
func Command(self, name string) string {
	text, _ := json.Marshal([]string{self, tokenVerb, name}) // texts cannot fail
	return string(text)
}

const tokenVerb = "print-token"

// Token prints a person's token where the arguments of this process ask for it, and reports whether they did.
func Token(args []string, out io.Writer) bool {
	if len(args) != 3 || args[1] != tokenVerb {
		return false
	}
	fmt.Fprintf(out, `{"access_token":%q,"expires_in":3600}`, args[2])
	return true
}
