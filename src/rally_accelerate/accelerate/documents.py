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

ALL = {
    "uploadIssueData": UPLOAD_ISSUES,
    "integrationByName": FIND_INTEGRATION,
    "issuesForProjectKey": READ_ISSUES,
}
