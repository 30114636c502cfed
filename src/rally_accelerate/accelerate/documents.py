"""The GraphQL documents that the client sends; a test validates them against ``contract.graphql``.

Only what every server version knows is selected (accelerate-host.md 2.2).
"""

UPLOAD_ISSUES = """
mutation uploadIssueData($data: IssueDataIn!) {
  uploadIssueData(data: $data) {
    result
  }
}
""".strip()

FIND_INTEGRATION = """
query integrationByName($name: String!, $tenantId: ID!) {
  integrationByName(name: $name, tenantId: $tenantId) {
    _id
    name
    type
  }
}
""".strip()

#: What is kept for a plug-in between its runs, and when it last succeeded (accelerate-host.md 1.8, 2.5).
RECALL = """
query integrationById($id: ID!) {
  integrationById(id: $id) {
    _id
    name
    state
    last_run_successful
    last_successful_execution_time
  }
}
""".strip()

KEEP = """
mutation updateIntegrationState($integrationId: ID!, $eventName: String!, $properties: JSON) {
  updateIntegrationState(integrationId: $integrationId, eventName: $eventName, properties: $properties) {
    _id
  }
}
""".strip()

#: What it answers is not public [U]: a document without a selection fits scalars and nothing else, and fails
#: harmlessly.
RESYNC_DONE = """
mutation updateScheduledEventStates($integrationId: ID!, $scheduledEventStates: [ScheduledEventStateInput!]!) {
  updateScheduledEventStates(integrationId: $integrationId, scheduledEventStates: $scheduledEventStates)
}
""".strip()

READ_STATUS = """
query issue($tenantId: ID!, $issueId: ID!) {
  issue(tenantId: $tenantId, issueId: $issueId) {
    trackerId
    issue {
      _id
      status
    }
  }
}
""".strip()

READ_STATUSES = """
query issuesForProjectKey($tenantId: ID!, $projectKey: String!, $limit: Int, $cursor: String) {
  issuesForProjectKey(tenantId: $tenantId, projectKey: $projectKey, limit: $limit, cursor: $cursor) {
    _id
    trackerId
    issue {
      _id
      status
    }
  }
}
""".strip()

#: Newer servers' list (accelerate-host.md 2.5).
LIST_ISSUES = """
query issues($filter: IssueFilterInput!) {
  issues(filter: $filter) {
    trackerId
    issue {
      _id
      id
    }
  }
}
""".strip()

READ_ISSUES = """
query issuesForProjectKey($tenantId: ID!, $projectKey: String!, $limit: Int, $cursor: String) {
  issuesForProjectKey(tenantId: $tenantId, projectKey: $projectKey, limit: $limit, cursor: $cursor) {
    _id
    trackerId
    issue {
      _id
      id
      name
      status
      history {
        timestamp
        content {
          field
          from
          to
        }
      }
    }
  }
}
""".strip()

READ_ISSUE = """
query issue($tenantId: ID!, $issueId: ID!) {
  issue(tenantId: $tenantId, issueId: $issueId) {
    trackerId
    issue {
      _id
      id
      name
      description
      status
      url
      creator
      owner
      created
      lastUpdate
      type
      normalizedType
      priority
      storyPoints
      epic
      rawIssue
      versionIds
      components
      labels
      comments {
        id
        user
        created
        updated
        comment
      }
      history {
        timestamp
        content {
          field
          type
          from
          to
          user
          userDisplayName
        }
      }
      releases {
        id
        description
        name
        archived
        released
        releaseDate
      }
      sprints {
        id
        name
        previous
        description
        startTime
        endTime
        completeTime
        url
        active
      }
      project {
        id
        key
        name
      }
      relations {
        id
        type
      }
    }
  }
}
""".strip()


def with_other_selection(document: str) -> str:
    """A document that selects the id of its answer, or nothing where it did: some answers' types are not public."""
    selected = "{\n    _id\n  }"
    if selected in document:
        return document.replace(f" {selected}", "")
    head, brace, _ = document.rpartition("\n}")
    return f"{head} {selected}{brace}"


ALL = {
    "uploadIssueData": UPLOAD_ISSUES,
    "integrationByName": FIND_INTEGRATION,
    "issuesForProjectKey": READ_ISSUES,
    "issue": READ_ISSUE,
    "integrationById": RECALL,
    "updateIntegrationState": KEEP,
    "updateScheduledEventStates": RESYNC_DONE,
    "status of an issue": READ_STATUS,
    "statuses": READ_STATUSES,
    "issues": LIST_ISSUES,
}
