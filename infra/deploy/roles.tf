# Who may what. The actions are in roles/, where Go tests compare them with the
# calls that the app makes and with the permissions that it asks of callers.
#
# Every subscription has its own definitions, under ids that follow from what they are: to add or
# to remove a subscription leaves the roles of the others, and whom they are assigned to, alone.
locals {
  app_actions    = jsondecode(file("${path.module}/roles/app.json"))
  people_actions = jsondecode(file("${path.module}/roles/people.json"))

  role_titles = { viewer = "Viewer", requester = "Requester", administrator = "Administrator" }
  role_about = {
    viewer        = "See just-in-time policies, open windows and the activity log."
    requester     = "Ask for access to virtual machines for a bounded time, and end it."
    administrator = "Protect virtual machines, edit and remove their policies, and end anybody's access. May also write virtual machines, which protecting one asks for."
  }
  people_roles = merge([
    for id in keys(local.managed) : { for role, actions in local.people_actions : "${id}/${role}" => { subscription = id, role = role, actions = actions } }
  ]...)

  # Names of role definitions are unique in a tenant, so that they hold the installation's and the subscription's.
  role_suffixes = { for id in keys(local.managed) : id => "(${local.stem}, ${id})" }
  installation  = "${lower(var.resource_group.id)}/portcullis/${var.name}"
}

resource "azurerm_user_assigned_identity" "this" {
  name                = local.stem
  resource_group_name = var.resource_group.name
  location            = var.resource_group.location
  tags                = local.tags
}

resource "azurerm_role_definition" "app_read" {
  for_each = local.managed

  role_definition_id = uuidv5("url", "${local.installation}/app_read/${each.key}")
  name               = "Portcullis App Reader ${local.role_suffixes[each.key]}"
  description        = "What Portcullis reads: where virtual machines stand, which rules guard them, and who may ask."
  scope              = "/subscriptions/${each.key}"
  assignable_scopes  = ["/subscriptions/${each.key}"]

  permissions {
    actions = local.app_actions.read
  }

  lifecycle {
    precondition {
      condition     = data.azurerm_subscription.managed[each.key].tenant_id == var.tenant_id
      error_message = "managed: subscription ${each.key} trusts the tenant ${data.azurerm_subscription.managed[each.key].tenant_id}, and tenant_id is ${var.tenant_id}: nobody of that tenant can be given a role there."
    }
  }
}

resource "azurerm_role_definition" "app_write" {
  for_each = local.managed

  role_definition_id = uuidv5("url", "${local.installation}/app_write/${each.key}")
  name               = "Portcullis App Writer ${local.role_suffixes[each.key]}"
  description        = "What Portcullis changes: the rules of network security groups."
  scope              = "/subscriptions/${each.key}"
  assignable_scopes  = ["/subscriptions/${each.key}"]

  permissions {
    actions = local.app_actions.write
  }
}

resource "azurerm_role_definition" "app_firewall" {
  for_each = { for id, m in local.managed : id => m if length(m.firewall_groups) > 0 }

  role_definition_id = uuidv5("url", "${local.installation}/app_firewall/${each.key}")
  name               = "Portcullis App Firewall Writer ${local.role_suffixes[each.key]}"
  description        = "What Portcullis changes where machines stand behind an Azure Firewall: its NAT rules."
  scope              = "/subscriptions/${each.key}"
  assignable_scopes  = ["/subscriptions/${each.key}"]

  permissions {
    actions = local.app_actions.firewall
  }
}

resource "azurerm_role_definition" "people" {
  for_each = local.people_roles

  role_definition_id = uuidv5("url", "${local.installation}/${each.value.role}/${each.value.subscription}")
  name               = "Portcullis ${local.role_titles[each.value.role]} ${local.role_suffixes[each.value.subscription]}"
  description        = local.role_about[each.value.role]
  scope              = "/subscriptions/${each.value.subscription}"
  assignable_scopes  = ["/subscriptions/${each.value.subscription}"]

  permissions {
    actions = each.value.actions
  }
}

# The scaler that wakes the app reads how many messages are due, and counts none that it may not read
# (docs/decisions/014). It reads the queue's properties, no message.
resource "azurerm_role_definition" "app_count" {
  role_definition_id = uuidv5("url", "${local.installation}/app_count")
  name               = "Portcullis App Queue Reader (${local.stem})"
  description        = "What wakes Portcullis reads: how many messages its queue holds."
  scope              = var.resource_group.id
  assignable_scopes  = [var.resource_group.id]

  permissions {
    actions = local.app_actions.count
  }
}

resource "azurerm_role_assignment" "app_read" {
  for_each = local.managed

  name                             = uuidv5("url", "${local.installation}/app_read/${each.key}/assignment")
  scope                            = "/subscriptions/${each.key}"
  role_definition_id               = azurerm_role_definition.app_read[each.key].role_definition_resource_id
  principal_id                     = azurerm_user_assigned_identity.this.principal_id
  principal_type                   = "ServicePrincipal"
  skip_service_principal_aad_check = true
}

resource "azurerm_role_assignment" "app_write" {
  for_each = local.writable

  name                             = uuidv5("url", "${local.installation}/app_write/${each.key}/assignment")
  scope                            = each.value.scope
  role_definition_id               = azurerm_role_definition.app_write[each.value.subscription].role_definition_resource_id
  principal_id                     = azurerm_user_assigned_identity.this.principal_id
  principal_type                   = "ServicePrincipal"
  skip_service_principal_aad_check = true
}

resource "azurerm_role_assignment" "app_firewall" {
  for_each = local.firewalls

  name                             = uuidv5("url", "${local.installation}/app_firewall/${each.key}/assignment")
  scope                            = each.value.scope
  role_definition_id               = azurerm_role_definition.app_firewall[each.value.subscription].role_definition_resource_id
  principal_id                     = azurerm_user_assigned_identity.this.principal_id
  principal_type                   = "ServicePrincipal"
  skip_service_principal_aad_check = true
}

resource "azurerm_role_assignment" "people" {
  for_each = var.people

  name               = uuidv5("url", lower("${local.installation}/${each.value.role}/${each.value.scope}/${each.value.principal_id}"))
  scope              = each.value.scope
  role_definition_id = azurerm_role_definition.people["${split("/", each.value.scope)[2]}/${each.value.role}"].role_definition_resource_id
  principal_id       = each.value.principal_id
  principal_type     = each.value.principal_type
}

# What the app and the Functions host need of their own resources, each at the
# narrowest scope that Azure takes.
resource "azurerm_role_assignment" "own" {
  for_each = merge({
    tables  = { scope = local.log_account.id, role = "Storage Table Data Contributor", id = null }
    blobs   = { scope = local.log_account.id, role = "Storage Blob Data Owner", id = null } # the host's locks and the package
    send    = { scope = azurerm_servicebus_queue.revoke.id, role = "Azure Service Bus Data Sender", id = null }
    receive = { scope = azurerm_servicebus_queue.revoke.id, role = "Azure Service Bus Data Receiver", id = null }
    count   = { scope = azurerm_servicebus_queue.revoke.id, role = null, id = azurerm_role_definition.app_count.role_definition_resource_id }
    publish = { scope = azurerm_application_insights.this.id, role = "Monitoring Metrics Publisher", id = null }
    }, { for key in keys(local.streams) : "stream" => { scope = azurerm_monitor_data_collection_rule.stream[key].id, role = "Monitoring Metrics Publisher", id = null } # it may add rows, and read none
  })

  name                             = uuidv5("url", "${local.installation}/own/${each.key}/assignment")
  scope                            = each.value.scope
  role_definition_name             = each.value.role
  role_definition_id               = each.value.id
  principal_id                     = azurerm_user_assigned_identity.this.principal_id
  principal_type                   = "ServicePrincipal"
  skip_service_principal_aad_check = true
}
