# Who may what, and where.
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
  managed = {
    production = { subscription_id = "11111111-1111-1111-1111-111111111111" }
    laboratory = { subscription_id = "44444444-4444-4444-4444-444444444444", resource_groups = ["bench", "field"] }
  }
  people = {
    on-call = { principal_id = "55555555-5555-5555-5555-555555555555", role = "requester", scope = "/subscriptions/44444444-4444-4444-4444-444444444444/resourceGroups/bench" }
  }
}

run "app" {
  assert {
    condition = toset(azurerm_role_definition.app_write.permissions[0].actions) == toset([
      "Microsoft.Network/networkSecurityGroups/write",
      "Microsoft.Network/applicationSecurityGroups/joinNetworkSecurityRule/action",
    ])
    error_message = "the app may write something else than security groups"
  }
  assert {
    condition     = alltrue([for a in azurerm_role_definition.app_read.permissions[0].actions : endswith(a, "/read") && !strcontains(a, "*")])
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
    condition     = alltrue([for a in concat(values(azurerm_role_assignment.app_read), values(azurerm_role_assignment.app_write), values(azurerm_role_assignment.own)) : a.principal_id == "99999999-9999-9999-9999-999999999999"])
    error_message = "the app's permissions went to somebody else"
  }
  assert {
    condition     = azurerm_function_app_flex_consumption.this.app_settings["PORTCULLIS_SUBSCRIPTIONS"] == "11111111-1111-1111-1111-111111111111,44444444-4444-4444-4444-444444444444"
    error_message = "the app does not sweep the subscriptions that it may change"
  }
}

run "own_resources" {
  assert {
    condition = { for k, a in azurerm_role_assignment.own : k => "${a.role_definition_name} on ${a.scope}" } == {
      tables  = "Storage Table Data Contributor on ${azurerm_storage_account.this.id}"
      blobs   = "Storage Blob Data Owner on ${azurerm_storage_account.this.id}"
      send    = "Azure Service Bus Data Sender on ${azurerm_servicebus_queue.revoke.id}"
      receive = "Azure Service Bus Data Receiver on ${azurerm_servicebus_queue.revoke.id}"
      publish = "Monitoring Metrics Publisher on ${azurerm_application_insights.this.id}"
    }
    error_message = "the app may more, less or elsewhere than it needs to"
  }
}

run "people" {
  assert {
    condition     = toset(keys(azurerm_role_definition.people)) == toset(["viewer", "requester", "administrator"])
    error_message = "there are three roles for people"
  }
  assert {
    condition     = tolist(azurerm_role_definition.people["viewer"].permissions[0].actions) == tolist(["Microsoft.Security/locations/jitNetworkAccessPolicies/read"])
    error_message = "viewing implies something else"
  }
  assert {
    condition     = !contains(azurerm_role_definition.people["requester"].permissions[0].actions, "Microsoft.Security/locations/jitNetworkAccessPolicies/write") && !contains(azurerm_role_definition.people["requester"].permissions[0].actions, "Microsoft.Compute/virtualMachines/write")
    error_message = "who may ask for access may also change policies"
  }
  assert {
    condition     = alltrue([for r in concat([azurerm_role_definition.app_read, azurerm_role_definition.app_write], values(azurerm_role_definition.people)) : alltrue([for a in r.permissions[0].actions : !strcontains(a, "*")])])
    error_message = "a role has a wildcard"
  }
  assert {
    condition     = alltrue([for r in concat([azurerm_role_definition.app_read, azurerm_role_definition.app_write], values(azurerm_role_definition.people)) : toset(r.assignable_scopes) == toset(["/subscriptions/11111111-1111-1111-1111-111111111111", "/subscriptions/44444444-4444-4444-4444-444444444444"])])
    error_message = "a role can be assigned elsewhere than in what is managed"
  }
  assert {
    condition     = azurerm_role_assignment.people["on-call"].scope == "/subscriptions/44444444-4444-4444-4444-444444444444/resourceGroups/bench" && azurerm_role_assignment.people["on-call"].principal_type == "Group"
    error_message = "people got their role elsewhere"
  }
}
