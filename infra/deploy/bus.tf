resource "azurerm_servicebus_namespace" "this" {
  name                = local.stem
  resource_group_name = var.resource_group.name
  location            = var.resource_group.location
  tags                = local.tags

  # Standard has duplicate detection, which Basic has not; Premium has private endpoints.
  sku                           = local.bus_is_private ? "Premium" : "Standard"
  capacity                      = local.bus_is_private ? 1 : 0
  premium_messaging_partitions  = local.bus_is_private ? 1 : 0
  public_network_access_enabled = !local.bus_is_private
  local_auth_enabled            = false
  minimum_tls_version           = "1.2"
}

locals {
  bus_is_private  = try(var.private_network.bus_dns_zone_id, null) != null
  site_is_private = try(var.private_network.site_dns_zone_id, null) != null
}

# The alarm clock: one message for the end of each window. What the queue loses
# the sweep makes up for, but it loses nothing that these settings can keep.
resource "azurerm_servicebus_queue" "revoke" {
  name         = "portcullis-revoke"
  namespace_id = azurerm_servicebus_namespace.this.id

  # A message's id holds the grant's generation: the same id is the same wake-up.
  requires_duplicate_detection            = true
  duplicate_detection_history_time_window = "PT10M"

  # The trigger renews the lock while a closing takes longer.
  lock_duration      = "PT1M"
  max_delivery_count = 10

  # The longest that a message may live; the app gives each 38 days, a week more than the furthest start. A wake-up that nobody
  # took in that time is for people to see.
  default_message_ttl                  = "P45D"
  dead_lettering_on_message_expiration = true
  max_size_in_megabytes                = 1024
}

resource "azurerm_private_endpoint" "bus" {
  count = local.bus_is_private ? 1 : 0

  name                = "${local.stem}-bus"
  resource_group_name = var.resource_group.name
  location            = var.resource_group.location
  subnet_id           = var.private_network.endpoint_subnet_id
  tags                = local.tags

  private_service_connection {
    name                           = "bus"
    private_connection_resource_id = azurerm_servicebus_namespace.this.id
    subresource_names              = ["namespace"]
    is_manual_connection           = false
  }

  private_dns_zone_group {
    name                 = "bus"
    private_dns_zone_ids = [var.private_network.bus_dns_zone_id]
  }
}

resource "azurerm_private_endpoint" "site" {
  count = local.site_is_private ? 1 : 0

  name                = "${local.stem}-site"
  resource_group_name = var.resource_group.name
  location            = var.resource_group.location
  subnet_id           = var.private_network.endpoint_subnet_id
  tags                = local.tags

  private_service_connection {
    name                           = "site"
    private_connection_resource_id = local.site_id
    subresource_names              = ["sites"]
    is_manual_connection           = false
  }

  private_dns_zone_group {
    name                 = "site"
    private_dns_zone_ids = [var.private_network.site_dns_zone_id]
  }

  depends_on = [azurerm_resource_group_template_deployment.site]
}
