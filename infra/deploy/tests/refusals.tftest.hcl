# Variables that must be refused before anything is created.
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

run "a_name_with_capitals" {
  command = plan
  variables {
    name = "Contoso"
  }
  expect_failures = [var.name]
}

run "an_unknown_cloud" {
  command = plan
  variables {
    cloud = "AzureGermany"
  }
  expect_failures = [var.cloud]
}

run "nothing_managed" {
  command = plan
  variables {
    managed = {}
  }
  expect_failures = [var.managed]
}

run "a_subscription_in_capitals" {
  command = plan
  variables {
    managed = { here = { subscription_id = "AAAAAAAA-1111-1111-1111-111111111111" } }
  }
  expect_failures = [var.managed]
}

run "a_subscription_twice" {
  command = plan
  variables {
    managed = { a = { subscription_id = "11111111-1111-1111-1111-111111111111" }, b = { subscription_id = "11111111-1111-1111-1111-111111111111", resource_groups = ["x"] } }
  }
  expect_failures = [var.managed]
}

run "a_tenant_by_name" {
  command = plan
  variables {
    tenant_id = "contoso.onmicrosoft.com"
  }
  expect_failures = [var.tenant_id]
}

run "a_role_of_no_kind" {
  command = plan
  variables {
    people = { x = { principal_id = "55555555-5555-5555-5555-555555555555", role = "owner", scope = "/subscriptions/11111111-1111-1111-1111-111111111111" } }
  }
  expect_failures = [var.people]
}

run "people_outside_of_what_is_managed" {
  command = plan
  variables {
    people = { x = { principal_id = "55555555-5555-5555-5555-555555555555", role = "viewer", scope = "/subscriptions/11111111-1111-1111-1111-1111111111112" } }
  }
  expect_failures = [var.people]
}

run "a_channel_that_is_none" {
  command = plan
  variables {
    tell = { sms = { secret_uri = "https://contoso.vault.azure.net/secrets/sms" } }
  }
  expect_failures = [var.tell]
}

run "an_address_in_place_of_a_secret" {
  command = plan
  variables {
    tell = { slack = { secret_uri = "https://hooks.contoso.example/services/T0/B0/x" } }
  }
  expect_failures = [var.tell]
}

run "an_audience_of_a_channel_without_tokens" {
  command = plan
  variables {
    tell = { teams = { secret_uri = "https://contoso.vault.azure.net/secrets/teams", audience = "api://x" } }
  }
  expect_failures = [var.tell]
}

run "a_collector_without_tls" {
  command = plan
  variables {
    otlp_endpoint = "http://collector.contoso.example"
  }
  expect_failures = [var.otlp_endpoint]
}

run "a_demand_that_bounds_one_family" {
  command = plan
  variables {
    demands = { widest_source_ipv4 = "/24" }
  }
  expect_failures = [var.demands]
}

run "a_demand_that_bounds_nothing" {
  command = plan
  variables {
    demands = { widest_source_ipv4 = "/0", widest_source_ipv6 = "/64" }
  }
  expect_failures = [var.demands]
}

run "a_lost_right_that_is_not_understood" {
  command = plan
  variables {
    right_lost = "Close"
  }
  expect_failures = [var.right_lost]
}

run "callers_that_are_no_range" {
  command = plan
  variables {
    allowed_callers = ["everybody"]
  }
  expect_failures = [var.allowed_callers]
}

run "a_name_too_long" {
  command = plan
  variables {
    name = "contoso-portcullis-2026x"
  }
  expect_failures = [var.name]
}

run "another_tenant_than_the_provider_s" {
  command = plan
  variables {
    tenant_id = "44444444-4444-4444-4444-444444444444"
  }
  expect_failures = [var.tenant_id]
}

run "a_cloud_that_has_no_such_region" {
  command = plan
  variables {
    cloud = "AzureChina"
  }
  expect_failures = [var.cloud]
}

run "a_region_of_another_cloud" {
  command = plan
  variables {
    resource_group = { id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg", name = "rg", location = "US Gov Virginia" }
  }
  expect_failures = [var.cloud]
}

run "a_group_by_its_id" {
  command = plan
  variables {
    managed = { here = { subscription_id = "11111111-1111-1111-1111-111111111111", resource_groups = ["/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/x"] } }
  }
  expect_failures = [var.managed]
}

run "a_group_twice" {
  command = plan
  variables {
    managed = { here = { subscription_id = "11111111-1111-1111-1111-111111111111", resource_groups = ["bench", "Bench"] } }
  }
  expect_failures = [var.managed]
}

run "somebody_by_name" {
  command = plan
  variables {
    people = { x = { principal_id = "on-call", role = "viewer", scope = "/subscriptions/11111111-1111-1111-1111-111111111111" } }
  }
  expect_failures = [var.people]
}

run "somebody_twice" {
  command = plan
  variables {
    people = {
      x = { principal_id = "55555555-5555-5555-5555-555555555555", role = "viewer", scope = "/subscriptions/11111111-1111-1111-1111-111111111111" }
      y = { principal_id = "55555555-5555-5555-5555-555555555555", role = "viewer", scope = "/subscriptions/11111111-1111-1111-1111-111111111111" }
    }
  }
  expect_failures = [var.people]
}

run "callers_that_overlap" {
  command = plan
  variables {
    allowed_callers = ["203.0.113.0/24", "203.0.113.128/25"]
  }
  expect_failures = [var.allowed_callers]
}

run "callers_that_overlap_in_ipv6" {
  command = plan
  variables {
    allowed_callers = ["2001:db8::/32", "2001:db8:1::/48"]
  }
  expect_failures = [var.allowed_callers]
}

run "the_front_doors_of_everybody" {
  command = plan
  variables {
    allowed_callers = ["AzureFrontDoor.Backend"]
  }
  expect_failures = [var.front_door_ids]
}

run "front_doors_that_nobody_lets_in" {
  command = plan
  variables {
    front_door_ids = ["99999999-9999-9999-9999-999999999999"]
  }
  expect_failures = [var.front_door_ids]
}

run "endpoints_in_the_app_s_subnet" {
  command = plan
  variables {
    private_network = {
      app_subnet_id      = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/hub/subnets/app"
      endpoint_subnet_id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/hub/subnets/app"
      blob_dns_zone_id   = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net"
      table_dns_zone_id  = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/privateDnsZones/privatelink.table.core.windows.net"
    }
  }
  expect_failures = [var.private_network]
}

run "a_zone_of_something_else" {
  command = plan
  variables {
    private_network = {
      app_subnet_id      = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/hub/subnets/app"
      endpoint_subnet_id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/hub/subnets/endpoints"
      blob_dns_zone_id   = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/privateDnsZones/privatelink.file.core.windows.net"
      table_dns_zone_id  = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/n/providers/Microsoft.Network/privateDnsZones/privatelink.table.core.windows.net"
    }
  }
  expect_failures = [var.private_network]
}

run "an_app_that_nobody_reaches" {
  command = plan
  variables {
    public_network_access = false
  }
  expect_failures = [var.public_network_access]
}

run "an_account_by_name" {
  command = plan
  variables {
    log_account_id = "keptlog"
  }
  expect_failures = [var.log_account_id]
}

run "an_account_given_and_named" {
  command = plan
  variables {
    log_account_id       = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/kept/providers/Microsoft.Storage/storageAccounts/keptlog"
    storage_account_name = "another"
  }
  expect_failures = [var.log_account_id]
}

run "a_workspace_by_name" {
  command = plan
  variables {
    log_analytics_workspace_id = "all"
  }
  expect_failures = [var.log_analytics_workspace_id]
}

run "a_cap_that_strangers_could_meet" {
  command = plan
  variables {
    log_daily_cap_in_gb = 5
  }
  expect_failures = [var.log_daily_cap_in_gb]
}

run "a_cap_that_more_instances_could_meet" {
  command = plan
  variables {
    maximum_instance_count = 6
  }
  expect_failures = [var.log_daily_cap_in_gb]
}

run "no_logs_at_all" {
  command = plan
  variables {
    log_daily_cap_in_gb = 0
  }
  expect_failures = [var.log_daily_cap_in_gb]
}

run "more_instances_than_the_pacer_can_answer_for" {
  command = plan
  variables {
    maximum_instance_count = 41
    log_daily_cap_in_gb    = -1
  }
  expect_failures = [var.maximum_instance_count]
}
