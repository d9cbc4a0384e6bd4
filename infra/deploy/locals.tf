locals {
  # What differs between the clouds; cloud.go has the same for the app.
  clouds = {
    AzurePublic       = { authority = "https://login.microsoftonline.com", bus = "servicebus.windows.net" }
    AzureUSGovernment = { authority = "https://login.microsoftonline.us", bus = "servicebus.usgovcloudapi.net" }
    AzureChina        = { authority = "https://login.partner.microsoftonline.cn", bus = "servicebus.chinacloudapi.cn" }
  }
  cloud = local.clouds[var.cloud]

  storage_name = var.storage_account_name != "" ? var.storage_account_name : substr("${substr(replace(var.name, "-", ""), 0, 14)}${sha256(var.resource_group.id)}", 0, 24)
  namespace    = "${var.name}-${substr(sha256(var.resource_group.id), 0, 8)}"

  subscriptions = { for key, m in var.managed : key => "/subscriptions/${m.subscription_id}" }
  # Where the app may write: the resource groups named, or the whole subscription.
  writable = merge([
    for key, m in var.managed : length(m.resource_groups) == 0 ? { (key) = local.subscriptions[key] } : {
      for group in m.resource_groups : "${key}/${group}" => "${local.subscriptions[key]}/resourceGroups/${group}"
    }
  ]...)
  # Where it may write firewalls too: in the resource groups named for that, and nowhere else.
  firewalls = merge([
    for key, m in var.managed : {
      for group in m.firewall_groups : "${key}/${group}" => "${local.subscriptions[key]}/resourceGroups/${group}"
    }
  ]...)
  assignable = sort(values(local.subscriptions))

  tags = merge(var.tags, { "azd-service-name" = "portcullis" })
}
