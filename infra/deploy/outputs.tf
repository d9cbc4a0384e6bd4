output "url" {
  description = "Where the API is; the page is below it at /portal/."
  value       = "https://${azurerm_function_app_flex_consumption.this.default_hostname}/api"
}

output "function_app_name" {
  description = "For az functionapp deployment source config-zip."
  value       = azurerm_function_app_flex_consumption.this.name
}

output "redirect_uri" {
  description = "To be entered in the app registration, for people who sign in to the page."
  value       = "https://${azurerm_function_app_flex_consumption.this.default_hostname}/.auth/login/aad/callback"
}

output "identity" {
  description = "The app's own identity. principal_id is the subject of the app registration's federated credential."
  value = {
    id           = azurerm_user_assigned_identity.this.id
    client_id    = azurerm_user_assigned_identity.this.client_id
    principal_id = azurerm_user_assigned_identity.this.principal_id
  }
}

output "role_definition_ids" {
  description = "The roles for people: viewer, requester, administrator."
  value       = { for name, role in azurerm_role_definition.people : name => role.role_definition_resource_id }
}

output "table_endpoint" {
  description = "Where the tables are."
  value       = azurerm_storage_account.this.primary_table_endpoint
}

output "service_bus" {
  description = "Host name of the Service Bus namespace."
  value       = local.own_settings.ServiceBus__fullyQualifiedNamespace
}
