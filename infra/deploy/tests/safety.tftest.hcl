# What must hold of everything that is created, whatever the variables.
mock_provider "azurerm" {
  source = "./tests/mock"
}

variables {
  name = "contoso-portcullis"
  resource_group = {
    id       = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg"
    name     = "rg"
    location = "westeurope"
  }
  tenant_id = "22222222-2222-2222-2222-222222222222"
  client_id = "33333333-3333-3333-3333-333333333333"
  managed   = { here = { subscription_id = "11111111-1111-1111-1111-111111111111" } }
}

run "no_keys" {
  assert {
    condition     = !azurerm_storage_account.this.shared_access_key_enabled && !azurerm_storage_account.this.local_user_enabled
    error_message = "the storage account takes keys"
  }
  assert {
    condition     = !azurerm_servicebus_namespace.this.local_auth_enabled
    error_message = "the Service Bus namespace takes keys"
  }
  assert {
    condition     = !azurerm_application_insights.this.local_authentication_enabled && !azurerm_log_analytics_workspace.this.local_authentication_enabled
    error_message = "telemetry is taken from anybody who knows a key"
  }
  assert {
    condition     = azurerm_function_app_flex_consumption.this.storage_authentication_type == "UserAssignedIdentity" && !azurerm_function_app_flex_consumption.this.webdeploy_publish_basic_authentication_enabled
    error_message = "the package is deployed or read with a key"
  }
  assert {
    condition     = alltrue([for k, v in azurerm_function_app_flex_consumption.this.app_settings : !can(regex("(?i)(AccountKey|SharedAccess|InstrumentationKey|password|secret=|sig=)", v)) && !contains(["AzureWebJobsStorage", "ServiceBus"], k)])
    error_message = "a setting holds a connection string or a secret"
  }
  assert {
    condition     = azurerm_function_app_flex_consumption.this.app_settings["AzureWebJobsStorage__credential"] == "managedidentity" && azurerm_function_app_flex_consumption.this.app_settings["ServiceBus__credential"] == "managedidentity"
    error_message = "the Functions host connects otherwise than with the managed identity"
  }
}

run "only_tls" {
  assert {
    condition     = azurerm_storage_account.this.https_traffic_only_enabled && azurerm_storage_account.this.min_tls_version == "TLS1_2"
    error_message = "storage takes less than TLS 1.2"
  }
  assert {
    condition     = azurerm_servicebus_namespace.this.minimum_tls_version == "1.2"
    error_message = "Service Bus takes less than TLS 1.2"
  }
  assert {
    condition     = azurerm_function_app_flex_consumption.this.https_only && azurerm_function_app_flex_consumption.this.site_config[0].minimum_tls_version == "1.2" && azurerm_function_app_flex_consumption.this.site_config[0].scm_minimum_tls_version == "1.2" && azurerm_function_app_flex_consumption.this.auth_settings_v2[0].require_https
    error_message = "the app takes less than HTTPS with TLS 1.2"
  }
}

run "nothing_public_without_need" {
  assert {
    condition     = !azurerm_storage_account.this.allow_nested_items_to_be_public && azurerm_storage_container.package.container_access_type == "private" && !azurerm_storage_account.this.cross_tenant_replication_enabled
    error_message = "blobs can be read by everybody, or copied to another tenant"
  }
  assert {
    condition     = !azurerm_function_app_flex_consumption.this.site_config[0].remote_debugging_enabled
    error_message = "remote debugging is on"
  }
}

run "behind_private_endpoints" {
  variables {
    private_network = {
      app_subnet_id      = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/hub/subnets/app"
      endpoint_subnet_id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/hub/subnets/endpoints"
      blob_dns_zone_id   = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net"
      table_dns_zone_id  = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/privateDnsZones/privatelink.table.core.windows.net"
    }
    allowed_callers = ["203.0.113.0/24", "198.51.100.0/24"]
  }
  assert {
    condition     = !azurerm_storage_account.this.public_network_access_enabled
    error_message = "storage can still be reached from the Internet"
  }
  assert {
    condition     = toset(keys(azurerm_private_endpoint.storage)) == toset(["blob", "table"])
    error_message = "blob and table need a private endpoint each"
  }
  assert {
    condition     = azurerm_function_app_flex_consumption.this.virtual_network_subnet_id == var.private_network.app_subnet_id
    error_message = "the app is not in the network from which storage can be reached"
  }
  assert {
    condition     = azurerm_function_app_flex_consumption.this.site_config[0].ip_restriction_default_action == "Deny" && [for r in azurerm_function_app_flex_consumption.this.site_config[0].ip_restriction : "${r.priority} ${r.action} ${r.ip_address}"] == ["100 Allow 198.51.100.0/24", "101 Allow 203.0.113.0/24"]
    error_message = "others than the allowed callers reach the app"
  }
}

run "people_sign_in" {
  assert {
    condition     = azurerm_function_app_flex_consumption.this.auth_settings_v2[0].auth_enabled && azurerm_function_app_flex_consumption.this.auth_settings_v2[0].login[0].token_store_enabled
    error_message = "App Service authentication with its token store is what gives the page a signed ID token"
  }
  assert {
    condition     = !azurerm_function_app_flex_consumption.this.auth_settings_v2[0].require_authentication && azurerm_function_app_flex_consumption.this.auth_settings_v2[0].unauthenticated_action == "AllowAnonymous"
    error_message = "scripts and the health function have no session; the app verifies tokens itself"
  }
  assert {
    condition     = azurerm_function_app_flex_consumption.this.auth_settings_v2[0].active_directory_v2[0].tenant_auth_endpoint == "https://login.microsoftonline.com/22222222-2222-2222-2222-222222222222/v2.0"
    error_message = "people of any other tenant could sign in"
  }
}

run "queue" {
  assert {
    condition     = azurerm_servicebus_queue.revoke.name == "portcullis-revoke" && azurerm_servicebus_namespace.this.sku == "Standard"
    error_message = "functions/revoke listens to portcullis-revoke, and duplicate detection needs Standard"
  }
  assert {
    condition     = azurerm_servicebus_queue.revoke.requires_duplicate_detection && azurerm_servicebus_queue.revoke.duplicate_detection_history_time_window == "PT10M"
    error_message = "the same wake-up sent twice would be delivered twice"
  }
  assert {
    condition     = azurerm_servicebus_queue.revoke.lock_duration == "PT1M" && azurerm_servicebus_queue.revoke.max_delivery_count == 10 && azurerm_servicebus_queue.revoke.dead_lettering_on_message_expiration && azurerm_servicebus_queue.revoke.default_message_ttl == "P14D"
    error_message = "the queue is not what the stand-in and the code take it for"
  }
}

run "watched" {
  variables {
    alert_emails = { security = "security@contoso.example" }
  }
  assert {
    condition     = toset(keys(azurerm_monitor_scheduled_query_rules_alert_v2.this)) == toset(["overdue", "heartbeat", "findings"])
    error_message = "an alert is missing"
  }
  assert {
    condition     = alltrue([for a in azurerm_monitor_scheduled_query_rules_alert_v2.this : a.evaluation_frequency == "PT5M" && a.criteria[0].operator == "GreaterThan" && a.criteria[0].threshold == 0 && length(a.action[0].action_groups) == 1 && a.enabled])
    error_message = "an alert does not fire on the first row, or tells nobody"
  }
  assert {
    condition     = azurerm_monitor_scheduled_query_rules_alert_v2.this["overdue"].severity == 0
    error_message = "a port that stays open is the worst that can happen here"
  }
  assert {
    condition     = azurerm_monitor_metric_alert.dead_letters.criteria[0].metric_name == "DeadletteredMessages" && one(azurerm_monitor_metric_alert.dead_letters.criteria[0].dimension).values == tolist(["portcullis-revoke"]) && length(azurerm_monitor_metric_alert.dead_letters.action) == 1
    error_message = "dead letters are not watched"
  }
}

run "runtime" {
  assert {
    condition     = azurerm_service_plan.this.sku_name == "FC1" && azurerm_service_plan.this.os_type == "Linux" && azurerm_function_app_flex_consumption.this.runtime_name == "custom"
    error_message = "the app is a custom handler on Flex Consumption for Linux"
  }
  assert {
    condition     = azurerm_function_app_flex_consumption.this.app_settings["PORTCULLIS_TABLE_ENDPOINT"] == "https://contosoportcullis.table.core.windows.net" && azurerm_function_app_flex_consumption.this.app_settings["PORTCULLIS_IDENTITY_CLIENT_ID"] == "88888888-8888-8888-8888-888888888888"
    error_message = "the app is told of another storage account or identity than its own"
  }
  assert {
    condition     = !anytrue([for k in keys(azurerm_function_app_flex_consumption.this.app_settings) : startswith(k, "OTEL_")])
    error_message = "telemetry is exported though nobody asked"
  }
}

run "telemetry" {
  variables {
    otlp_endpoint = "https://collector.contoso.example"
  }
  assert {
    condition     = azurerm_function_app_flex_consumption.this.app_settings["OTEL_EXPORTER_OTLP_ENDPOINT"] == "https://collector.contoso.example"
    error_message = "the collector is not told to the app"
  }
}
