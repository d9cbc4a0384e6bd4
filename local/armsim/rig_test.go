package armsim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"portcullis/local/armsim"
)

const (
	sub   = "11111111-1111-1111-1111-111111111111"
	scope = "/subscriptions/" + sub + "/resourceGroups/rg/providers/Microsoft.Network/"
	nsgID = scope + "networkSecurityGroups/nsg"
)

// clock stands until it is told to go on.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// rig is a server, and the real clients pointed at it.
type rig struct {
	t     *testing.T
	arm   *armsim.Server
	url   string
	clock *clock
	token string
	net   *armnetwork.ClientFactory
}

// verify takes the token alice and any that starts with p-; the principal is the token.
func verify(token string) (string, error) {
	if token == "alice" || strings.HasPrefix(token, "p-") {
		return token, nil
	}
	return "", errors.New("unknown token")
}

type credential string

func (c credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(c), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func newRig(t *testing.T, knobs armsim.Knobs) *rig {
	t.Helper()
	c := &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	server, err := armsim.Open(armsim.Config{Verify: verify, Now: c.Now, Seed: 7, Knobs: knobs})
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, server, c)
}

func serve(t *testing.T, server *armsim.Server, c *clock) *rig {
	t.Helper()
	h := httptest.NewServer(server)
	h.Config.ErrorLog = nil
	t.Cleanup(func() {
		h.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &rig{t: t, arm: server, url: h.URL, clock: c, token: "alice"}
	var err error
	r.net, err = armnetwork.NewClientFactory(sub, credential(r.token), &arm.ClientOptions{
		DisableRPRegistration: true,
		ClientOptions: policy.ClientOptions{
			Cloud: cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
				cloud.ResourceManager: {Endpoint: h.URL, Audience: "https://management.azure.com"},
			}},
			InsecureAllowCredentialWithHTTP: true,
			Retry:                           policy.RetryOptions{MaxRetries: -1},
			Transport:                       h.Client(),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// on is the rig for a subtest, so that what fails there ends only that.
func (r *rig) on(t *testing.T) *rig {
	c := *r
	c.t = t
	return &c
}

// do sends one request and returns its answer with the body read.
func (r *rig) do(method, path, body string, header ...string) (*http.Response, string) {
	r.t.Helper()
	if !strings.Contains(path, "api-version=") && !strings.HasPrefix(path, "/local/") {
		path += "?api-version=2025-05-01"
	}
	if !strings.HasPrefix(path, "http") {
		path = r.url + path
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res, string(text)
}

// want sends one request and checks its status and, when it is an error, its code in the body and the header.
func (r *rig) want(status int, code, method, path, body string, header ...string) (*http.Response, map[string]any) {
	r.t.Helper()
	res, text := r.do(method, path, body, header...)
	if res.StatusCode != status {
		r.t.Fatalf("%s %s: status %d, want %d: %s", method, path, res.StatusCode, status, text)
	}
	var doc map[string]any
	if text != "" {
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			r.t.Fatalf("%s %s: %v: %s", method, path, err, text)
		}
	}
	if code == "" {
		return res, doc
	}
	inner, _ := doc["error"].(map[string]any)
	if inner["code"] != code || res.Header.Get("x-ms-error-code") != code || inner["message"] == "" {
		r.t.Fatalf("%s %s: got %s, header %q, want code %q", method, path, text, res.Header.Get("x-ms-error-code"), code)
	}
	return res, doc
}

func (r *rig) put(id, doc string) {
	r.t.Helper()
	if err := r.arm.Put(id, json.RawMessage(doc)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) tune(change func(*armsim.Knobs)) {
	r.t.Helper()
	if err := r.arm.Tune(change); err != nil {
		r.t.Fatal(err)
	}
}

// get is the resource as ARM shows it.
func (r *rig) get(id string) map[string]any {
	r.t.Helper()
	return r.parse(r.arm.Get(id))
}

func (r *rig) parse(text json.RawMessage, ok bool) map[string]any {
	r.t.Helper()
	if !ok {
		r.t.Fatal("no such resource")
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		r.t.Fatal(err)
	}
	return doc
}

// at walks a decoded document: keys by name, list items by index.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

// names lists the names of the NSG's rules, in order.
func names(doc map[string]any) string {
	var out []string
	rules, _ := at(doc, "properties", "securityRules").([]any)
	for _, rule := range rules {
		out = append(out, fmt.Sprint(at(rule, "name")))
	}
	return strings.Join(out, " ")
}

// rule is a good rule with some properties changed: pairs of a name and a JSON value; the value "-" removes it.
func rule(name string, priority int, change ...string) string {
	p := map[string]json.RawMessage{
		"priority": json.RawMessage(fmt.Sprint(priority)), "direction": json.RawMessage(`"Inbound"`),
		"access": json.RawMessage(`"Allow"`), "protocol": json.RawMessage(`"Tcp"`),
		"sourceAddressPrefix": json.RawMessage(`"203.0.113.7"`), "sourcePortRange": json.RawMessage(`"*"`),
		"destinationAddressPrefix": json.RawMessage(`"10.0.0.4"`), "destinationPortRange": json.RawMessage(`"22"`),
	}
	for i := 0; i+1 < len(change); i += 2 {
		if change[i+1] == "-" {
			delete(p, change[i])
			continue
		}
		p[change[i]] = json.RawMessage(change[i+1])
	}
	text, err := json.Marshal(map[string]any{"name": name, "properties": p})
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// nsg is an NSG document with the rules.
func nsg(rules ...string) string {
	return `{"location":"westeurope","properties":{"securityRules":[` + strings.Join(rules, ",") + `]}}`
}

// model is the armnetwork form of an NSG with rules of the names, at priorities from 100.
func model(names ...string) armnetwork.SecurityGroup {
	g := armnetwork.SecurityGroup{Location: to.Ptr("westeurope"), Properties: &armnetwork.SecurityGroupPropertiesFormat{}}
	for i, name := range names {
		g.Properties.SecurityRules = append(g.Properties.SecurityRules, modelRule(name, 100+i))
	}
	return g
}

func modelRule(name string, priority int) *armnetwork.SecurityRule {
	return &armnetwork.SecurityRule{Name: to.Ptr(name), Properties: &armnetwork.SecurityRulePropertiesFormat{
		Priority: to.Ptr(int32(priority)), Direction: to.Ptr(armnetwork.SecurityRuleDirectionInbound),
		Access: to.Ptr(armnetwork.SecurityRuleAccessAllow), Protocol: to.Ptr(armnetwork.SecurityRuleProtocolTCP),
		SourceAddressPrefix: to.Ptr("203.0.113.7"), SourcePortRange: to.Ptr("*"),
		DestinationAddressPrefix: to.Ptr("10.0.0.4"), DestinationPortRange: to.Ptr("22"),
	}}
}

// patience bounds a poller, whose loop would otherwise go on for as long as the server says InProgress.
func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// code is the error code that the SDK saw, or the error's text.
func code(err error) string {
	var re *azcore.ResponseError
	if errors.As(err, &re) {
		return fmt.Sprintf("%d %s", re.StatusCode, re.ErrorCode)
	}
	return fmt.Sprint(err)
}
