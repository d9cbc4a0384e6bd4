package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// namespaces are the resource providers of the module's resources, by what their Terraform types begin with.
var namespaces = map[string]string{
	"azurerm_application_insights": "microsoft.insights", "azurerm_monitor": "microsoft.insights", "azurerm_log_analytics": "Microsoft.OperationalInsights",
	"azurerm_sentinel":         "", // which whoever turned Sentinel on in the workspace has registered, in its subscription
	"azurerm_private_endpoint": "Microsoft.Network", "azurerm_service_plan": "Microsoft.Web", "azurerm_servicebus": "Microsoft.ServiceBus", "azurerm_storage": "Microsoft.Storage",
	"azurerm_user_assigned_identity": "Microsoft.ManagedIdentity", "azurerm_resource_group": "Microsoft.Resources", "azurerm_role": "", "azurerm_management_lock": "", // always there
}

// TestRootsRegister holds that every root registers the resource providers of everything that the module makes, and
// Microsoft.App, which Flex Consumption runs on; and that nobody can take the log away by a plan.
func TestRootsRegister(t *testing.T) {
	want := []string{"Microsoft.App"}
	files, err := filepath.Glob("*.tf")
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^resource "(\w+)"`).FindAllStringSubmatch(string(text), -1) {
			made++
			known := false
			for prefix, namespace := range namespaces {
				if strings.HasPrefix(m[1], prefix) {
					known = true
					if namespace != "" {
						want = append(want, namespace)
					}
				}
			}
			if !known {
				t.Errorf("%s: nobody says which resource provider %s needs", file, m[1])
			}
		}
		if file == "storage.tf" && !strings.Contains(string(text), "prevent_destroy = true") {
			t.Error("a plan may destroy the account with the activity log")
		}
	}
	if made < 20 {
		t.Fatalf("found %d resources", made)
	}
	slices.Sort(want)
	want = slices.Compact(want)
	roots, err := filepath.Glob("examples/*/main.tf")
	if err != nil || len(roots) == 0 {
		t.Fatal(roots, err)
	}
	for _, root := range append(roots, "azd/main.tf") {
		text, err := os.ReadFile(root)
		if err != nil {
			t.Fatal(err)
		}
		list := regexp.MustCompile(`(?s)resource_providers_to_register = \[(.*?)\]`).FindStringSubmatch(string(text))
		if list == nil {
			t.Errorf("%s registers nothing", root)
			continue
		}
		var got []string
		for _, m := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(list[1], -1) {
			got = append(got, m[1])
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: needed (-) and registered (+):\n%s", root, diff)
		}
	}
}

// TestInputsAreTold holds that README.md names every input of the module, which of them azd's root passes on and by which
// variable of azd's environment, and that it names none that is not there.
func TestInputsAreTold(t *testing.T) {
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	readme := read("README.md")
	_, azd, found := strings.Cut(readme, "`azd up` supports only a few inputs")
	if !found {
		t.Fatal("README.md does not say which inputs azd up supports")
	}
	azd, _, _ = strings.Cut(azd, "\n\n")
	passed, _, _ := strings.Cut(read("azd/main.tf")[strings.Index(read("azd/main.tf"), "module \"portcullis\""):], "\n}")
	inputs := 0
	for _, m := range regexp.MustCompile(`(?m)^variable "(\w+)"`).FindAllStringSubmatch(read("variables.tf"), -1) {
		inputs++
		if !strings.Contains(readme, "`"+m[1]+"`") {
			t.Errorf("README.md does not name the input %s", m[1])
		}
		told, _, _ := strings.Cut(azd, "**Every other")
		if by := regexp.MustCompile(`(?m)^  ` + m[1] + ` +=`).MatchString(passed); by != strings.Contains(told, "`"+m[1]+"`") {
			t.Errorf("azd's root passes %s on: %t, and README.md says otherwise", m[1], by)
		}
	}
	if inputs < 25 {
		t.Fatalf("found %d inputs", inputs)
	}
	for _, m := range regexp.MustCompile(`\$\{(PORTCULLIS_\w+)`).FindAllStringSubmatch(read("azd/main.tfvars.json"), -1) {
		if !strings.Contains(azd, "`"+m[1]+"`") {
			t.Errorf("README.md does not say that azd takes %s", m[1])
		}
	}
}
