variable "name" {
  description = "What every name begins with. A hyphen and eight digits and letters that follow from the resource group come after it, since sites, namespaces and accounts share their names with the world: the app answers at https://NAME-1a2b3c4d.azurewebsites.net/api (the clouds have suffixes of their own)."
  type        = string

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,21}[a-z0-9])?$", var.name)) && !strcontains(var.name, "--")
    error_message = "name has 1 to 23 lower-case letters, digits and single hyphens, a letter first and no hyphen last."
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
  validation {
    condition = var.cloud == (
      can(regex("^(usgov|usdod)", replace(lower(var.resource_group.location), " ", ""))) ? "AzureUSGovernment" :
      startswith(lower(var.resource_group.location), "china") ? "AzureChina" : "AzurePublic"
    )
    error_message = "cloud is ${var.cloud}, and resource_group.location ${var.resource_group.location} is a region of another one: the provider's environment and cloud do not match."
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
  validation {
    condition     = alltrue(flatten([for m in values(var.managed) : [for group in setunion(m.resource_groups, m.firewall_groups) : can(regex("^[-\\w.()]{0,89}[-\\w()]$", group))]]))
    error_message = "managed: resource_groups and firewall_groups are names of resource groups, not ids: 1 to 90 letters, digits, hyphens, underscores, parentheses and periods, no period last."
  }
  validation {
    condition     = alltrue([for m in values(var.managed) : length(distinct([for group in m.resource_groups : lower(group)])) == length(m.resource_groups) && length(distinct([for group in m.firewall_groups : lower(group)])) == length(m.firewall_groups)])
    error_message = "managed: a resource group stands there twice; Azure takes no notice of case."
  }
}

variable "tenant_id" {
  description = "The Entra tenant whose people and apps may call."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.tenant_id))
    error_message = "tenant_id is a GUID in lower case."
  }
  validation {
    condition     = var.tenant_id == data.azurerm_client_config.current.tenant_id
    error_message = "tenant_id is ${var.tenant_id}, and the provider is signed in to the tenant ${data.azurerm_client_config.current.tenant_id}: people of another tenant can be given no role here."
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
    condition     = alltrue([for p in values(var.people) : can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", p.principal_id))])
    error_message = "people: principal_id is the object id of a group, a person or an application: a GUID in lower case."
  }
  validation {
    condition     = length(distinct([for p in values(var.people) : lower("${p.principal_id} ${p.role} ${p.scope}")])) == length(var.people)
    error_message = "people: somebody has the same role twice at one scope."
  }
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
  description = "Most instances at a time. Each counts Resource Manager's limits for itself, so that so many times what they allow may be sent before Azure refuses: the fewer, the nearer each is to the truth. One closes as much as Azure lets anybody; more are for people who wait (docs/operations.md, \"A storm\")."
  type        = number
  default     = 5

  validation {
    condition     = var.maximum_instance_count >= 1 && var.maximum_instance_count <= 40 && floor(var.maximum_instance_count) == var.maximum_instance_count
    error_message = "maximum_instance_count is a whole number from 1 to 40: each instance paces its calls to Resource Manager by itself, and more would be refused more than they did."
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

variable "zone_redundant" {
  description = "Whether instances of the app are spread over the zones of the region. Choose at first: to turn it on later makes plan and site anew."
  type        = bool
  default     = false
  nullable    = false
}

variable "private_network" {
  description = "Takes the storage account off the Internet: the app joins a subnet delegated to Microsoft.App/environments and reaches storage through private endpoints in another. The DNS zones are privatelink.blob and privatelink.table of the cloud; with site_dns_zone_id (privatelink.azurewebsites.net) the app gets an endpoint too, and with bus_dns_zone_id (privatelink.servicebus.windows.net) Service Bus, which makes it Premium, many times the price. Choose the latter at first: a namespace is made anew to become Premium."
  type = object({
    app_subnet_id      = string
    endpoint_subnet_id = string
    blob_dns_zone_id   = string
    table_dns_zone_id  = string
    site_dns_zone_id   = optional(string)
    bus_dns_zone_id    = optional(string)
  })
  default = null

  validation {
    condition     = var.private_network == null || alltrue([for id in [try(var.private_network.app_subnet_id, ""), try(var.private_network.endpoint_subnet_id, "")] : can(regex("(?i)^/subscriptions/[0-9a-f-]{36}/resourceGroups/[^/]+/providers/Microsoft.Network/virtualNetworks/[^/]+/subnets/[^/]+$", id))])
    error_message = "private_network: app_subnet_id and endpoint_subnet_id are ids of subnets."
  }
  validation {
    condition     = var.private_network == null || lower(try(var.private_network.app_subnet_id, "")) != lower(try(var.private_network.endpoint_subnet_id, " "))
    error_message = "private_network: app_subnet_id is delegated to Microsoft.App/environments, and a delegated subnet holds no private endpoints: endpoint_subnet_id is another."
  }
  validation {
    condition = var.private_network == null || alltrue([for name, id in {
      blob  = try(var.private_network.blob_dns_zone_id, ""), table = try(var.private_network.table_dns_zone_id, "")
      sites = try(var.private_network.site_dns_zone_id, null), bus = try(var.private_network.bus_dns_zone_id, null)
    } : id == null || can(regex("(?i)/providers/Microsoft.Network/privateDnsZones/privatelink\\.${ { blob = "blob", table = "table", sites = "(azurewebsites|chinacloudsites)", bus = "servicebus" }[name]}\\.", id))])
    error_message = "private_network: blob_dns_zone_id, table_dns_zone_id, site_dns_zone_id and bus_dns_zone_id are ids of private DNS zones privatelink.blob..., privatelink.table..., privatelink.azurewebsites... and privatelink.servicebus...."
  }
}

variable "public_network_access" {
  description = "Whether the app can be reached from the Internet at all. Off, only the private endpoint of the site is left (private_network.site_dns_zone_id), for deployments too."
  type        = bool
  default     = true
  nullable    = false

  validation {
    condition     = var.public_network_access || try(var.private_network.site_dns_zone_id, null) != null
    error_message = "public_network_access: without it the app needs a private endpoint, which private_network.site_dns_zone_id gives it."
  }
}

variable "allowed_callers" {
  description = "Address ranges (CIDR) and service tags (such as ApiManagement.WestEurope) that may reach the app at all. Empty: every caller with a valid token. AzureFrontDoor.Backend lets in everybody's Front Door and so needs front_door_ids."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for c in var.allowed_callers : can(cidrhost(c, 0)) || can(regex("^[A-Z][A-Za-z0-9]+([.][A-Za-z0-9]+)*$", c))])
    error_message = "allowed_callers are address ranges such as 203.0.113.0/24, or service tags such as ApiManagement.WestEurope."
  }
  validation {
    condition = alltrue(flatten([for a in var.allowed_callers : [for b in var.allowed_callers :
      a == b || !can(cidrhost(a, 0)) || !can(cidrhost(b, 0)) || strcontains(a, ":") != strcontains(b, ":") ? true :
      cidrhost("${split("/", a)[0]}/${min(split("/", a)[1], split("/", b)[1])}", 0) != cidrhost("${split("/", b)[0]}/${min(split("/", a)[1], split("/", b)[1])}", 0)
    ]]))
    error_message = "allowed_callers: two ranges overlap; name the wider one alone."
  }
  validation {
    condition     = length(var.allowed_callers) <= 500
    error_message = "allowed_callers: App Service takes 512 access restrictions; name wider ranges."
  }
}

variable "front_door_ids" {
  description = "The ids of your own Front Doors (frontDoorId), where allowed_callers has AzureFrontDoor.Backend."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.front_door_ids : can(regex("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", id))])
    error_message = "front_door_ids are GUIDs."
  }
  validation {
    condition     = contains(var.allowed_callers, "AzureFrontDoor.Backend") == (length(var.front_door_ids) > 0)
    error_message = "front_door_ids go with AzureFrontDoor.Backend in allowed_callers, and it with them: the tag alone lets in the Front Door of anybody."
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

variable "break_glass_max_duration" {
  description = "How long a window lasts at most that somebody with the app role Portcullis.BreakGlass opens without approval, in ISO 8601 from PT5M to P1D. Nobody has the role unless it is given."
  type        = string
  default     = "PT1H"
  nullable    = false
  validation {
    condition     = can(regex("^(PT([5-9]|[1-9][0-9]+)M|PT([1-9]|1[0-9]|2[0-4])H|P1D)$", var.break_glass_max_duration))
    error_message = "break_glass_max_duration is a length in minutes or hours from PT5M to PT24H, such as PT45M or PT2H, or P1D."
  }
}

variable "removed_windows" {
  description = "What becomes of an open window whose rule others have deleted: once puts it back the first time, where it is certain that nobody has ended it; never closes it."
  type        = string
  default     = "once"
  nullable    = false
  validation {
    condition     = contains(["once", "never"], var.removed_windows)
    error_message = "removed_windows is once or never."
  }
}

variable "right_lost" {
  description = "What a sweep does with an open window whose owner could not ask for it any more: report it in a finding, or close it too."
  type        = string
  default     = "report"
  nullable    = false
  validation {
    condition     = contains(["report", "close"], var.right_lost)
    error_message = "right_lost is report or close."
  }
}

variable "tell" {
  description = "Channels through which people are told what happens to windows: webhook, teams, slack, email. Each has the URI of a Key Vault secret with its address (https://<vault>.vault.azure.net/secrets/<name>), which the app's identity may read, and, for webhook and email, the audience for which the app gets a token for the receiver."
  type        = map(object({ secret_uri = string, audience = optional(string, "") }))
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name in keys(var.tell) : contains(["webhook", "teams", "slack", "email"], name)])
    error_message = "tell names channels: webhook, teams, slack, email."
  }
  validation {
    condition     = alltrue([for name, channel in var.tell : can(regex("^https://[^/?#() ]+/secrets/[0-9A-Za-z-]+(/[0-9a-z]+)?$", channel.secret_uri))])
    error_message = "tell: secret_uri is the URI of a Key Vault secret, such as https://vault.vault.azure.net/secrets/name, and never the address of a channel itself."
  }
  validation {
    condition     = alltrue([for name, channel in var.tell : channel.audience == "" || contains(["webhook", "email"], name)])
    error_message = "tell: only webhook and email have an audience; the address of a Teams or Slack webhook is its secret."
  }
}

variable "stream_log" {
  description = "Where the activity log is streamed for the security team: {} for the workspace of this installation, or workspace_id (with location, if it is in another region). sentinel makes analytic rules and a workbook, in a workspace that has Microsoft Sentinel; time_zone is that of the rule about nights. It holds personal data: names, object ids, addresses. Not given, nothing is streamed."
  type = object({
    workspace_id            = optional(string, "")
    location                = optional(string, "")
    retention_in_days       = optional(number)
    total_retention_in_days = optional(number)
    public_network_access   = optional(bool, true)
    sentinel                = optional(bool, false)
    time_zone               = optional(string, "UTC")
  })
  default = null

  validation {
    condition     = var.stream_log == null || try(var.stream_log.workspace_id, "") == "" || can(regex("(?i)^/subscriptions/[0-9a-f-]{36}/resourceGroups/[^/]+/providers/Microsoft.OperationalInsights/workspaces/[^/]+$", var.stream_log.workspace_id))
    error_message = "stream_log: workspace_id is the id of a Log Analytics workspace."
  }
  validation {
    condition     = var.stream_log == null || can(regex("^[A-Za-z0-9+_/-]+$", var.stream_log.time_zone))
    error_message = "stream_log: time_zone is a name such as UTC or Europe/Berlin."
  }
}

variable "critical_settings" {
  description = "Names of settings without which the app must not start, so that an older package is not deployed beside demands that it does not know (docs/operations.md, \"Going back\")."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.critical_settings : can(regex("^PORTCULLIS_[A-Z0-9_]+$", name))])
    error_message = "critical_settings are names of settings such as PORTCULLIS_FORBID_ANY_SOURCE."
  }
}

variable "approval" {
  description = "What every request waits for, whatever the policies ask for: so many distinct approvers, 0 to 5; and for how long a request waits for approval, such as PT30M (an hour unless set)."
  type = object({
    approvers = optional(number, 0)
    wait      = optional(string, "")
  })
  default = {}

  validation {
    condition     = var.approval.approvers >= 0 && var.approval.approvers <= 5 && floor(var.approval.approvers) == var.approval.approvers
    error_message = "approval.approvers is a whole number from 0 to 5."
  }

  validation {
    condition     = var.approval.wait == "" || can(regex("^P", var.approval.wait))
    error_message = "approval.wait is a length in ISO 8601 such as PT30M."
  }
}

variable "max_start_ahead" {
  description = "How far ahead a request may begin, in ISO 8601 from PT0S, for at once alone, to P31D (14 days unless set)."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(|PT0S|PT[1-9][0-9]{0,2}M|PT[1-9][0-9]?H|P([1-9]|[12][0-9]|3[01])D)$", var.max_start_ahead))
    error_message = "max_start_ahead is a length such as PT0S, PT12H or P7D, P31D at most."
  }
}

variable "network_write_limit" {
  description = "Whether the app keeps to 1,000 network writes in five minutes and region, the documented limit of Azure's network provider. Off, only Resource Manager's own limits pace it: a storm over more than 1,000 security groups may end sooner, or calls may be refused and repeated."
  type        = bool
  default     = true
  nullable    = false
}

variable "requestor_quota" {
  description = "How much of one security group or firewall, which others share, one requestor's open windows may take together: windows, and source addresses and ranges of the 4,000 that a group takes. 0 is no bound."
  type = object({
    windows   = optional(number, 250)
    addresses = optional(number, 1000)
  })
  default  = {}
  nullable = false
  validation {
    condition     = alltrue([for n in values(var.requestor_quota) : n >= 0 && n <= 1000000 && floor(n) == n])
    error_message = "requestor_quota: windows and addresses are whole numbers from 0 (no bound) to 1000000."
  }
}

variable "window_priorities" {
  description = "The priorities that the rules of windows take in security groups, from first to last, so that others can plan theirs, and how many of them our denies leave to windows (kept; twice as many where machines have addresses of both families). A machine for which they cannot is refused when it is enabled."
  type = object({
    first = optional(number, 100)
    last  = optional(number, 4096)
    kept  = optional(number, 1)
  })
  default  = {}
  nullable = false
  validation {
    condition     = alltrue([for n in values(var.window_priorities) : floor(n) == n]) && var.window_priorities.first >= 100 && var.window_priorities.last <= 4096 && var.window_priorities.kept >= 1 && var.window_priorities.kept <= 100 && var.window_priorities.last - var.window_priorities.first + 1 >= 2 * var.window_priorities.kept
    error_message = "window_priorities: first and last are whole numbers from 100 to 4096, kept is one from 1 to 100, and twice kept fit between them."
  }
}

variable "required_scopes" {
  description = "Scopes and app roles of the app registration, such as user_impersonation and an app role for workloads, one of which an access token must hold (docs/decisions/019). Empty: any access token made for the app will do, and Azure RBAC alone says what its bearer may do."
  type        = list(string)
  default     = []
  nullable    = false
  validation {
    condition     = alltrue([for s in var.required_scopes : can(regex("^[^ ,/\\s]+$", s))])
    error_message = "required_scopes are names alone, such as user_impersonation, without the app's address before them."
  }
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

variable "log_account_id" {
  description = "A storage account that exists, or was restored, to keep the tables in: the id of a StorageV2 account with the default host names of the cloud. Empty: one is made. Its settings stay its owner's: turn shared keys and public blobs off there, and with private_network its public access too."
  type        = string
  default     = ""

  validation {
    condition     = var.log_account_id == "" || can(regex("^/subscriptions/[0-9a-f-]{36}/resourceGroups/[^/]+/providers/Microsoft.Storage/storageAccounts/[a-z0-9]{3,24}$", var.log_account_id))
    error_message = "log_account_id is the ARM id of a storage account: /subscriptions/GUID/resourceGroups/NAME/providers/Microsoft.Storage/storageAccounts/NAME."
  }
  validation {
    condition     = var.log_account_id == "" || var.storage_account_name == ""
    error_message = "log_account_id names an account that is there, and storage_account_name one to make: give one of them."
  }
}

variable "lock_log_account" {
  description = "Whether a CanNotDelete lock guards the account with the activity log. Azure then refuses to delete its role assignments and diagnostic settings too: turn it off first to take away any of those."
  type        = bool
  default     = true
  nullable    = false
}

variable "log_analytics_workspace_id" {
  description = "A Log Analytics workspace that exists. Empty: one is made."
  type        = string
  default     = ""

  validation {
    condition     = var.log_analytics_workspace_id == "" || can(regex("^/subscriptions/[0-9a-f-]{36}/resourceGroups/[^/]+/providers/Microsoft.OperationalInsights/workspaces/[^/]+$", var.log_analytics_workspace_id))
    error_message = "log_analytics_workspace_id is the ARM id of a workspace: /subscriptions/GUID/resourceGroups/NAME/providers/Microsoft.OperationalInsights/workspaces/NAME."
  }
}

variable "diagnostic_categories" {
  description = "Which resource logs go to the workspace, by what writes them; an empty list for none. Who changed or deleted rows and packages, who managed the bus, and the host's own log."
  type = object({
    tables = optional(set(string), ["StorageWrite", "StorageDelete"])
    blobs  = optional(set(string), ["StorageWrite", "StorageDelete"])
    bus    = optional(set(string), ["OperationalLogs"])
    site   = optional(set(string), ["FunctionAppLogs"])
  })
  default  = {}
  nullable = false
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

variable "log_daily_cap_in_gb" {
  description = "Most that the workspace takes in a day, where one is made; -1 for no cap. At the cap nothing is seen and no alert fires until the day is over, so that it stands above what strangers can cause: 0.3 GB a day in each instance, and the app's three kinds of function have instances of their own. Some 0.05 GB are usual."
  type        = number
  default     = 6
  nullable    = false

  validation {
    condition     = var.log_daily_cap_in_gb == -1 || var.log_daily_cap_in_gb >= 1 + 3 * 0.3 * var.maximum_instance_count
    error_message = "log_daily_cap_in_gb is -1 for no cap, or at least 1 + 0.9 for each of maximum_instance_count: below, strangers could end the day's logs and alerts by calling."
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
