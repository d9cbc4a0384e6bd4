package nsg_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

	"portcullis/core/jit"
	"portcullis/core/plan"
	"portcullis/core/store"
	"portcullis/infra/arm"
	"portcullis/infra/nsg"
	"portcullis/local/armsim"
)

const (
	sub   = "11111111-1111-1111-1111-11111111abcd"
	scope = "/subscriptions/" + sub + "/resourceGroups/rg/providers/Microsoft.Network/"
)

// credential gives the same token always.
type credential string

func (c credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(c), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// client gives the adapter for a server on loopback, with retries that do not wait.
func client(t testing.TB, server *httptest.Server, change func(*nsg.Config)) *nsg.Client {
	t.Helper()
	cfg := nsg.Config{
		Connection: arm.Connection{
			Endpoint: server.URL, Audience: "https://management.azure.com",
			Options: azarm.ClientOptions{ClientOptions: policy.ClientOptions{
				InsecureAllowCredentialWithHTTP: true,
				Transport:                       server.Client(),
				Retry:                           policy.RetryOptions{MaxRetries: 2, RetryDelay: time.Millisecond, MaxRetryDelay: 10 * time.Millisecond},
			}},
		},
		Subscription: sub, PollEvery: time.Millisecond,
	}
	if change != nil {
		change(&cfg)
	}
	c, err := nsg.New(credential("app"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// rig is the adapter in front of a stand-in for Azure Resource Manager. It is the
// fixture of both conformance suites.
type rig struct {
	*nsg.Client
	arm    *armsim.Server
	server *httptest.Server

	mu     sync.Mutex
	before func(*http.Request) // called once before each request is served
	made   int
}

func newRig(t *testing.T, knobs armsim.Knobs) *rig {
	t.Helper()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) // stands still
	server, err := armsim.Open(armsim.Config{
		Verify: func(token string) (string, error) { return token, nil },
		Now:    func() time.Time { return now }, Knobs: knobs,
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{arm: server}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		before := r.before
		r.mu.Unlock()
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
	r.server = h
	r.Client = client(t, h, nil)
	return r
}

// client gives another client of the rig's.
func (r *rig) client(t *testing.T, change func(*nsg.Config)) *nsg.Client {
	t.Helper()
	return client(t, r.server, change)
}

func (r *rig) interpose(f func(*http.Request)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = f
}

func (r *rig) tune(t *testing.T, change func(*armsim.Knobs)) {
	t.Helper()
	if err := r.arm.Tune(change); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) put(t *testing.T, id string, doc any) {
	t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.arm.Put(id, text); err != nil {
		t.Fatalf("put %s: %v", id, err)
	}
}

func (r *rig) Subscription() string { return sub }

// object is a JSON object.
type object = map[string]any

func (r *rig) next() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made++
	return r.made
}

// nsgID is the id of an NSG of the fixture.
func nsgID(name string) jit.ID {
	return jit.ID{Subscription: sub, ResourceGroup: "rg", Type: jit.TypeNSG, Name: name}
}

func (r *rig) Target(t *testing.T, rules ...jit.Rule) jit.ID {
	t.Helper()
	list := []any{}
	for _, rule := range rules {
		list = append(list, wire(rule))
	}
	target := nsgID(fmt.Sprintf("Nsg-%d", r.next()))
	r.put(t, target.String(), object{
		"location": "westeurope", "tags": object{"owner": "network team", "costCentre": "4711"},
		"properties": object{"securityRules": list, "flushConnection": true, "notYetInvented": object{"depth": []any{1, "two"}}},
	})
	return target
}

// wire writes a rule as another tool would: everything in lists that can be.
func wire(r jit.Rule) object {
	p := object{
		"priority": r.Priority, "direction": "Inbound", "access": r.Access.String(), "protocol": string(r.Protocol),
		"notYetInvented": r.Name,
	}
	if r.Direction == jit.Outbound {
		p["direction"] = "Outbound"
	}
	if r.Description != "" {
		p["description"] = r.Description
	}
	for side, peers := range map[string]jit.Peers{"source": r.Source, "destination": r.Destination} {
		switch {
		case peers.Any:
			p[side+"AddressPrefix"] = "*"
		case len(peers.Tags) == 1:
			p[side+"AddressPrefix"] = peers.Tags[0]
		default:
			list := []string{}
			for _, q := range peers.Prefixes {
				list = append(list, q.String())
			}
			p[side+"AddressPrefixes"] = list
		}
	}
	for side, ports := range map[string][]jit.PortRange{"source": r.SourcePorts, "destination": r.DestinationPorts} {
		if slices.Contains(ports, jit.AllPorts()) {
			p[side+"PortRange"] = "*"
			continue
		}
		list := []string{}
		for _, q := range ports {
			list = append(list, fmt.Sprintf("%d-%d", q.First, q.Last))
		}
		p[side+"PortRanges"] = list
	}
	return object{"name": r.Name, "properties": p}
}

func (r *rig) Remove(t *testing.T, id jit.ID) {
	t.Helper()
	if strings.EqualFold(id.Type, jit.TypeVM) {
		for i := range 3 {
			if _, err := r.arm.Delete(fmt.Sprintf("%snetworkInterfaces/%s-%d", scope, id.Name, i)); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	if ok, err := r.arm.Delete(id.String()); err != nil || !ok {
		t.Fatalf("delete %s: %t, %v", id, ok, err)
	}
}

func (r *rig) Write(t *testing.T, target jit.ID, rule jit.Rule) {
	t.Helper()
	err := r.arm.Edit(target.String(), func(doc map[string]any) {
		p := doc["properties"].(map[string]any)
		rules := slices.DeleteFunc(p["securityRules"].([]any), func(e any) bool {
			return strings.EqualFold(e.(map[string]any)["name"].(string), rule.Name)
		})
		// Through text, so that numbers have the form that the server keeps them in.
		p["securityRules"] = append(rules, plain(t, wire(rule)))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func plain(t *testing.T, v any) any {
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

func (r *rig) Outside(t *testing.T, target jit.ID) string {
	t.Helper()
	text, ok := r.arm.Get(target.String())
	if !ok {
		t.Fatalf("%s is gone", target)
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	p := doc["properties"].(map[string]any)
	p["securityRules"] = slices.DeleteFunc(p["securityRules"].([]any), func(e any) bool {
		return plan.Owned(e.(map[string]any)["name"].(string))
	})
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

// firewallFixture and networkFixture are the rig as the suites want it: their Fail differs.
type (
	firewallFixture struct{ *rig }
	networkFixture  struct{ *rig }
)

func (r networkFixture) Fail(t *testing.T, how accessFailure) {
	t.Helper()
	r.failAll(t, how)
}

func (r *rig) failAll(t *testing.T, how accessFailure) {
	t.Helper()
	switch how {
	case forbidden:
		r.tune(t, func(k *armsim.Knobs) { k.Denied = []armsim.Denied{{Action: "*"}} })
	case throttled:
		r.exhaust(t)
	case down:
		r.tune(t, func(k *armsim.Knobs) { k.Denied, k.Down = nil, true })
	default:
		t.Fatalf("no failure %s", how)
	}
}

// exhaust turns the throttle on and empties the buckets of reads and writes; the clock
// stands, so they stay empty.
func (r *rig) exhaust(t *testing.T) {
	t.Helper()
	r.tune(t, func(k *armsim.Knobs) { k.Denied, k.Throttle = nil, true })
	for _, method := range []string{http.MethodGet, http.MethodPut} {
		for _, path := range []string{scope + "networkSecurityGroups", scope + "networkSecurityGroups/Nsg-1"} {
			for range 260 {
				req := httptest.NewRequest(method, path+"?api-version=2025-05-01", strings.NewReader("{}"))
				req.Header.Set("Authorization", "Bearer app")
				r.arm.ServeHTTP(httptest.NewRecorder(), req)
			}
		}
	}
}

func (r firewallFixture) Fail(t *testing.T, target jit.ID, how accessFailure) {
	t.Helper()
	switch how {
	case locked:
		lock := target.String() + "/providers/Microsoft.Authorization/locks/freeze"
		r.put(t, lock, object{"properties": object{"level": "ReadOnly"}})
	case forbidden:
		r.tune(t, func(k *armsim.Knobs) {
			k.Denied = []armsim.Denied{{Action: "Microsoft.Network/networkSecurityGroups/write"}}
		})
	case replyLost:
		r.tune(t, func(k *armsim.Knobs) { k.Writes.LoseReplies = 1 })
	case broken:
		r.tune(t, func(k *armsim.Knobs) { k.Writes.FailOperations = 1 })
	case superseded:
		r.supersede(t, target)
	default:
		r.failAll(t, how)
	}
}

// supersede lets another writer put the NSG as it was, between the PUT's answer and the first look at it.
func (r *rig) supersede(t *testing.T, target jit.ID) {
	t.Helper()
	before, _ := r.arm.Get(target.String())
	r.tune(t, func(k *armsim.Knobs) {
		k.Writes = armsim.Writes{LatencyMin: armsim.Duration(time.Hour), Concurrent: armsim.Supersede}
	})
	var once sync.Once
	var sent atomic.Bool
	r.interpose(func(req *http.Request) {
		if req.Method == http.MethodPut {
			sent.Store(true)
		}
		if req.Method != http.MethodGet || !sent.Load() {
			return
		}
		once.Do(func() {
			r.tune(t, func(k *armsim.Knobs) { k.Writes.LatencyMin = 0 }) // the other writer's ends at once
			other := httptest.NewRequest(http.MethodPut, target.String()+"?api-version=2025-05-01", strings.NewReader(string(before)))
			other.Header.Set("Authorization", "Bearer somebody-else")
			answer := httptest.NewRecorder()
			r.arm.ServeHTTP(answer, other)
			if answer.Code != http.StatusOK {
				t.Errorf("the other writer's PUT: %d %s", answer.Code, answer.Body)
			}
		})
	})
}

func isUnavailable(err error) (*store.Unavailable, bool) {
	var u *store.Unavailable
	return u, errors.As(err, &u)
}
