# The root that `azd up` applies: one resource group with everything in it, for the
# subscription that azd is set to. For anything else write a root of your own: examples/.
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
  subscription_id     = var.subscription_id
  environment         = { AzurePublic = "public", AzureUSGovernment = "usgovernment", AzureChina = "china" }[var.cloud]
  storage_use_azuread = true # the account takes no keys

  # The provider registers none by itself. Microsoft.App is what Flex Consumption runs on.
  resource_provider_registrations = "none"
  resource_providers_to_register = [
    "Microsoft.App", "Microsoft.ManagedIdentity", "Microsoft.Network", "Microsoft.OperationalInsights", "Microsoft.Resources",
    "Microsoft.ServiceBus", "Microsoft.Storage", "Microsoft.Web", "microsoft.insights",
  ]

  features {}
}

variable "environment_name" {
  description = "Name of the azd environment; goes into every name, in lower case and shortened where it must be."
  type        = string

  validation {
    condition     = can(regex("[a-zA-Z0-9]", var.environment_name)) && can(regex("^[-a-zA-Z0-9_.()]{0,85}[-a-zA-Z0-9_()]$", var.environment_name))
    error_message = "environment_name has 1 to 86 letters, digits, hyphens, underscores, parentheses and periods, one letter or digit at least and no period last: the resource group is named after it."
  }
}

variable "location" {
  description = "Region."
  type        = string
}

variable "subscription_id" {
  description = "Where everything is created, and the subscription whose security groups are managed."
  type        = string
}

variable "tenant_id" {
  description = "The Entra tenant whose people may call. Empty: the one that azd or the Azure CLI is signed in to."
  type        = string
  default     = ""
}

variable "client_id" {
  description = "Application id of the app registration (../README.md, step 1)."
  type        = string
}

variable "cloud" {
  description = "AzurePublic, AzureUSGovernment or AzureChina."
  type        = string
  default     = "AzurePublic"
}

variable "alert_email" {
  description = "Whom the alerts reach. Empty: nobody."
  type        = string
  default     = ""
}

variable "required_scope" {
  description = "Scopes and app roles, separated by commas, one of which an access token must hold. Empty: none."
  type        = string
  default     = ""
}

data "azurerm_client_config" "current" {}

locals {
  # azd takes names of any case and length, with letters that names in Azure have not. A name that
  # begins with a digit gets a letter before it; what tells two apart is the digest that the module adds.
  folded = trim(replace(lower(var.environment_name), "/[^a-z0-9]+/", "-"), "-")
  name   = trim(substr(can(regex("^[a-z]", local.folded)) ? local.folded : "p${local.folded}", 0, 23), "-")
  group  = "rg-${var.environment_name}"
}

resource "azurerm_resource_group" "this" {
  name     = local.group
  location = var.location
  tags     = { "azd-env-name" = var.environment_name }
}

module "portcullis" {
  source = "../"

  name = local.name
  resource_group = {
    # Spelled out, so that every name is known before anything is made.
    id       = "/subscriptions/${lower(var.subscription_id)}/resourceGroups/${local.group}"
    name     = azurerm_resource_group.this.name
    location = azurerm_resource_group.this.location
  }
  cloud           = var.cloud
  managed         = { here = { subscription_id = lower(var.subscription_id) } }
  tenant_id       = var.tenant_id == "" ? data.azurerm_client_config.current.tenant_id : lower(var.tenant_id)
  client_id       = lower(var.client_id)
  required_scopes = var.required_scope == "" ? [] : [for s in split(",", var.required_scope) : trimspace(s)]
  alert_emails    = var.alert_email == "" ? {} : { azd = var.alert_email }
  tags            = { "azd-env-name" = var.environment_name }
}

# azd keeps these in the environment; publish reads them.
output "PORTCULLIS_URL" {
  value = module.portcullis.url
}

output "PORTCULLIS_FUNCTION_APP" {
  value = module.portcullis.function_app_name
}

output "PORTCULLIS_RESOURCE_GROUP" {
  value = azurerm_resource_group.this.name
}

output "PORTCULLIS_REDIRECT_URI" {
  value = module.portcullis.redirect_uri
}

output "PORTCULLIS_IDENTITY_PRINCIPAL_ID" {
  value = module.portcullis.identity.principal_id
}
