"""Issues as input objects, for tests that upload by hand."""

from typing import Any

UPLOAD = "mutation uploadIssueData($data: IssueDataIn!) { uploadIssueData(data: $data) { result } }"


def item(number: int, **more: Any) -> dict[str, Any]:
    """One issue."""
    return {
        "_id": str(number),
        "id": f"US{number}",
        "name": f"Sample story {number}",
        "status": "Defined",
        "url": f"https://rally.example/#/detail/userstory/{number}",
        "creator": "Sample User",
        "created": 1_700_000_000_000,
        "lastUpdate": 1_700_000_000_000 + number,
        "type": "Story",
        **more,
    }


def upload(*items: dict[str, Any], tracker: str = "a" * 24, tenant: str = "5ade13625558f2c6688d15ce") -> dict[str, Any]:
    """The variable of an upload."""
    return {"source": "RALLY", "trackerId": tracker, "tenantId": tenant, "issues": list(items)}


def change(before: str, after: str, *, at: int = 1_700_000_000_500) -> dict[str, Any]:
    """One entry of a history."""
    content = {"field": "status", "type": "string", "from": before, "to": after, "user": "u", "userDisplayName": "U"}
    return {"timestamp": str(at), "content": content}
