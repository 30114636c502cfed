"""What an operation does here, where its name alone does not tell: shown by introspection and in the reference."""

DESCRIPTIONS = {
    "availablePlugins": "Plug-ins available for installation. Always empty: the only plug-in is built in.",
    "hasPermissions": "Whether a user has all of these permissions. Reading requires the viewer role, changing "
    "requires editor, and managing users, keys or plug-ins requires admin.",
    "integrationsByActiveState": "The enabled (`active: true`) or disabled (`active: false`) integrations of the "
    "tenant, or all integrations without `activeState`. Integrations are never archived.",
    "integrationsByTenant": "The earlier name of `integrationsByTenantId`.",
    "issue": "An issue by its Rally ObjectID, its formatted ID (such as US123) or its `_id` on this server.",
    "issueStatuses": "The distinct statuses of all issues, or of the issues of the given integrations.",
    "issues": "Issues by last update, newest first. With `internalIds`, the issues with these IDs.",
    "issuesForProjectKey": "The issues of a project, in pages. Pass `pageInfo.cursor` of a page to get the next page. "
    "The cursor is opaque.",
    "myAccessKeyMetaData": "The access keys of the user. For a system key, only that key.",
    "particleById": "A dot of a value stream. With `stageName`, only if it matches the query of that stage; with "
    "`includeTopLevelQuery: true`, only if it matches the query of the value stream.",
    "particleHistory": "The history of the issue of a dot, oldest change first.",
    "particlesByIssueId": "The stage of an issue in each value stream.",
    "particlesMatchingQuery": "The IDs of up to 500 matching dots, by last update, newest first.",
    "productBuild": "The version. There are no separate build numbers.",
    "vsmVersions": "The versions of a value stream with their changes, newest first.",
    "workflow": "A value stream, or an earlier version of it. Lead and cycle times name their stages; their values are "
    "null.",
    "deletePlugin": "Not supported: the plug-in is built in.",
    "editIntegrations": "Enables or disables several integrations. If one of them doesn't exist, none is changed.",
    "installPlugin": "Not supported: the plug-in is built in.",
    "restoreIntegration": "Returns the integration if it exists. Removed integrations can't be restored.",
    "setIntegrationResyncData": "Makes the next scheduled sync a full resync. To start a full resync immediately, use "
    "`resyncIntegration`.",
    "setIntegrationVersion": "Accepts only `latest` and the built-in version.",
    "updateIssues": "Sets values of issues and returns their `_id`s. The next upload of an issue overwrites them "
    "(assumed), so change the value in Rally as well.",
    "updateMetricsBar": "Stores the metrics bar of a value stream. Charts are not supported.",
    "updatePluginsIndex": "Always returns true: there is no index to update.",
    "uploadIssueData": "Stores issues. An existing issue is replaced, including its history.",
    "uploadMetrics": "Not supported: this server doesn't store metrics.",
    "uploadMetricsFile": "Not supported: this server doesn't store metrics.",
    "upsertVSMRelease": "Not supported: releases are part of the issues that belong to them.",
}
