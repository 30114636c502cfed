"""The GraphQL documents that the client sends; a test validates them against the vendor's published schemas.

Only fields that every server version has are selected (accelerate-api-notes.md#reading-issues-back,
accelerate-api-notes.md#queries), except in documents that are composed for what a server says that it can return.
"""

from collections.abc import Collection, Mapping

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

#: What is kept for a plug-in between its runs, and when it last succeeded (accelerate-api-notes.md#stored-state).
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

RESYNC_DONE = """
mutation updateScheduledEventStates($integrationId: ID!, $scheduledEventStates: [ScheduledEventStateInput]!) {
  updateScheduledEventStates(integrationId: $integrationId, scheduledEventStates: $scheduledEventStates) {
    _id
  }
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
query issuesForProjectKey($tenantId: ID!, $projectKey: String!, $limit: Int!, $cursor: String) {
  issuesForProjectKey(tenantId: $tenantId, projectKey: $projectKey, limit: $limit, cursor: $cursor) {
    nodes {
      _id
      trackerId
      issue {
        _id
        status
      }
    }
    pageInfo {
      cursor
      hasMore
    }
  }
}
""".strip()

#: Newer servers only: older ones have no such query (accelerate-api-notes.md#queries).
LIST_ISSUES = """
query issues($filter: IssuesFilter) {
  issues(filter: $filter) {
    _id
    trackerId
    issue {
      _id
      id
    }
  }
}
""".strip()

#: Asks a server which fields of an issue it returns. Every GraphQL server can answer it; some are set up not to.
READABLE_FIELDS = """
query readableFields {
  __type(name: "IssueData") {
    fields {
      name
      type {
        fields {
          name
        }
        ofType {
          fields {
            name
          }
        }
      }
    }
  }
}
""".strip()

#: The fields of an issue that every server returns, with what is selected of an object
#: (accelerate-api-notes.md#reading-issues-back). ``sprints.previous`` is never sent, so it is not read either.
EVERYWHERE: Mapping[str, str] = {
    "_id": "",
    "id": "",
    "name": "",
    "description": "",
    "status": "",
    "url": "",
    "creator": "",
    "owner": "",
    "created": "",
    "lastUpdate": "",
    "type": "",
    "normalizedType": "",
    "priority": "",
    "versionIds": "",
    "components": "",
    "labels": "",
    "storyPoints": "",
    "releases": "id description name archived released releaseDate",
    "sprints": "id name description startTime endTime completeTime url active",
    "project": "id key name",
    "epic": "",
}

#: Fields that newer servers return besides (accelerate-api-notes.md#reading-issues-back).
NEWER: Mapping[str, str] = {"resolved": "", "severity": "", "impact": "", "resolution": "", "businessValue": ""}

#: Fields that no published version of Accelerate returns; the embedded server does.
EMBEDDED: Mapping[str, str] = {
    "comments": "id user created updated comment",
    "history": "timestamp content { field type from to user userDisplayName }",
    "relations": "id type",
    "rawIssue": "",
    "additionalInfo": "",
}

SELECTABLE: Mapping[str, str] = {**EVERYWHERE, **NEWER, **EMBEDDED}


def issue_fields(fields: Collection[str]) -> str:
    """Return the selection of an issue's fields.

    Args:
        fields: The names that the server has; names that this client doesn't know are left out.
    """
    known = ((name, inner) for name, inner in SELECTABLE.items() if name in fields)
    return " ".join(f"{name} {{ {inner} }}" if inner else name for name, inner in known)


def read_issue(fields: Collection[str]) -> str:
    """Return the document that reads one issue with these fields."""
    head = "query issue($tenantId: ID!, $issueId: ID!)"
    call = "issue(tenantId: $tenantId, issueId: $issueId)"
    return f"{head} {{ {call} {{ trackerId issue {{ {issue_fields(fields)} }} }} }}"


def read_issues(fields: Collection[str]) -> str:
    """Return the document that reads a project's issues, one page of them, with these fields."""
    head = "query issuesForProjectKey($tenantId: ID!, $projectKey: String!, $limit: Int!, $cursor: String)"
    call = "issuesForProjectKey(tenantId: $tenantId, projectKey: $projectKey, limit: $limit, cursor: $cursor)"
    nodes = f"nodes {{ _id trackerId issue {{ {issue_fields(fields)} }} }}"
    return f"{head} {{ {call} {{ {nodes} pageInfo {{ cursor hasMore }} }} }}"


#: Every document that older and newer servers accept.
ALL = {
    "uploadIssueData": UPLOAD_ISSUES,
    "integrationByName": FIND_INTEGRATION,
    "integrationById": RECALL,
    "updateIntegrationState": KEEP,
    "updateScheduledEventStates": RESYNC_DONE,
    "status of an issue": READ_STATUS,
    "statuses": READ_STATUSES,
    "readable fields": READABLE_FIELDS,
    "an issue": read_issue(EVERYWHERE),
    "issues of a project": read_issues(EVERYWHERE),
}

#: Documents that only newer servers accept; the client does without them where they are refused.
NEWER_ONLY = {
    "issues": LIST_ISSUES,
    "an issue": read_issue({**EVERYWHERE, **NEWER}),
    "issues of a project": read_issues({**EVERYWHERE, **NEWER}),
}
