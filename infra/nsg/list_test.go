package nsg_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	"github.com/google/go-cmp/cmp"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/infra/arm"
	"portcullis/infra/arm/armtest"
	"portcullis/local/armsim"
)

// asked is what a request for a page asks for, whoever makes it.
type asked struct{ Method, URL, Authorization string }

func askedOf(r *http.Request) asked {
	return asked{r.Method, r.URL.String(), r.Header.Get("Authorization")}
}

// estate puts n NSGs into the rig, each with some rules.
func (r *rig) estate(t *testing.T, n, rules int) {
	t.Helper()
	for i := range n {
		var list []jit.Rule
		for k := range rules {
			list = append(list, widest(func(r *jit.Rule) {
				r.Name, r.Priority, r.Protocol = fmt.Sprintf("rule-%d", k), 200+k, jit.TCP
				r.Source = jit.Peers{Prefixes: prefixes(fmt.Sprintf("198.51.%d.%d/32", i%256, k%256))}
				r.Destination = jit.Peers{Prefixes: prefixes("10.0.0.4/32")}
				r.DestinationPorts = []jit.PortRange{jit.OnePort(22), {First: 8000, Last: 8080}}
				r.Description = "a \"quoted\" <word>"
			}))
		}
		r.Target(t, list...)
	}
}

// sdk gives the SDK's own client of NSGs.
func sdk(t testing.TB, server *httptest.Server) *armnetwork.SecurityGroupsClient {
	t.Helper()
	at := cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: server.URL, Audience: "https://management.azure.com"}}}
	groups, err := armnetwork.NewSecurityGroupsClient(sub, armtest.Credential("app"),
		&azarm.ClientOptions{ClientOptions: policy.ClientOptions{InsecureAllowCredentialWithHTTP: true, Transport: server.Client(), Cloud: at}})
	if err != nil {
		t.Fatal(err)
	}
	return groups
}

// listBySDK lists NSGs as the SDK does, which makes its model of all of them, and gives their bytes by id.
func listBySDK(t testing.TB, groups *armnetwork.SecurityGroupsClient) map[string]string {
	t.Helper()
	out := map[string]string{}
	for pager := groups.NewListAllPager(nil); pager.More(); {
		var resp *http.Response
		if _, err := pager.NextPage(policy.WithCaptureResponse(t.Context(), &resp)); err != nil {
			t.Fatal(err)
		}
		text, err := runtime.Payload(resp)
		if err != nil {
			t.Fatal(err)
		}
		var page struct{ Value []json.RawMessage }
		if err := json.Unmarshal(text, &page); err != nil {
			t.Fatal(err)
		}
		for _, raw := range page.Value {
			out[strings.ToLower(arm.Text(arm.Object(raw)["id"]))] = string(raw)
		}
	}
	return out
}

// TestAllIsTheSDKsList holds that reading a list without the SDK's model asks ARM for the same and gives the same.
func TestAllIsTheSDKsList(t *testing.T) {
	r := newRig(t, armsim.Knobs{PageSize: 5})
	r.estate(t, 13, 4)
	var calls []asked
	r.Interpose(func(req *http.Request) { calls = append(calls, askedOf(req)) })
	want := listBySDK(t, sdk(t, r.HTTP))
	wantCalls := calls
	calls = nil
	list, err := r.All(t.Context(), network.Ordinary(), sub)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range list {
		got[s.Target.Key()] = string(s.Body)
		if len(s.Rules) != 4 || s.Rules[0].Description != `a "quoted" <word>` {
			t.Errorf("%s has the rules %+v", s.Target, s.Rules)
		}
	}
	wantKeys := map[string]string{}
	for id, text := range want {
		target, err := jit.ParseID(id)
		if err != nil {
			t.Fatal(err)
		}
		wantKeys[target.Key()] = text
	}
	if diff := cmp.Diff(wantKeys, got); diff != "" || len(got) != 13 {
		t.Errorf("%d groups (-the SDK's +ours):\n%s", len(got), diff)
	}
	if diff := cmp.Diff(wantCalls, calls); diff != "" || len(calls) != 3 {
		t.Errorf("%d calls (-the SDK's +ours):\n%s", len(calls), diff)
	}
}

// TestListGoesNowhereElse holds that a next page at another host is not asked for: our token would go there.
func TestListGoesNowhereElse(t *testing.T) {
	for _, tc := range []struct{ name, next string }{
		{"another host", "http://management.example.org/next"},
		{"a host that begins like ours", "{host}.example.org/next"},
		{"another port", "http://127.0.0.1:1/next"},
		{"another scheme", "https{host}/next"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := play(t)
			next := strings.ReplaceAll(strings.Replace(tc.next, "https{host}", strings.Replace(s.Server.URL, "http:", "https:", 1), 1), "{host}", s.Server.URL)
			s.Add(answer(200, `{"value":[],"nextLink":"`+next+`"}`))
			if _, err := client(t, s.Server, nil).All(t.Context(), network.Ordinary(), sub); err == nil || !strings.Contains(err.Error(), "at another place") {
				t.Errorf("error %v", err)
			}
			s.Seen(t)
		})
	}
}

// BenchmarkList reads a list of 200 NSGs with 21 rules each as the SDK does, as All does, and as a listing does that looks for
// none of them.
func BenchmarkList(b *testing.B) {
	rules := foreign()[:1]
	for k := range 20 {
		rules = append(rules, encoded(b, mine(fmt.Sprint("allow-", k), 100+k)))
	}
	var groups []string
	for i := range 200 {
		groups = append(groups, strings.Replace(shown("v1", "Succeeded", rules...), "/SHOP", fmt.Sprint("/shop", i), 1))
	}
	page := []byte(`{"value":[` + strings.Join(groups, ",") + `]}`)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(page) }))
	defer server.Close()
	ours, theirs := client(b, server, nil), sdk(b, server)
	for _, by := range []struct {
		name string
		list func() int
	}{
		{"SDK", func() int { return len(listBySDK(b, theirs)) }},
		{"All", func() int {
			list, err := ours.All(b.Context(), network.Ordinary(), sub)
			if err != nil {
				b.Fatal(err)
			}
			return len(list)
		}},
		{"page", func() int {
			value, _, err := arm.ReadPage(page)
			if err != nil {
				b.Fatal(err)
			}
			return len(value)
		}},
	} {
		b.Run(by.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(page)))
			for b.Loop() {
				if n := by.list(); n != 200 {
					b.Fatalf("%d groups", n)
				}
			}
		})
	}
}
