package azfirewall_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/plan"
	"portcullis/core/store"
	"portcullis/infra/arm"
	"portcullis/infra/azfirewall"
	"portcullis/local/armsim"
)

const (
	sub   = "11111111-1111-1111-1111-11111111abcd"
	scope = "/subscriptions/" + sub + "/resourceGroups/rg/providers/Microsoft.Network/"
)

var public = netip.MustParseAddr("198.51.100.1")

// credential gives the same token always.
type credential string

func (c credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(c), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// client gives the adapter for a server on loopback, with retries that do not wait.
func client(t *testing.T, server *httptest.Server, change func(*azfirewall.Config)) *azfirewall.Client {
	t.Helper()
	cfg := azfirewall.Config{
		Connection: arm.Connection{Endpoint: server.URL, Audience: "https://management.azure.com", Options: azarm.ClientOptions{ClientOptions: policy.ClientOptions{
			InsecureAllowCredentialWithHTTP: true, Transport: server.Client(),
			Retry: policy.RetryOptions{MaxRetries: 2, RetryDelay: time.Millisecond, MaxRetryDelay: 10 * time.Millisecond},
		}}},
		PollEvery: time.Millisecond,
	}
	if change != nil {
		change(&cfg)
	}
	c, err := azfirewall.New(credential("app"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func fwID(name string) jit.ID {
	return jit.ID{Subscription: sub, ResourceGroup: "rg", Type: jit.TypeFirewall, Name: name}
}

// object is a JSON object.
type object = map[string]any

// rig is the adapter in front of a stand-in for Azure Resource Manager, and the fixture of the conformance suite.
type rig struct {
	*azfirewall.Client
	arm *armsim.Server

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
	r.Client = client(t, h, nil)
	r.put(t, scope+"publicIPAddresses/ip", object{"location": "westeurope", "properties": object{"ipAddress": public.String()}})
	return r
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

// firewallDoc is a firewall of others, with NAT rules in a collection of theirs.
func firewallDoc(rules ...jit.Rule) object {
	properties := object{
		"sku": object{"name": "AZFW_VNet", "tier": "Standard"}, "threatIntelMode": "Alert", "additionalProperties": object{"Network.DNS.EnableProxy": "true"},
		"ipConfigurations": []any{object{"name": "main", "properties": object{
			"privateIPAddress": "10.0.0.4", "subnet": object{"id": scope + "virtualNetworks/v/subnets/AzureFirewallSubnet"},
			"publicIPAddress": object{"id": strings.ToUpper(scope + "publicIPAddresses/ip")},
		}}},
		"networkRuleCollections": []any{object{"name": "net", "properties": object{"priority": 200, "action": object{"type": "Allow"}, "rules": []any{object{"name": "dns", "notYetInvented": 1}}}}},
		"notYetInvented":         object{"depth": []any{1, "two"}},
	}
	if len(rules) > 0 {
		properties["natRuleCollections"] = []any{theirCollection(rules...)}
	}
	return object{"location": "westeurope", "tags": object{"owner": "network team"}, "properties": properties}
}

func theirCollection(rules ...jit.Rule) object {
	var list []any
	for _, r := range rules {
		list = append(list, wire(r))
	}
	return object{"name": "theirs", "properties": object{"priority": 65000, "action": object{"type": "Dnat"}, "rules": list}}
}

func (r *rig) Target(t *testing.T, rules ...jit.Rule) jit.ID {
	t.Helper()
	r.mu.Lock()
	r.made++
	target := fwID(fmt.Sprintf("Gate-%d", r.made))
	r.mu.Unlock()
	r.put(t, target.String(), firewallDoc(rules...))
	return target
}

// wire writes a NAT rule as another tool would.
func wire(r jit.Rule) object {
	out := object{"name": r.Name, "protocols": []string{string(r.Protocol)}, "notYetInvented": r.Name, "translatedAddress": r.Translated.Addr().String(), "translatedPort": strconv.Itoa(int(r.Translated.Port()))}
	if r.Protocol == jit.AnyProtocol {
		out["protocols"] = []string{"UDP", "TCP"}
	}
	if r.Description != "" {
		out["description"] = r.Description
	}
	addresses := func(p jit.Peers) []string {
		if p.Any {
			return []string{"*"}
		}
		var list []string
		for _, q := range p.Prefixes {
			list = append(list, jit.PrefixString(q))
		}
		return list
	}
	out["sourceAddresses"], out["destinationAddresses"] = addresses(r.Source), addresses(r.Destination)
	var ports []string
	for _, p := range r.DestinationPorts {
		ports = append(ports, fmt.Sprint(p.First))
	}
	out["destinationPorts"] = ports
	return out
}

func (r *rig) Remove(t *testing.T, id jit.ID) {
	t.Helper()
	if ok, err := r.arm.Delete(id.String()); err != nil || !ok {
		t.Fatalf("delete %s: %t, %v", id, ok, err)
	}
}

func (r *rig) Write(t *testing.T, target jit.ID, rule jit.Rule) {
	t.Helper()
	err := r.arm.Edit(target.String(), func(doc map[string]any) {
		p := doc["properties"].(map[string]any)
		collections := p["natRuleCollections"].([]any)
		for _, c := range collections {
			if c := c.(map[string]any); c["name"] == "theirs" {
				inner := c["properties"].(map[string]any)
				rules := slices.DeleteFunc(inner["rules"].([]any), func(e any) bool { return strings.EqualFold(e.(map[string]any)["name"].(string), rule.Name) })
				inner["rules"] = append(rules, plain(t, wire(rule)))
				return
			}
		}
		p["natRuleCollections"] = append(collections, plain(t, theirCollection(rule)))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// plain gives what JSON makes of a value, with numbers as the server keeps them.
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
	p["natRuleCollections"] = slices.DeleteFunc(p["natRuleCollections"].([]any), func(e any) bool {
		rules := e.(map[string]any)["properties"].(map[string]any)["rules"].([]any)
		return !slices.ContainsFunc(rules, func(r any) bool { return !plan.Owned(r.(map[string]any)["name"].(string)) })
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

func (r *rig) Fail(t *testing.T, target jit.ID, how coretest.Failure) {
	t.Helper()
	switch how {
	case coretest.Locked:
		r.put(t, target.String()+"/providers/Microsoft.Authorization/locks/freeze", object{"properties": object{"level": "ReadOnly"}})
	case coretest.Forbidden:
		r.tune(t, func(k *armsim.Knobs) { k.Denied = []armsim.Denied{{Action: "Microsoft.Network/azureFirewalls/write"}} })
	case coretest.ReplyLost:
		r.tune(t, func(k *armsim.Knobs) { k.Firewalls.LoseReplies = 1 })
	case coretest.Broken:
		r.tune(t, func(k *armsim.Knobs) { k.Firewalls.FailOperations = 1 })
	case coretest.Superseded:
		r.supersede(t, target)
	case coretest.Throttled:
		r.exhaust(t)
	case coretest.Down:
		r.tune(t, func(k *armsim.Knobs) { k.Down = true })
	default:
		t.Fatalf("no failure %s", how)
	}
}

// exhaust turns the throttle on and empties the buckets of reads and writes; the clock stands, so they stay empty.
func (r *rig) exhaust(t *testing.T) {
	t.Helper()
	r.tune(t, func(k *armsim.Knobs) { k.Throttle = true })
	for _, method := range []string{http.MethodGet, http.MethodPut} {
		for range 260 {
			req := httptest.NewRequest(method, scope+"azureFirewalls/Gate-1?api-version=2025-05-01", strings.NewReader("{}"))
			req.Header.Set("Authorization", "Bearer app")
			r.arm.ServeHTTP(httptest.NewRecorder(), req)
		}
	}
}

// supersede lets another writer put the firewall as it was, between the PUT's answer and the first poll.
func (r *rig) supersede(t *testing.T, target jit.ID) {
	t.Helper()
	before, _ := r.arm.Get(target.String())
	r.tune(t, func(k *armsim.Knobs) {
		k.Firewalls = armsim.Writes{LatencyMin: armsim.Duration(time.Hour), Concurrent: armsim.Supersede}
	})
	var once sync.Once
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = func(req *http.Request) {
		if !strings.Contains(req.URL.Path, "/operations/") {
			return
		}
		once.Do(func() {
			r.tune(t, func(k *armsim.Knobs) { k.Firewalls.LatencyMin = 0 }) // the other writer's ends at once
			other := httptest.NewRequest(http.MethodPut, target.String()+"?api-version=2025-05-01", strings.NewReader(string(before)))
			other.Header.Set("Authorization", "Bearer somebody-else")
			answer := httptest.NewRecorder()
			r.arm.ServeHTTP(answer, other)
			if answer.Code != http.StatusOK {
				t.Errorf("the other writer's PUT: %d %s", answer.Code, answer.Body)
			}
		})
	}
}

func isUnavailable(err error) (*store.Unavailable, bool) {
	var u *store.Unavailable
	return u, errors.As(err, &u)
}
