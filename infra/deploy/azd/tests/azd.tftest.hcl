# What the root of azd makes of the texts that azd hands over, and what it refuses before anything is made.
mock_provider "azurerm" {
  # The same as in module.tftest.hcl: OpenTofu takes them from no other file, and shows
  # them to the provider even where a variable is refused.
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
      output_content = "{\"hostname\":{\"type\":\"String\",\"value\":\"contoso-2707804b.azurewebsites.net\"}}"
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
  environment_name = "contoso"
  location         = "westeurope"
  subscription_id  = "11111111-1111-1111-1111-111111111111"
  client_id        = "33333333-3333-3333-3333-333333333333"
}

run "nothing_said" {
  command = plan
  assert {
    condition     = length(local.people) == 0 && length(module.portcullis.callers) == 0 && module.portcullis.settings["PORTCULLIS_FORBID_ANY_SOURCE"] == "off" && module.portcullis.settings["PORTCULLIS_RIGHT_LOST"] == "report" && !module.portcullis.private
    error_message = "azd gives away or demands something that nobody asked for"
  }
}

run "all_said" {
  command = plan
  variables {
    people                = "requester=group:55555555-5555-5555-5555-555555555555, administrator=user:66666666-6666-6666-6666-666666666666@/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/bench,viewer=app:77777777-7777-7777-7777-777777777777"
    forbid_any_source     = "on"
    require_justification = "on"
    widest_source_ipv4    = "/24"
    widest_source_ipv6    = "/64"
    right_lost            = "close"
    allowed_callers       = "203.0.113.0/24, AzureFrontDoor.Backend"
    front_door_ids        = "88888888-8888-8888-8888-888888888888"
    public_network_access = "off"
    site_dns_zone_id      = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/privateDnsZones/privatelink.azurewebsites.net"
    app_subnet_id         = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/hub/subnets/app"
    endpoint_subnet_id    = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/hub/subnets/endpoints"
    blob_dns_zone_id      = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net"
    table_dns_zone_id     = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/privateDnsZones/privatelink.table.core.windows.net"
  }
  assert {
    condition = local.people == [
      { role = "requester", type = "group", id = "55555555-5555-5555-5555-555555555555", scope = "/subscriptions/11111111-1111-1111-1111-111111111111" },
      { role = "administrator", type = "user", id = "66666666-6666-6666-6666-666666666666", scope = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/bench" },
      { role = "viewer", type = "app", id = "77777777-7777-7777-7777-777777777777", scope = "/subscriptions/11111111-1111-1111-1111-111111111111" },
    ]
    error_message = "somebody gets another role, or elsewhere, than was said"
  }
  assert {
    condition = { for name in ["FORBID_ANY_SOURCE", "REQUIRE_JUSTIFICATION", "WIDEST_SOURCE_IPV4", "WIDEST_SOURCE_IPV6", "RIGHT_LOST"] : name => module.portcullis.settings["PORTCULLIS_${name}"] } == {
      FORBID_ANY_SOURCE = "on", REQUIRE_JUSTIFICATION = "on", WIDEST_SOURCE_IPV4 = "/24", WIDEST_SOURCE_IPV6 = "/64", RIGHT_LOST = "close"
    }
    error_message = "the app is not told what is demanded"
  }
  assert {
    condition     = toset(module.portcullis.callers) == toset(["203.0.113.0/24", "AzureFrontDoor.Backend"]) && module.portcullis.private
    error_message = "others reach the app than was said, or storage stays open"
  }
}

run "a_role_that_is_none" {
  command = plan
  variables {
    people = "owner=group:55555555-5555-5555-5555-555555555555"
  }
  expect_failures = [var.people]
}

run "somebody_by_name" {
  command = plan
  variables {
    people = "viewer=user:ann@contoso.example"
  }
  expect_failures = [var.people]
}

run "somebody_without_a_type" {
  command = plan
  variables {
    people = "viewer=55555555-5555-5555-5555-555555555555"
  }
  expect_failures = [var.people]
}

run "a_scope_that_is_no_id" {
  command = plan
  variables {
    people = "viewer=group:55555555-5555-5555-5555-555555555555@bench"
  }
  expect_failures = [var.people]
}

run "a_scope_that_is_not_managed" {
  command = plan
  variables {
    people = "viewer=group:55555555-5555-5555-5555-555555555555@/subscriptions/22222222-2222-2222-2222-222222222222"
  }
  expect_failures = [var.people]
}

run "a_demand_that_is_not_understood" {
  command = plan
  variables {
    forbid_any_source = "true"
  }
  expect_failures = [var.forbid_any_source]
}

run "a_lost_right_that_is_not_understood" {
  command = plan
  variables {
    right_lost = "Close"
  }
  expect_failures = [var.right_lost]
}

run "another_demand_that_is_not_understood" {
  command = plan
  variables {
    require_justification = "yes"
  }
  expect_failures = [var.require_justification]
}

run "a_demand_of_one_family" {
  command = plan
  variables {
    widest_source_ipv4 = "/24"
  }
  expect_failures = [var.widest_source_ipv4]
}

run "a_demand_without_a_slash" {
  command = plan
  variables {
    widest_source_ipv4 = "/24"
    widest_source_ipv6 = "64"
  }
  expect_failures = [var.widest_source_ipv6]
}

run "callers_by_name" {
  command = plan
  variables {
    allowed_callers = "203.0.113.0/24,office"
  }
  expect_failures = [var.allowed_callers]
}

run "callers_that_are_nobody" {
  command = plan
  variables {
    allowed_callers = " , "
  }
  expect_failures = [var.allowed_callers]
}

run "half_a_private_network" {
  command = plan
  variables {
    app_subnet_id      = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/hub/subnets/app"
    endpoint_subnet_id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/hub/subnets/endpoints"
    blob_dns_zone_id   = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net"
  }
  expect_failures = [var.app_subnet_id]
}

run "an_endpoint_without_a_network" {
  command = plan
  variables {
    site_dns_zone_id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/privateDnsZones/privatelink.azurewebsites.net"
  }
  expect_failures = [var.site_dns_zone_id]
}

run "a_bus_without_a_network" {
  command = plan
  variables {
    bus_dns_zone_id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/privateDnsZones/privatelink.servicebus.windows.net"
  }
  expect_failures = [var.bus_dns_zone_id]
}

run "an_app_that_nobody_reaches" {
  command = plan
  variables {
    app_subnet_id         = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/hub/subnets/app"
    endpoint_subnet_id    = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/hub/subnets/endpoints"
    blob_dns_zone_id      = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net"
    table_dns_zone_id     = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/privateDnsZones/privatelink.table.core.windows.net"
    public_network_access = "off"
  }
  expect_failures = [var.public_network_access]
}

run "access_that_is_not_understood" {
  command = plan
  variables {
    public_network_access = "false"
  }
  expect_failures = [var.public_network_access]
}
