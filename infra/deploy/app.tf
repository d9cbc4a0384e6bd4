resource "azurerm_service_plan" "this" {
  name                = var.name
  resource_group_name = var.resource_group.name
  location            = var.resource_group.location
  tags                = local.tags

  os_type  = "Linux"
  sku_name = "FC1" # Flex Consumption
}

locals {
  # What the app reads. A PORTCULLIS_ setting that a version does not know has no effect there; health names it.
  own_settings = {
    PORTCULLIS_CLOUD                    = var.cloud
    PORTCULLIS_TENANT                   = var.tenant_id
    PORTCULLIS_AUDIENCE                 = "api://${var.client_id},${var.client_id}"
    PORTCULLIS_SUBSCRIPTIONS            = join(",", sort([for m in values(var.managed) : m.subscription_id]))
    PORTCULLIS_TABLE_ENDPOINT           = trimsuffix(azurerm_storage_account.this.primary_table_endpoint, "/")
    PORTCULLIS_IDENTITY_CLIENT_ID       = azurerm_user_assigned_identity.this.client_id
    PORTCULLIS_FORBID_ANY_SOURCE        = var.demands.forbid_any_source ? "on" : "off"
    PORTCULLIS_WIDEST_SOURCE_IPV4       = var.demands.widest_source_ipv4
    PORTCULLIS_WIDEST_SOURCE_IPV6       = var.demands.widest_source_ipv6
    PORTCULLIS_REQUIRE_JUSTIFICATION    = var.demands.require_justification ? "on" : "off"
    PORTCULLIS_NETWORK_WRITE_LIMIT      = var.network_write_limit ? "on" : "off"
    ASPNETCORE_FORWARDEDHEADERS_ENABLED = "true"
    ServiceBus__fullyQualifiedNamespace = "${azurerm_servicebus_namespace.this.name}.${local.cloud.bus}"
  }

  # Identity-based connections of the Functions host: no connection string, no key.
  host_settings = {
    AzureWebJobsStorage__blobServiceUri  = trimsuffix(azurerm_storage_account.this.primary_blob_endpoint, "/")
    AzureWebJobsStorage__queueServiceUri = trimsuffix(azurerm_storage_account.this.primary_queue_endpoint, "/")
    AzureWebJobsStorage__tableServiceUri = trimsuffix(azurerm_storage_account.this.primary_table_endpoint, "/")
    AzureWebJobsStorage__credential      = "managedidentity"
    AzureWebJobsStorage__clientId        = azurerm_user_assigned_identity.this.client_id

    AzureWebJobsDisableHomepage = "true"

    ServiceBus__credential = "managedidentity"
    ServiceBus__clientId   = azurerm_user_assigned_identity.this.client_id

    ASPNETCORE_FORWARDEDHEADERS_ENABLED = "true" # else the caller's address is the front end's
    AzureWebJobsDisableHomepage         = "true"

    APPLICATIONINSIGHTS_AUTHENTICATION_STRING = "ClientId=${azurerm_user_assigned_identity.this.client_id};Authorization=AAD"

    # App Service authentication signs people in with the managed identity in place of a client
    # secret: the app registration trusts it by a federated credential (README.md).
    OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID = azurerm_user_assigned_identity.this.client_id
  }

  otlp_settings = var.otlp_endpoint == "" ? {} : {
    OTEL_EXPORTER_OTLP_ENDPOINT = var.otlp_endpoint
    OTEL_SERVICE_NAME           = var.name
  }
}

resource "azurerm_function_app_flex_consumption" "this" {
  name                = var.name
  resource_group_name = var.resource_group.name
  location            = var.resource_group.location
  service_plan_id     = azurerm_service_plan.this.id
  tags                = local.tags

  runtime_name           = "custom"
  runtime_version        = "1.0"
  instance_memory_in_mb  = var.instance_memory_in_mb
  maximum_instance_count = var.maximum_instance_count

  storage_container_type            = "blobContainer"
  storage_container_endpoint        = "${azurerm_storage_account.this.primary_blob_endpoint}${azurerm_storage_container.package.name}"
  storage_authentication_type       = "UserAssignedIdentity"
  storage_user_assigned_identity_id = azurerm_user_assigned_identity.this.id

  https_only                                     = true
  public_network_access_enabled                  = true # callers; see allowed_callers
  webdeploy_publish_basic_authentication_enabled = false
  virtual_network_subnet_id                      = try(var.private_network.app_subnet_id, null)

  app_settings = merge(local.own_settings, local.host_settings, local.otlp_settings)

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.this.id]
  }

  dynamic "always_ready" {
    for_each = var.always_ready
    content {
      name           = always_ready.key
      instance_count = always_ready.value
    }
  }

  site_config {
    application_insights_connection_string = azurerm_application_insights.this.connection_string
    minimum_tls_version                    = "1.2"
    scm_minimum_tls_version                = "1.2"
    http2_enabled                          = true
    remote_debugging_enabled               = false
    websockets_enabled                     = false

    ip_restriction_default_action     = length(var.allowed_callers) == 0 ? "Allow" : "Deny"
    scm_use_main_ip_restriction       = false
    scm_ip_restriction_default_action = "Allow" # deployments come from pipelines; Entra ID guards them

    dynamic "ip_restriction" {
      for_each = { for i, c in sort(var.allowed_callers) : c => 100 + i }
      content {
        name       = "caller-${ip_restriction.value}"
        action     = "Allow"
        priority   = ip_restriction.value
        ip_address = ip_restriction.key
      }
    }
  }

  # Signs people in for the page and forwards their ID token. It lets everybody else
  # through on purpose: the app verifies every token itself, scripts send bearer
  # tokens, and the health function takes none.
  auth_settings_v2 {
    auth_enabled           = true
    require_authentication = false
    unauthenticated_action = "AllowAnonymous"
    default_provider       = "azureactivedirectory"
    require_https          = true
    runtime_version        = "~1"

    active_directory_v2 {
      client_id                  = var.client_id
      tenant_auth_endpoint       = "${local.cloud.authority}/${var.tenant_id}/v2.0"
      allowed_audiences          = ["api://${var.client_id}", var.client_id]
      client_secret_setting_name = "OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID"
    }

    login {
      token_store_enabled            = true
      token_refresh_extension_time   = 24
      validate_nonce                 = true
      cookie_expiration_convention   = "FixedTime"
      cookie_expiration_time         = "08:00:00"
      allowed_external_redirect_urls = []
    }
  }

  depends_on = [azurerm_role_assignment.own]
}
