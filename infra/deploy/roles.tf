# Who may what. The actions are in roles/, where Go tests compare them with the
# calls that the app makes and with the permissions that it asks of callers.
locals {
  app_actions    = jsondecode(file("${path.module}/roles/app.json"))
  people_actions = jsondecode(file("${path.module}/roles/people.json"))

  # Names of role definitions are unique in a tenant, so that they hold the installation's.
  role_titles = { viewer = "Viewer", requester = "Requester", administrator = "Administrator" }
  role_about = {
    viewer        = "See just-in-time policies, open windows and the activity log."
    requester     = "Ask for access to virtual machines for a bounded time, and end it."
    administrator = "Protect virtual machines, edit and remove their policies, and end anybody's access. May also write virtual machines, which protecting one asks for."
  }
}

resource "azurerm_user_assigned_identity" "this" {
  name                = var.name
  resource_group_name = var.resource_group.name
  location            = var.resource_group.location
  tags                = local.tags
}

resource "azurerm_role_definition" "app_read" {
  name              = "Portcullis App Reader (${local.namespace})"
  description       = "What Portcullis reads: where virtual machines stand, which rules guard them, and who may ask."
  scope             = local.assignable[0]
  assignable_scopes = local.assignable

  permissions {
    actions = local.app_actions.read
  }
}

resource "azurerm_role_definition" "app_write" {
  name              = "Portcullis App Writer (${local.namespace})"
  description       = "What Portcullis changes: the rules of network security groups."
  scope             = local.assignable[0]
  assignable_scopes = local.assignable

  permissions {
    actions = local.app_actions.write
  }
}

resource "azurerm_role_definition" "app_firewall" {
  count = length(local.firewalls) > 0 ? 1 : 0

  name              = "Portcullis App Firewall Writer (${local.namespace})"
  description       = "What Portcullis changes where machines stand behind an Azure Firewall: its NAT rules."
  scope             = local.assignable[0]
  assignable_scopes = local.assignable

  permissions {
    actions = local.app_actions.firewall
  }
}

resource "azurerm_role_definition" "people" {
  for_each = local.people_actions

  name              = "Portcullis ${local.role_titles[each.key]} (${local.namespace})"
  description       = local.role_about[each.key]
  scope             = local.assignable[0]
  assignable_scopes = local.assignable

  permissions {
    actions = each.value
  }
}

resource "azurerm_role_assignment" "app_read" {
  for_each = local.subscriptions

  scope                            = each.value
  role_definition_id               = azurerm_role_definition.app_read.role_definition_resource_id
  principal_id                     = azurerm_user_assigned_identity.this.principal_id
  principal_type                   = "ServicePrincipal"
  skip_service_principal_aad_check = true
}

resource "azurerm_role_assignment" "app_write" {
  for_each = local.writable

  scope                            = each.value
  role_definition_id               = azurerm_role_definition.app_write.role_definition_resource_id
  principal_id                     = azurerm_user_assigned_identity.this.principal_id
  principal_type                   = "ServicePrincipal"
  skip_service_principal_aad_check = true
}

resource "azurerm_role_assignment" "app_firewall" {
  for_each = local.firewalls

  scope                            = each.value
  role_definition_id               = azurerm_role_definition.app_firewall[0].role_definition_resource_id
  principal_id                     = azurerm_user_assigned_identity.this.principal_id
  principal_type                   = "ServicePrincipal"
  skip_service_principal_aad_check = true
}

resource "azurerm_role_assignment" "people" {
  for_each = var.people

  scope              = each.value.scope
  role_definition_id = azurerm_role_definition.people[each.value.role].role_definition_resource_id
  principal_id       = each.value.principal_id
  principal_type     = each.value.principal_type
}

# What the app and the Functions host need of their own resources, each at the
# narrowest scope that Azure takes.
resource "azurerm_role_assignment" "own" {
  for_each = {
    tables  = { scope = azurerm_storage_account.this.id, role = "Storage Table Data Contributor" }
    blobs   = { scope = azurerm_storage_account.this.id, role = "Storage Blob Data Owner" } # the host's locks and the package
    send    = { scope = azurerm_servicebus_queue.revoke.id, role = "Azure Service Bus Data Sender" }
    receive = { scope = azurerm_servicebus_queue.revoke.id, role = "Azure Service Bus Data Receiver" }
    publish = { scope = azurerm_application_insights.this.id, role = "Monitoring Metrics Publisher" }
  }

  scope                            = each.value.scope
  role_definition_name             = each.value.role
  principal_id                     = azurerm_user_assigned_identity.this.principal_id
  principal_type                   = "ServicePrincipal"
  skip_service_principal_aad_check = true
}
