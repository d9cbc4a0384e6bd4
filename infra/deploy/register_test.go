package deploy_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// graph is a stand-in for the part of Microsoft Graph that register uses: applications, service principals and federated
// credentials, each a list of objects; a PATCH replaces the members that it names. It refuses a client that is let in by the id of a scope
// that is not stored yet, as Graph does. It leaves out everything else, permissions first of all.
type graph struct {
	mu     sync.Mutex
	host   string // asked for last
	lists  map[string][]map[string]any
	writes []string // method, path and body of each
}

func (g *graph) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.host = r.Header.Get("X-Asked-Host")
	path := strings.TrimPrefix(r.URL.Path, "/v1.0")
	text, _ := io.ReadAll(r.Body)
	if r.Method == http.MethodGet {
		found := []map[string]any{}
		for _, o := range g.lists[path] {
			field, value, filtered := strings.Cut(r.URL.Query().Get("$filter"), " eq ")
			if !filtered || o[field] == strings.Trim(value, "'") {
				found = append(found, o)
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"value": found})
		return
	}
	g.writes = append(g.writes, r.Method+" "+path+" "+string(text))
	var body map[string]any
	if err := json.Unmarshal(text, &body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.Method == http.MethodPost {
		id := fmt.Sprintf("00000000-0000-0000-0000-0000000000%02d", len(g.writes))
		body["id"] = id
		if path == "/applications" {
			body["appId"] = strings.Replace(id, "00000000", "aaaaaaaa", 1)
		}
		g.lists[path] = append(g.lists[path], body)
		_ = json.NewEncoder(w).Encode(body)
		return
	}
	list, id := path[:strings.LastIndex(path, "/")], path[strings.LastIndex(path, "/")+1:]
	for _, o := range g.lists[list] {
		if o["id"] == id {
			if clients := field(body, "api", "preAuthorizedApplications"); clients != nil && field(o, "api", "oauth2PermissionScopes") == nil {
				http.Error(w, "the scope does not exist", http.StatusBadRequest)
				return
			}
			maps.Copy(o, body)
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	http.Error(w, "not found", http.StatusNotFound)
}

// field gives a member of a member, nil where there is none.
func field(o map[string]any, names ...string) any {
	var at any = o
	for _, name := range names {
		m, _ := at.(map[string]any)
		at = m[name]
	}
	return at
}

// az is the Azure CLI as far as register uses it: its cloud, its tenant, and az rest, which speaks to the stand-in.
const az = `case "$1 $2" in
"cloud show") echo "$AZ_CLOUD" ;;
"account show") echo 22222222-2222-2222-2222-222222222222 ;;
"rest --method")
  shift; method= url= body=()
  while [ $# -gt 0 ]; do case $1 in
    --method) method=${2^^} ;; --url) url=$2 ;; --body) body=(--data "$2") ;; --resource) [[ $url = "$2"/* ]] ;; esac; shift 2; done
  host=${url#https://}; host=${host%%/*}
  curl -fsS -X "$method" -H "X-Asked-Host: $host" ${body[@]+"${body[@]}"} "$GRAPH${url#https://$host}" ;;
*) echo "az $* is not known here" >&2; exit 1 ;;
esac
`

// register runs the script against the stand-in.
func register(t *testing.T, g *graph, cloud string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	server := httptest.NewServer(g)
	defer server.Close()
	cmd := exec.CommandContext(t.Context(), "bash", append([]string{"register"}, args...)...)
	cmd.Env = append(os.Environ(), fakeAz(t, az), "GRAPH="+server.URL, "AZ_CLOUD="+cloud)
	var told strings.Builder
	cmd.Stderr = &told
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), told.String(), err
}

func needJQ(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"jq", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("NOT RUN: %s is not installed", tool)
		}
	}
}

func TestRegisterRefuses(t *testing.T) {
	needJQ(t)
	twice := []map[string]any{{"displayName": "portcullis", "appId": "a1", "id": "o1"}, {"displayName": "portcullis", "appId": "a2", "id": "o2"}}
	for _, tt := range []struct {
		name, cloud string
		args        []string
		apps        []map[string]any
		want        string
	}{
		{"a flag that is not understood", "AzureCloud", []string{"--identitty", "x"}, nil, "--identitty is not understood"},
		{"a flag without its value", "AzureCloud", []string{"--identity"}, nil, "needs a value"},
		{"an unknown cloud", "AzureCloud", []string{"--cloud", "AzureGermany"}, nil, "--cloud is"},
		{"a CLI in another cloud", "AzureCloud", []string{"--cloud", "AzureChina"}, nil, "az cloud set --name AzureChinaCloud"},
		{"an identity by its name", "AzureCloud", []string{"--identity", "portcullis"}, nil, "--identity is the principal id"},
		{"a redirect in the clear", "AzureCloud", []string{"--redirect", "http://app.example/.auth/login/aad/callback"}, nil, "--redirect is https"},
		{"a redirect elsewhere", "AzureCloud", []string{"--redirect", "https://app.example/callback"}, nil, "--redirect is https"},
		{"a name with a quote", "AzureCloud", []string{"--name", "x' or 'y"}, nil, "--name has"},
		{"a client id that is not there", "AzureCloud", []string{"--client-id", "33333333-3333-3333-3333-333333333333"}, nil, "there is no registration"},
		{"a name that somebody has", "AzureCloud", nil, twice[:1], "--client-id a1"},
		{"a name that two have", "AzureCloud", nil, twice, "a1, a2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := &graph{lists: map[string][]map[string]any{"/applications": tt.apps}}
			_, told, err := register(t, g, tt.cloud, tt.args...)
			if err == nil || !strings.Contains(told, tt.want) {
				t.Errorf("error %v, %q, want one that says %q", err, told, tt.want)
			}
			if len(g.writes) > 0 {
				t.Errorf("a refusal wrote %q", g.writes)
			}
		})
	}
}

// TestRegister makes a registration whole in each cloud, in two runs as the documents have it, and holds that a third writes nothing.
func TestRegister(t *testing.T) {
	needJQ(t)
	const identity, redirect = "44444444-4444-4444-4444-444444444444", "https://app.example/.auth/login/aad/callback"
	for _, tt := range []struct{ cloud, cli, graph, issuer, audience string }{
		{"AzurePublic", "AzureCloud", "graph.microsoft.com", "https://login.microsoftonline.com", "api://AzureADTokenExchange"},
		{"AzureUSGovernment", "AzureUSGovernment", "graph.microsoft.us", "https://login.microsoftonline.us", "api://AzureADTokenExchangeUSGov"},
		{"AzureChina", "AzureChinaCloud", "microsoftgraph.chinacloudapi.cn", "https://login.partner.microsoftonline.cn", "api://AzureADTokenExchangeChina"},
	} {
		t.Run(tt.cloud, func(t *testing.T) {
			t.Parallel()
			g := &graph{lists: map[string][]map[string]any{}}
			id, told, err := register(t, g, tt.cli, "--cloud", tt.cloud)
			if err != nil || len(g.writes) != 4 {
				t.Fatalf("%q, %v, %s\nwrites: %q", id, err, told, g.writes)
			}
			// Somebody adds what is theirs, which has to stay.
			app := g.lists["/applications"][0]
			app["api"].(map[string]any)["knownClientApplications"] = []any{"theirs"}
			app["web"].(map[string]any)["redirectUris"] = []any{"https://theirs.example"}
			all := []string{"--cloud", tt.cloud, "--client-id", id, "--identity", identity, "--redirect", redirect, "--assignment-required"}
			if again, told, err := register(t, g, tt.cli, all...); err != nil || again != id {
				t.Fatalf("%q, %v, %s", again, err, told)
			}
			if g.host != tt.graph {
				t.Errorf("Graph is asked at %s, want %s", g.host, tt.graph)
			}
			const scope = "6b0d4b3e-2f0c-4d0b-9a57-2f3a0a4f7c11"
			scopes, _ := field(app, "api", "oauth2PermissionScopes").([]any)
			roles, _ := app["appRoles"].([]any)
			if len(scopes) != 1 || len(roles) != 3 {
				t.Fatalf("scopes %v, roles %v", scopes, roles)
			}
			var values, members []any
			for _, r := range roles {
				values, members = append(values, field(r.(map[string]any), "value")), append(members, field(r.(map[string]any), "allowedMemberTypes"))
			}
			got := map[string]any{
				"uris": app["identifierUris"], "audience": app["signInAudience"], "version": field(app, "api", "requestedAccessTokenVersion"),
				"scope": []any{field(scopes[0].(map[string]any), "value"), field(scopes[0].(map[string]any), "id"), field(scopes[0].(map[string]any), "isEnabled")},
				"roles": values, "members": members,
				"clients": field(app, "api", "preAuthorizedApplications"), "theirs": field(app, "api", "knownClientApplications"),
				"redirects": field(app, "web", "redirectUris"), "idTokens": field(app, "web", "implicitGrantSettings", "enableIdTokenIssuance"),
				"principal": field(g.lists["/servicePrincipals"][0], "appId"), "assigned": field(g.lists["/servicePrincipals"][0], "appRoleAssignmentRequired"),
			}
			trust := maps.Clone(g.lists["/applications/"+app["id"].(string)+"/federatedIdentityCredentials"][0])
			delete(trust, "id")
			got["trust"] = trust
			want := map[string]any{
				"uris": []any{"api://" + id}, "audience": "AzureADMyOrg", "version": 2.0,
				"scope": []any{"user_impersonation", scope, true}, "roles": []any{"Portcullis.Approver", "Portcullis.BreakGlass", "Portcullis.Call"},
				"members": []any{[]any{"User"}, []any{"User"}, []any{"User", "Application"}},
				"clients": []any{
					map[string]any{"appId": "04b07795-8ddb-461a-bbee-02f9e1bf7b46", "delegatedPermissionIds": []any{scope}},
					map[string]any{"appId": "1950a258-227b-4e31-a9cf-717495945fc2", "delegatedPermissionIds": []any{scope}},
				},
				"theirs": []any{"theirs"}, "redirects": []any{"https://theirs.example", redirect}, "idTokens": true,
				"principal": id, "assigned": true,
				"trust": map[string]any{"name": "portcullis", "issuer": tt.issuer + "/22222222-2222-2222-2222-222222222222/v2.0", "subject": identity, "audiences": []any{tt.audience}},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("registration (-want +got):\n%s", diff)
			}
			before := slices.Clone(g.writes)
			if _, told, err := register(t, g, tt.cli, all...); err != nil || told != "" {
				t.Errorf("the third run: %v, %s", err, told)
			}
			if _, told, err := register(t, g, tt.cli, "--cloud", tt.cloud); err == nil || !strings.Contains(told, "--client-id "+id) {
				t.Errorf("the first run again, which would make a second one: %v, %s", err, told)
			}
			if diff := cmp.Diff(before, g.writes); diff != "" {
				t.Errorf("a run with nothing to do wrote (+):\n%s", diff)
			}
			all[5] = "55555555-5555-5555-5555-555555555555"
			if _, told, err := register(t, g, tt.cli, all...); err != nil || len(g.writes) != len(before)+1 || !strings.Contains(told, "in the other's place") {
				t.Errorf("another identity: %v, %s, %q", err, told, g.writes[len(before):])
			}
		})
	}
}
