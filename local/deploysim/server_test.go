package deploysim_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"portcullis/local/deploysim"
)

const (
	sub   = "/subscriptions/11111111-1111-1111-1111-111111111111"
	group = sub + "/resourceGroups/rg"
)

// rig is a Resource Manager and somebody who trusts it.
type rig struct {
	t      *testing.T
	sim    *deploysim.Server
	client *http.Client
}

func newRig(t *testing.T) *rig {
	t.Helper()
	sim, err := deploysim.New("22222222-2222-2222-2222-222222222222", sub[len("/subscriptions/"):])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(sim.Certificate) {
		t.Fatal("the certificate is none")
	}
	return &rig{t, sim, &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}}
}

// call sends a request and checks that it is answered with the status, and with the error's code where one is given.
func (r *rig) call(method, path string, body any, status int, code string) deploysim.Document {
	r.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	if body == nil {
		text = nil
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, "https://"+r.sim.Host+path+"?api-version=2024-01-01", bytes.NewReader(text))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer x")
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var out deploysim.Document
	if resp.StatusCode != http.StatusNoContent && resp.ContentLength != 0 {
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
			r.t.Fatal(err)
		}
	}
	failure, _ := out["error"].(deploysim.Document)
	if got, _ := failure["code"].(string); resp.StatusCode != status || got != code {
		r.t.Fatalf("%s %s: %d %s, want %d %s (%v)", method, path, resp.StatusCode, got, status, code, failure["message"])
	}
	return out
}

// properties makes a body.
func properties(pairs ...any) deploysim.Document {
	p := deploysim.Document{}
	for i := 0; i < len(pairs); i += 2 {
		p[pairs[i].(string)] = pairs[i+1]
	}
	return deploysim.Document{"location": "westeurope", "properties": p}
}

// TestRefusals checks what an installation stumbles over.
func TestRefusals(t *testing.T) {
	r := newRig(t)
	account := group + "/providers/Microsoft.Storage/storageAccounts/log"
	r.call("PUT", account, properties(), 409, "MissingSubscriptionRegistration")
	r.call("POST", sub+"/providers/Microsoft.Storage/register", nil, 200, "")
	r.call("PUT", account, properties(), 404, "ParentResourceNotFound")
	r.call("PUT", group, properties(), 200, "")
	r.call("PUT", account, properties(), 200, "")
	r.call("PUT", group+"/providers/Microsoft.Storage/storageAccounts/other/blobServices/default/containers/x", properties(), 404, "ParentResourceNotFound")
	r.call("PUT", "/subscriptions/99999999-1111-1111-1111-111111111111/resourceGroups/rg", properties(), 404, "SubscriptionNotFound")
	r.call("PUT", group+"/providers/Microsoft.Compute/virtualMachines/vm", properties(), 404, "InvalidResourceType")
	if got := r.sim.Unknown(); len(got) != 1 {
		t.Errorf("not understood: %v", got)
	}

	lock := account + "/providers/Microsoft.Authorization/locks/keep"
	setting := account + "/providers/Microsoft.Insights/diagnosticSettings/all"
	r.call("POST", sub+"/providers/microsoft.insights/register", nil, 200, "")
	r.call("PUT", setting, properties(), 200, "")
	r.call("PUT", lock, properties("level", "CanNotDelete"), 201, "")
	for _, id := range []string{account, setting, group} {
		r.call("DELETE", id, nil, 409, "ScopeLocked")
	}
	r.call("DELETE", lock, nil, 200, "")
	r.call("DELETE", setting, nil, 200, "")
}

// TestRoles checks that a definition stays while somebody holds it, and what assignments are refused.
func TestRoles(t *testing.T) {
	r := newRig(t)
	r.call("PUT", group, properties(), 200, "")
	definition := sub + "/providers/Microsoft.Authorization/roleDefinitions/aaaaaaaa-0000-0000-0000-000000000001"
	assignment := sub + "/providers/Microsoft.Authorization/roleAssignments/bbbbbbbb-0000-0000-0000-000000000001"
	holds := properties("principalId", "p", "roleDefinitionId", definition)
	r.call("PUT", assignment, holds, 400, "RoleDefinitionDoesNotExist")
	r.call("PUT", definition, properties("roleName", "one", "assignableScopes", []string{group}), 201, "")
	r.call("PUT", strings.Replace(definition, "aaaaaaaa", "cccccccc", 1), properties("roleName", "one", "assignableScopes", []string{group}), 409, "RoleDefinitionWithSameNameExists")
	r.call("PUT", assignment, holds, 400, "InvalidRoleDefinitionScope")
	r.call("PUT", definition, properties("roleName", "one", "assignableScopes", []string{sub}), 200, "")
	r.call("PUT", assignment, holds, 201, "")
	r.call("PUT", strings.Replace(assignment, "bbbbbbbb", "cccccccc", 1), holds, 409, "RoleAssignmentExists")
	r.call("PUT", assignment, properties("principalId", "q", "roleDefinitionId", definition), 400, "RoleAssignmentUpdateNotPermitted")
	r.call("DELETE", definition, nil, 400, "RoleDefinitionHasAssignments")
	r.call("DELETE", assignment, nil, 200, "")
	r.call("DELETE", definition, nil, 200, "")
}

// TestTemplate checks that a template makes its resources and children, and that nothing else is taken for an expression.
func TestTemplate(t *testing.T) {
	r := newRig(t)
	r.sim.Register(sub[len("/subscriptions/"):], "Microsoft.Web")
	r.call("PUT", group, properties(), 200, "")
	deployment := group + "/providers/Microsoft.Resources/deployments/site"
	template := func(name string) deploysim.Document {
		return deploysim.Document{"properties": deploysim.Document{
			"parameters": deploysim.Document{"name": deploysim.Document{"value": "app"}},
			"template": deploysim.Document{
				"parameters": deploysim.Document{"name": deploysim.Document{"type": "string"}},
				"resources": []any{deploysim.Document{
					"type": "Microsoft.Web/sites", "apiVersion": "2024-04-01", "name": name, "properties": deploysim.Document{"said": "[[as it is"},
					"resources": []any{deploysim.Document{"type": "config", "apiVersion": "2024-04-01", "name": "authsettingsV2", "properties": deploysim.Document{}}},
				}},
				"outputs": deploysim.Document{"hostname": deploysim.Document{"type": "string", "value": "[reference(resourceId('Microsoft.Web/sites', parameters('name'))).defaultHostName]"}},
			},
		}}
	}
	r.call("PUT", deployment, template("[uniqueString('x')]"), 400, "DeploymentFailed")
	out := r.call("PUT", deployment, template("[parameters('name')]"), 200, "")
	if got := out["properties"].(deploysim.Document)["outputs"].(deploysim.Document)["hostname"].(deploysim.Document)["value"]; got != "app.azurewebsites.net" {
		t.Errorf("the host name is %v", got)
	}
	calls := r.sim.Calls()
	if len(calls) < 3 || calls[len(calls)-3].ID != group+"/providers/Microsoft.Web/sites/app" || calls[len(calls)-2].ID != group+"/providers/Microsoft.Web/sites/app/config/authsettingsV2" {
		t.Errorf("a template made %v", calls)
	}
}
