package handlers_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	azpolicy "github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/security/armsecurity"
	"github.com/google/go-cmp/cmp"

	"portcullis/core/store"
)

// credential remembers what it was asked for.
type credential struct{ scopes chan []string }

func (c credential) GetToken(_ context.Context, o azpolicy.TokenRequestOptions) (azcore.AccessToken, error) {
	select {
	case c.scopes <- o.Scopes:
	default:
	}
	return azcore.AccessToken{Token: "test", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// client is Microsoft's own client before the app, over TLS, told nothing but
// where its Resource Manager is. wrap stands between the two.
func (a *app) client(wrap func(http.Handler) http.Handler) (*armsecurity.JitNetworkAccessPoliciesClient, credential) {
	a.t.Helper()
	// The platform's front end adds the hop that it saw.
	front := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-Forwarded-For", "203.0.113.7")
		a.ServeHTTP(w, r)
	})
	server := httptest.NewTLSServer(wrap(front))
	a.t.Cleanup(server.Close)
	cred := credential{make(chan []string, 1)}
	c, err := armsecurity.NewJitNetworkAccessPoliciesClient(sub, cred, &arm.ClientOptions{ClientOptions: azcore.ClientOptions{
		Cloud:     cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: server.URL + "/api", Audience: "api://portcullis"}}},
		Transport: server.Client(),
		Retry:     azpolicy.RetryOptions{RetryDelay: time.Millisecond},
	}})
	if err != nil {
		a.t.Fatal(err)
	}
	return c, cred
}

func asItIs(h http.Handler) http.Handler { return h }

// lost lets the n first calls of a method take effect and loses their answers.
func lost(method string, n int32, seen *atomic.Int32) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != method || seen.Add(1) > n {
				h.ServeHTTP(w, r)
				return
			}
			h.ServeHTTP(httptest.NewRecorder(), r)
			w.WriteHeader(http.StatusInternalServerError)
		})
	}
}

func sdkPolicy(vms ...string) armsecurity.JitNetworkAccessPolicy {
	p := armsecurity.JitNetworkAccessPolicy{Kind: to.Ptr("Basic"), Properties: &armsecurity.JitNetworkAccessPolicyProperties{}}
	for _, vm := range vms {
		p.Properties.VirtualMachines = append(p.Properties.VirtualMachines, &armsecurity.JitNetworkAccessPolicyVirtualMachine{ID: to.Ptr(vm), Ports: []*armsecurity.JitNetworkAccessPortRule{
			{Number: to.Ptr[int32](22), Protocol: to.Ptr(armsecurity.ProtocolAll), AllowedSourceAddressPrefix: to.Ptr("*"), MaxRequestAccessDuration: to.Ptr("PT3H")},
		}})
	}
	return p
}

func (a *app) sdkInitiate(vm string) armsecurity.JitNetworkAccessPolicyInitiateRequest {
	return armsecurity.JitNetworkAccessPolicyInitiateRequest{Justification: to.Ptr("why"), VirtualMachines: []*armsecurity.JitNetworkAccessPolicyInitiateVirtualMachine{
		{ID: to.Ptr(vm), Ports: []*armsecurity.JitNetworkAccessPolicyInitiatePort{{Number: to.Ptr[int32](22), EndTimeUTC: to.Ptr(a.now().Add(time.Hour + 123456700))}}}}}
}

// names walks all pages of a list.
func names[T any](t *testing.T, pager *runtime.Pager[T], value func(T) []*armsecurity.JitNetworkAccessPolicy) (out []string, pages int) {
	t.Helper()
	for pager.More() {
		if pages++; pages > 20 {
			t.Fatal("the pages do not end")
		}
		page, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range value(page) {
			out = append(out, *p.Name)
		}
	}
	return out, pages
}

// TestW06: the unmodified client passes all eight operations.
func TestW06(t *testing.T) {
	a := newCompat(t)
	c, cred := a.client(asItIs)
	ctx := t.Context()

	put, err := c.CreateOrUpdate(ctx, "demo", "westeurope", "default", sdkPolicy(web, app1), nil)
	if err != nil {
		t.Fatal(err)
	}
	if scopes := <-cred.scopes; !slices.Equal(scopes, []string{"api://portcullis/.default"}) {
		t.Errorf("a token was asked for %q", scopes)
	}
	if *put.ID != strings.TrimPrefix(policy, "/api") || *put.Kind != "Basic" || *put.Properties.ProvisioningState != "Succeeded" || len(put.Properties.VirtualMachines) != 2 {
		t.Errorf("put: %+v", put.JitNetworkAccessPolicy)
	}
	opened, err := c.Initiate(ctx, "demo", "westeurope", "default", a.sdkInitiate(web), nil)
	if err != nil {
		t.Fatal(err)
	}
	port := opened.VirtualMachines[0].Ports[0]
	if *opened.Requestor != "alice@example.com" || *opened.Justification != "why" || !opened.StartTimeUTC.Equal(noon) || *port.Status != armsecurity.StatusInitiated ||
		*port.StatusReason != armsecurity.StatusReasonUserRequested || *port.AllowedSourceAddressPrefix != "203.0.113.7" || !port.EndTimeUTC.Equal(noon.Add(time.Hour+123456700*time.Nanosecond)) {
		t.Errorf("initiate: %+v %+v", opened.JitNetworkAccessRequest, port)
	}
	*port.EndTimeUTC = port.EndTimeUTC.Truncate(time.Millisecond) // as sent in the answer, and kept in milliseconds
	got, err := c.Get(ctx, "demo", "westeurope", "default", nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]*armsecurity.JitNetworkAccessRequest{&opened.JitNetworkAccessRequest}, got.Properties.Requests); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	for name, list := range map[string]func() []string{
		"List": func() []string {
			l, _ := names(t, c.NewListPager(nil), func(p armsecurity.JitNetworkAccessPoliciesClientListResponse) []*armsecurity.JitNetworkAccessPolicy {
				return p.Value
			})
			return l
		},
		"ListByRegion": func() []string {
			l, _ := names(t, c.NewListByRegionPager("westeurope", nil), func(p armsecurity.JitNetworkAccessPoliciesClientListByRegionResponse) []*armsecurity.JitNetworkAccessPolicy {
				return p.Value
			})
			return l
		},
		"ListByResourceGroup": func() []string {
			l, _ := names(t, c.NewListByResourceGroupPager("demo", nil), func(p armsecurity.JitNetworkAccessPoliciesClientListByResourceGroupResponse) []*armsecurity.JitNetworkAccessPolicy {
				return p.Value
			})
			return l
		},
		"ListByResourceGroupAndRegion": func() []string {
			l, _ := names(t, c.NewListByResourceGroupAndRegionPager("demo", "westeurope", nil), func(p armsecurity.JitNetworkAccessPoliciesClientListByResourceGroupAndRegionResponse) []*armsecurity.JitNetworkAccessPolicy {
				return p.Value
			})
			return l
		},
	} {
		if got := list(); !slices.Equal(got, []string{"default"}) {
			t.Errorf("%s gives %q", name, got)
		}
	}
	for range 2 { // 200, then 204
		if _, err := c.Delete(ctx, "demo", "westeurope", "default", nil); err != nil {
			t.Fatal(err)
		}
	}
	_, err = c.Get(ctx, "demo", "westeurope", "default", nil)
	if refused := (*azcore.ResponseError)(nil); !errors.As(err, &refused) || refused.StatusCode != 404 || refused.ErrorCode != "PolicyNotFound" {
		t.Errorf("get of what was deleted: %v", err)
	}
}

// TestW01: each of the four lists shows its own, and pagers walk all pages.
func TestW01(t *testing.T) {
	a := newCompat(t)
	a.put(web)
	elsewhere := strings.NewReplacer("/demo/", "/other/", "westeurope", "northeurope").Replace(policy)
	a.call("PUT", elsewhere+version, putBody(north)).wants(t, 200, "")
	all := "/api/subscriptions/" + sub
	for path, want := range map[string]int{
		all + "/providers/Microsoft.Security/jitNetworkAccessPolicies":                                           2,
		all + "/providers/Microsoft.Security/locations/northeurope/jitNetworkAccessPolicies":                     1,
		all + "/resourceGroups/demo/providers/Microsoft.Security/jitNetworkAccessPolicies":                       1,
		all + "/resourceGroups/demo/providers/Microsoft.Security/locations/northeurope/jitNetworkAccessPolicies": 0,
	} {
		r := a.call("GET", path+version, "")
		if value, ok := r.body["value"].([]any); r.status != 200 || !ok || len(value) != want || r.body["nextLink"] != nil {
			t.Errorf("%s: %d %s, want %d policies", path, r.status, r.text, want)
		}
	}
	var want []string
	for i := range 120 {
		vm := fmt.Sprintf("%s/providers/Microsoft.Compute/virtualMachines/m%03d", group, i)
		a.place(vm, fmt.Sprintf("nsg%03d", i), fmt.Sprintf("10.2.0.%d", i+1), "westeurope")
		name := fmt.Sprintf("p%03d", i)
		a.call("PUT", strings.Replace(policy, "/default", "/"+name, 1)+version, putBody(vm)).wants(t, 200, "")
		want = append(want, name)
	}
	c, _ := a.client(asItIs)
	got, pages := names(t, c.NewListByResourceGroupPager("demo", nil), func(p armsecurity.JitNetworkAccessPoliciesClientListByResourceGroupResponse) []*armsecurity.JitNetworkAccessPolicy {
		return p.Value
	})
	if diff := cmp.Diff(append([]string{"default"}, want...), got); diff != "" || pages != 3 {
		t.Errorf("%d pages (-want +got):\n%s", pages, diff)
	}
	everything := all + "/providers/Microsoft.Security/jitNetworkAccessPolicies" + version
	a.call("GET", everything+"&$skiptoken=%21", "").wants(t, 400, "InvalidQueryParameter")
	// A client that writes the parameter in another case does not go round in circles.
	next, _ := a.call("GET", everything, "").body["nextLink"].(string)
	again, _ := a.call("GET", strings.Replace(next, "%24skipToken", "%24SKIPTOKEN", 1), "").body["nextLink"].(string)
	if strings.Count(strings.ToLower(again), "skiptoken") != 1 || again == next {
		t.Errorf("the page after %s goes on at %s", next, again)
	}
}

// TestNextLink: the link is absolute, by the Host of the request and what the
// front end says of the scheme, and by nothing else that a client can send.
func TestNextLink(t *testing.T) {
	a := newCompat(t)
	for i := range 51 {
		vm := fmt.Sprintf("%s/providers/Microsoft.Compute/virtualMachines/m%03d", group, i)
		a.place(vm, fmt.Sprintf("nsg%03d", i), fmt.Sprintf("10.2.0.%d", i+1), "westeurope")
		a.call("PUT", strings.Replace(policy, "/default", fmt.Sprintf("/p%03d", i), 1)+version, putBody(vm)).wants(t, 200, "")
	}
	path := "/api/subscriptions/" + sub + "/providers/Microsoft.Security/jitNetworkAccessPolicies" + version
	for _, tc := range []struct {
		name, host, want string
		headers          []string
	}{
		{"behind the host", hostAddress, "https://jit.example.com/api/subscriptions/", []string{"X-Forwarded-Host", "jit.example.com", "X-Forwarded-Proto", "https"}},
		{"with forged hosts", hostAddress, "https://jit.example.com/api/subscriptions/", []string{"X-Forwarded-Host", "jit.example.com", "X-Forwarded-Proto", "https", "X-Original-Host", "evil.example.com", "Forwarded", "host=evil.example.com"}},
		{"on one machine behind the host", hostAddress, "http://localhost:7071/api/subscriptions/", []string{"X-Forwarded-Host", "localhost:7071", "X-Forwarded-Proto", "http"}},
		{"without a word of the scheme", "jit.example.com", "https://jit.example.com/api/subscriptions/", nil},
		{"on one machine", "127.0.0.1:7071", "http://127.0.0.1:7071/api/subscriptions/", nil},
		{"on one machine by name", "localhost:7071", "http://localhost:7071/api/subscriptions/", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", path, nil)
			r.Host = tc.host
			r.Header.Set("Authorization", "Bearer test")
			for i := 0; i+1 < len(tc.headers); i += 2 {
				r.Header.Set(tc.headers[i], tc.headers[i+1])
			}
			got := a.do(r)
			if next, _ := got.body["nextLink"].(string); !strings.HasPrefix(next, tc.want) || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("nextLink %q, want %s...", next, tc.want)
			}
		})
	}
}

// TestW07: clients send an initiate again after a 5xx. Whether the first one took effect or
// not, there is one grant and one rule.
func TestW07(t *testing.T) {
	for name, set := range map[string]func(*app) func(http.Handler) http.Handler{
		"the answer was lost": func(*app) func(http.Handler) http.Handler { return lost("POST", 2, new(atomic.Int32)) },
		"nothing had been done": func(*app) func(http.Handler) http.Handler {
			first := true
			return func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == "POST" && first {
						first = false
						w.WriteHeader(http.StatusInternalServerError)
						return
					}
					h.ServeHTTP(w, r)
				})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newCompat(t)
			a.put(web)
			c, _ := a.client(set(a))
			got, err := c.Initiate(t.Context(), "demo", "westeurope", "default", a.sdkInitiate(web), nil)
			if err != nil {
				t.Fatal(err)
			}
			open, err := a.store.OpenGrants(t.Context())
			if err != nil || len(open) != 1 || !got.StartTimeUTC.Equal(open[0].Grant.Start) {
				t.Errorf("%d grants, %v", len(open), err)
			}
			if all, _, err := a.store.ListGrants(t.Context(), store.GrantFilter{}, "", 10); err != nil || len(all) != 1 {
				t.Errorf("%d grants in the history, %v", len(all), err)
			}
			if n := a.allows("web-nsg"); n != 1 {
				t.Errorf("%d rules, want 1", n)
			}
		})
	}
}

// TestPutSentAgain: a PUT with If-Match whose answer was lost is answered when it
// is sent again, although the ETag is not the one it names any more.
func TestPutSentAgain(t *testing.T) {
	a := newCompat(t)
	etag := a.put(web)
	var seen atomic.Int32
	c, _ := a.client(lost("PUT", 1, &seen))
	ctx := azpolicy.WithHTTPHeader(t.Context(), http.Header{"If-Match": {etag}})
	got, err := c.CreateOrUpdate(ctx, "demo", "westeurope", "default", sdkPolicy(web, app1), nil)
	if err != nil || len(got.Properties.VirtualMachines) != 2 || seen.Load() != 2 {
		t.Errorf("after %d calls: %v", seen.Load(), err)
	}
}
