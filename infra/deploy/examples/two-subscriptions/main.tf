# Two subscriptions, one of them with two resource groups only; storage behind private
# endpoints; a team that may ask for access and one that only looks.
terraform {
  required_version = ">= 1.9"

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = ">= 5.2, < 6.0"
    }
  }
}

provider "azurerm" {
  subscription_id     = "11111111-1111-1111-1111-111111111111"
  storage_use_azuread = true

  # The provider registers none by itself. Microsoft.App is what Flex Consumption runs on.
  resource_provider_registrations = "none"
  resource_providers_to_register = [
    "Microsoft.App", "Microsoft.ManagedIdentity", "Microsoft.Network", "Microsoft.OperationalInsights", "Microsoft.Resources",
    "Microsoft.ServiceBus", "Microsoft.Storage", "Microsoft.Web", "microsoft.insights",
  ]

  features {}
}

data "azurerm_resource_group" "operations" {
  name = "operations"
}

module "portcullis" {
  source = "../../"

  name           = "contoso-portcullis"
  resource_group = data.azurerm_resource_group.operations
  tenant_id      = "22222222-2222-2222-2222-222222222222"
  client_id      = "33333333-3333-3333-3333-333333333333"

  managed = {
    production = { subscription_id = "11111111-1111-1111-1111-111111111111" }
    laboratory = { subscription_id = "44444444-4444-4444-4444-444444444444", resource_groups = ["bench", "field"] }
  }

  people = {
    on-call  = { principal_id = "55555555-5555-5555-5555-555555555555", role = "requester", scope = "/subscriptions/11111111-1111-1111-1111-111111111111" }
    auditors = { principal_id = "66666666-6666-6666-6666-666666666666", role = "viewer", scope = "/subscriptions/11111111-1111-1111-1111-111111111111" }
    owners   = { principal_id = "77777777-7777-7777-7777-777777777777", role = "administrator", scope = "/subscriptions/44444444-4444-4444-4444-444444444444/resourceGroups/bench" }
  }

  private_network = {
    app_subnet_id      = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/network/providers/Microsoft.Network/virtualNetworks/hub/subnets/portcullis"
    endpoint_subnet_id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/network/providers/Microsoft.Network/virtualNetworks/hub/subnets/endpoints"
    blob_dns_zone_id   = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/network/providers/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net"
    table_dns_zone_id  = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/network/providers/Microsoft.Network/privateDnsZones/privatelink.table.core.windows.net"
  }

  allowed_callers = ["203.0.113.0/24"]
  always_ready    = { http = 1, "function:revoke" = 1 }
  alert_emails    = { security = "security@contoso.example" }
}

# What the steps of docs/install.md ask for.
output "url" {
  value = module.portcullis.url
}

output "function_app_name" {
  value = module.portcullis.function_app_name
}

output "resource_group" {
  value = data.azurerm_resource_group.operations.name
}

output "registration" {
  value = module.portcullis.registration
}

output "log_account_id" {
  value = module.portcullis.log_account_id
}
