"""What each operation asks for; one that is not named here is an administrator's."""

from rally_accelerate.host.access import Role

ROLES = {
    "issue": Role.VIEWER,
    "issues": Role.VIEWER,
    "issuesForProjectKey": Role.VIEWER,
    "issueStatuses": Role.VIEWER,
    "integrationById": Role.VIEWER,
    "integrationByName": Role.VIEWER,
    "integrationsByTenant": Role.VIEWER,
    "integrationExecutionById": Role.VIEWER,
    "integrationsByIds": Role.VIEWER,
    "integrationsByType": Role.VIEWER,
    "integrationsByCategory": Role.VIEWER,
    "integrationsByActiveState": Role.VIEWER,
    "plugins": Role.VIEWER,
    "availablePlugins": Role.VIEWER,
    "latestPluginByPluginId": Role.VIEWER,
    "productVersion": Role.VIEWER,
    "productBuild": Role.VIEWER,
    "uploadIssueData": Role.EDITOR,
    "updateIssues": Role.EDITOR,
    "addIntegration": Role.EDITOR,
    "editIntegration": Role.EDITOR,
    "editIntegrations": Role.EDITOR,
    "removeIntegration": Role.EDITOR,
    "restoreIntegration": Role.EDITOR,
    "setIntegrationVersion": Role.EDITOR,
    "setIntegrationResyncData": Role.EDITOR,
    "updateIntegrationDisabledFlag": Role.EDITOR,
    "resyncIntegration": Role.EDITOR,
    "updateScheduledEventStates": Role.EDITOR,
    "updateIntegrationState": Role.EDITOR,
    "bulkDataRemovalByIntegration": Role.EDITOR,
    "workflow": Role.VIEWER,
    "workflowsForTenant": Role.VIEWER,
    "workflowIdByPipelineId": Role.VIEWER,
    "vsmVersions": Role.VIEWER,
    "particlesByStage": Role.VIEWER,
    "particleById": Role.VIEWER,
    "particlesMatchingQuery": Role.VIEWER,
    "createValueStream": Role.EDITOR,
    "updateWorkflow": Role.EDITOR,
    "editValueStream": Role.EDITOR,
    "deleteValueStream": Role.EDITOR,
    "updateMetricsBar": Role.EDITOR,
    # Everybody's own; of somebody else's key the resolver asks for more.
    "createMyUserAccessKey": Role.VIEWER,
    "deleteUserAccessKey": Role.VIEWER,
    "myAccessKeyMetaData": Role.VIEWER,
    "hasPermissions": Role.VIEWER,
}


def needed(operation: str) -> Role:
    """The role that an operation asks for."""
    return ROLES.get(operation, Role.ADMIN)
