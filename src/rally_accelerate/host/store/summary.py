"""Pure: what lists show of an issue, taken out of its input object when it is uploaded."""

from collections.abc import Mapping, Sequence
from typing import Any

from rally_accelerate.host.lagging import last_status, late_after


def summary(item: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The columns that stand beside the content of an issue.

    Args:
        item: ``IssueDataItemIn``, instants in milliseconds since 1970.
        history: Its history.
    """
    project = item.get("project") or {}
    return {
        "display_id": item["id"],
        "name": item["name"],
        "status": item["status"],
        "type": item["type"],
        "priority": item.get("priority"),
        "owner": item.get("owner"),
        "creator": item.get("creator"),
        "project_key": project.get("key"),
        "project": project.get("name"),
        "story_points": item.get("storyPoints"),
        "url": item.get("url") or "",
        "sprints": _names(item.get("sprints")),
        "releases": _names(item.get("releases")),
        "labels": [label for label in item.get("labels") or () if label],
        "created": item.get("created") or 0,
        "last_update": item["lastUpdate"],
        "status_since": status_since(item, history),
        "changes": len(history),
    }


def status_since(item: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> int:
    """When an issue came into its status: the last change of it, else its creation.

    Where the history does not tell that change yet: when it had happened at the latest.
    """
    last = last_status(history)
    if last is None:
        return item.get("created") or 0
    late = late_after(last, item, history)
    return last.at if late is None else late.at


def _names(given: Sequence[Mapping[str, Any]] | None) -> list[str]:
    return list(dict.fromkeys(each["name"] for each in given or () if each.get("name")))
