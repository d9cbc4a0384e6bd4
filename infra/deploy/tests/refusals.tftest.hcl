# Variables that must be refused before anything is created.
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

run "a_collector_without_tls" {
  command = plan
  variables {
    otlp_endpoint = "http://collector.contoso.example"
  }
  expect_failures = [var.otlp_endpoint]
}

run "callers_that_are_no_range" {
  command = plan
  variables {
    allowed_callers = ["everybody"]
  }
  expect_failures = [var.allowed_callers]
}
