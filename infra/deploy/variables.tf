variable "name" {
  description = "Name of the function app, and stem of the other names. The app answers at https://NAME.azurewebsites.net/api (the clouds have suffixes of their own)."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "name has 3 to 24 lower-case letters, digits and hyphens, a letter first and no hyphen last."
  }
}

variable "storage_account_name" {
  description = "Name of the storage account, unique in the world. Empty: made from name and a digest of the resource group's id."
  type        = string
  default     = ""

  validation {
    condition     = var.storage_account_name == "" || can(regex("^[a-z0-9]{3,24}$", var.storage_account_name))
    error_message = "storage_account_name has 3 to 24 lower-case letters and digits."
  }
}

variable "resource_group" {
  description = "The resource group, which exists, to create everything in."
  type = object({
    id       = string
    name     = string
    location = string
  })

  validation {
    condition     = can(regex("^/subscriptions/[0-9a-f-]{36}/resourceGroups/[^/]+$", var.resource_group.id))
    error_message = "resource_group.id is the ARM id of a resource group: /subscriptions/GUID/resourceGroups/NAME, the GUID in lower case."
  }
}

variable "cloud" {
  description = "Which Azure: AzurePublic, AzureUSGovernment or AzureChina (operated by 21Vianet). The provider's environment must be the same."
  type        = string
  default     = "AzurePublic"

  validation {
    condition     = contains(["AzurePublic", "AzureUSGovernment", "AzureChina"], var.cloud)
    error_message = "cloud is AzurePublic, AzureUSGovernment or AzureChina."
  }
}

variable "managed" {
  description = "Where Portcullis may change network security groups. It reads the whole of each subscription, since virtual machines are found by listing; it writes in the resource groups named, or everywhere in the subscription where none is. Azure Firewalls with classic rules it may change in firewall_groups alone: the resource groups that hold them, their public addresses and their virtual networks."
  type = map(object({
    subscription_id = string
    resource_groups = optional(set(string), [])
    firewall_groups = optional(set(string), [])
  }))

  validation {
    condition     = length(var.managed) > 0
    error_message = "managed names at least one subscription."
  }
  validation {
    condition     = alltrue([for m in values(var.managed) : can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", m.subscription_id))])
    error_message = "managed: each subscription_id is a GUID in lower case."
  }
  validation {
    condition     = length(distinct([for m in values(var.managed) : m.subscription_id])) == length(var.managed)
    error_message = "managed: a subscription stands there twice; name its resource groups in one entry."
  }
}

variable "tenant_id" {
  description = "The Entra tenant whose people and apps may call."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.tenant_id))
    error_message = "tenant_id is a GUID in lower case."
  }
}

variable "client_id" {
  description = "Application (client) id of the Entra app registration that stands for this app. README.md has the two commands that make it, without a secret."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.client_id))
    error_message = "client_id is a GUID in lower case."
  }
}

variable "people" {
  description = "Who gets which role where: role is viewer, requester or administrator; scope is the ARM id of a virtual machine, a resource group or a subscription of managed."
  type = map(object({
    principal_id   = string
    principal_type = optional(string, "Group")
    role           = string
    scope          = string
  }))
  default = {}

  validation {
    condition     = alltrue([for p in values(var.people) : contains(["viewer", "requester", "administrator"], p.role)])
    error_message = "people: role is viewer, requester or administrator."
  }
  validation {
    condition     = alltrue([for p in values(var.people) : contains(["Group", "ServicePrincipal", "User"], p.principal_type)])
    error_message = "people: principal_type is Group, User or ServicePrincipal."
  }
  validation {
    condition     = alltrue([for p in values(var.people) : anytrue([for m in values(var.managed) : p.scope == "/subscriptions/${m.subscription_id}" || startswith(p.scope, "/subscriptions/${m.subscription_id}/")])])
    error_message = "people: scope is a subscription of managed or lies in one; elsewhere the roles of this module cannot be assigned."
  }
}

variable "instance_memory_in_mb" {
  description = "Memory of one instance. The app itself needs less than 60 MiB; the rest is the Functions host's."
  type        = number
  default     = 2048

  validation {
    condition     = contains([512, 2048, 4096], var.instance_memory_in_mb)
    error_message = "instance_memory_in_mb is 512, 2048 or 4096."
  }
}

variable "maximum_instance_count" {
  description = "Most instances at a time. Resource Manager's write limits, not processors, bound what closings need, and more instances would only share them."
  type        = number
  default     = 40

  validation {
    condition     = var.maximum_instance_count >= 1 && var.maximum_instance_count <= 1000 && floor(var.maximum_instance_count) == var.maximum_instance_count
    error_message = "maximum_instance_count is a whole number from 1 to 1000."
  }
}

variable "always_ready" {
  description = "Instances kept warm, by what they serve: http, or function:revoke. Each costs money around the clock and takes the cold start away."
  type        = map(number)
  default     = {}

  validation {
    condition     = alltrue([for n, c in var.always_ready : contains(["http", "function:revoke", "function:sweep"], n) && c >= 0])
    error_message = "always_ready: the keys are http, function:revoke and function:sweep."
  }
}

variable "storage_replication" {
  description = "How the tables are kept: ZRS (three zones of the region), or LRS where the region has no zones, or a geo-redundant form."
  type        = string
  default     = "ZRS"

  validation {
    condition     = contains(["LRS", "ZRS", "GRS", "RAGRS", "GZRS", "RAGZRS"], var.storage_replication)
    error_message = "storage_replication is LRS, ZRS, GRS, RAGRS, GZRS or RAGZRS."
  }
}

variable "private_network" {
  description = "Takes the storage account off the Internet: the app joins a subnet delegated to Microsoft.App/environments and reaches storage through private endpoints in another. The DNS zones are privatelink.blob and privatelink.table of the cloud. Service Bus keeps its public endpoint, with Entra ID alone: private endpoints need its Premium tier."
  type = object({
    app_subnet_id      = string
    endpoint_subnet_id = string
    blob_dns_zone_id   = string
    table_dns_zone_id  = string
  })
  default = null
}

variable "allowed_callers" {
  description = "Address ranges (CIDR) that may reach the app at all. Empty: every caller with a valid token."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for c in var.allowed_callers : can(cidrhost(c, 0))])
    error_message = "allowed_callers are address ranges such as 203.0.113.0/24."
  }
}

variable "demands" {
  description = "What every request for access must meet, whatever the policies of the machines say; the stricter of both counts. widest_source_ipv4 and widest_source_ipv6 are prefix lengths such as /24 and /64, both or neither."
  type = object({
    forbid_any_source     = optional(bool, false)
    widest_source_ipv4    = optional(string, "")
    widest_source_ipv6    = optional(string, "")
    require_justification = optional(bool, false)
  })
  default  = {}
  nullable = false

  validation {
    condition     = can(regex("^(|/([1-9]|[12][0-9]|3[0-2]))$", var.demands.widest_source_ipv4)) && can(regex("^(|/([1-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))$", var.demands.widest_source_ipv6))
    error_message = "demands: widest_source_ipv4 is /1 to /32 and widest_source_ipv6 is /1 to /128, or both are empty."
  }
  validation {
    condition     = (var.demands.widest_source_ipv4 == "") == (var.demands.widest_source_ipv6 == "")
    error_message = "demands: name widest_source_ipv4 and widest_source_ipv6, or neither: what one family does not bound could be asked for in the other."
  }
}

variable "network_write_limit" {
  description = "Whether the app keeps to 1,000 network writes in five minutes and region, the documented limit of Azure's network provider. Off, only Resource Manager's own limits pace it: a storm over more than 1,000 security groups may end sooner, or calls may be refused and repeated."
  type        = bool
  default     = true
  nullable    = false
}

variable "alert_emails" {
  description = "Whom the alerts reach by mail, by a name for each."
  type        = map(string)
  default     = {}
}

variable "alert_action_group_ids" {
  description = "Action groups that the alerts call besides."
  type        = set(string)
  default     = []
}

variable "log_retention_in_days" {
  description = "How long Log Analytics keeps logs. The activity log is not there but in the tables, which keep it for good."
  type        = number
  default     = 90

  validation {
    condition     = var.log_retention_in_days >= 30 && var.log_retention_in_days <= 730
    error_message = "log_retention_in_days is 30 to 730."
  }
}

variable "otlp_endpoint" {
  description = "URL of an OpenTelemetry collector that takes OTLP over HTTP from the app. Empty: no traces and no metrics; the alerts do not need them."
  type        = string
  default     = ""

  validation {
    condition     = var.otlp_endpoint == "" || startswith(var.otlp_endpoint, "https://")
    error_message = "otlp_endpoint is an https URL."
  }
}

variable "tags" {
  description = "Tags of everything created here."
  type        = map(string)
  default     = {}
}
