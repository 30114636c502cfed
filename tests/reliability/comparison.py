"""What a server holds, compared with the simulator's own records."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from support.ground_truth import build_expected_history, read_uploaded_history
from support.processes import ISSUES, TENANT, RunningServer, Simulator

PAGE = 500


@dataclass(frozen=True, slots=True)
class Damage:
    """What a fault left behind; all counts are 0 when the product keeps its promise.

    Attributes:
        lost: Items, acknowledged uploads or parts of a change that are missing.
        doubled: Items that exist more than once.
        wrong: Issues whose values or history differ from the simulator's records.
        detail: A few of the differences, for the person who has to find the cause.
    """

    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    detail: tuple[str, ...] = ()

    @property
    def none(self) -> bool:
        """Whether nothing was damaged."""
        return not (self.lost or self.doubled or self.wrong)


def issues_of(target: RunningServer) -> list[dict[str, Any]]:
    """Return every issue that a server holds, duplicates included."""
    rows: list[dict[str, Any]] = []
    while True:
        page = target.query(ISSUES, filter={"tenantId": TENANT, "skip": len(rows), "limit": PAGE})["issues"]
        rows += [row["issue"] for row in page]
        if len(page) < PAGE:
            return rows


def damage(rally: Simulator, target: RunningServer) -> Damage:
    """Compare every visible story and defect of the simulator, with its whole history, with what the server holds."""
    everything = rally.fetch_ground_truth("hierarchicalrequirement") | rally.fetch_ground_truth("defect")
    truth = {key: item for key, item in everything.items() if item["visible"]}
    rows = issues_of(target)
    counts = Counter(row["_id"] for row in rows)
    stored = {row["_id"]: row for row in rows}
    lost = sorted(set(truth) - set(stored))
    doubled = sorted(key for key, count in counts.items() if count > 1)
    wrong = sorted(set(stored) - set(everything))
    for key in sorted(set(truth) & set(stored)):
        item, issue = truth[key], stored[key]
        values = item["values"]
        owner = values["Owner"]["name"] if values["Owner"] else None
        expected = (item["formatted_id"], values["Name"].strip(), values["ScheduleState"], owner)
        if (issue["id"], issue["name"], issue["status"], issue["owner"]) != expected or read_uploaded_history(
            issue
        ) != build_expected_history(item):
            wrong.append(key)
    detail = [
        f"{what} {key}" for what, keys in (("lost", lost), ("doubled", doubled), ("wrong", wrong)) for key in keys
    ]
    return Damage(lost=len(lost), doubled=len(doubled), wrong=len(wrong), detail=tuple(detail[:10]))
