"""Pure: issues in the answers of Accelerate's queries.

See accelerate-api-notes.md#reading-issues-back and accelerate-api-notes.md#queries.
"""

from collections.abc import Mapping
from typing import Any

from rally_accelerate.accelerate import documents
from rally_accelerate.errors import UnexpectedAnswer


def own_issue(found: Any, *, tracker_id: str, external_id: str = "") -> Mapping[str, Any] | None:
    """Return the issue in an ``IssueData``, or None when it belongs to another integration or is another issue.

    Which id ``issue(issueId)`` looks for is not public: it can answer an issue of another integration.

    Args:
        found: An ``IssueData`` as it was answered.
        tracker_id: The integration whose issue it must be.
        external_id: The ``_id`` that the issue must have; empty accepts any.
    """
    if not isinstance(found, Mapping) or found.get("trackerId") != tracker_id:
        return None
    issue = found.get("issue")
    if not isinstance(issue, Mapping) or (external_id and str(issue.get("_id")) != external_id):
        return None
    return issue


def page_of(found: Any) -> tuple[list[Mapping[str, Any]], str | None]:
    """Return the issues of an ``IssueDataQueryResponse`` and the cursor of its next page, None after the last page.

    Raises:
        UnexpectedAnswer: It has another form, or there are more pages and no cursor.
    """
    nodes = found.get("nodes") if isinstance(found, Mapping) else None
    info = found.get("pageInfo") if isinstance(found, Mapping) else None
    if not isinstance(nodes, list) or not isinstance(info, Mapping):
        raise UnexpectedAnswer("Accelerate's list of a project's issues does not have the published form")
    kept = [each for each in nodes if isinstance(each, Mapping)]
    if not info.get("hasMore"):
        return kept, None
    cursor = info.get("cursor")
    if not isinstance(cursor, str) or not cursor:
        raise UnexpectedAnswer("Accelerate says that a project has more issues, but gives no cursor to request them")
    return kept, cursor


def field_names(described: Any) -> set[str]:
    """Return the fields of an issue that can be selected, from what introspection says of ``IssueData``.

    The field ``issue`` is non-null in the published schemas, so its type is wrapped in another one.
    """
    for each in _listed(described, "fields"):
        if each.get("name") == "issue":
            kind = each.get("type")
            inner = kind.get("ofType") if isinstance(kind, Mapping) else None
            fields = _listed(inner, "fields") or _listed(kind, "fields")
            return {str(field.get("name")) for field in fields} & documents.SELECTABLE.keys()
    return set()


def _listed(held: Any, name: str) -> list[Mapping[str, Any]]:
    found = held.get(name) if isinstance(held, Mapping) else None
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []
