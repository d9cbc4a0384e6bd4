package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"portcullis/local/armsim"
)

const (
	sub   = "11111111-1111-1111-1111-111111111111"
	group = "/subscriptions/" + sub + "/resourceGroups/live"
	nsgID = group + "/providers/Microsoft.Network/networkSecurityGroups/portcullis-live-check"
	me    = "00000000-0000-0000-0000-00000000aaaa"
	team  = "00000000-0000-0000-0000-00000000cccc"
)

// token is what the caller's token says of groups.
type token struct{ groups []string }

// GetToken implements azcore.TokenCredential.
func (t token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	claims, err := json.Marshal(map[string]any{"oid": strings.ToUpper(me), "groups": t.groups})
	return azcore.AccessToken{Token: "e30." + base64.RawURLEncoding.EncodeToString(claims) + ".c2ln", ExpiresOn: time.Now().Add(time.Hour)}, err
}

// rig is the check, pointed at the stand-in, with a clock that goes on only when somebody waits.
type rig struct {
	t    *testing.T
	arm  *armsim.Server
	live *live
	// before and after see each call; before says true to have the connection cut instead.
	before func(r *http.Request, body []byte) (cut bool)
	after  func(r *http.Request, body []byte, status int)
	// person is told what a person is told.
	person func(text string)
	mu     sync.Mutex
	clock  time.Time
	table  bytes.Buffer
}

func newRig(t *testing.T, a asked, cred token) *rig {
	t.Helper()
	server, err := armsim.Open(armsim.Config{Verify: func(string) (string, error) { return me, nil }, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, arm: server, clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	h := httptest.NewServer(r)
	t.Cleanup(func() {
		h.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	options := policy.ClientOptions{InsecureAllowCredentialWithHTTP: true, Cloud: cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
		cloud.ResourceManager: {Endpoint: h.URL, Audience: "https://management.azure.com"},
	}}}
	a.subscription, a.group, a.location = sub, "live", "westeurope"
	if r.live, err = prepare(a, cred, options, r); err != nil {
		t.Fatal(err)
	}
	r.live.now = func() time.Time { r.mu.Lock(); defer r.mu.Unlock(); return r.clock }
	r.live.sleep = func(ctx context.Context, d time.Duration) error { r.pass(d); return ctx.Err() }
	return r
}

func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock = r.clock.Add(d)
}

// ServeHTTP implements http.Handler.
func (r *rig) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	if r.before != nil && r.before(req, body) {
		panic(http.ErrAbortHandler)
	}
	seen := httptest.NewRecorder()
	r.arm.ServeHTTP(seen, req)
	if r.after != nil {
		r.after(req, body, seen.Code)
	}
	for name, values := range seen.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(seen.Code)
	_, _ = w.Write(seen.Body.Bytes())
}

// Write implements io.Writer for what a person is told.
func (r *rig) Write(text []byte) (int, error) {
	if r.person != nil {
		r.person(string(text))
	}
	return len(text), nil
}

func (r *rig) check() error { r.t.Helper(); return r.live.check(r.t.Context(), &r.table) }

func (r *rig) put(id, doc string) {
	r.t.Helper()
	if err := r.arm.Put(id, []byte(doc)); err != nil {
		r.t.Error(err)
	}
}

var columns = regexp.MustCompile(`\s{2,}`)

// row finds the first line after the heading that begins with the fact, its columns parted by " | ".
func (r *rig) row(fact string) string {
	for _, line := range strings.Split(r.table.String(), "\n") {
		if cells := columns.Split(strings.TrimSpace(line), -1); cells[0] == fact {
			return strings.Join(cells[1:], " | ")
		}
	}
	return "no such row"
}

func (r *rig) wantRows(rows map[string]string) {
	r.t.Helper()
	for fact, want := range rows {
		if got := r.row(fact); got != want {
			r.t.Errorf("%s: %q, want %q", fact, got, want)
		}
	}
	if r.t.Failed() {
		r.t.Log("\n" + r.table.String())
	}
}

// wantClean holds that nothing is left, that nothing was written outside of the group, and that locks were put on no other.
func (r *rig) wantClean() {
	r.t.Helper()
	if _, left := r.arm.Get(group); left {
		r.t.Error("the resource group is still there")
	}
	r.wantNoLocks()
	r.wantInside()
}

func (r *rig) wantNoLocks() {
	r.t.Helper()
	for _, level := range []string{"CanNotDelete", "ReadOnly"} {
		if _, left := r.arm.Get(lockID(level)); left {
			r.t.Errorf("the lock %s is still there", level)
		}
	}
}

func (r *rig) wantInside() {
	r.t.Helper()
	for _, c := range r.arm.Requests() {
		if c.Method != http.MethodGet && c.Path != group && !strings.HasPrefix(c.Path, group+"/") {
			r.t.Errorf("it sent %s %s", c.Method, c.Path)
		}
	}
}

// count is how many calls of a kind were answered.
func (r *rig) count(method, path string) int {
	n := 0
	for _, c := range r.arm.Requests() {
		if c.Method == method && c.Path == path {
			n++
		}
	}
	return n
}

func lockID(level string) string {
	return group + "/providers/Microsoft.Authorization/locks/portcullis-live-check-" + level
}
