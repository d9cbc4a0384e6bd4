resource "azurerm_log_analytics_workspace" "this" {
  name                         = var.name
  resource_group_name          = var.resource_group.name
  location                     = var.resource_group.location
  tags                         = local.tags
  sku                          = "PerGB2018"
  retention_in_days            = var.log_retention_in_days
  local_authentication_enabled = false
}

resource "azurerm_application_insights" "this" {
  name                         = var.name
  resource_group_name          = var.resource_group.name
  location                     = var.resource_group.location
  tags                         = local.tags
  workspace_id                 = azurerm_log_analytics_workspace.this.id
  application_type             = "other"
  local_authentication_enabled = false
  sampling_percentage          = 100
}

resource "azurerm_monitor_action_group" "this" {
  count = length(var.alert_emails) == 0 ? 0 : 1

  name                = var.name
  resource_group_name = var.resource_group.name
  short_name          = "portcullis"
  tags                = local.tags

  dynamic "email_receiver" {
    for_each = var.alert_emails
    content {
      name                    = email_receiver.key
      email_address           = email_receiver.value
      use_common_alert_schema = true
    }
  }
}

locals {
  action_groups = concat(azurerm_monitor_action_group.this[*].id, sort(var.alert_action_group_ids))

  # Each query gives rows where something is wrong, and none where all is well.
  alerts = {
    overdue = {
      title       = "a window is open past its end"
      description = "A sweep found a window that should be closed and is not confirmed to be: its port may still be open. docs/operations.md, alert overdue."
      severity    = 0
      window      = "PT10M"
    }
    heartbeat = {
      title       = "no sweep has ended"
      description = "No sweep has succeeded for 15 minutes: nothing guarantees any more that windows close. docs/operations.md, alert heartbeat."
      severity    = 1
      window      = "PT15M"
    }
    findings = {
      title       = "a sweep found something broken"
      description = "A security group could not be read or written, rules of ours stand where nothing is stored, or an opening had to be undone. docs/operations.md, alert findings."
      severity    = 2
      window      = "PT30M"
    }
  }
}

resource "azurerm_monitor_scheduled_query_rules_alert_v2" "this" {
  for_each = local.alerts

  name                = "${var.name}-${each.key}"
  display_name        = "Portcullis: ${each.value.title}"
  description         = each.value.description
  resource_group_name = var.resource_group.name
  location            = var.resource_group.location
  tags                = local.tags

  enabled                          = true
  scopes                           = [azurerm_application_insights.this.id]
  severity                         = each.value.severity
  evaluation_frequency             = "PT5M"
  window_duration                  = each.value.window
  auto_mitigation_enabled          = true
  workspace_alerts_storage_enabled = false
  skip_query_validation            = true # the tables appear with the first telemetry

  criteria {
    query                   = file("${path.module}/queries/${each.key}.kql")
    time_aggregation_method = "Count"
    operator                = "GreaterThan"
    threshold               = 0

    failing_periods {
      minimum_failing_periods_to_trigger_alert = 1
      number_of_evaluation_periods             = 1
    }
  }

  action {
    action_groups = local.action_groups
  }
}

resource "azurerm_monitor_metric_alert" "dead_letters" {
  name                = "${var.name}-dead-letters"
  description         = "A wake-up could not be delivered ten times over. The sweep closes its window; find out why. docs/operations.md, alert dead-letters."
  resource_group_name = var.resource_group.name
  tags                = local.tags

  scopes        = [azurerm_servicebus_namespace.this.id]
  severity      = 2
  frequency     = "PT5M"
  window_size   = "PT15M"
  auto_mitigate = true

  criteria {
    metric_namespace = "Microsoft.ServiceBus/namespaces"
    metric_name      = "DeadletteredMessages"
    aggregation      = "Maximum"
    operator         = "GreaterThan"
    threshold        = 0

    dimension {
      name     = "EntityName"
      operator = "Include"
      values   = [azurerm_servicebus_queue.revoke.name]
    }
  }

  dynamic "action" {
    for_each = toset(local.action_groups)
    content {
      action_group_id = action.value
    }
  }
}

resource "azurerm_application_insights_workbook" "this" {
  name                = uuidv5("url", "${var.resource_group.id}/portcullis/${var.name}")
  resource_group_name = var.resource_group.name
  location            = var.resource_group.location
  tags                = local.tags
  display_name        = "Portcullis (${var.name})"
  source_id           = lower(azurerm_application_insights.this.id)
  category            = "workbook"
  data_json           = local.workbook
}

locals {
  workbook = jsonencode({
    version = "Notebook/1.0"
    items = [for tile in [
      { query = "sweeps", title = "Sweeps and what they found", chart = "table" },
      { query = "overdue", title = "Windows past their end (nothing is good)", chart = "table" },
      { query = "findings", title = "Findings to act on", chart = "table" },
      { query = "requests", title = "Calls by function and outcome", chart = "timechart" },
      { query = "latency", title = "How long calls take, 95th percentile", chart = "timechart" },
      { query = "failures", title = "Failures", chart = "table" },
      ] : {
      type = 3
      name = tile.query
      content = {
        version       = "KqlItem/1.0"
        title         = tile.title
        query         = file("${path.module}/queries/${tile.query}.kql")
        size          = 0
        timeContext   = { durationMs = 86400000 }
        queryType     = 0
        resourceType  = "microsoft.insights/components"
        visualization = tile.chart
      }
    }]
    "$schema" = "https://github.com/Microsoft/Application-Insights-Workbooks/blob/master/schema/workbook.json"
  })
}
