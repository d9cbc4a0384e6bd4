package applytest

import (
	"slices"
	"strings"
	"testing"

	"portcullis/local/deploysim"
)

// TestSubscriptions adds a subscription whose id sorts before the first, and removes it again.
// Nothing of the first may be touched, nor what somebody assigned who is not Terraform.
func TestSubscriptions(t *testing.T) {
	t.Parallel()
	r := newRoot(t)
	vars := map[string]any{"managed": in(home), "people": map[string]any{
		"on-call": map[string]any{"principal_id": "55555555-5555-5555-5555-555555555555", "role": "requester", "scope": "/subscriptions/" + home},
	}}
	r.vars(vars)
	r.apply()
	r.unchanged("the first apply")
	outside := "/subscriptions/" + home + "/providers/Microsoft.Authorization/roleAssignments/66666666-6666-6666-6666-666666666666"
	r.sim.Put(outside, deploysim.Document{"properties": deploysim.Document{"principalId": "77777777-7777-7777-7777-777777777777", "roleDefinitionId": r.role("Viewer", home)}})
	held := r.assignments()

	added := map[string]string{}
	for _, what := range []string{"role_assignment.app_read", "role_assignment.app_write", "role_definition.app_read", "role_definition.app_write"} {
		added["azurerm_"+what+"[\""+first+"\"]"] = "create"
	}
	for _, role := range []string{"administrator", "requester", "viewer"} {
		added["azurerm_role_definition.people[\""+first+"/"+role+"\"]"] = "create"
	}
	added["azurerm_resource_group_template_deployment.site"] = "update" // PORTCULLIS_SUBSCRIPTIONS
	vars["managed"] = in(first, home)
	r.vars(vars)
	if got := lines(r.plan()); got != lines(added) {
		t.Errorf("to add a subscription plans\n%s\nwant\n%s", got, lines(added))
	}
	before := len(r.sim.Calls())
	r.apply()
	r.unchanged("a subscription was added")
	for _, c := range r.sim.Calls()[before:] {
		if c.Method == "DELETE" {
			t.Errorf("to add a subscription sent %s %s", c.Method, c.ID)
		}
	}
	for _, id := range held {
		if !slices.Contains(r.assignments(), id) {
			t.Errorf("to add a subscription took away %s", id)
		}
	}
	if got := r.settings(r.sent("/sites/" + r.stem()))["PORTCULLIS_SUBSCRIPTIONS"]; got != first+","+home {
		t.Errorf("the app is told of %q", got)
	}

	vars["managed"] = in(home)
	r.vars(vars)
	for address, action := range added {
		if action == "create" {
			added[address] = "delete"
		}
	}
	if got := lines(r.plan()); got != lines(added) {
		t.Errorf("to remove a subscription plans\n%s\nwant\n%s", got, lines(added))
	}
	r.apply()
	r.unchanged("a subscription was removed")
	if got := r.assignments(); !slices.Equal(got, held) {
		t.Errorf("assignments were\n%s\nand are\n%s", strings.Join(held, "\n"), strings.Join(got, "\n"))
	}
	for _, id := range r.sim.IDs() {
		if strings.Contains(id, first) {
			t.Errorf("%s stays", id)
		}
	}
	r.noStorageSetting()
}

// assignments gives the ids of all role assignments.
func (r *rig) assignments() []string {
	return slices.DeleteFunc(r.sim.IDs(), func(id string) bool { return !strings.Contains(id, "/roleAssignments/") })
}

// role gives the id of the role definition of a subscription whose name begins so.
func (r *rig) role(title, subscription string) string {
	r.t.Helper()
	for _, id := range r.sim.IDs() {
		if d := r.sim.Show(id); strings.Contains(id, "/roleDefinitions/") && strings.HasPrefix(field(d, "properties.roleName").(string), "Portcullis "+title) && strings.Contains(id, subscription) {
			return id
		}
	}
	r.t.Fatalf("there is no role %s", title)
	return ""
}
