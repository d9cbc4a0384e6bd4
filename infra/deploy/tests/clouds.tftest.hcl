# The three clouds.
mock_provider "azurerm" {
  source = "./tests/mock"
}

variables {
  name = "contoso-portcullis"
  resource_group = {
    id       = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg"
    name     = "rg"
    location = "usgovvirginia"
  }
  tenant_id = "22222222-2222-2222-2222-222222222222"
  client_id = "33333333-3333-3333-3333-333333333333"
  managed   = { here = { subscription_id = "11111111-1111-1111-1111-111111111111" } }
}

run "public" {
  assert {
    condition     = azurerm_function_app_flex_consumption.this.app_settings["PORTCULLIS_CLOUD"] == "AzurePublic" && endswith(output.service_bus, ".servicebus.windows.net")
    error_message = "the public cloud has other names"
  }
}

run "us_government" {
  variables {
    cloud = "AzureUSGovernment"
  }
  assert {
    condition     = azurerm_function_app_flex_consumption.this.app_settings["PORTCULLIS_CLOUD"] == "AzureUSGovernment" && endswith(output.service_bus, ".servicebus.usgovcloudapi.net") && startswith(azurerm_function_app_flex_consumption.this.auth_settings_v2[0].active_directory_v2[0].tenant_auth_endpoint, "https://login.microsoftonline.us/")
    error_message = "Azure Government has other names"
  }
}

run "china" {
  variables {
    cloud = "AzureChina"
  }
  assert {
    condition     = azurerm_function_app_flex_consumption.this.app_settings["PORTCULLIS_CLOUD"] == "AzureChina" && endswith(output.service_bus, ".servicebus.chinacloudapi.cn") && startswith(azurerm_function_app_flex_consumption.this.auth_settings_v2[0].active_directory_v2[0].tenant_auth_endpoint, "https://login.partner.microsoftonline.cn/")
    error_message = "Azure in China has other names"
  }
}
