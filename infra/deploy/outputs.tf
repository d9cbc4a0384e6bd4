output "url" {
  description = "Where the API is; the page is below it at /portal/."
  value       = "https://${jsondecode(azurerm_resource_group_template_deployment.site.output_content).hostname.value}/api"
}

output "function_app_name" {
  description = "For az functionapp deployment source config-zip."
  value       = local.stem
}

output "redirect_uri" {
  description = "To be entered in the app registration, for people who sign in to the page."
  value       = "https://${local.hostname}/.auth/login/aad/callback"
}

output "identity" {
  description = "The app's own identity. principal_id is the subject of the app registration's federated credential."
  value = {
    id           = azurerm_user_assigned_identity.this.id
    client_id    = azurerm_user_assigned_identity.this.client_id
    principal_id = azurerm_user_assigned_identity.this.principal_id
  }
}

output "registration" {
  description = "What the app registration is told: where people come back to, and whom it trusts in place of a client secret."
  value = {
    client_id    = var.client_id
    redirect_uri = "https://${local.hostname}/.auth/login/aad/callback"
    federated_credential = {
      issuer   = "${local.cloud.authority}/${var.tenant_id}/v2.0"
      subject  = azurerm_user_assigned_identity.this.principal_id
      audience = local.exchange[var.cloud]
    }
  }
}

output "role_definition_ids" {
  description = "The roles for people, by subscription: viewer, requester, administrator."
  value       = { for id in keys(local.managed) : id => { for role in keys(local.people_actions) : role => azurerm_role_definition.people["${id}/${role}"].role_definition_resource_id } }
}

output "table_endpoint" {
  description = "Where the tables are."
  value       = local.log_account.table_endpoint
}

output "log_account_id" {
  description = "The storage account with the tables: the activity log, policies and open windows. terraform destroy leaves it (docs/operations.md, \"Uninstalling\")."
  value       = local.log_account.id
}

output "workspace_id" {
  description = "The Log Analytics workspace."
  value       = local.workspace_id
}

output "service_bus" {
  description = "Host name of the Service Bus namespace."
  value       = local.own_settings.ServiceBus__fullyQualifiedNamespace
}

output "settings" {
  description = "What the app reads, by name. No secret is among it."
  value       = local.own_settings
}

output "callers" {
  description = "Who may reach the app at all; none named: every caller with a valid token."
  value       = [for c in local.callers : c.ipAddress]
}

output "private" {
  description = "Whether storage is behind private endpoints."
  value       = var.private_network != null
}
