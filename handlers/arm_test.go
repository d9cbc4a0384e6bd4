package handlers_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/core"
	"portcullis/core/jit"
)

const (
	second    = "00000000-0000-0000-0000-00000000d3e2"
	unmanaged = "00000000-0000-0000-0000-00000000d3e9"
)

// within lets everybody read at scopes that begin so.
type within []string

func (w within) Missing(_ context.Context, _ jit.Caller, scope string, actions ...string) (string, error) {
	for _, begin := range w {
		if strings.HasPrefix(strings.ToLower(scope), strings.ToLower(begin)) {
			return "", nil
		}
	}
	return actions[0], nil
}

// subscriptions gives the ids that a list names.
func (r answer) subscriptions(t *testing.T) []string {
	t.Helper()
	if r.status != 200 {
		t.Fatalf("%d %s", r.status, r.text)
	}
	out := []string{}
	for _, one := range r.body["value"].([]any) {
		out = append(out, one.(map[string]any)["subscriptionId"].(string))
	}
	return out
}

// TestSubscriptions: everybody sees the managed subscriptions in which he may read something, in a list and one by one; all others are
// as if they did not exist, managed or not.
func TestSubscriptions(t *testing.T) {
	for name, tc := range map[string]struct {
		rights within
		want   []string
	}{
		"nothing":                  {nil, []string{}},
		"another subscription":     {within{"/subscriptions/" + unmanaged}, []string{}},
		"all":                      {within{"/"}, []string{sub, second}},
		"one without a machine":    {within{"/subscriptions/" + second}, []string{second}},
		"a group":                  {within{"/subscriptions/" + sub + "/resourceGroups/demo"}, []string{sub}},
		"a group without a policy": {within{"/subscriptions/" + sub + "/resourceGroups/other"}, []string{}},
		"a machine":                {within{web}, []string{sub}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t)
			a.enable()
			a.wire(func(p *core.Ports) { p.Subscriptions, p.Authority = []string{sub, second}, tc.rights })
			for _, path := range []string{"/api/subscriptions", "/api/Subscriptions", "/api/subscriptions/"} {
				if diff := cmp.Diff(tc.want, a.call("GET", path+version, "").subscriptions(t)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", path, diff)
				}
			}
			for _, id := range []string{sub, second, unmanaged, strings.ToUpper(sub)} {
				r := a.call("GET", "/api/subscriptions/"+id+version, "")
				seen := strings.Contains(strings.Join(tc.want, " "), strings.ToLower(id))
				if !seen {
					r.wants(t, 404, "SubscriptionNotFound")
				} else if r.status != 200 || r.body["subscriptionId"] != strings.ToLower(id) {
					t.Errorf("%s: %d %s", id, r.status, r.text)
				}
			}
		})
	}
}

// TestSubscriptionsForm holds the answers to Resource Manager's form, and refusals to its words.
func TestSubscriptionsForm(t *testing.T) {
	a := newApp(t)
	one := `{"id":"/subscriptions/` + sub + `","authorizationSource":"RoleBased","managedByTenants":[],"subscriptionId":"` + sub + `","tenantId":"` + tenant + `","displayName":"` + sub + `","state":"Enabled"}`
	for path, want := range map[string]string{
		"/api/subscriptions":        `{"value":[` + one + `]}`,
		"/api/subscriptions/" + sub: one,
		"/api/tenants":              `{"value":[{"id":"/tenants/` + tenant + `","tenantId":"` + tenant + `"}]}`,
		"/api/metadata/endpoints": `{"name":"Portcullis","portal":"https://app.example/api/portal/","resourceManager":"https://app.example/api",` +
			`"authentication":{"loginEndpoint":"` + signIn + `","audiences":["` + audience + `","` + client + `"],"tenant":"common","identityProvider":"AAD"},"suffixes":{}}`,
	} {
		for _, v := range []string{"2016-06-01", "2019-06-01", "2022-12-01", "2022-09-01", "2024-11-01-Preview"} {
			r := httptest.NewRequest("GET", path+"?API-version="+v, nil)
			r.Header.Set("Authorization", "Bearer test")
			r.Header.Set("X-Forwarded-Host", "app.example")
			r.Header.Set("X-Forwarded-Proto", "https")
			if got := a.do(r); got.status != 200 || strings.TrimSpace(got.text) != want {
				t.Errorf("%s?%s: %d %s\nwant %s", path, v, got.status, got.text, want)
			}
		}
		a.call("GET", path, "").wants(t, 400, "MissingApiVersionParameter")
		a.call("GET", path+"?api-version=", "").wants(t, 400, "MissingApiVersionParameter")
		for _, v := range []string{"x", "2022-12-01x", "1", strings.Repeat("2", 5000)} {
			if r := a.call("GET", path+"?api-version="+v, ""); r.status != 400 {
				t.Errorf("%s with the api-version %.20s: %d %s", path, v, r.status, r.text)
			}
		}
		for _, method := range []string{"PUT", "POST", "DELETE"} {
			if r := a.call(method, path+version, "{}"); r.status != 405 || r.header.Get("Allow") != "GET" {
				t.Errorf("%s %s: %d %q %s", method, path, r.status, r.header.Get("Allow"), r.text)
			}
		}
	}
	a.call("GET", "/api/subscriptions/mine"+version, "").wants(t, 400, "InvalidSubscriptionId")
}

// TestStrangerSeesNoSubscription: to find out that a caller sees nothing costs no read of Resource Manager.
func TestStrangerSeesNoSubscription(t *testing.T) {
	a, n := newCounted(t)
	if got := a.call("GET", "/api/subscriptions"+version, "").subscriptions(t); len(got) != 0 || n.cloud.Load() != 0 {
		t.Errorf("%v after %d reads", got, n.cloud.Load())
	}
	a.call("GET", "/api/subscriptions/"+unmanaged+version, "").wants(t, 404, "SubscriptionNotFound")
	if asked := n.rights.Load(); asked != 1 {
		t.Errorf("%d questions about permissions, want the one of the managed subscription", asked)
	}
}

// TestUnmanagedSubscription: on the compatible face a subscription that is not managed is not there, as Resource Manager says it, whatever the
// operation; what the body of a call gets wrong is told first, and a machine of another subscription in a body is another refusal.
func TestUnmanagedSubscription(t *testing.T) {
	a, n := newCounted(t)
	far := strings.Replace(policy, sub, unmanaged, 1)
	region := strings.TrimSuffix(far, "/default")
	all := "/api/subscriptions/" + unmanaged + "/providers/Microsoft.Security"
	for _, call := range [][3]string{
		{"GET", all + "/jitNetworkAccessPolicies"}, {"GET", all + "/locations/westeurope/jitNetworkAccessPolicies"}, {"GET", region}, {"GET", strings.Replace(region, "/locations/westeurope", "", 1)},
		{"GET", far}, {"PUT", far, putBody(strings.Replace(web, sub, unmanaged, 1))}, {"PUT", far, `{"properties":{"virtualMachines":[]}}`}, {"DELETE", far},
		{"POST", far + "/initiate", initiate(strings.Replace(web, sub, unmanaged, 1), `{"number":22,"duration":"PT1H"}`)},
	} {
		r := a.call(call[0], call[1]+version, call[2])
		if r.wants(t, 404, "SubscriptionNotFound"); n.rights.Load()+n.cloud.Load() != 0 {
			t.Errorf("%s %s: asked %d times", call[0], call[1], n.all())
		}
	}
	a.call("PUT", far+version, "{").wants(t, 400, "InvalidRequestContent")
	b := newCompat(t)
	if r := b.call("PUT", policy+version, putBody(strings.Replace(web, sub, unmanaged, 1))); r.status == 200 || strings.Contains(r.text, "SubscriptionNotFound") {
		t.Errorf("%d %s", r.status, r.text)
	}
}
