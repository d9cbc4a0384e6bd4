resource "azurerm_servicebus_namespace" "this" {
  name                = local.namespace
  resource_group_name = var.resource_group.name
  location            = var.resource_group.location
  tags                = local.tags

  # Standard has duplicate detection, which Basic has not.
  sku                 = "Standard"
  local_auth_enabled  = false
  minimum_tls_version = "1.2"
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

  # The longest that a message may live; the app gives each a week. A wake-up that nobody
  # took in that time is for people to see.
  default_message_ttl                  = "P14D"
  dead_lettering_on_message_expiration = true
  max_size_in_megabytes                = 1024
}
