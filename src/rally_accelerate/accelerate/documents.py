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

ALL = {
    "uploadIssueData": UPLOAD_ISSUES,
    "integrationByName": FIND_INTEGRATION,
    "issuesForProjectKey": READ_ISSUES,
    "issue": READ_ISSUE,
}
