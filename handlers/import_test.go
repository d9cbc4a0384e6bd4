package handlers_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// defenders is a policy as Defender's own list gives it.
func defenders(name string, vms ...string) string {
	return `{"id":"` + group + `/providers/Microsoft.Security/locations/westeurope/jitNetworkAccessPolicies/` + name + `","name":"` + name + `",` + putBody(vms...)[1:]
}

func TestImportRefuses(t *testing.T) {
	a := newCompat(t)
	for body, code := range map[string]string{
		``: "RequestBodyMissing", `{`: "InvalidRequestContent", `[]`: "InvalidRequestContent", `{}`: "InvalidRequestContent", `{"value":null}`: "InvalidRequestContent",
		`{"value":[],"value":[]}`: "DuplicateField", `{"value":[],"Value":[]}`: "DuplicateField",
	} {
		a.call("POST", "/api/import", body).wants(t, 400, code)
	}
	r := a.call("POST", "/api/import", `{"value":[]}`)
	if r.wants(t, 200, ""); strings.TrimSpace(r.text) != `{"policies":[],"incomplete":false}` {
		t.Errorf("%s", r.text)
	}
}

// TestImport: what can be enabled is, each machine by itself; for the rest the
// answer says why not, and Defender's own rules are told and left.
func TestImport(t *testing.T) {
	a := newCompat(t)
	a.put(app2) // here already, in the policy default
	old := func(name string, access jit.Access, to string) jit.Rule {
		return jit.Rule{Name: name, Priority: 4096, Access: access, Protocol: jit.AnyProtocol, Source: jit.AnyPeer(), Destination: jit.Peers{Prefixes: []netip.Prefix{netip.MustParsePrefix(to)}},
			SourcePorts: []jit.PortRange{jit.AllPorts()}, DestinationPorts: []jit.PortRange{jit.OnePort(22)}}
	}
	nsg := jit.ID{Subscription: sub, ResourceGroup: "demo", Type: jit.TypeNSG, Name: "web-nsg"}
	left := []jit.Rule{old("MicrosoftDefenderForCloud-JITRule_-1151891693_545C5DBC675443D3BF179EFD1EF8254D", jit.Deny, "10.0.0.4/32"),
		old("SecurityCenter-JITRule-1170687618-8C18BF8921F041989344B4F1E3A0C370", jit.Allow, "10.0.0.4/32"), old("MicrosoftDefenderForCloud-JITRule_1_0", jit.Deny, "10.0.0.9/32"), old("AllowSsh", jit.Allow, "10.0.0.4/32")}
	a.cloud.SetRules(nsg, left...)
	body := `{"value":[` + defenders("default", web, web+"2", strings.Replace(app1, "Compute", "ClassicCompute", 1)) + `,` + defenders("mine", app1, app2) + `,{"id":"/not/a/policy","properties":{}}],"nextLink":"https://management.azure.com/more"}`
	r := a.call("POST", "/api/import", body)
	r.wants(t, 200, "")
	for _, want := range []string{
		`{"id":"` + web + `","enabled":true,"leftoverRules":[{"target":"` + nsg.String() + `","name":"MicrosoftDefenderForCloud-JITRule_-1151891693_545C5DBC675443D3BF179EFD1EF8254D","priority":4096,"access":"Deny"},` +
			`{"target":"` + nsg.String() + `","name":"SecurityCenter-JITRule-1170687618-8C18BF8921F041989344B4F1E3A0C370","priority":4096,"access":"Allow"}]}`,
		`{"id":"` + web + `2","enabled":false,"error":{"code":"VirtualMachineNotFound"`, `"error":{"code":"ClassicVirtualMachine"`,
		`{"id":"` + app1 + `","enabled":true,"leftoverRules":[]}`, `{"id":"` + app2 + `","enabled":false,"error":{"code":"VirtualMachineInOtherPolicy"`,
		`{"id":"/not/a/policy","error":{"code":"InvalidResourceId"`, `"incomplete":true`,
	} {
		if !strings.Contains(r.text, want) {
			t.Errorf("the answer lacks %s\n%s", want, r.text)
		}
	}
	if got := a.call("GET", policy+version, "").lists(); got != "app2 web" {
		t.Errorf("default lists %q", got)
	}
	if got := a.call("GET", strings.Replace(policy, "/default", "/mine", 1)+version, "").lists(); got != "app1" {
		t.Errorf("mine lists %q", got)
	}
	standing := map[string]bool{}
	for _, rule := range a.cloud.Standing(nsg) {
		standing[rule.Name] = true
	}
	for _, rule := range left {
		if !standing[rule.Name] {
			t.Errorf("%s was touched", rule.Name)
		}
	}
	again := a.call("POST", "/api/import", body)
	if again.status != 200 || again.text != r.text {
		t.Errorf("sent again: %d %s", again.status, again.text)
	}
}

// TestImportHidesCauses: an error that is no refusal shows nothing of its cause.
func TestImportHidesCauses(t *testing.T) {
	a := newCompat(t)
	a.cloud.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Apply" {
			return store.ErrForbidden
		}
		return nil
	}
	r := a.call("POST", "/api/import", `{"value":[`+defenders("default", web)+`]}`)
	if r.status != 200 || !strings.Contains(r.text, `"code":"AppPermissionMissing"`) || !strings.Contains(a.log.String(), "import failed") {
		t.Errorf("%d %s\n%s", r.status, r.text, a.log)
	}
}
