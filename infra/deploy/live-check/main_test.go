package main

import (
	"bytes"
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"portcullis/local/armsim"
)

type token struct{}

// GetToken implements azcore.TokenCredential.
func (token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "me", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func TestOffByDefault(t *testing.T) {
	for _, args := range [][2]string{{"", "group"}, {"sub", ""}} {
		if err := run(t.Context(), args[0], args[1], "westeurope", "AzurePublic", nil); err == nil || !strings.Contains(err.Error(), "nothing was done") {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// TestAgainstTheStandIn holds that every question can be asked and that nothing is
// left behind. What the answers are worth only Azure can tell.
func TestAgainstTheStandIn(t *testing.T) {
	server, err := armsim.Open(armsim.Config{Verify: func(string) (string, error) { return "me", nil }, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(server)
	t.Cleanup(func() {
		h.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	const id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.Network/networkSecurityGroups/live"
	options := policy.ClientOptions{InsecureAllowCredentialWithHTTP: true, Cloud: cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
		cloud.ResourceManager: {Endpoint: h.URL, Audience: "https://management.azure.com"},
	}}}
	var out bytes.Buffer
	if err := check(t.Context(), token{}, options, id, "westeurope", &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"PUT with a stale If-Match", "412 PreconditionFailed", "flushConnection", "four writes at once", "Not seen here"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table does not say %q:\n%s", want, out.String())
		}
	}
	if _, left := server.Get(id); left {
		t.Error("the security group is still there")
	}
	t.Log("\n" + out.String())

	if err := server.Put(id, []byte(`{"location":"westeurope"}`)); err != nil {
		t.Fatal(err)
	}
	if err := check(t.Context(), token{}, options, id, "westeurope", &out); err == nil || !strings.Contains(err.Error(), "must not exist") {
		t.Errorf("somebody else's security group: %v", err)
	}
	if _, left := server.Get(id); !left {
		t.Error("it deleted what it had not made")
	}
}
