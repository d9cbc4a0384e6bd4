package applytest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portcullis/local/deploysim"
)

// main is a root with every variable that the tests turn, in a resource group that is there.
const main = `
terraform {
  required_providers {
    azurerm = { source = "hashicorp/azurerm" }
  }
}

provider "azurerm" {
  subscription_id                = "` + home + `"
  storage_use_azuread            = true
  resource_providers_to_register = ["Microsoft.App", "Microsoft.ManagedIdentity", "Microsoft.Network", "Microsoft.OperationalInsights", "Microsoft.ServiceBus", "Microsoft.Storage", "Microsoft.Web", "microsoft.insights"]
  features {}
}

variable "managed" { type = any }
variable "people" {
  type    = any
  default = {}
}
variable "demands" {
  type    = any
  default = {}
}
variable "private_network" {
  type    = any
  default = null
}
variable "allowed_callers" {
  type    = set(string)
  default = []
}
variable "front_door_ids" {
  type    = set(string)
  default = []
}
variable "log_account_id" {
  type    = string
  default = ""
}
variable "lock_log_account" { default = false }
variable "tenant_id" { default = "` + tenant + `" }
variable "cloud" { default = "AzurePublic" }
variable "name" { default = "contoso" }

data "azurerm_resource_group" "this" {
  name = "rg"
}

module "portcullis" {
  source           = "../"
  name             = var.name
  resource_group   = data.azurerm_resource_group.this
  cloud            = var.cloud
  tenant_id        = var.tenant_id
  client_id        = "` + client + `"
  managed          = var.managed
  people           = var.people
  demands          = var.demands
  private_network  = var.private_network
  allowed_callers  = var.allowed_callers
  front_door_ids   = var.front_door_ids
  log_account_id   = var.log_account_id
  lock_log_account = var.lock_log_account
}
`

// newRoot is a rig with that root.
func newRoot(t *testing.T) *rig {
	t.Helper()
	r := newRig(t, "root", main)
	r.sim.Put(group, deploysim.Document{"location": "westeurope"})
	return r
}

func in(ids ...string) map[string]any {
	managed := map[string]any{}
	for i, id := range ids {
		managed[fmt.Sprintf("subscription-%d", i)] = map[string]any{"subscription_id": id}
	}
	return managed
}

// TestSettings changes a setting, and who may call.
func TestSettings(t *testing.T) {
	t.Parallel()
	r := newRoot(t)
	vars := map[string]any{"managed": in(home)}
	r.vars(vars)
	r.apply()
	r.unchanged("the first apply")

	vars["demands"] = map[string]any{"require_justification": true}
	vars["allowed_callers"] = []string{"203.0.113.0/24", "AzureFrontDoor.Backend"}
	vars["front_door_ids"] = []string{"99999999-9999-9999-9999-999999999999"}
	r.vars(vars)
	if got := lines(r.plan()); got != "update azurerm_resource_group_template_deployment.site\n" {
		t.Errorf("changed settings plan:\n%s", got)
	}
	r.apply()
	r.unchanged("a changed setting")
	site := r.sent("/sites/" + r.stem())
	if got := r.settings(site)["PORTCULLIS_REQUIRE_JUSTIFICATION"]; got != "on" {
		t.Errorf("the changed setting was sent as %q", got)
	}
	want := []any{
		map[string]any{"name": "caller-100", "action": "Allow", "priority": 100.0, "ipAddress": "203.0.113.0/24"},
		map[string]any{"name": "caller-101", "action": "Allow", "priority": 101.0, "ipAddress": "AzureFrontDoor.Backend", "tag": "ServiceTag",
			"headers": map[string]any{"x-azure-fdid": []any{"99999999-9999-9999-9999-999999999999"}}},
	}
	if diff := cmp.Diff(want, field(site, "properties.siteConfig.ipSecurityRestrictions")); diff != "" || field(site, "properties.siteConfig.ipSecurityRestrictionsDefaultAction") != "Deny" {
		t.Errorf("callers as wanted (-) and as sent (+):\n%s", diff)
	}
	r.noStorageSetting()
}

// TestPrivateNetwork turns the private network on and off, and looks after every single change whether the
// app still reaches its tables: from the Internet, or from the network that it is in through endpoints that have names.
func TestPrivateNetwork(t *testing.T) {
	t.Parallel()
	r := newRoot(t)
	vars := map[string]any{"managed": in(home)}
	r.vars(vars)
	r.apply()
	stem, account := r.stem(), r.id("storageAccounts")
	var cut []string
	changes := 0
	r.sim.Watch(func(show func(string) deploysim.Document) {
		changes++
		a, site := show(account), show(group+"/providers/Microsoft.Web/sites/"+stem)
		open := field(a, "properties.networkAcls.defaultAction") == "Allow" && field(a, "properties.publicNetworkAccess") == "Enabled"
		inside := field(site, "properties.virtualNetworkSubnetId") == subnet+"app"
		for _, service := range []string{"blob", "table"} {
			endpoint := group + "/providers/Microsoft.Network/privateEndpoints/" + stem + "-" + service
			inside = inside && show(endpoint) != nil && show(endpoint+"/privateDnsZoneGroups/"+service) != nil
		}
		if !open && !inside {
			cut = append(cut, fmt.Sprintf("change %d: default action %v, app in %v", changes, field(a, "properties.networkAcls.defaultAction"), field(site, "properties.virtualNetworkSubnetId")))
		}
	})

	for _, zone := range []string{"blob.core.windows.net", "table.core.windows.net", "azurewebsites.net"} {
		r.sim.Put(zones+zone, deploysim.Document{"location": "global"})
	}
	vars["private_network"] = map[string]any{
		"app_subnet_id": subnet + "app", "endpoint_subnet_id": subnet + "endpoints",
		"blob_dns_zone_id": zones + "blob.core.windows.net", "table_dns_zone_id": zones + "table.core.windows.net", "site_dns_zone_id": zones + "azurewebsites.net",
	}
	r.vars(vars)
	r.apply()
	r.unchanged("the private network was turned on")
	if got := field(r.sim.Show(account), "properties.networkAcls.defaultAction"); got != "Deny" {
		t.Errorf("storage can still be reached from the Internet: %v", got)
	}
	if r.sim.Show(group+"/providers/Microsoft.Network/privateEndpoints/"+stem+"-site") == nil {
		t.Error("the site has no private endpoint")
	}

	delete(vars, "private_network")
	r.vars(vars)
	r.apply()
	r.unchanged("the private network was turned off")
	if got := field(r.sim.Show(account), "properties.networkAcls.defaultAction"); got != "Allow" {
		t.Errorf("storage stays shut: %v", got)
	}
	if len(cut) > 0 || changes < 8 {
		t.Errorf("after %d changes, the app was cut off from its tables:\n%s", changes, strings.Join(cut, "\n"))
	}
	r.noStorageSetting()
}

const (
	subnet = group + "/providers/Microsoft.Network/virtualNetworks/hub/subnets/"
	zones  = group + "/providers/Microsoft.Network/privateDnsZones/privatelink."
)

// stem is what the names begin with that carry a digest.
func (r *rig) stem() string {
	r.t.Helper()
	for _, id := range r.sim.IDs() {
		if i := strings.Index(id, "/Microsoft.Web/sites/"); i >= 0 && strings.Count(id[i:], "/") == 3 {
			return id[strings.LastIndex(id, "/")+1:]
		}
	}
	r.t.Fatal("there is no site")
	return ""
}

// noStorageSetting holds that no site was ever sent with AzureWebJobsStorage, in whatever case and however it got there.
func (r *rig) noStorageSetting() {
	r.t.Helper()
	sites := 0
	for _, c := range r.sim.Calls() {
		if !strings.Contains(strings.ToLower(c.ID), "/microsoft.web/sites/") || c.Body == nil {
			continue
		}
		if field(c.Body, "properties.siteConfig.appSettings") == nil {
			if field(c.Body, "properties.siteConfig") != nil {
				r.t.Errorf("%s %s was sent with a configuration and no settings: they would be gone", c.Method, c.ID)
			}
			continue
		}
		sites++
		for name := range r.settings(c.Body) {
			if strings.EqualFold(name, "AzureWebJobsStorage") {
				r.t.Errorf("%s %s was sent with %s", c.Method, c.ID, name)
			}
		}
	}
	if sites == 0 {
		r.t.Error("no site was sent at all")
	}
}
