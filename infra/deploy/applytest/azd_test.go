package applytest

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/local/deploysim"
)

// azdName is an environment name with everything that azd takes and Azure's names do not.
const azdName = "Contoso_Portcullis.Production-West-Europe"

// azdVars fills in main.tfvars.json as azd does, given what azd sets and nothing besides: NAME in braces, or NAME=default.
func azdVars(t *testing.T) []byte {
	t.Helper()
	set := map[string]string{"AZURE_ENV_NAME": azdName, "AZURE_LOCATION": "westeurope", "AZURE_SUBSCRIPTION_ID": home, "PORTCULLIS_CLIENT_ID": client}
	text, err := os.ReadFile("../azd/main.tfvars.json")
	if err != nil {
		t.Fatal(err)
	}
	variable := regexp.MustCompile(`\$\{(\w+)(=([^}]*))?\}`)
	return variable.ReplaceAllFunc(text, func(m []byte) []byte {
		parts := variable.FindSubmatch(m)
		value, given := set[string(parts[1])]
		if !given && len(parts[2]) == 0 {
			t.Errorf("main.tfvars.json needs %s, which azd does not set", parts[1])
		}
		if !given {
			value = string(parts[3])
		}
		return []byte(value)
	})
}

// TestAzdUpAndDown does what `azd up` does with its root in a subscription where nothing is registered, and then
// what docs/operations.md says of uninstalling.
func TestAzdUpAndDown(t *testing.T) {
	t.Parallel()
	r := newRig(t, "azd", "")
	r.write("terraform.tfvars.json", azdVars(t))
	r.apply()
	r.bodies()
	r.unchanged("the first apply")
	r.keepSite()

	// A plan that takes the log away is refused as a whole, and names it.
	before := len(r.sim.Calls())
	if got := r.fails("destroy", "-auto-approve"); !strings.Contains(got, "azurerm_storage_account.this[0] has lifecycle.prevent_destroy set") {
		t.Errorf("destroy does not say what it keeps: %s", got)
	}
	if sent := r.sim.Calls()[before:]; len(sent) > 0 {
		t.Errorf("a refused destroy sent %v", sent)
	}

	// The account and its group are let go of; everything else goes, but for a role that somebody still holds.
	account, viewer := r.id("storageAccounts"), r.role("Viewer", home)
	outside := "/subscriptions/" + home + "/providers/Microsoft.Authorization/roleAssignments/66666666-6666-6666-6666-666666666666"
	r.sim.Put(outside, deploysim.Document{"properties": deploysim.Document{"principalId": "77777777-7777-7777-7777-777777777777", "roleDefinitionId": viewer}})
	r.must("state", "rm", "module.portcullis.azurerm_storage_account.this[0]", "azurerm_resource_group.this")
	if got := r.fails("destroy", "-auto-approve", "-parallelism=30"); !strings.Contains(got, "RoleDefinitionHasAssignments") {
		t.Errorf("destroy does not say who still holds a role: %s", got)
	}
	want := []string{outside, viewer, account, account[:strings.Index(account, "/providers/")], account + "/blobServices/default"}
	slices.Sort(want)
	if diff := cmp.Diff(want, r.sim.IDs()); diff != "" {
		t.Errorf("what stays, as the guide says (-) and as it is (+):\n%s", diff)
	}
}

// bodies holds what was sent for the first installation.
func (r *rig) bodies() {
	t := r.t
	t.Helper()
	stem := r.stem()
	if want := regexp.MustCompile(`^contoso-portcullis-prod-[0-9a-f]{8}$`); !want.MatchString(stem) {
		t.Errorf("the environment %s is folded to %s", azdName, stem)
	}
	r.noStorageSetting()
	site := r.sent("/sites/" + stem)
	settings := r.settings(site)
	identity := field(r.sim.Show(r.id("userAssignedIdentities")), "properties.clientId").(string)
	account := r.id("storageAccounts")
	name := account[strings.LastIndex(account, "/")+1:]
	for setting, want := range map[string]string{
		"AzureWebJobsStorage__accountName": name, "AzureWebJobsStorage__credential": "managedidentity", "AzureWebJobsStorage__clientId": identity,
		"AzureWebJobsStorage__blobServiceUri": "https://" + name + ".blob.core.windows.net", "PORTCULLIS_TENANT": tenant, "PORTCULLIS_SUBSCRIPTIONS": home,
		"ServiceBus__credential": "managedidentity", "ASPNETCORE_FORWARDEDHEADERS_ENABLED": "true", "AzureWebJobsDisableHomepage": "true",
	} {
		if settings[setting] != want {
			t.Errorf("the setting %s was sent as %q, want %q", setting, settings[setting], want)
		}
	}
	for setting, value := range settings {
		if regexp.MustCompile(`(?i)AccountKey|SharedAccess|password|sig=`).MatchString(value) {
			t.Errorf("the setting %s holds a secret", setting)
		}
	}
	for _, is := range []struct {
		of   deploysim.Document
		path string
		want any
	}{
		{site, "identity.type", "UserAssigned"},
		{site, "properties.httpsOnly", true},
		{site, "properties.functionAppConfig.deployment.storage.authentication.type", "UserAssignedIdentity"},
		{site, "properties.functionAppConfig.runtime.name", "custom"},
		{site, "properties.siteConfig.ftpsState", "Disabled"},
		{r.sent("/sites/" + stem + "/basicPublishingCredentialsPolicies/scm"), "properties.allow", false},
		{r.sent("/sites/" + stem + "/basicPublishingCredentialsPolicies/ftp"), "properties.allow", false},
		{r.sent("/sites/" + stem + "/config/authsettingsV2"), "properties.identityProviders.azureActiveDirectory.registration.openIdIssuer", "https://login.microsoftonline.com/" + tenant + "/v2.0"},
		{r.sent("/sites/" + stem + "/config/authsettingsV2"), "properties.login.tokenStore.enabled", true},
		{r.sent("/storageAccounts/" + name), "properties.allowSharedKeyAccess", false},
		{r.sent("/storageAccounts/" + name), "properties.allowBlobPublicAccess", false},
		{r.sent("/storageAccounts/" + name), "properties.minimumTlsVersion", "TLS1_2"},
		{r.sent("/namespaces/" + stem), "properties.disableLocalAuth", true},
		{r.sent("/namespaces/" + stem + "/queues/portcullis-revoke"), "properties.requiresDuplicateDetection", true},
		{r.sent("/components/" + stem), "properties.DisableLocalAuth", true},
		{r.sent("/locks/portcullis-log"), "properties.level", "CanNotDelete"},
	} {
		if got := field(is.of, is.path); got != is.want {
			t.Errorf("%s was sent as %v, want %v", is.path, got, is.want)
		}
	}
	r.granted(account, stem)
	r.registered()
}

// granted holds who was given what, at which scope, and which resource logs go to the workspace.
func (r *rig) granted(account, stem string) {
	t := r.t
	t.Helper()
	queue := account[:strings.Index(account, "/providers/")] + "/providers/Microsoft.ServiceBus/namespaces/" + stem + "/queues/portcullis-revoke"
	want := map[string][]string{
		"/subscriptions/" + home: {"Portcullis App Reader", "Portcullis App Writer"},
		account:                  {"Storage Blob Data Owner", "Storage Table Data Contributor"},
		queue:                    {"Azure Service Bus Data Receiver", "Azure Service Bus Data Sender", "Portcullis App Queue Reader"},
		strings.Replace(queue, "Microsoft.ServiceBus/namespaces/"+stem+"/queues/portcullis-revoke", "Microsoft.Insights/components/"+stem, 1): {"Monitoring Metrics Publisher"},
	}
	got := map[string][]string{}
	for _, id := range r.assignments() {
		a := r.sim.Show(id)
		scope := field(a, "properties.scope").(string)
		title, _, _ := strings.Cut(r.sim.Role(field(a, "properties.roleDefinitionId").(string)), " (")
		got[scope] = append(got[scope], title)
		slices.Sort(got[scope])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("roles as wanted (-) and as given (+):\n%s", diff)
	}
	logs := map[string]int{}
	for _, id := range r.sim.IDs() {
		if scope, _, found := strings.Cut(id, "/providers/Microsoft.Insights/diagnosticSettings/"); found {
			list, _ := field(r.sim.Show(id), "properties.logs").([]any)
			logs[scope[strings.Index(scope, "/providers/")+len("/providers/"):]] = len(list)
		}
	}
	name := account[strings.LastIndex(account, "/")+1:]
	if diff := cmp.Diff(map[string]int{
		"Microsoft.Storage/storageAccounts/" + name + "/tableServices/default": 2, "Microsoft.Storage/storageAccounts/" + name + "/blobServices/default": 2,
		"Microsoft.ServiceBus/namespaces/" + stem: 1, "Microsoft.Web/sites/" + stem: 1,
	}, logs); diff != "" {
		t.Errorf("resource logs as wanted (-) and as sent (+):\n%s", diff)
	}
}

// registered holds that the root registered what it needs. That it does not need more, the stand-in
// holds: it refuses what is not registered.
func (r *rig) registered() {
	r.t.Helper()
	var got []string
	for _, c := range r.sim.Calls() {
		if strings.HasSuffix(c.ID, "/register") {
			got = append(got, strings.Split(c.ID, "/")[4])
		}
	}
	slices.Sort(got)
	want := []string{"Microsoft.App", "Microsoft.ManagedIdentity", "Microsoft.Network", "Microsoft.OperationalInsights", "Microsoft.ServiceBus", "Microsoft.Storage", "Microsoft.Web", "microsoft.insights"}
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("resource providers as wanted (-) and as registered (+):\n%s", diff)
	}
}

// keepSite writes the site as a template with its parameters filled in.
func (r *rig) keepSite() {
	r.t.Helper()
	if *sentSite == "" {
		return
	}
	site := maps.Clone(r.sent("/sites/" + r.stem()))
	site["type"], site["apiVersion"], site["name"] = "Microsoft.Web/sites", "2024-04-01", r.stem()
	template, err := json.Marshal(map[string]any{
		"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "contentVersion": "1.0.0.0", "resources": []any{site},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.file(filepath.Dir(*sentSite), filepath.Base(*sentSite), template)
}

// id gives the one resource of a type that is no child of another.
func (r *rig) id(kind string) string {
	r.t.Helper()
	for _, id := range r.sim.IDs() {
		if strings.Contains(id, "/"+kind+"/") && strings.Count(id, "/") == 8 {
			return id
		}
	}
	r.t.Fatalf("there is no %s", kind)
	return ""
}
