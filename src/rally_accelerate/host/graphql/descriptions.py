"""What an operation does here, where its name alone does not tell: shown by introspection and in the reference."""

DESCRIPTIONS = {
    "availablePlugins": "Plug-ins that could be installed: none, as the only one is built in.",
    "hasPermissions": "Whether a user may do all of this: reading needs the role viewer, changing needs editor, and "
    "managing users, keys or plug-ins needs admin.",
    "integrationsByActiveState": "The tenant's integrations that are enabled (`active: true`) or disabled "
    "(`active: false`); all of them without `activeState`. None is ever archived here.",
    "integrationsByTenant": "The former name of `integrationsByTenantId`.",
    "issue": "An issue by the id in its tool, by the id that people see (such as US123), or by its `_id` here.",
    "issueStatuses": "Every status that issues have, of all integrations or of those that are named.",
    "issues": "Issues by last update, newest first; with `internalIds`, those with these ids.",
    "issuesForProjectKey": "A project's issues, page by page: pass `pageInfo.cursor` of one page to get the next. "
    "The cursor is opaque.",
    "myAccessKeyMetaData": "The access keys of the user; for a key that belongs to no user, that key alone.",
    "particleById": "A dot of a value stream; with `stageName` only if it matches that stage's query, with "
    "`includeTopLevelQuery: true` only if it matches the value stream's.",
    "particleHistory": "The stored changes of a dot's issue, oldest first.",
    "particlesByIssueId": "The stage of each value stream in which an issue is.",
    "particlesMatchingQuery": "The ids of the dots that match, by last update, newest first; at most 500.",
    "productBuild": "The version: builds are not counted apart from versions.",
    "vsmVersions": "The versions of a value stream, newest first, with what each one changed.",
    "workflow": "A value stream, as it is or as it was in a version. Times of lead and cycle name their stages; their "
    "figures are null.",
    "deletePlugin": "Refused: the plug-in is built in.",
    "editIntegrations": "Enables or disables several integrations: all of them, or none where one does not exist.",
    "installPlugin": "Refused: the plug-in is built in.",
    "restoreIntegration": "Answers an integration that was not removed. What was removed here cannot be restored.",
    "setIntegrationResyncData": "The next run reads everything again; `resyncIntegration` does not wait for it.",
    "setIntegrationVersion": "Accepts `latest` and the running version, the only one.",
    "updateIssues": "Sets values until the issue's next upload, which replaces it whole (assumed): to keep a value, "
    "set it in Rally as well. Answers the `_id` of each issue.",
    "updateMetricsBar": "Keeps metrics above the value stream. Charts are refused.",
    "updatePluginsIndex": "Answers true: there is no index to update.",
    "uploadIssueData": "Stores issues; an issue that is known is replaced with its history.",
    "uploadMetrics": "Refused: this server holds no metrics.",
    "uploadMetricsFile": "Refused: this server holds no metrics.",
    "upsertVSMRelease": "Refused: releases come with the issues that belong to them.",
}
