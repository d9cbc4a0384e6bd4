# What is asked of Azure before anything is made.
data "azurerm_client_config" "current" {}

data "azurerm_subscription" "managed" {
  for_each = local.managed

  subscription_id = each.key
}

# The groups named in managed, as far as the provider can ask for them: those of its own subscription.
# One that is not there stops the plan, and stands in the error by its name.
data "azurerm_resource_group" "managed_groups" {
  for_each = toset(flatten([
    for id, m in local.managed : setunion(m.resource_groups, m.firewall_groups) if id == data.azurerm_client_config.current.subscription_id
  ]))

  name = each.value
}
