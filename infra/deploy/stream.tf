# The stream of the activity log to the security team's own system: a table, a rule that takes events for it, and, where the workspace has Microsoft Sentinel, rules and a
# workbook over it. Nothing of it is made unless stream_log is given.
locals {
  streams          = var.stream_log == null ? {} : { log = var.stream_log }
  stream_workspace = var.stream_log == null ? "" : var.stream_log.workspace_id != "" ? var.stream_log.workspace_id : local.workspace_id
  stream_location  = var.stream_log == null ? "" : var.stream_log.location != "" ? var.stream_log.location : var.resource_group.location
  stream_columns   = jsondecode(file("${path.module}/stream/columns.json"))
  stream_name      = "Custom-Portcullis"
  stream_settings = var.stream_log == null ? {} : {
    PORTCULLIS_LOG_INGESTION_ENDPOINT = azurerm_monitor_data_collection_endpoint.stream["log"].logs_ingestion_endpoint
    PORTCULLIS_LOG_INGESTION_RULE     = azurerm_monitor_data_collection_rule.stream["log"].immutable_id
    PORTCULLIS_LOG_INGESTION_STREAM   = local.stream_name
  }

  # Templates for Sentinel: each query gives rows where somebody should look.
  stream_queries = { for name in ["any_source", "break_glass", "heads", "new_place", "night", "operations", "refusals", "rewound", "windows"] : name => file("${path.module}/stream/${name}.kql") }
  stream_rules = {
    night = {
      title       = "a window was opened at night or at a weekend"
      severity    = "Low"
      frequency   = "PT1H"
      period      = "PT2H"
      tactics     = ["InitialAccess", "Persistence"]
      description = "Somebody opened a management port outside of working hours."
    }
    new_place = {
      title       = "a request came from a new country or network"
      severity    = "Medium"
      frequency   = "PT1H"
      period      = "P14D"
      tactics     = ["InitialAccess"]
      description = "A person or an application asked for access from a country or network from which it has not asked in the two weeks before."
    }
    any_source = {
      title       = "a window lets in every address"
      severity    = "High"
      frequency   = "PT15M"
      period      = "PT1H"
      tactics     = ["InitialAccess", "DefenseEvasion"]
      description = "A management port was opened for the whole Internet."
    }
    refusals = {
      title       = "somebody was refused again and again"
      severity    = "Medium"
      frequency   = "PT1H"
      period      = "PT1H"
      tactics     = ["Discovery", "CredentialAccess"]
      description = "A person, an application or an address was refused ten times or more in an hour."
    }
    break_glass = {
      title       = "break-glass was used"
      severity    = "High"
      frequency   = "PT15M"
      period      = "PT1H"
      tactics     = ["PrivilegeEscalation"]
      description = "Access was opened without the approval of others. It owes a review."
    }
    rewound = {
      title       = "the activity log is not what it was"
      severity    = "High"
      frequency   = "PT1H"
      period      = "P2D"
      tactics     = ["DefenseEvasion"]
      description = "Entries of the activity log came that do not go together: rows of the storage account were put back, rewritten or taken away. docs/audit.md says how to go on."
    }
  }
}

resource "azurerm_log_analytics_workspace_table_custom_log" "stream" {
  for_each = local.streams

  name                    = "Portcullis_CL"
  workspace_id            = local.stream_workspace
  display_name            = "Portcullis"
  description             = "The activity log of Portcullis, as OCSF 1.8.0. Names, object ids and addresses are personal data."
  retention_in_days       = each.value.retention_in_days
  total_retention_in_days = each.value.total_retention_in_days

  column {
    name = "TimeGenerated"
    type = "dateTime"
  }
  dynamic "column" {
    for_each = [for c in local.stream_columns : c if c.name != "time"]
    content {
      name = column.value.name
      type = column.value.type == "datetime" ? "dateTime" : column.value.type
    }
  }
}

resource "azurerm_monitor_data_collection_endpoint" "stream" {
  for_each = local.streams

  name                          = "${local.stem}-stream"
  resource_group_name           = var.resource_group.name
  location                      = local.stream_location
  tags                          = local.tags
  description                   = "Takes the activity log of Portcullis."
  public_network_access_enabled = each.value.public_network_access
}

resource "azurerm_monitor_data_collection_rule" "stream" {
  for_each = local.streams

  name                        = "${local.stem}-stream"
  resource_group_name         = var.resource_group.name
  location                    = local.stream_location
  tags                        = local.tags
  description                 = "Puts the activity log of Portcullis into the table Portcullis_CL."
  data_collection_endpoint_id = azurerm_monitor_data_collection_endpoint.stream[each.key].id

  stream_declaration {
    stream_name = local.stream_name
    dynamic "column" {
      for_each = local.stream_columns
      content {
        name = column.value.name
        type = column.value.type
      }
    }
  }

  destinations {
    log_analytics {
      name                  = "workspace"
      workspace_resource_id = local.stream_workspace
    }
  }

  data_flow {
    streams       = [local.stream_name]
    destinations  = ["workspace"]
    output_stream = "Custom-${azurerm_log_analytics_workspace_table_custom_log.stream[each.key].name}"
    transform_kql = "source | extend TimeGenerated = time_dt | project-away ['time']"
  }
}

resource "azurerm_sentinel_alert_rule_scheduled" "stream" {
  for_each = try(var.stream_log.sentinel, false) ? local.stream_rules : {}

  name                       = uuidv5("url", "${local.installation}/sentinel/${each.key}")
  log_analytics_workspace_id = local.stream_workspace
  display_name               = "Portcullis: ${each.value.title}"
  description                = each.value.description
  severity                   = each.value.severity
  query                      = each.key == "night" ? replace(local.stream_queries[each.key], "let zone = 'UTC';", "let zone = '${var.stream_log.time_zone}';") : local.stream_queries[each.key]
  query_frequency            = each.value.frequency
  query_period               = each.value.period
  trigger_operator           = "GreaterThan"
  trigger_threshold          = 0
  tactics                    = each.value.tactics

  depends_on = [azurerm_log_analytics_workspace_table_custom_log.stream]
}

resource "azurerm_application_insights_workbook" "stream" {
  for_each = try(var.stream_log.sentinel, false) ? local.streams : {}

  name                = uuidv5("url", "${local.installation}/sentinel/workbook")
  resource_group_name = var.resource_group.name
  location            = var.resource_group.location
  tags                = local.tags
  display_name        = "Portcullis, the activity log (${local.stem})"
  source_id           = lower(local.stream_workspace)
  category            = "sentinel"
  data_json = jsonencode({
    version = "Notebook/1.0"
    items = [for tile in [
      { query = "operations", title = "What was done", chart = "timechart" },
      { query = "windows", title = "Who had windows", chart = "table" },
      { query = "any_source", title = "Windows for every address", chart = "table" },
      { query = "break_glass", title = "Break-glass", chart = "table" },
      { query = "night", title = "At night and at weekends", chart = "table" },
      { query = "refusals", title = "Refused again and again", chart = "table" },
      { query = "heads", title = "Where the chains of the log end", chart = "table" },
      { query = "rewound", title = "What does not go together (nothing is good)", chart = "table" },
      ] : {
      type = 3
      name = tile.query
      content = {
        version       = "KqlItem/1.0"
        title         = tile.title
        query         = local.stream_queries[tile.query]
        size          = 0
        timeContext   = { durationMs = 86400000 }
        queryType     = 0
        resourceType  = "microsoft.operationalinsights/workspaces"
        visualization = tile.chart
      }
    }]
    "$schema" = "https://github.com/Microsoft/Application-Insights-Workbooks/blob/master/schema/workbook.json"
  })
}
