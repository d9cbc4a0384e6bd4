resource "azurerm_service_plan" "this" {
  name                = local.stem
  resource_group_name = var.resource_group.name
  location            = var.resource_group.location
  tags                = local.tags

  os_type                = "Linux"
  sku_name               = "FC1" # Flex Consumption
  zone_balancing_enabled = var.zone_redundant
}

locals {
  # What the app reads. A PORTCULLIS_ setting that a version does not know has no effect there; health names it.
  own_settings = {
    PORTCULLIS_CLOUD                    = var.cloud
    PORTCULLIS_TENANT                   = var.tenant_id
    PORTCULLIS_AUDIENCE                 = "api://${var.client_id},${var.client_id}"
    PORTCULLIS_REQUIRED_SCOPE           = join(",", var.required_scopes)
    PORTCULLIS_SUBSCRIPTIONS            = join(",", sort(keys(local.managed)))
    PORTCULLIS_TABLE_ENDPOINT           = local.log_account.table_endpoint
    PORTCULLIS_IDENTITY_CLIENT_ID       = azurerm_user_assigned_identity.this.client_id
    PORTCULLIS_FORBID_ANY_SOURCE        = var.demands.forbid_any_source ? "on" : "off"
    PORTCULLIS_WIDEST_SOURCE_IPV4       = var.demands.widest_source_ipv4
    PORTCULLIS_WIDEST_SOURCE_IPV6       = var.demands.widest_source_ipv6
    PORTCULLIS_REQUIRE_JUSTIFICATION    = var.demands.require_justification ? "on" : "off"
    PORTCULLIS_REQUESTOR_WINDOWS        = tostring(var.requestor_quota.windows)
    PORTCULLIS_REQUESTOR_ADDRESSES      = tostring(var.requestor_quota.addresses)
    PORTCULLIS_WINDOW_PRIORITIES        = "${var.window_priorities.first}-${var.window_priorities.last}"
    PORTCULLIS_KEPT_PRIORITIES          = tostring(var.window_priorities.kept)
    PORTCULLIS_RIGHT_LOST               = var.right_lost
    PORTCULLIS_REMOVED_WINDOWS          = var.removed_windows
    PORTCULLIS_BREAK_GLASS_MAX_DURATION = var.break_glass_max_duration
    PORTCULLIS_NETWORK_WRITE_LIMIT      = var.network_write_limit ? "on" : "off"
    ASPNETCORE_FORWARDEDHEADERS_ENABLED = "true" # else the caller's address is the front end's
    ServiceBus__fullyQualifiedNamespace = "${azurerm_servicebus_namespace.this.name}.${local.cloud.bus}"
  }

  # Identity-based connections of the Functions host: no connection string, no key.
  host_settings = {
    # Both forms: with the URIs alone a start on Flex Consumption fails now and then
    # (azure-functions-host issue 11787), and the name alone means the public cloud's suffix.
    AzureWebJobsStorage__accountName     = local.log_account.name
    AzureWebJobsStorage__blobServiceUri  = local.log_account.blob_endpoint
    AzureWebJobsStorage__queueServiceUri = local.log_account.queue_endpoint
    AzureWebJobsStorage__tableServiceUri = local.log_account.table_endpoint
    AzureWebJobsStorage__credential      = "managedidentity"
    AzureWebJobsStorage__clientId        = azurerm_user_assigned_identity.this.client_id

    ServiceBus__credential = "managedidentity"
    ServiceBus__clientId   = azurerm_user_assigned_identity.this.client_id

    # It identifies and does not authorize, since local authentication is off: nothing to hide in a plan,
    # where what is not shown could not be reviewed.
    APPLICATIONINSIGHTS_CONNECTION_STRING     = nonsensitive(azurerm_application_insights.this.connection_string)
    APPLICATIONINSIGHTS_AUTHENTICATION_STRING = "ClientId=${azurerm_user_assigned_identity.this.client_id};Authorization=AAD"

    AzureWebJobsDisableHomepage = "true"

    # App Service authentication signs people in with the managed identity in place of a client
    # secret: the app registration trusts it by a federated credential (README.md).
    OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID = azurerm_user_assigned_identity.this.client_id
  }

  optional_settings = merge(
    var.otlp_endpoint == "" ? {} : { OTEL_EXPORTER_OTLP_ENDPOINT = var.otlp_endpoint, OTEL_SERVICE_NAME = var.name },
    length(var.tell) == 0 ? {} : { PORTCULLIS_TELL = join(",", sort(keys(var.tell))) },
    { for name, channel in var.tell : "PORTCULLIS_TELL_${upper(name)}" => "@Microsoft.KeyVault(SecretUri=${channel.secret_uri})" },
    { for name, channel in var.tell : "PORTCULLIS_TELL_${upper(name)}_AUDIENCE" => channel.audience if channel.audience != "" },
    local.stream_settings,
    var.approval.approvers == 0 ? {} : { PORTCULLIS_APPROVERS = tostring(var.approval.approvers) },
    var.max_start_ahead == "" ? {} : { PORTCULLIS_MAX_START_AHEAD = var.max_start_ahead },
    var.approval.wait == "" ? {} : { PORTCULLIS_APPROVAL_WAIT = var.approval.wait },
    length(var.critical_settings) == 0 ? {} : { PORTCULLIS_CRITICAL_SETTINGS = join(",", sort(var.critical_settings)) },
  )

  app_settings = merge(local.own_settings, local.host_settings, local.optional_settings)

  # Ranges come as they are; a service tag says so, and the front doors of others stay outside.
  callers = [for i, caller in sort(var.allowed_callers) : merge(
    { name = "caller-${100 + i}", action = "Allow", priority = 100 + i, ipAddress = caller },
    can(cidrhost(caller, 0)) ? {} : { tag = "ServiceTag" },
    caller == "AzureFrontDoor.Backend" ? { headers = { "x-azure-fdid" = sort(var.front_door_ids) } } : {},
  )]

  site = merge(
    {
      serverFarmId        = azurerm_service_plan.this.id
      reserved            = true # Linux
      httpsOnly           = true
      publicNetworkAccess = var.public_network_access ? "Enabled" : "Disabled"

      functionAppConfig = {
        deployment = {
          storage = {
            type  = "blobContainer"
            value = "${local.log_account.blob_endpoint}/${azurerm_storage_container.package.name}"
            authentication = {
              type                           = "UserAssignedIdentity"
              userAssignedIdentityResourceId = azurerm_user_assigned_identity.this.id
            }
          }
        }
        runtime = { name = "custom", version = "1.0" }
        scaleAndConcurrency = {
          alwaysReady          = [for name, count in var.always_ready : { name = name, instanceCount = count }]
          instanceMemoryMB     = var.instance_memory_in_mb
          maximumInstanceCount = var.maximum_instance_count
        }
      }

      siteConfig = {
        appSettings            = [for name in sort(keys(local.app_settings)) : { name = name, value = local.app_settings[name] }]
        publicNetworkAccess    = var.public_network_access ? "Enabled" : "Disabled"
        minTlsVersion          = "1.2"
        scmMinTlsVersion       = "1.2"
        http20Enabled          = true
        ftpsState              = "Disabled"
        remoteDebuggingEnabled = false
        webSocketsEnabled      = false

        ipSecurityRestrictions              = local.callers
        ipSecurityRestrictionsDefaultAction = length(local.callers) == 0 ? "Allow" : "Deny"
        # Deployments come from pipelines; Entra ID guards them.
        scmIpSecurityRestrictionsUseMain       = false
        scmIpSecurityRestrictionsDefaultAction = "Allow"
      }
    },
    length(var.tell) == 0 ? {} : { keyVaultReferenceIdentity = azurerm_user_assigned_identity.this.id }, # by itself the platform asks the Key Vault as the system-assigned one
    var.private_network == null ? {} : { virtualNetworkSubnetId = var.private_network.app_subnet_id },
  )

  # Signs people in for the page and forwards their ID token. It lets everybody else
  # through on purpose: the app verifies every token itself, scripts send bearer
  # tokens, and the health function takes none.
  authentication = {
    platform         = { enabled = true, runtimeVersion = "~1" }
    globalValidation = { requireAuthentication = false, unauthenticatedClientAction = "AllowAnonymous", redirectToProvider = "azureactivedirectory" }
    httpSettings     = { requireHttps = true, routes = { apiPrefix = "/.auth" }, forwardProxy = { convention = "NoProxy" } }
    identityProviders = {
      azureActiveDirectory = {
        enabled = true
        registration = {
          clientId                = var.client_id
          openIdIssuer            = "${local.cloud.authority}/${var.tenant_id}/v2.0"
          clientSecretSettingName = "OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID"
        }
        # The token that is forwarded ends after an hour and the session after eight: with a refresh token the page can ask
        # the platform for the next (/.auth/refresh).
        login      = { loginParameters = ["scope=openid profile email offline_access"] }
        validation = { allowedAudiences = ["api://${var.client_id}", var.client_id] }
      }
    }
    login = {
      tokenStore                  = { enabled = true, tokenRefreshExtensionHours = 24 }
      nonce                       = { validateNonce = true, nonceExpirationInterval = "00:05:00" }
      cookieExpiration            = { convention = "FixedTime", timeToExpiration = "08:00:00" }
      allowedExternalRedirectUrls = []
    }
  }

  site_id  = "${var.resource_group.id}/providers/Microsoft.Web/sites/${local.stem}"
  hostname = "${local.stem}.${local.cloud.sites}"
}

# A template and not azurerm_function_app_flex_consumption, which sends a setting AzureWebJobsStorage
# with an empty key that the Functions host prefers to the identity (docs/decisions/014).
resource "azurerm_resource_group_template_deployment" "site" {
  name                = "${local.stem}-site"
  resource_group_name = var.resource_group.name
  deployment_mode     = "Incremental"
  tags                = local.tags

  template_content = file("${path.module}/site.json")
  parameters_content = jsonencode({ for name, value in {
    name           = local.stem
    location       = var.resource_group.location
    tags           = local.tags
    identity       = { type = "UserAssigned", userAssignedIdentities = { (azurerm_user_assigned_identity.this.id) = {} } }
    properties     = local.site
    authentication = local.authentication
  } : name => { value = value } })

  lifecycle {
    precondition {
      condition     = !contains([for name in keys(local.app_settings) : lower(name)], "azurewebjobsstorage")
      error_message = "A setting AzureWebJobsStorage would take the place of the managed identity."
    }
    postcondition {
      condition     = jsondecode(self.output_content).hostname.value == local.hostname
      error_message = "Azure gave the site another host name than ${local.hostname}: the outputs url and redirect_uri would be wrong."
    }
  }

  # The app starts with this, so that what it may do and where it reads come first. Who leaves the
  # private network leaves storage's endpoints after it.
  depends_on = [azurerm_role_assignment.own, azurerm_private_endpoint.storage, azurerm_private_endpoint.bus]
}
