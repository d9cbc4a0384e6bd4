// Package armtest is what the tests of adapters of Azure Resource Manager (ARM) share: a [Rig] in front of the stand-in
// local/armsim, which fails as the conformance suites of core/coretest ask for it, and a [Script] of
// answers. Only tests import it.
package armtest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/store"
	"portcullis/infra/arm"
	"portcullis/local/armsim"
)

// Subscription is where the tests' resources are, in the resource group rg; Scope ends where the type of one of them begins.
const (
	Subscription = "11111111-1111-1111-1111-11111111abcd"
	Scope        = "/subscriptions/" + Subscription + "/resourceGroups/rg/providers/Microsoft.Network/"
)

const apiVersion = "?api-version=2025-05-01"

// Object is a JSON object.
type Object = map[string]any

// Credential always returns itself as the token.
type Credential string

// GetToken implements azcore.TokenCredential.
func (c Credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(c), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// Connection returns a connection to a server on loopback, with retries that wait for at most 10 ms.
func Connection(server *httptest.Server) arm.Connection {
	return arm.Connection{
		Endpoint: server.URL, Audience: "https://management.azure.com",
		Options: azarm.ClientOptions{ClientOptions: policy.ClientOptions{
			InsecureAllowCredentialWithHTTP: true, Transport: server.Client(),
			Retry: policy.RetryOptions{MaxRetries: 2, RetryDelay: time.Millisecond, MaxRetryDelay: 10 * time.Millisecond},
		}},
	}
}

// Serve starts the stand-in, which takes a token for the id of its owner. The test ends it. Before, where it is set, is
// called before each request is served.
func Serve(t *testing.T, cfg armsim.Config, before func(*http.Request)) (*armsim.Server, *httptest.Server) {
	t.Helper()
	cfg.Verify = func(token string) (string, error) { return token, nil }
	server, err := armsim.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if before != nil {
			before(req)
		}
		server.ServeHTTP(w, req)
	}))
	t.Cleanup(func() {
		h.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server, h
}

// Kind is the type of resource that an adapter writes.
type Kind struct {
	Type   string                             // of Microsoft.Network, such as networkSecurityGroups
	Writes func(*armsim.Knobs) *armsim.Writes // how writes of it behave
}

// Rig is a stand-in for ARM whose clock stands still. It is most of a fixture of the conformance suites.
type Rig struct {
	ARM  *armsim.Server
	HTTP *httptest.Server
	kind Kind

	mu     sync.Mutex
	before func(*http.Request)
	made   int
}

// NewRig starts a stand-in for the tests of an adapter that writes a kind.
func NewRig(t *testing.T, kind Kind, knobs armsim.Knobs) *Rig {
	t.Helper()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := &Rig{kind: kind}
	r.ARM, r.HTTP = Serve(t, armsim.Config{Now: func() time.Time { return now }, Knobs: knobs}, func(req *http.Request) {
		r.mu.Lock()
		before := r.before
		r.mu.Unlock()
		if before != nil {
			before(req)
		}
	})
	return r
}

// Subscription is part of both fixtures.
func (r *Rig) Subscription() string { return Subscription }

// Interpose has f called before each request is served; nil ends that.
func (r *Rig) Interpose(f func(*http.Request)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = f
}

// Next returns a number that it has not returned before, from 1.
func (r *Rig) Next() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made++
	return r.made
}

// Tune changes how the stand-in behaves.
func (r *Rig) Tune(t *testing.T, change func(*armsim.Knobs)) {
	t.Helper()
	if err := r.ARM.Tune(change); err != nil {
		t.Fatal(err)
	}
}

// Put writes a resource as somebody else, at once.
func (r *Rig) Put(t *testing.T, id string, doc any) {
	t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.ARM.Put(id, text); err != nil {
		t.Fatalf("put %s: %v", id, err)
	}
}

// Edit changes the properties of a resource as somebody else, at once.
func (r *Rig) Edit(t *testing.T, target jit.ID, change func(properties Object)) {
	t.Helper()
	if err := r.ARM.Edit(target.String(), func(doc map[string]any) { change(doc["properties"].(Object)) }); err != nil {
		t.Fatal(err)
	}
}

// Remove deletes a resource as somebody else.
func (r *Rig) Remove(t *testing.T, id jit.ID) {
	t.Helper()
	if ok, err := r.ARM.Delete(id.String()); err != nil || !ok {
		t.Fatalf("delete %s: %t, %v", id, ok, err)
	}
}

// OutsideOf returns the document of a target without the elements of a list of its properties that are ours, and without what
// changes with every write.
func (r *Rig) OutsideOf(t *testing.T, target jit.ID, list string, ours func(element Object) bool) string {
	t.Helper()
	text, ok := r.ARM.Get(target.String())
	if !ok {
		t.Fatalf("%s is gone", target)
	}
	var doc Object
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	p := doc["properties"].(Object)
	p[list] = slices.DeleteFunc(p[list].([]any), func(e any) bool { return ours(e.(Object)) })
	forget(doc, "etag", "provisioningState")
	out, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// forget removes keys at every depth.
func forget(v any, keys ...string) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range keys {
			delete(v, k)
		}
		for _, e := range v {
			forget(e, keys...)
		}
	case []any:
		for _, e := range v {
			forget(e, keys...)
		}
	}
}

// Plain returns what JSON makes of a value, with numbers as the stand-in keeps them.
func Plain(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var out any
	if err := d.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// Fail has the next write to the target, or all that is asked of ARM, fail in a way.
func (r *Rig) Fail(t *testing.T, target jit.ID, how coretest.Failure) {
	t.Helper()
	switch how {
	case coretest.Locked:
		r.Put(t, target.String()+"/providers/Microsoft.Authorization/locks/freeze", Object{"properties": Object{"level": "ReadOnly"}})
	case coretest.Forbidden:
		r.Tune(t, func(k *armsim.Knobs) {
			k.Denied = []armsim.Denied{{Action: "Microsoft.Network/" + r.kind.Type + "/write"}}
		})
	case coretest.ReplyLost:
		r.Tune(t, func(k *armsim.Knobs) { r.kind.Writes(k).LoseReplies = 1 })
	case coretest.Broken:
		r.Tune(t, func(k *armsim.Knobs) { r.kind.Writes(k).FailOperations = 1 })
	case coretest.Superseded:
		r.supersede(t, target)
	case coretest.Throttled:
		r.exhaust(t)
	case coretest.Down:
		r.Tune(t, func(k *armsim.Knobs) { k.Denied, k.Down = nil, true })
	default:
		t.Fatalf("no failure %s", how)
	}
}

// exhaust turns the throttle on and empties the buckets of reads and writes; the clock stands, so they stay empty.
func (r *Rig) exhaust(t *testing.T) {
	t.Helper()
	r.Tune(t, func(k *armsim.Knobs) { k.Denied, k.Throttle = nil, true })
	for _, method := range []string{http.MethodGet, http.MethodPut} {
		for _, path := range []string{Scope + r.kind.Type, Scope + r.kind.Type + "/any"} {
			for range 260 {
				r.send("app", method, path, "{}")
			}
		}
	}
}

// send sends a request as somebody.
func (r *Rig) send(who, method, path, body string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path+apiVersion, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+who)
	answer := httptest.NewRecorder()
	r.ARM.ServeHTTP(answer, req)
	return answer
}

// supersede lets another writer put the target as it was, between the PUT's answer and the first look at it.
func (r *Rig) supersede(t *testing.T, target jit.ID) {
	t.Helper()
	before, _ := r.ARM.Get(target.String())
	r.Tune(t, func(k *armsim.Knobs) {
		*r.kind.Writes(k) = armsim.Writes{LatencyMin: armsim.Duration(time.Hour), Concurrent: armsim.Supersede}
	})
	var once sync.Once
	var sent atomic.Bool
	r.Interpose(func(req *http.Request) {
		if req.Method == http.MethodPut {
			sent.Store(true)
		}
		if req.Method != http.MethodGet || !sent.Load() {
			return
		}
		once.Do(func() {
			r.Tune(t, func(k *armsim.Knobs) { r.kind.Writes(k).LatencyMin = 0 }) // the other writer's ends at once
			if answer := r.send("somebody-else", http.MethodPut, target.String(), string(before)); answer.Code != http.StatusOK {
				t.Errorf("the other writer's PUT: %d %s", answer.Code, answer.Body)
			}
		})
	})
}

// Unavailable returns the error's [store.Unavailable].
func Unavailable(err error) (*store.Unavailable, bool) { return errors.AsType[*store.Unavailable](err) }
