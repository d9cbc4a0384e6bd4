# What must hold of everything that is created.
mock_provider "azurerm" {
  # Where the random words of the mock would not do: ids that parse, and endpoints that
  # the settings are made from. They stand here since OpenTofu takes them from no other file.
  mock_resource "azurerm_storage_account" {
    defaults = {
      id                     = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/contosoportcullis"
      primary_table_endpoint = "https://contosoportcullis.table.core.windows.net/"
      primary_blob_endpoint  = "https://contosoportcullis.blob.core.windows.net/"
      primary_queue_endpoint = "https://contosoportcullis.queue.core.windows.net/"
    }
  }

  mock_resource "azurerm_storage_container" {
    defaults = {
      id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/contosoportcullis/blobServices/default/containers/package"
    }
  }

  mock_resource "azurerm_servicebus_namespace" {
    defaults = {
      id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ServiceBus/namespaces/contoso"
    }
  }

  mock_resource "azurerm_servicebus_queue" {
    defaults = {
      id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ServiceBus/namespaces/contoso/queues/portcullis-revoke"
    }
  }

  mock_resource "azurerm_user_assigned_identity" {
    defaults = {
      id           = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/contoso"
      client_id    = "88888888-8888-8888-8888-888888888888"
      principal_id = "99999999-9999-9999-9999-999999999999"
    }
  }

  mock_resource "azurerm_service_plan" {
    defaults = {
      id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.Web/serverFarms/contoso"
    }
  }

  mock_resource "azurerm_resource_group_template_deployment" {
    defaults = {
      output_content = "{\"hostname\":{\"type\":\"String\",\"value\":\"contoso-portcullis-fd0c7f8c.azurewebsites.net\"}}"
    }
  }

  mock_data "azurerm_client_config" {
    defaults = {
      tenant_id       = "22222222-2222-2222-2222-222222222222"
      subscription_id = "11111111-1111-1111-1111-111111111111"
    }
  }

  mock_data "azurerm_subscription" {
    defaults = {
      tenant_id = "22222222-2222-2222-2222-222222222222"
    }
  }

  mock_resource "azurerm_log_analytics_workspace" {
    defaults = {
      id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.OperationalInsights/workspaces/contoso"
    }
  }

  mock_resource "azurerm_monitor_data_collection_endpoint" {
    defaults = {
      id                      = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.Insights/dataCollectionEndpoints/contoso"
      logs_ingestion_endpoint = "https://contoso.westeurope-1.ingest.monitor.azure.com"
    }
  }

  mock_resource "azurerm_monitor_data_collection_rule" {
    defaults = {
      id           = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.Insights/dataCollectionRules/contoso"
      immutable_id = "dcr-00000000000000000000000000000001"
    }
  }

  mock_resource "azurerm_application_insights" {
    defaults = {
      id                = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.Insights/components/contoso"
      connection_string = "InstrumentationKey=00000000-0000-0000-0000-000000000000;IngestionEndpoint=https://westeurope.in.applicationinsights.azure.com/"
    }
  }

  mock_resource "azurerm_monitor_action_group" {
    defaults = {
      id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.Insights/actionGroups/contoso"
    }
  }

  mock_resource "azurerm_role_definition" {
    defaults = {
      role_definition_resource_id = "/subscriptions/11111111-1111-1111-1111-111111111111/providers/Microsoft.Authorization/roleDefinitions/aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
    }
  }
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
    condition     = !azurerm_storage_account.this[0].shared_access_key_enabled && !azurerm_storage_account.this[0].local_user_enabled
    error_message = "the storage account takes keys"
  }
  assert {
    condition     = !azurerm_servicebus_namespace.this.local_auth_enabled
    error_message = "the Service Bus namespace takes keys"
  }
  assert {
    condition     = !azurerm_application_insights.this.local_authentication_enabled && !azurerm_log_analytics_workspace.this[0].local_authentication_enabled
    error_message = "telemetry is taken from anybody who knows a key"
  }
  assert {
    condition     = local.site.functionAppConfig.deployment.storage.authentication.type == "UserAssignedIdentity" && !contains(keys(local.site.functionAppConfig.deployment.storage.authentication), "storageAccountConnectionStringName")
    error_message = "the package is read with a key"
  }
  assert {
    condition     = length([for r in jsondecode(azurerm_resource_group_template_deployment.site.template_content).resources[0].resources : r if r.type == "basicPublishingCredentialsPolicies" && !try(r.properties.allow, true)]) == 2
    error_message = "the package can be deployed with a password"
  }
  # What is sent of it is looked at in applytest/: no mock shows what a provider adds.
  assert {
    condition     = alltrue([for s in local.site.siteConfig.appSettings : !can(regex("(?i)(AccountKey|SharedAccess|password|secret=|sig=)", s.value)) && !contains(["azurewebjobsstorage", "servicebus"], lower(s.name))])
    error_message = "a setting holds a connection string or a secret"
  }
  assert {
    condition     = local.app_settings["AzureWebJobsStorage__credential"] == "managedidentity" && local.app_settings["AzureWebJobsStorage__accountName"] == local.storage_name && local.app_settings["ServiceBus__credential"] == "managedidentity"
    error_message = "the Functions host connects otherwise than with the managed identity"
  }
}

run "only_tls" {
  assert {
    condition     = azurerm_storage_account.this[0].https_traffic_only_enabled && azurerm_storage_account.this[0].min_tls_version == "TLS1_2"
    error_message = "storage takes less than TLS 1.2"
  }
  assert {
    condition     = azurerm_servicebus_namespace.this.minimum_tls_version == "1.2"
    error_message = "Service Bus takes less than TLS 1.2"
  }
  assert {
    condition     = local.site.httpsOnly && local.site.siteConfig.minTlsVersion == "1.2" && local.site.siteConfig.scmMinTlsVersion == "1.2" && local.authentication.httpSettings.requireHttps
    error_message = "the app takes less than HTTPS with TLS 1.2"
  }
}

run "nothing_public_without_need" {
  assert {
    condition     = !azurerm_storage_account.this[0].allow_nested_items_to_be_public && azurerm_storage_container.package.container_access_type == "private" && !azurerm_storage_account.this[0].cross_tenant_replication_enabled
    error_message = "blobs can be read by everybody, or copied to another tenant"
  }
  assert {
    condition     = !local.site.siteConfig.remoteDebuggingEnabled
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
    condition     = azurerm_storage_account_network_rules.closed[0].default_action == "Deny" && length(azurerm_storage_account_network_rules.closed[0].bypass) == 1 && contains(azurerm_storage_account_network_rules.closed[0].bypass, "None")
    error_message = "storage can still be reached from the Internet"
  }
  assert {
    condition     = toset(keys(azurerm_private_endpoint.storage)) == toset(["blob", "table"])
    error_message = "blob and table need a private endpoint each"
  }
  assert {
    condition     = local.site.virtualNetworkSubnetId == var.private_network.app_subnet_id
    error_message = "the app is not in the network from which storage can be reached"
  }
  assert {
    condition     = local.site.siteConfig.ipSecurityRestrictionsDefaultAction == "Deny" && [for r in local.callers : "${r.priority} ${r.action} ${r.ipAddress}"] == ["100 Allow 198.51.100.0/24", "101 Allow 203.0.113.0/24"]
    error_message = "others than the allowed callers reach the app"
  }
}

run "people_sign_in" {
  assert {
    condition     = local.authentication.platform.enabled && local.authentication.login.tokenStore.enabled
    error_message = "App Service authentication with its token store is what gives the page a signed ID token"
  }
  assert {
    condition     = contains(split(" ", local.authentication.identityProviders.azureActiveDirectory.login.loginParameters[0]), "offline_access")
    error_message = "without a refresh token people are signed out when their first ID token ends"
  }
  assert {
    condition     = !local.authentication.globalValidation.requireAuthentication && local.authentication.globalValidation.unauthenticatedClientAction == "AllowAnonymous"
    error_message = "scripts and the health function have no session; the app verifies tokens itself"
  }
  assert {
    condition     = local.authentication.identityProviders.azureActiveDirectory.registration.openIdIssuer == "https://login.microsoftonline.com/22222222-2222-2222-2222-222222222222/v2.0"
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
    condition     = azurerm_servicebus_queue.revoke.lock_duration == "PT1M" && azurerm_servicebus_queue.revoke.max_delivery_count == 10 && azurerm_servicebus_queue.revoke.dead_lettering_on_message_expiration && azurerm_servicebus_queue.revoke.default_message_ttl == "P45D"
    error_message = "the queue is not what the stand-in and the code take it for"
  }
}

run "watched" {
  variables {
    alert_emails = { security = "security@contoso.example" }
  }
  assert {
    condition     = toset(keys(azurerm_monitor_scheduled_query_rules_alert_v2.this)) == toset(["overdue", "heartbeat", "findings", "rewound"])
    error_message = "an alert is missing"
  }
  assert {
    condition     = alltrue([for a in azurerm_monitor_scheduled_query_rules_alert_v2.this : a.evaluation_frequency == (a.window_duration == "P1D" ? "PT15M" : "PT5M") && a.criteria[0].operator == "GreaterThan" && a.criteria[0].threshold == 0 && length(a.action[0].action_groups) == 1 && a.enabled])
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
    condition     = azurerm_service_plan.this.sku_name == "FC1" && azurerm_service_plan.this.os_type == "Linux" && local.site.functionAppConfig.runtime.name == "custom"
    error_message = "the app is a custom handler on Flex Consumption for Linux"
  }
  assert {
    condition     = local.app_settings["PORTCULLIS_TABLE_ENDPOINT"] == "https://${local.storage_name}.table.core.windows.net" && local.app_settings["PORTCULLIS_IDENTITY_CLIENT_ID"] == "88888888-8888-8888-8888-888888888888"
    error_message = "the app is told of another storage account or identity than its own"
  }
  assert {
    condition     = !anytrue([for k in keys(local.app_settings) : startswith(k, "OTEL_")])
    error_message = "telemetry is exported though nobody asked"
  }
}

run "telemetry" {
  variables {
    otlp_endpoint = "https://collector.contoso.example"
  }
  assert {
    condition     = local.app_settings["OTEL_EXPORTER_OTLP_ENDPOINT"] == "https://collector.contoso.example"
    error_message = "the collector is not told to the app"
  }
}

run "nothing_demanded" {
  assert {
    condition     = alltrue([for name in ["FORBID_ANY_SOURCE", "REQUIRE_JUSTIFICATION"] : local.app_settings["PORTCULLIS_${name}"] == "off"]) && alltrue([for name in ["IPV4", "IPV6"] : local.app_settings["PORTCULLIS_WIDEST_SOURCE_${name}"] == ""])
    error_message = "something is demanded of requests that nobody asked for"
  }
}

run "rights_lost_are_reported" {
  assert {
    condition     = local.app_settings["PORTCULLIS_RIGHT_LOST"] == "report"
    error_message = "windows of those who lost a right are closed, although nobody asked for it"
  }
}

run "rights_lost_close" {
  variables {
    right_lost = "close"
  }
  assert {
    condition     = local.app_settings["PORTCULLIS_RIGHT_LOST"] == "close"
    error_message = "the app is not told to close the windows of those who lost a right"
  }
}

run "quotas_of_requestors" {
  variables {
    requestor_quota = { windows = 20 }
  }
  assert {
    condition     = local.app_settings["PORTCULLIS_REQUESTOR_WINDOWS"] == "20" && local.app_settings["PORTCULLIS_REQUESTOR_ADDRESSES"] == "1000"
    error_message = "the app is not told how much one requestor may have"
  }
}

run "priorities_of_windows" {
  variables {
    window_priorities = { first = 100, last = 199 }
  }
  assert {
    condition     = local.app_settings["PORTCULLIS_WINDOW_PRIORITIES"] == "100-199" && local.app_settings["PORTCULLIS_KEPT_PRIORITIES"] == "1"
    error_message = "the app is not told which priorities windows take"
  }
}

run "no_scope_is_required" {
  assert {
    condition     = local.app_settings["PORTCULLIS_REQUIRED_SCOPE"] == ""
    error_message = "a scope is required that nobody asked for"
  }
}

run "scopes_are_required" {
  variables {
    required_scopes = ["user_impersonation", "Portcullis.Call"]
  }
  assert {
    condition     = local.app_settings["PORTCULLIS_REQUIRED_SCOPE"] == "user_impersonation,Portcullis.Call"
    error_message = "the app is not told which scopes are required"
  }
}

run "network_writes_are_limited" {
  assert {
    condition     = local.app_settings["PORTCULLIS_NETWORK_WRITE_LIMIT"] == "on"
    error_message = "the network provider's limit is not kept, although nobody said so"
  }
}

run "network_writes_are_not_limited" {
  variables {
    network_write_limit = false
  }
  assert {
    condition     = local.app_settings["PORTCULLIS_NETWORK_WRITE_LIMIT"] == "off"
    error_message = "the app is not told that the network provider's limit is not there"
  }
}

run "demands" {
  variables {
    demands = { forbid_any_source = true, widest_source_ipv4 = "/24", widest_source_ipv6 = "/64", require_justification = true }
  }
  assert {
    condition     = alltrue([for name in ["FORBID_ANY_SOURCE", "REQUIRE_JUSTIFICATION"] : local.app_settings["PORTCULLIS_${name}"] == "on"]) && local.app_settings["PORTCULLIS_WIDEST_SOURCE_IPV4"] == "/24" && local.app_settings["PORTCULLIS_WIDEST_SOURCE_IPV6"] == "/64"
    error_message = "the app is not told what is demanded of requests"
  }
}

run "tell" {
  variables {
    tell = {
      slack   = { secret_uri = "https://contoso.vault.azure.net/secrets/slack" }
      webhook = { secret_uri = "https://contoso.vault.azure.net/secrets/hook/0123456789abcdef", audience = "api://receiver" }
    }
  }
  assert {
    condition = { for name, value in local.app_settings : name => value if startswith(name, "PORTCULLIS_TELL") } == {
      PORTCULLIS_TELL                  = "slack,webhook"
      PORTCULLIS_TELL_SLACK            = "@Microsoft.KeyVault(SecretUri=https://contoso.vault.azure.net/secrets/slack)"
      PORTCULLIS_TELL_WEBHOOK          = "@Microsoft.KeyVault(SecretUri=https://contoso.vault.azure.net/secrets/hook/0123456789abcdef)"
      PORTCULLIS_TELL_WEBHOOK_AUDIENCE = "api://receiver"
    }
    error_message = "the app is not told through which channels it tells people"
  }
}

run "stream_nothing" {
  assert {
    condition     = length(azurerm_monitor_data_collection_rule.stream) == 0 && length(azurerm_sentinel_alert_rule_scheduled.stream) == 0 && length([for name in keys(local.app_settings) : name if startswith(name, "PORTCULLIS_LOG_INGESTION")]) == 0
    error_message = "the log is streamed although nobody has asked for it"
  }
}

run "stream" {
  variables {
    stream_log = {}
  }
  assert {
    condition     = local.app_settings["PORTCULLIS_LOG_INGESTION_RULE"] == azurerm_monitor_data_collection_rule.stream["log"].immutable_id && local.app_settings["PORTCULLIS_LOG_INGESTION_STREAM"] == "Custom-Portcullis" && local.app_settings["PORTCULLIS_LOG_INGESTION_ENDPOINT"] == azurerm_monitor_data_collection_endpoint.stream["log"].logs_ingestion_endpoint
    error_message = "the app is not told where to stream"
  }
  assert {
    condition     = azurerm_role_assignment.own["stream"].scope == azurerm_monitor_data_collection_rule.stream["log"].id && azurerm_role_assignment.own["stream"].role_definition_name == "Monitoring Metrics Publisher"
    error_message = "the app may not add to the rule, or more"
  }
  assert {
    condition     = length(azurerm_sentinel_alert_rule_scheduled.stream) == 0 && length(azurerm_application_insights_workbook.stream) == 0
    error_message = "rules are made where no Sentinel is said to be"
  }
  assert {
    condition     = toset([for c in azurerm_log_analytics_workspace_table_custom_log.stream["log"].column : c.name]) == toset(concat(["TimeGenerated"], [for c in local.stream_columns : c.name if c.name != "time"]))
    error_message = "the table lacks a column of the stream"
  }
}

run "stream_sentinel" {
  variables {
    stream_log = { sentinel = true, time_zone = "Europe/Berlin", workspace_id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/soc/providers/Microsoft.OperationalInsights/workspaces/soc", location = "westeurope" }
  }
  assert {
    condition     = sort(keys(azurerm_sentinel_alert_rule_scheduled.stream)) == tolist(["any_source", "break_glass", "new_place", "night", "refusals", "rewound"]) && strcontains(azurerm_sentinel_alert_rule_scheduled.stream["night"].query, "let zone = 'Europe/Berlin';")
    error_message = "a rule is missing, or does not know the time zone"
  }
  assert {
    condition     = alltrue([for r in azurerm_sentinel_alert_rule_scheduled.stream : endswith(r.log_analytics_workspace_id, "/workspaces/soc")]) && azurerm_monitor_data_collection_rule.stream["log"].location == "westeurope"
    error_message = "the rules are elsewhere than the table"
  }
}

run "critical_settings" {
  variables {
    critical_settings = ["PORTCULLIS_REQUIRE_JUSTIFICATION", "PORTCULLIS_FORBID_ANY_SOURCE"]
  }
  assert {
    condition     = local.app_settings["PORTCULLIS_CRITICAL_SETTINGS"] == "PORTCULLIS_FORBID_ANY_SOURCE,PORTCULLIS_REQUIRE_JUSTIFICATION"
    error_message = "the app is not told without which settings it must not start"
  }
}

run "own_resources" {
  assert {
    condition = { for k, a in azurerm_role_assignment.own : k => "${k == "count" ? "" : a.role_definition_name} on ${a.scope}" } == {
      count   = " on ${azurerm_servicebus_queue.revoke.id}"
      tables  = "Storage Table Data Contributor on ${azurerm_storage_account.this[0].id}"
      blobs   = "Storage Blob Data Owner on ${azurerm_storage_account.this[0].id}"
      send    = "Azure Service Bus Data Sender on ${azurerm_servicebus_queue.revoke.id}"
      receive = "Azure Service Bus Data Receiver on ${azurerm_servicebus_queue.revoke.id}"
      publish = "Monitoring Metrics Publisher on ${azurerm_application_insights.this.id}"
    }
    error_message = "the app may more, less or elsewhere than it needs to"
  }
  assert {
    condition     = alltrue([for a in concat(values(azurerm_role_assignment.app_read), values(azurerm_role_assignment.app_write), values(azurerm_role_assignment.own)) : a.principal_id == "99999999-9999-9999-9999-999999999999"])
    error_message = "the app's permissions went to somebody else"
  }
}

run "the_app_in_two_subscriptions" {
  variables {
    managed = {
      production = { subscription_id = "11111111-1111-1111-1111-111111111111" }
      laboratory = { subscription_id = "44444444-4444-4444-4444-444444444444", resource_groups = ["bench", "field"], firewall_groups = ["hub"] }
    }
    people = {
      on-call = { principal_id = "55555555-5555-5555-5555-555555555555", role = "requester", scope = "/subscriptions/44444444-4444-4444-4444-444444444444/resourceGroups/bench" }
    }
  }
  assert {
    condition = toset(azurerm_role_definition.app_write["44444444-4444-4444-4444-444444444444"].permissions[0].actions) == toset([
      "Microsoft.Network/networkSecurityGroups/write",
      "Microsoft.Network/applicationSecurityGroups/joinNetworkSecurityRule/action",
    ])
    error_message = "the app may write something else than security groups"
  }
  assert {
    condition = toset(azurerm_role_definition.app_firewall["44444444-4444-4444-4444-444444444444"].permissions[0].actions) == toset([
      "Microsoft.Network/azureFirewalls/write",
      "Microsoft.Network/publicIPAddresses/join/action",
      "Microsoft.Network/virtualNetworks/subnets/join/action",
    ]) && toset([for a in azurerm_role_assignment.app_firewall : a.scope]) == toset(["/subscriptions/44444444-4444-4444-4444-444444444444/resourceGroups/hub"])
    error_message = "the app may write firewalls elsewhere than where it is told to, or something else there"
  }
  assert {
    condition     = alltrue([for a in azurerm_role_definition.app_read["44444444-4444-4444-4444-444444444444"].permissions[0].actions : can(regex("(/read|/list[A-Za-z]+/action)$", a)) && !strcontains(a, "*")])
    error_message = "the reading role does more than read, or reads with a wildcard"
  }
  assert {
    condition     = toset([for a in azurerm_role_assignment.app_read : a.scope]) == toset(["/subscriptions/11111111-1111-1111-1111-111111111111", "/subscriptions/44444444-4444-4444-4444-444444444444"])
    error_message = "machines are found by listing whole subscriptions, each of them"
  }
  assert {
    condition = toset([for a in azurerm_role_assignment.app_write : a.scope]) == toset([
      "/subscriptions/11111111-1111-1111-1111-111111111111",
      "/subscriptions/44444444-4444-4444-4444-444444444444/resourceGroups/bench",
      "/subscriptions/44444444-4444-4444-4444-444444444444/resourceGroups/field",
    ])
    error_message = "the app may write where it was not told to, or not where it was"
  }
  assert {
    condition     = local.app_settings["PORTCULLIS_SUBSCRIPTIONS"] == "11111111-1111-1111-1111-111111111111,44444444-4444-4444-4444-444444444444"
    error_message = "the app does not sweep the subscriptions that it may change"
  }
}

run "people_in_two_subscriptions" {
  variables {
    managed = {
      production = { subscription_id = "11111111-1111-1111-1111-111111111111" }
      laboratory = { subscription_id = "44444444-4444-4444-4444-444444444444", resource_groups = ["bench", "field"] }
    }
    people = {
      on-call = { principal_id = "55555555-5555-5555-5555-555555555555", role = "requester", scope = "/subscriptions/44444444-4444-4444-4444-444444444444/resourceGroups/bench" }
    }
  }
  assert {
    condition     = toset(keys(azurerm_role_definition.people)) == toset([for p in setproduct(["11111111-1111-1111-1111-111111111111", "44444444-4444-4444-4444-444444444444"], ["viewer", "requester", "administrator"]) : join("/", p)])
    error_message = "there are three roles for people in each subscription"
  }
  assert {
    condition     = tolist(azurerm_role_definition.people["44444444-4444-4444-4444-444444444444/viewer"].permissions[0].actions) == tolist(["Microsoft.Security/locations/jitNetworkAccessPolicies/read"])
    error_message = "viewing implies something else"
  }
  assert {
    condition     = !contains(azurerm_role_definition.people["44444444-4444-4444-4444-444444444444/requester"].permissions[0].actions, "Microsoft.Security/locations/jitNetworkAccessPolicies/write") && !contains(azurerm_role_definition.people["44444444-4444-4444-4444-444444444444/requester"].permissions[0].actions, "Microsoft.Compute/virtualMachines/write")
    error_message = "who may ask for access may also change policies"
  }
  assert {
    condition     = alltrue([for r in concat(values(azurerm_role_definition.app_read), values(azurerm_role_definition.app_write), values(azurerm_role_definition.people)) : alltrue([for a in r.permissions[0].actions : !strcontains(a, "*")])])
    error_message = "a role has a wildcard"
  }
  assert {
    condition     = alltrue([for r in concat(values(azurerm_role_definition.app_read), values(azurerm_role_definition.app_write), values(azurerm_role_definition.people)) : r.assignable_scopes == tolist([r.scope])])
    error_message = "a role can be assigned elsewhere than in its own subscription"
  }
  assert {
    condition     = azurerm_role_assignment.people["on-call"].scope == "/subscriptions/44444444-4444-4444-4444-444444444444/resourceGroups/bench" && azurerm_role_assignment.people["on-call"].principal_type == "Group"
    error_message = "people got their role elsewhere"
  }
}

run "a_given_account_and_workspace" {
  variables {
    log_account_id             = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/kept/providers/Microsoft.Storage/storageAccounts/keptlog"
    log_analytics_workspace_id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/kept/providers/Microsoft.OperationalInsights/workspaces/all"
  }
  assert {
    condition     = length(azurerm_storage_account.this) == 0 && length(azurerm_log_analytics_workspace.this) == 0
    error_message = "another account or workspace is made than the one that was given"
  }
  assert {
    condition     = local.app_settings["PORTCULLIS_TABLE_ENDPOINT"] == "https://keptlog.table.core.windows.net" && azurerm_role_assignment.own["tables"].scope == var.log_account_id && azurerm_management_lock.log[0].scope == var.log_account_id
    error_message = "the app is not told of the account that was given, may not write it, or nothing guards it"
  }
  assert {
    condition     = azurerm_application_insights.this.workspace_id == var.log_analytics_workspace_id && alltrue([for d in azurerm_monitor_diagnostic_setting.this : d.log_analytics_workspace_id == var.log_analytics_workspace_id])
    error_message = "logs go elsewhere than to the workspace that was given"
  }
}

run "a_private_bus_and_zones" {
  variables {
    zone_redundant        = true
    public_network_access = false
    private_network = {
      app_subnet_id      = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/hub/subnets/app"
      endpoint_subnet_id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/hub/subnets/endpoints"
      blob_dns_zone_id   = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net"
      table_dns_zone_id  = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/privateDnsZones/privatelink.table.core.windows.net"
      site_dns_zone_id   = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/privateDnsZones/privatelink.azurewebsites.net"
      bus_dns_zone_id    = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/privateDnsZones/privatelink.servicebus.windows.net"
    }
  }
  assert {
    condition     = azurerm_servicebus_namespace.this.sku == "Premium" && !azurerm_servicebus_namespace.this.public_network_access_enabled && length(azurerm_private_endpoint.bus) == 1
    error_message = "Service Bus can still be reached from the Internet, or not at all"
  }
  assert {
    condition     = local.site.publicNetworkAccess == "Disabled" && length(azurerm_private_endpoint.site) == 1 && azurerm_service_plan.this.zone_balancing_enabled
    error_message = "the app can still be reached from the Internet, or not at all, or is in one zone"
  }
}

run "the_log_is_guarded" {
  assert {
    condition     = azurerm_management_lock.log[0].lock_level == "CanNotDelete" && azurerm_management_lock.log[0].scope == azurerm_storage_account.this[0].id
    error_message = "the account with the activity log can go in one command"
  }
  assert {
    condition     = toset(keys(azurerm_monitor_diagnostic_setting.this)) == toset(["tables", "blobs", "bus", "site"])
    error_message = "nobody sees who wrote to the tables past the app"
  }
}

run "logs_are_capped" {
  assert {
    condition     = azurerm_log_analytics_workspace.this[0].daily_quota_gb == 6 && azurerm_application_insights.this.sampling_percentage == 100
    error_message = "the workspace takes whatever comes, or ingestion leaves out lines that must not be"
  }
  assert {
    condition     = length(azurerm_monitor_scheduled_query_rules_alert_v2.capped) == 1 && azurerm_monitor_scheduled_query_rules_alert_v2.capped[0].scopes == tolist([azurerm_log_analytics_workspace.this[0].id])
    error_message = "nobody is told that the workspace takes no more"
  }
  assert {
    condition     = local.site.functionAppConfig.scaleAndConcurrency.maximumInstanceCount == 5
    error_message = "more instances count Resource Manager's limits for themselves than was decided"
  }
}

run "logs_are_not_capped" {
  variables {
    log_daily_cap_in_gb    = -1
    maximum_instance_count = 40
  }
  assert {
    condition     = azurerm_log_analytics_workspace.this[0].daily_quota_gb == -1 && length(azurerm_monitor_scheduled_query_rules_alert_v2.capped) == 0
    error_message = "there is a cap although nobody wants one"
  }
}
