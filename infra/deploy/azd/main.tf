# The root that `azd up` applies: one resource group with everything in it, for the
# subscription that azd is set to. For anything else write a root of your own: examples/.
terraform {
  required_version = ">= 1.9"

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = ">= 4.40, < 6.0"
    }
  }
}

provider "azurerm" {
  subscription_id     = var.subscription_id
  environment         = { AzurePublic = "public", AzureUSGovernment = "usgovernment", AzureChina = "china" }[var.cloud]
  storage_use_azuread = true # the account takes no keys

  features {}
}

variable "environment_name" {
  description = "Name of the azd environment; goes into every name."
  type        = string
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
  description = "The Entra tenant whose people may call."
  type        = string
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

resource "azurerm_resource_group" "this" {
  name     = "rg-${var.environment_name}"
  location = var.location
  tags     = { "azd-env-name" = var.environment_name }
}

module "portcullis" {
  source = "../"

  name = var.environment_name
  resource_group = {
    id       = azurerm_resource_group.this.id
    name     = azurerm_resource_group.this.name
    location = azurerm_resource_group.this.location
  }
  cloud        = var.cloud
  managed      = { here = { subscription_id = lower(var.subscription_id) } }
  tenant_id    = lower(var.tenant_id)
  client_id    = lower(var.client_id)
  alert_emails = var.alert_email == "" ? {} : { azd = var.alert_email }
  tags         = { "azd-env-name" = var.environment_name }
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
