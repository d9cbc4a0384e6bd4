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

variable "people" {
  description = "Who gets which role, separated by commas: ROLE=TYPE:ID or ROLE=TYPE:ID@SCOPE. ROLE is viewer, requester or administrator; TYPE is group, user or app; ID is an object id; SCOPE is the ARM id of a machine, a resource group or the subscription, which it is where none is named. Empty: nobody."
  type        = string
  default     = ""

  validation {
    condition = alltrue([for p in compact([for p in split(",", var.people) : trimspace(p)]) :
      can(regex("^(viewer|requester|administrator)=(group|user|app):[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(@/subscriptions/[0-9a-fA-F-]{36}(/[^,@\\s]+)?)?$", p))
    ])
    error_message = "PORTCULLIS_PEOPLE: each is ROLE=TYPE:ID or ROLE=TYPE:ID@SCOPE, such as requester=group:11111111-1111-1111-1111-111111111111; roles are viewer, requester and administrator, types group, user and app, and a scope is an ARM id that begins with /subscriptions/."
  }
  validation {
    condition = alltrue([for p in compact([for p in split(",", var.people) : trimspace(p)]) :
      try(lower(split("/", split("@", p)[1])[2]) == lower(var.subscription_id), !strcontains(p, "@"))
    ])
    error_message = "PORTCULLIS_PEOPLE: a scope lies in the subscription that azd is set to, which alone is managed here."
  }
}

variable "forbid_any_source" {
  description = "on: no request from everywhere. Empty or off: as the policies say."
  type        = string
  default     = ""

  validation {
    condition     = contains(["", "on", "off"], var.forbid_any_source)
    error_message = "PORTCULLIS_FORBID_ANY_SOURCE is on or off."
  }
}

variable "require_justification" {
  description = "on: every request says why. Empty or off: as the policies say."
  type        = string
  default     = ""

  validation {
    condition     = contains(["", "on", "off"], var.require_justification)
    error_message = "PORTCULLIS_REQUIRE_JUSTIFICATION is on or off."
  }
}

variable "right_lost" {
  description = "What a sweep does with an open window whose owner could not ask for it any more: report or close. Empty: report."
  type        = string
  default     = ""

  validation {
    condition     = contains(["", "report", "close"], var.right_lost)
    error_message = "PORTCULLIS_RIGHT_LOST is report or close."
  }
}

variable "widest_source_ipv4" {
  description = "The widest IPv4 range that anybody may ask for, such as /24; with widest_source_ipv6 or neither."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|/([1-9]|[12][0-9]|3[0-2]))$", var.widest_source_ipv4)) && (var.widest_source_ipv4 == "") == (var.widest_source_ipv6 == "")
    error_message = "PORTCULLIS_WIDEST_SOURCE_IPV4 is /1 to /32, and goes with PORTCULLIS_WIDEST_SOURCE_IPV6: what one family does not bound could be asked for in the other."
  }
}

variable "widest_source_ipv6" {
  description = "The widest IPv6 range that anybody may ask for, such as /64."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(|/([1-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))$", var.widest_source_ipv6))
    error_message = "PORTCULLIS_WIDEST_SOURCE_IPV6 is /1 to /128."
  }
}

variable "allowed_callers" {
  description = "Address ranges and service tags, separated by commas, that may reach the app at all. Empty: every caller with a valid token."
  type        = string
  default     = ""

  validation {
    condition = alltrue([for c in compact([for c in split(",", var.allowed_callers) : trimspace(c)]) :
      can(cidrhost(c, 0)) || can(regex("^[A-Z][A-Za-z0-9]+([.][A-Za-z0-9]+)*$", c))
    ])
    error_message = "PORTCULLIS_ALLOWED_CALLERS holds address ranges such as 203.0.113.0/24 and service tags such as ApiManagement.WestEurope, separated by commas."
  }
  validation {
    condition     = trimspace(var.allowed_callers) == "" || length(compact([for c in split(",", var.allowed_callers) : trimspace(c)])) > 0
    error_message = "PORTCULLIS_ALLOWED_CALLERS names nobody, which would let everybody in."
  }
}

variable "front_door_ids" {
  description = "The ids of your own Front Doors, separated by commas, where allowed_callers has AzureFrontDoor.Backend."
  type        = string
  default     = ""
}

variable "app_subnet_id" {
  description = "With the next three, private_network: the subnet that the app joins."
  type        = string
  default     = ""

  validation {
    condition     = length(distinct([for id in [var.app_subnet_id, var.endpoint_subnet_id, var.blob_dns_zone_id, var.table_dns_zone_id] : id == ""])) == 1
    error_message = "PORTCULLIS_APP_SUBNET, PORTCULLIS_ENDPOINT_SUBNET, PORTCULLIS_BLOB_DNS_ZONE and PORTCULLIS_TABLE_DNS_ZONE go together: with some of them alone storage would stay open to the Internet, or be out of the app's reach."
  }
}

variable "endpoint_subnet_id" {
  description = "The subnet of the private endpoints."
  type        = string
  default     = ""
}

variable "blob_dns_zone_id" {
  description = "The private DNS zone privatelink.blob of the cloud."
  type        = string
  default     = ""
}

variable "table_dns_zone_id" {
  description = "The private DNS zone privatelink.table of the cloud."
  type        = string
  default     = ""
}

variable "site_dns_zone_id" {
  description = "The private DNS zone of the app's own private endpoint. Empty: it has none."
  type        = string
  default     = ""

  validation {
    condition     = var.site_dns_zone_id == "" || var.app_subnet_id != ""
    error_message = "PORTCULLIS_SITE_DNS_ZONE goes with PORTCULLIS_APP_SUBNET."
  }
}

variable "bus_dns_zone_id" {
  description = "The private DNS zone of Service Bus, which makes it Premium. Empty: it stays Standard."
  type        = string
  default     = ""

  validation {
    condition     = var.bus_dns_zone_id == "" || var.app_subnet_id != ""
    error_message = "PORTCULLIS_BUS_DNS_ZONE goes with PORTCULLIS_APP_SUBNET."
  }
}

variable "public_network_access" {
  description = "off: the app is reached by its private endpoint alone. Empty or on: from everywhere that allowed_callers lets in."
  type        = string
  default     = ""

  validation {
    condition     = contains(["", "on", "off"], var.public_network_access) && (var.public_network_access != "off" || var.site_dns_zone_id != "")
    error_message = "PORTCULLIS_PUBLIC_NETWORK_ACCESS is on or off, and off goes with PORTCULLIS_SITE_DNS_ZONE, without which nobody could reach the app."
  }
}

data "azurerm_client_config" "current" {}

locals {
  # azd takes names of any case and length, with letters that names in Azure have not. A name that
  # begins with a digit gets a letter before it; what tells two apart is the digest that the module adds.
  folded = trim(replace(lower(var.environment_name), "/[^a-z0-9]+/", "-"), "-")
  name   = trim(substr(can(regex("^[a-z]", local.folded)) ? local.folded : "p${local.folded}", 0, 23), "-")
  group  = "rg-${var.environment_name}"

  # azd's values are texts: lists come with commas between, and somebody as ROLE=TYPE:ID@SCOPE.
  people = [for p in compact([for p in split(",", var.people) : trimspace(p)]) : {
    role  = split("=", p)[0]
    type  = split(":", split("=", p)[1])[0]
    id    = lower(split("@", split(":", p)[1])[0])
    scope = strcontains(p, "@") ? replace(split("@", p)[1], "/^/subscriptions/[^/]+/", "/subscriptions/${lower(var.subscription_id)}") : "/subscriptions/${lower(var.subscription_id)}"
  }]
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
  people = { for p in local.people : join(" ", [p.role, p.id, lower(p.scope)]) => {
    principal_id   = p.id
    principal_type = { group = "Group", user = "User", app = "ServicePrincipal" }[p.type]
    role           = p.role
    scope          = p.scope
  } }
  demands = {
    forbid_any_source     = var.forbid_any_source == "on"
    require_justification = var.require_justification == "on"
    widest_source_ipv4    = var.widest_source_ipv4
    widest_source_ipv6    = var.widest_source_ipv6
  }
  right_lost      = var.right_lost == "" ? "report" : var.right_lost
  allowed_callers = compact([for c in split(",", var.allowed_callers) : trimspace(c)])
  front_door_ids  = compact([for id in split(",", var.front_door_ids) : trimspace(id)])
  private_network = var.app_subnet_id == "" ? null : {
    app_subnet_id      = var.app_subnet_id
    endpoint_subnet_id = var.endpoint_subnet_id
    blob_dns_zone_id   = var.blob_dns_zone_id
    table_dns_zone_id  = var.table_dns_zone_id
    site_dns_zone_id   = var.site_dns_zone_id == "" ? null : var.site_dns_zone_id
    bus_dns_zone_id    = var.bus_dns_zone_id == "" ? null : var.bus_dns_zone_id
  }
  public_network_access = var.public_network_access != "off"

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
