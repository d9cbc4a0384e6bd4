package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/security/armsecurity"
)

// persona gets tokens from the local issuer as an Azure client gets them from Entra.
type persona struct{ issuer, name string }

// GetToken implements azcore.TokenCredential.
func (p persona) GetToken(ctx context.Context, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.issuer+"/local/token?as="+p.name, nil)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	defer res.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
	}
	err = json.NewDecoder(res.Body).Decode(&answer)
	return azcore.AccessToken{Token: answer.Token, ExpiresOn: time.Now().Add(time.Hour)}, err
}

// TestAzureClient drives all eight operations of Microsoft's own client for Go,
// unmodified and over TLS, against the running app: the binary that ships, behind
// the Functions host, with real tokens and role assignments. The proxy takes the place of the
// platform's front end.
func TestAzureClient(t *testing.T) {
	t.Parallel()
	r := newRig(t, t.TempDir(), nil)
	app, err := neturl.Parse(url(r.ports.Host))
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(app)
		p.SetXForwarded()
		p.Out.Host = p.In.Host // as the front end leaves it, so that links lead back to it
	}})
	t.Cleanup(front.Close)
	client := func(name string) *armsecurity.JitNetworkAccessPoliciesClient {
		c, err := armsecurity.NewJitNetworkAccessPoliciesClient("00000000-0000-0000-0000-00000000d3e0", persona{url(r.ports.ARM), name}, &arm.ClientOptions{ClientOptions: azcore.ClientOptions{
			Cloud:     cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: front.URL + "/api", Audience: "api://portcullis-local"}}},
			Transport: front.Client(),
		}})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	admin, requester, reader := client("admin"), client("requester"), client("reader")
	ctx := t.Context()

	before := r.nsg("web-nsg")
	port := &armsecurity.JitNetworkAccessPortRule{Number: to.Ptr[int32](22), Protocol: to.Ptr(armsecurity.ProtocolAll), AllowedSourceAddressPrefix: to.Ptr("*"), MaxRequestAccessDuration: to.Ptr("PT3H")}
	p := armsecurity.JitNetworkAccessPolicy{Kind: to.Ptr("Basic"), Properties: &armsecurity.JitNetworkAccessPolicyProperties{
		VirtualMachines: []*armsecurity.JitNetworkAccessPolicyVirtualMachine{{ID: to.Ptr(web), Ports: []*armsecurity.JitNetworkAccessPortRule{port}}}}}
	if _, err := reader.CreateOrUpdate(ctx, "demo", "westeurope", "default", p, nil); err == nil {
		t.Error("a reader may put a policy")
	}
	put, err := admin.CreateOrUpdate(ctx, "demo", "westeurope", "default", p, nil)
	if err != nil || *put.Properties.ProvisioningState != "Succeeded" {
		t.Fatalf("CreateOrUpdate: %v", err)
	}
	if got := r.rules("web-nsg"); len(got) != 3 {
		t.Errorf("after the PUT the rules are %q", got)
	}
	if got, err := reader.Get(ctx, "demo", "westeurope", "default", nil); err != nil || *got.Name != "default" {
		t.Errorf("Get: %v", err)
	}
	lists := map[string]int{
		"List": count(t, reader.NewListPager(nil), func(p armsecurity.JitNetworkAccessPoliciesClientListResponse) int { return len(p.Value) }),
		"ListByRegion": count(t, reader.NewListByRegionPager("westeurope", nil), func(p armsecurity.JitNetworkAccessPoliciesClientListByRegionResponse) int {
			return len(p.Value)
		}),
		"ListByResourceGroup": count(t, reader.NewListByResourceGroupPager("demo", nil), func(p armsecurity.JitNetworkAccessPoliciesClientListByResourceGroupResponse) int {
			return len(p.Value)
		}),
		"ListByResourceGroupAndRegion": count(t, reader.NewListByResourceGroupAndRegionPager("demo", "westeurope", nil), func(p armsecurity.JitNetworkAccessPoliciesClientListByResourceGroupAndRegionResponse) int {
			return len(p.Value)
		}),
	}
	for name, n := range lists {
		if n != 1 {
			t.Errorf("%s: %d policies, want 1", name, n)
		}
	}
	asked, err := requester.Initiate(ctx, "demo", "westeurope", "default", armsecurity.JitNetworkAccessPolicyInitiateRequest{Justification: to.Ptr("by Microsoft's client"),
		VirtualMachines: []*armsecurity.JitNetworkAccessPolicyInitiateVirtualMachine{{ID: to.Ptr(web), Ports: []*armsecurity.JitNetworkAccessPolicyInitiatePort{
			{Number: to.Ptr[int32](22), EndTimeUTC: to.Ptr(time.Now().Add(time.Hour)), AllowedSourceAddressPrefix: to.Ptr("203.0.113.7")}}}}}, nil)
	if err != nil || *asked.Requestor != "requester@portcullis.example" {
		t.Fatalf("Initiate: %v", err)
	}
	r.eventually("the port is open", func() bool { return r.open("web-nsg") })
	if _, err := admin.Delete(ctx, "demo", "westeurope", "default", nil); err != nil {
		t.Errorf("Delete: %v", err)
	}
	if _, err := admin.Delete(ctx, "demo", "westeurope", "default", nil); err != nil {
		t.Errorf("Delete what is gone: %v", err)
	}
	if got := r.nsg("web-nsg"); r.open("web-nsg") || len(got) != len(before) {
		t.Errorf("after the DELETE the rules are %q", r.rules("web-nsg"))
	}
}

func count[T any](t *testing.T, pager *runtime.Pager[T], n func(T) int) int {
	t.Helper()
	sum := 0
	for pages := 0; pager.More(); pages++ {
		page, err := pager.NextPage(t.Context())
		if err != nil || pages > 20 {
			t.Fatalf("page %d: %v", pages, err)
		}
		sum += n(page)
	}
	return sum
}
