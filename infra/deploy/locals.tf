locals {
  # What differs between the clouds; cloud.go has the same for the app.
  clouds = {
    AzurePublic       = { authority = "https://login.microsoftonline.com", bus = "servicebus.windows.net", storage = "core.windows.net", sites = "azurewebsites.net" }
    AzureUSGovernment = { authority = "https://login.microsoftonline.us", bus = "servicebus.usgovcloudapi.net", storage = "core.usgovcloudapi.net", sites = "azurewebsites.us" }
    AzureChina        = { authority = "https://login.partner.microsoftonline.cn", bus = "servicebus.chinacloudapi.cn", storage = "core.chinacloudapi.cn", sites = "chinacloudsites.cn" }
  }
  cloud = local.clouds[var.cloud]
  # The audience of a federated credential has a name of its own in each.
  exchange = {
    AzurePublic       = "api://AzureADTokenExchange"
    AzureUSGovernment = "api://AzureADTokenExchangeUSGov"
    AzureChina        = "api://AzureADTokenExchangeChina"
  }

  # Names that are unique in the world carry a digest of where they are. The Functions host tells
  # apps on one storage account apart by 32 letters of their names: 23, a hyphen and 8.
  digest       = substr(sha256(lower(var.resource_group.id)), 0, 8)
  stem         = "${var.name}-${local.digest}"
  storage_name = var.storage_account_name != "" ? var.storage_account_name : "${substr(replace(var.name, "-", ""), 0, 14)}${substr(sha256(lower(var.resource_group.id)), 0, 10)}"

  # The subscriptions by their ids: what stands in state is then the same, whatever else is managed.
  managed = { for m in values(var.managed) : m.subscription_id => m }
  # Where the app may write: the resource groups named, or the whole subscription.
  writable = merge([
    for id, m in local.managed : length(m.resource_groups) == 0 ? { (id) = { subscription = id, scope = "/subscriptions/${id}" } } : {
      for group in m.resource_groups : "${id}/${lower(group)}" => { subscription = id, scope = "/subscriptions/${id}/resourceGroups/${group}" }
    }
  ]...)
  # Where it may write firewalls too: in the resource groups named for that, and nowhere else.
  firewalls = merge([
    for id, m in local.managed : {
      for group in m.firewall_groups : "${id}/${lower(group)}" => { subscription = id, scope = "/subscriptions/${id}/resourceGroups/${group}" }
    }
  ]...)

  tags = merge(var.tags, { "azd-service-name" = "portcullis" })
}
