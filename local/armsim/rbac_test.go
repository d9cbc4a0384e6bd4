package armsim_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/google/go-cmp/cmp"

	"portcullis/local/armsim"
	"portcullis/local/issuer"
)

const (
	subScope = "/subscriptions/" + sub
	rgScope  = subScope + "/resourceGroups/rg"
	vmScope  = rgScope + "/providers/Microsoft.Compute/virtualMachines/vm"
	mgScope  = "/providers/Microsoft.Management/managementGroups/corp"
	ann      = "00000000-0000-0000-0000-00000000aaaa"
	bob      = "00000000-0000-0000-0000-00000000bbbb"
	team     = "00000000-0000-0000-0000-00000000cccc"
	unit     = "00000000-0000-0000-0000-00000000dddd"
	role     = "00000000-0000-0000-0000-00000000eeee"
)

func guid(n int) string { return fmt.Sprintf("00000000-0000-0000-0000-%012d", n) }

func (r *rig) authorization() *armauthorization.ClientFactory {
	r.t.Helper()
	f, err := armauthorization.NewClientFactory(sub, credential(r.token), &arm.ClientOptions{
		DisableRPRegistration: true,
		ClientOptions: policy.ClientOptions{
			Cloud: cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
				cloud.ResourceManager: {Endpoint: r.url, Audience: "https://management.azure.com"},
			}},
			InsecureAllowCredentialWithHTTP: true,
			Retry:                           policy.RetryOptions{MaxRetries: -1},
		},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

// assign puts a role assignment directly.
func (r *rig) assign(n int, scope, principal string) {
	r.put(strings.TrimSuffix(scope, "/")+"/providers/Microsoft.Authorization/roleAssignments/"+guid(n),
		`{"properties":{"principalId":"`+principal+`","roleDefinitionId":"/providers/Microsoft.Authorization/roleDefinitions/`+role+`"}}`)
}

func assignments(t *testing.T, f *armauthorization.ClientFactory, scope, filter string) string {
	t.Helper()
	o := &armauthorization.RoleAssignmentsClientListForScopeOptions{}
	if filter != "" {
		o.Filter = &filter
	}
	var got []string
	pager := f.NewRoleAssignmentsClient().NewListForScopePager(strings.TrimPrefix(scope, "/"), o)
	for pages := 0; pager.More() && pages < 20; pages++ {
		page, err := pager.NextPage(t.Context())
		if err != nil {
			return code(err)
		}
		for _, a := range page.Value {
			got = append(got, strings.TrimLeft((*a.Name)[24:], "0"))
		}
	}
	slices.Sort(got)
	return strings.Join(got, " ")
}

// What a list of role assignments holds: by scope, by principal, in one page or in many.
func TestRoleAssignmentLists(t *testing.T) {
	r := newRig(t, armsim.Knobs{PageSize: 2})
	r.arm.SetGroups(map[string][]string{strings.ToUpper(ann): {team}, team: {unit, team}, unit: {team}}) // a ring, too
	r.assign(1, "/", ann)
	r.assign(2, mgScope, ann)
	r.assign(3, subScope, team)
	r.assign(4, strings.ToLower(rgScope), ann)
	r.assign(5, vmScope, unit)
	r.assign(6, rgScope+"2", ann)
	r.assign(7, subScope+"2", ann)
	r.assign(8, rgScope, bob)
	f := r.authorization()
	for _, test := range []struct{ name, scope, filter, want string }{
		{"unknown filter", subScope, "scope eq 'x'", "400 UnsupportedQuery"},
		{"half a filter", subScope, "atScope() and", "400 UnsupportedQuery"},
		{"a filter of definitions", subScope, "roleName eq 'x'", "400 UnsupportedQuery"},
		{"nobody's", subScope, "assignedTo('" + guid(99) + "')", ""},
		{"all of a subscription", subScope, "", "1 2 3 4 5 6 8"},
		{"all of a subscription that is spelled otherwise", strings.ToUpper(subScope), "", "1 2 3 4 5 6 8"},
		{"at a subscription", subScope, "atScope()", "1 2 3"},
		{"at a resource group", rgScope, "atScope()", "1 2 3 4 8"},
		{"at a resource", vmScope, "atScope()", "1 2 3 4 5 8"},
		{"all of a resource group, not of the one whose name is longer", rgScope, "", "1 2 3 4 5 8"},
		{"at a management group", mgScope, "atScope()", "1 2"},
		{"of a principal", subScope, "principalId eq '" + ann + "'", "1 2 4 6"},
		{"of a principal and the groups", subScope, "assignedTo('" + ann + "')", "1 2 3 4 5 6"},
		{"and at a scope", subScope, "atScope()+and+assignedTo('" + ann + "')", "1 2 3"},
		{"of a group", subScope, "assignedTo('" + team + "')", "3 5"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := assignments(t, f, test.scope, strings.ReplaceAll(test.filter, " ", "%20")); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	r.arm.SetGroups(nil)
	if got := assignments(t, f, subScope, "assignedTo('"+ann+"')"); got != "1 2 4 6" {
		t.Errorf("without groups: got %q", got)
	}
}

func TestDenyAssignmentLists(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	r.arm.SetGroups(map[string][]string{ann: {team}})
	deny := func(n int, scope, name string, principals ...string) {
		var list []string
		for _, p := range principals {
			list = append(list, `{"id":"`+p+`"}`)
		}
		r.put(scope+"/providers/Microsoft.Authorization/denyAssignments/"+guid(n),
			`{"properties":{"denyAssignmentName":"`+name+`","principals":[`+strings.Join(list, ",")+`],"permissions":[{"actions":["*"]}]}}`)
	}
	deny(1, mgScope, "a", ann)
	deny(2, subScope, "b", guid(0))
	deny(3, rgScope, "c", bob, team)
	r.want(405, "MethodNotAllowed", "PUT", subScope+"/providers/Microsoft.Authorization/denyAssignments/"+guid(4), "{}")
	r.want(405, "MethodNotAllowed", "DELETE", rgScope+"/providers/Microsoft.Authorization/denyAssignments/"+guid(3), "")
	r.want(404, "DenyAssignmentNotFound", "GET", subScope+"/providers/Microsoft.Authorization/denyAssignments/"+guid(3), "")
	client := r.authorization().NewDenyAssignmentsClient()
	for filter, want := range map[string]string{
		"": "1 2 3", "atScope()": "1 2", "assignedTo('" + ann + "')": "1 3", "principalId eq '" + ann + "'": "1",
		"denyAssignmentName eq 'B'": "2", "roleName eq 'x'": "400 UnsupportedQuery",
	} {
		o := &armauthorization.DenyAssignmentsClientListOptions{Filter: to.Ptr(filter)}
		page, err := client.NewListPager(o).NextPage(t.Context())
		var got []string
		for _, d := range page.Value {
			got = append(got, strings.TrimLeft((*d.Name)[24:], "0"))
		}
		slices.Sort(got)
		if err != nil {
			got = []string{code(err)}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %v, want %s", filter, got, want)
		}
	}
}

// The SDK's clients make and remove roles and assignments, and are refused as ARM refuses.
func TestRolesOverHTTP(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	r.put("/providers/Microsoft.Authorization/roleDefinitions/"+armsim.Reader, string(armsim.Role("Reader", "BuiltInRole", []string{"*/read"}, nil, []string{"/"})))
	f := r.authorization()
	roles, given := f.NewRoleDefinitionsClient(), f.NewRoleAssignmentsClient()
	definition := armauthorization.RoleDefinition{Properties: &armauthorization.RoleDefinitionProperties{
		RoleName: to.Ptr("Look"), AssignableScopes: []*string{to.Ptr(rgScope)}, Permissions: []*armauthorization.Permission{{Actions: []*string{to.Ptr("*/read")}}},
	}}
	assignment := func(principal, role string) armauthorization.RoleAssignmentCreateParameters {
		return armauthorization.RoleAssignmentCreateParameters{Properties: &armauthorization.RoleAssignmentProperties{
			PrincipalID: to.Ptr(principal), RoleDefinitionID: to.Ptr(subScope + "/providers/Microsoft.Authorization/roleDefinitions/" + role),
		}}
	}
	define := func(scope, name string) error {
		_, err := roles.CreateOrUpdate(t.Context(), scope, name, definition, nil)
		return err
	}
	give := func(scope, name, principal, role string) error {
		_, err := given.Create(t.Context(), scope, name, assignment(principal, role), nil)
		return err
	}
	remove := func(scope, name string) error {
		_, err := roles.Delete(t.Context(), scope, name, nil)
		return err
	}
	for _, step := range []struct {
		name string
		err  error
		want string
	}{
		{"a role named by no GUID", define(rgScope, "look"), "400 InvalidRoleDefinitionId"},
		{"a role outside its scopes", define(subScope+"9", role), "400 RoleDefinitionScopeMismatch"},
		{"a built-in role", define(subScope, armsim.Reader), "403 RoleDefinitionIsBuiltIn"},
		{"a built-in role's end", remove(subScope, armsim.Reader), "403 RoleDefinitionIsBuiltIn"},
		{"a role", define(rgScope, role), "<nil>"},
		{"an assignment named by no GUID", give(rgScope, "x", ann, role), "400 InvalidRoleAssignmentId"},
		{"to nobody", give(rgScope, guid(1), "ann", role), "400 InvalidPrincipalId"},
		{"of an unknown role", give(rgScope, guid(1), ann, guid(7)), "400 RoleDefinitionDoesNotExist"},
		{"of a role that is not for there", give(rgScope+"2", guid(1), ann, role), "400 RoleDefinitionDoesNotExist"},
		{"an assignment", give(vmScope, guid(1), ann, role), "<nil>"},
		{"again", give(vmScope, guid(1), ann, role), "<nil>"},
		{"again by another name", give(vmScope, guid(2), strings.ToUpper(ann), role), "409 RoleAssignmentExists"},
		{"to somebody else", give(vmScope, guid(1), bob, role), "409 RoleAssignmentUpdateNotPermitted"},
		{"the end of a role that is in use", remove(rgScope, role), "400 RoleDefinitionHasAssignments"},
	} {
		if got := code(step.err); got != step.want {
			t.Errorf("%s: got %s, want %s", step.name, got, step.want)
		}
	}
	got, err := roles.Get(t.Context(), subScope, role, nil)
	if err != nil || *got.ID != subScope+"/providers/Microsoft.Authorization/roleDefinitions/"+role || *got.Properties.RoleType != "CustomRole" {
		t.Errorf("a custom role at its subscription: %v %v", got, err)
	}
	if got, err := roles.Get(t.Context(), subScope, strings.ToUpper(armsim.Reader), nil); err != nil || !strings.HasPrefix(*got.ID, subScope+"/") {
		t.Errorf("a built-in role at a subscription: %v %v", got, err)
	}
	page, err := roles.NewListPager(subScope, &armauthorization.RoleDefinitionsClientListOptions{Filter: to.Ptr("type eq 'CustomRole'")}).NextPage(t.Context())
	if err != nil || len(page.Value) != 1 || *page.Value[0].Properties.RoleName != "Look" {
		t.Errorf("custom roles: %v %v", page, err)
	}
	one, err := given.Get(t.Context(), vmScope, guid(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	if *one.Properties.Scope != vmScope || one.Properties.Condition != nil {
		t.Errorf("the assignment: %+v %v", one.Properties, err)
	}
	if _, err := given.Delete(t.Context(), vmScope, guid(1), nil); err != nil {
		t.Error(err)
	}
	if _, err := given.Delete(t.Context(), vmScope, guid(1), nil); err != nil {
		t.Errorf("deleting what is gone: %v", err)
	}
	if err := remove(rgScope, role); err != nil {
		t.Error(err)
	}
	if _, err := roles.Get(t.Context(), subScope, role, nil); code(err) != "404 RoleDefinitionNotFound" {
		t.Errorf("a role that is gone: %v", err)
	}
}

// Roles stay out of the lists of resources, are denied like anything else, and are known at scopes only.
func TestRolesAmongOthers(t *testing.T) {
	r := newRig(t, armsim.Knobs{})
	r.assign(1, subScope, ann)
	_, all := r.want(200, "", "GET", subScope+"/resources", "")
	if l := at(all, "value").([]any); len(l) != 0 {
		t.Errorf("resources: %v", l)
	}
	for _, path := range []string{"/providers/Microsoft.Web/x/providers/Microsoft.Authorization/roleAssignments", "/providers/Microsoft.Authorization/other", mgScope} {
		r.want(404, "InvalidResourceType", "GET", path, "")
	}
	r.tune(func(k *armsim.Knobs) {
		k.Denied = []armsim.Denied{{Action: "Microsoft.Authorization/roleAssignments/read"}}
	})
	r.want(403, "AuthorizationFailed", "GET", subScope+"/providers/Microsoft.Authorization/roleAssignments", "")
	r.want(200, "", "GET", subScope+"/providers/Microsoft.Authorization/roleDefinitions", "")
}

// A server made by a version without roles gains the demo's, and nothing else; what was changed since is left alone.
func TestSeedGainsRoles(t *testing.T) {
	dir := t.TempDir()
	open := func() *armsim.Server {
		s, err := armsim.Open(armsim.Config{Dir: dir, Verify: verify, Groups: armsim.DemoGroups()})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	if err := s.Put(nsgID, json.RawMessage(nsg())); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	reader := "/subscriptions/" + armsim.DemoSubscription + "/providers/Microsoft.Authorization/roleAssignments/00000000-0000-0000-0000-0000000000f1"
	s = open()
	if err := armsim.Seed(s); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Get(reader); !ok {
		t.Error("no role assignment was seeded")
	}
	if _, ok := s.Get(demo); ok {
		t.Error("the estate was seeded over what was there")
	}
	if _, err := s.Delete(reader); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r := serve(t, open(), &clock{})
	if err := armsim.Seed(r.arm); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.arm.Get(reader); ok {
		t.Error("an assignment that was removed is back")
	}
	// Each persona that is left and the app have one role, the requester through two groups.
	got := map[string]string{}
	for _, p := range append(issuer.Personas(), issuer.Persona{Name: "app", ObjectID: issuer.AppObjectID}) {
		_, list := r.want(200, "", "GET", "/subscriptions/"+armsim.DemoSubscription+
			"/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter=assignedTo('"+p.ObjectID+"')", "")
		for _, a := range at(list, "value").([]any) {
			_, d := r.want(200, "", "GET", at(a, "properties", "roleDefinitionId").(string), "")
			got[p.Name] += at(d, "properties", "roleName").(string)
		}
	}
	want := map[string]string{"requester": "Portcullis Requester", "admin": "Owner", "approver": "Reader", "app": "Portcullis App"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("roles (-want +got):\n%s", diff)
	}
}
