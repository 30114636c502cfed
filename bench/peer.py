"""The peer: pyral, reading the same items, and each item's revisions one item after the other, as connectors do today.

Prints one line of JSON. The interpreter's start and the imports are not timed; logging in is, as for the connector.
"""

import argparse
import json
import time
from typing import Any

import pyral

TYPES = ("HierarchicalRequirement", "Defect")
THREADS = 4
#: What the connector reads of each item.
FETCH = (
    "ObjectID,FormattedID,VersionId,CreationDate,LastUpdateDate,RevisionHistory,Name,Description,Owner,CreatedBy,Project,"
    "Tags,Milestones,Discussion,ScheduleState,State,FlowState,FlowStateChangedDate,Blocked,BlockedReason,Ready,Expedite,"
    "PlanEstimate,Package,AcceptedDate,InProgressDate,Iteration,StartDate,EndDate,Release,ReleaseStartDate,ReleaseDate,"
    "Priority,Severity,Environment,Resolution,SubmittedBy,OpenedDate,ClosedDate,DisplayName"
)


def items(rally: Any) -> list[Any]:
    """Every story and defect of the workspace, whole pages at a time."""
    found: list[Any] = []
    for name in TYPES:
        # ``project=None`` is the default project to pyral; the topmost project with its children is the workspace.
        answer = rally.get(
            name,
            fetch=FETCH,
            project="Sample Company Delivery",
            projectScopeDown=True,
            pagesize=2000,
            threads=THREADS,
            order="ObjectID",
        )
        found.extend(answer)
    return found


def revisions(item: Any) -> int:
    """How many revisions an item has, all of them read."""
    return sum(1 for _ in item.RevisionHistory.Revisions)


def main() -> None:
    """Read, and tell how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("key")
    parser.add_argument("--history", type=int, default=0, help="read the revisions of so many items besides")
    arguments = parser.parse_args()
    started = time.monotonic()
    rally = pyral.Rally(arguments.host, apikey=arguments.key, warn=False)
    found = items(rally)
    read = time.monotonic() - started
    chosen = found[:: max(1, len(found) // arguments.history)][: arguments.history] if arguments.history else []
    started = time.monotonic()
    count = sum(revisions(item) for item in chosen)
    past = time.monotonic() - started
    print(
        json.dumps(
            {"items": len(found), "seconds": read, "with_past": len(chosen), "past_seconds": past, "revisions": count}
        )
    )


if __name__ == "__main__":
    main()
