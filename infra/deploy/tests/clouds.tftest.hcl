# What differs between the clouds; planned alone, since that is known before anything is made.
mock_provider "azurerm" {
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

run "public" {
  command = plan
  assert {
    condition     = local.app_settings["PORTCULLIS_CLOUD"] == "AzurePublic" && endswith(output.service_bus, ".servicebus.windows.net")
    error_message = "the public cloud has other names"
  }
}

run "us_government" {
  command = plan
  variables {
    cloud          = "AzureUSGovernment"
    resource_group = { id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg", name = "rg", location = "usgovvirginia" }
  }
  assert {
    condition     = local.app_settings["PORTCULLIS_CLOUD"] == "AzureUSGovernment" && endswith(output.service_bus, ".servicebus.usgovcloudapi.net") && startswith(local.authentication.identityProviders.azureActiveDirectory.registration.openIdIssuer, "https://login.microsoftonline.us/")
    error_message = "Azure Government has other names"
  }
}

run "china" {
  command = plan
  variables {
    cloud          = "AzureChina"
    resource_group = { id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg", name = "rg", location = "chinaeast2" }
  }
  assert {
    condition     = local.app_settings["PORTCULLIS_CLOUD"] == "AzureChina" && endswith(output.service_bus, ".servicebus.chinacloudapi.cn") && startswith(local.authentication.identityProviders.azureActiveDirectory.registration.openIdIssuer, "https://login.partner.microsoftonline.cn/")
    error_message = "Azure in China has other names"
  }
}
