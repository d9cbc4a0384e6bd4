resource "azurerm_log_analytics_workspace" "this" {
  count = var.log_analytics_workspace_id == "" ? 1 : 0

  name                         = local.stem
  resource_group_name          = var.resource_group.name
  location                     = var.resource_group.location
  tags                         = local.tags
  sku                          = "PerGB2018"
  retention_in_days            = var.log_retention_in_days
  local_authentication_enabled = false
  # The last resort, above what the bounds of the app and of host.json let strangers cause: at the cap alerts see nothing.
  daily_quota_gb = var.log_daily_cap_in_gb
}

locals {
  workspace_id = var.log_analytics_workspace_id == "" ? one(azurerm_log_analytics_workspace.this[*].id) : var.log_analytics_workspace_id
}

resource "azurerm_application_insights" "this" {
  name                         = local.stem
  resource_group_name          = var.resource_group.name
  location                     = var.resource_group.location
  tags                         = local.tags
  workspace_id                 = local.workspace_id
  application_type             = "other"
  local_authentication_enabled = false
  sampling_percentage          = 100
}

resource "azurerm_monitor_action_group" "this" {
  count = length(var.alert_emails) == 0 ? 0 : 1

  name                = local.stem
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
      description = "A security group could not be read or written, rules of ours stand where nothing is stored, an opening had to be undone, a window stands open whose owner has lost the right to it or that is more than is demanded now, a window was closed before its end, a protected machine seems to have moved, so that nobody can open it, or the activity log is not what was streamed of it. docs/operations.md, alert findings."
      severity    = 2
      window      = "PT30M"
    }
    rewound = {
      title       = "the activity log is not what it was"
      description = "Two heads of a chain of the activity log were stated that do not go together: somebody has put back or rewritten rows of the storage account. docs/operations.md, alert rewound."
      severity    = 1
      window      = "P1D"
      every       = "PT15M"
    }
  }
}

resource "azurerm_monitor_scheduled_query_rules_alert_v2" "this" {
  for_each = local.alerts

  name                = "${local.stem}-${each.key}"
  display_name        = "Portcullis: ${each.value.title}"
  description         = each.value.description
  resource_group_name = var.resource_group.name
  location            = var.resource_group.location
  tags                = local.tags

  enabled                          = true
  scopes                           = [azurerm_application_insights.this.id]
  severity                         = each.value.severity
  evaluation_frequency             = try(each.value.every, "PT5M")
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

  # An action without groups is not kept, and every plan would add it again.
  dynamic "action" {
    for_each = length(local.action_groups) == 0 ? [] : [local.action_groups]
    content {
      action_groups = action.value
    }
  }
}

# Only of a workspace of ours: what another one takes is its owner's to watch.
resource "azurerm_monitor_scheduled_query_rules_alert_v2" "capped" {
  count = var.log_analytics_workspace_id == "" && var.log_daily_cap_in_gb > 0 ? 1 : 0

  name                = "${local.stem}-capped"
  display_name        = "Portcullis: the workspace has met its daily cap"
  description         = "Log Analytics takes no more today: the other alerts see nothing until then. docs/operations.md, alert capped."
  resource_group_name = var.resource_group.name
  location            = var.resource_group.location
  tags                = local.tags

  enabled                          = true
  scopes                           = [local.workspace_id]
  severity                         = 1
  evaluation_frequency             = "PT15M"
  window_duration                  = "PT30M"
  auto_mitigation_enabled          = true
  workspace_alerts_storage_enabled = false
  skip_query_validation            = true

  criteria {
    query                   = file("${path.module}/queries/capped.kql")
    time_aggregation_method = "Count"
    operator                = "GreaterThan"
    threshold               = 0

    failing_periods {
      minimum_failing_periods_to_trigger_alert = 1
      number_of_evaluation_periods             = 1
    }
  }

  dynamic "action" {
    for_each = length(local.action_groups) == 0 ? [] : [local.action_groups]
    content {
      action_groups = action.value
    }
  }
}

resource "azurerm_monitor_metric_alert" "dead_letters" {
  name                = "${local.stem}-dead-letters"
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

# What the resources themselves log: who wrote to them, past the app too.
resource "azurerm_monitor_diagnostic_setting" "this" {
  for_each = { for name, d in {
    tables = { target = "${local.log_account.id}/tableServices/default", categories = var.diagnostic_categories.tables }
    blobs  = { target = "${local.log_account.id}/blobServices/default", categories = var.diagnostic_categories.blobs }
    bus    = { target = azurerm_servicebus_namespace.this.id, categories = var.diagnostic_categories.bus }
    site   = { target = local.site_id, categories = var.diagnostic_categories.site }
  } : name => d if length(d.categories) > 0 }

  name                       = local.stem
  target_resource_id         = each.value.target
  log_analytics_workspace_id = local.workspace_id

  dynamic "enabled_log" {
    for_each = each.value.categories
    content {
      category = enabled_log.value
    }
  }

  depends_on = [azurerm_resource_group_template_deployment.site]
}

resource "azurerm_application_insights_workbook" "this" {
  name                = uuidv5("url", local.installation)
  resource_group_name = var.resource_group.name
  location            = var.resource_group.location
  tags                = local.tags
  display_name        = "Portcullis (${local.stem})"
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
      { query = "heads", title = "Where the chains of the activity log end, as was stated", chart = "table" },
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
