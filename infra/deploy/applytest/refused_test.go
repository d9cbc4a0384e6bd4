package applytest

import (
	"strings"
	"testing"

	"portcullis/local/deploysim"
)

// TestRefused holds that what is wrong is found before anything is made, and called by the variable's name, where
// Azure has to be asked for it. What needs no Azure is in tests/refusals.tftest.hcl.
func TestRefused(t *testing.T) {
	t.Parallel()
	r := newRoot(t)
	for _, test := range []struct {
		name string
		vars map[string]any
		want string
	}{
		{"wrong tenant", map[string]any{"managed": in(home), "tenant_id": "44444444-4444-4444-4444-444444444444"}, "tenant_id is 44444444-4444-4444-4444-444444444444, and the provider is signed in to the tenant " + tenant},
		{"region of another cloud", map[string]any{"managed": in(home), "cloud": "AzureChina"}, "cloud is AzureChina, and resource_group.location westeurope is a region of another one"},
		{"subscription that is not there", map[string]any{"managed": in("99999999-9999-9999-9999-999999999999")}, "data.azurerm_subscription.managed[\"99999999-9999-9999-9999-999999999999\"]"},
		{"group that is not there", map[string]any{"managed": map[string]any{"here": map[string]any{"subscription_id": home, "resource_groups": []string{"nobodys"}}}}, "data.azurerm_resource_group.managed_groups[\"nobodys\"]"},
		{"name too long", map[string]any{"managed": in(home), "name": strings.Repeat("a", 24)}, "name has 1 to 23 lower-case letters"},
	} {
		r.vars(test.vars)
		if got := r.fails("plan"); !strings.Contains(got, test.want) {
			t.Errorf("%s: the plan does not say %q:\n%s", test.name, test.want, got)
		}
	}
	for _, c := range r.sim.Calls() {
		if c.Method != "POST" { // resource providers are registered first of all
			t.Errorf("%s %s was sent", c.Method, c.ID)
		}
	}
}

// TestShortNameAndGivenAccount installs under a name of one letter, with tables in an account that was there before.
func TestShortNameAndGivenAccount(t *testing.T) {
	t.Parallel()
	r := newRoot(t)
	kept := group + "/providers/Microsoft.Storage/storageAccounts/keptlog"
	r.sim.Register(home, "Microsoft.Storage")
	r.sim.Put(kept, deploysim.Document{"location": "westeurope"})
	r.vars(map[string]any{"managed": in(home), "name": "p", "log_account_id": kept})
	r.apply()
	r.unchanged("the first apply")
	for _, c := range r.sim.Calls() {
		if strings.EqualFold(c.ID, kept) {
			t.Errorf("%s was sent to an account that is somebody else's to set up", c.Method)
		}
	}
	if got := r.settings(r.sent("/sites/" + r.stem()))["PORTCULLIS_TABLE_ENDPOINT"]; got != "https://keptlog.table.core.windows.net" {
		t.Errorf("the app is told of tables at %s", got)
	}
	r.noStorageSetting()
}
