# The tables are the truth: policies, grants, history and the activity log. The
# app makes them itself. The blobs are the Functions host's: the package and its locks.
resource "azurerm_storage_account" "this" {
  count = var.log_account_id == "" ? 1 : 0

  name                = local.storage_name
  resource_group_name = var.resource_group.name
  location            = var.resource_group.location
  tags                = local.tags

  account_kind             = "StorageV2"
  account_tier             = "Standard"
  account_replication_type = var.storage_replication

  shared_access_key_enabled         = false
  default_to_oauth_authentication   = true
  local_user_enabled                = false
  https_traffic_only_enabled        = true
  min_tls_version                   = "TLS1_2"
  allow_nested_items_to_be_public   = false
  cross_tenant_replication_enabled  = false
  infrastructure_encryption_enabled = true
  # Always, since what closes it is azurerm_storage_account_network_rules.closed: that comes after the
  # private endpoints and goes before them, which an argument of the account cannot.
  public_network_access_enabled = true

  blob_properties {
    delete_retention_policy {
      days = 7
    }
    container_delete_retention_policy {
      days = 7
    }
  }

  lifecycle {
    # Nothing brings the activity log back: no plan may take it away (docs/operations.md, "Uninstalling").
    prevent_destroy = true
    # What closes it to the Internet is a resource of its own.
    ignore_changes = [network_rules]
  }
}

locals {
  # Ours, or one that was there before: the name says where its services are.
  log_account_name = var.log_account_id == "" ? local.storage_name : element(split("/", var.log_account_id), 8)
  log_account = {
    id             = var.log_account_id == "" ? one(azurerm_storage_account.this[*].id) : var.log_account_id
    name           = local.log_account_name
    blob_endpoint  = "https://${local.log_account_name}.blob.${local.cloud.storage}"
    queue_endpoint = "https://${local.log_account_name}.queue.${local.cloud.storage}"
    table_endpoint = "https://${local.log_account_name}.table.${local.cloud.storage}"
  }
}

resource "azurerm_storage_container" "package" {
  name                  = "package"
  storage_account_id    = local.log_account.id
  container_access_type = "private"
}

resource "azurerm_private_endpoint" "storage" {
  for_each = var.private_network == null ? {} : {
    blob  = var.private_network.blob_dns_zone_id
    table = var.private_network.table_dns_zone_id
  }

  name                = "${local.stem}-${each.key}"
  resource_group_name = var.resource_group.name
  location            = var.resource_group.location
  subnet_id           = var.private_network.endpoint_subnet_id
  tags                = local.tags

  private_service_connection {
    name                           = each.key
    private_connection_resource_id = local.log_account.id
    subresource_names              = [each.key]
    is_manual_connection           = false
  }

  private_dns_zone_group {
    name                 = each.key
    private_dns_zone_ids = [each.value]
  }
}

# The account's door to the Internet. It is shut once the endpoints are there and the app is in the
# network, and opens before either goes, so that no apply cuts the app off from its tables.
resource "azurerm_storage_account_network_rules" "closed" {
  count = var.private_network != null && var.log_account_id == "" ? 1 : 0

  storage_account_id = local.log_account.id
  default_action     = "Deny"
  bypass             = ["None"]

  depends_on = [azurerm_private_endpoint.storage, azurerm_resource_group_template_deployment.site, azurerm_storage_container.package]
}

# Against a delete by hand, in the portal or by another tool. Azure refuses to delete anything below a lock, role assignments
# and diagnostic settings too, so that it comes after all of them and goes before.
resource "azurerm_management_lock" "log" {
  count = var.lock_log_account ? 1 : 0

  name       = "portcullis-log"
  scope      = local.log_account.id
  lock_level = "CanNotDelete"
  notes      = "Holds the activity log of Portcullis. See docs/operations.md, Uninstalling."

  depends_on = [
    azurerm_storage_container.package, azurerm_role_assignment.own, azurerm_private_endpoint.storage,
    azurerm_storage_account_network_rules.closed, azurerm_monitor_diagnostic_setting.this,
  ]
}
