"""What the simulator's own records say that a history must be; it knows nothing of how the product reads one."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

#: (milliseconds, field, from, to)
Entry = tuple[int, str, Any, Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Plain fields of the simulator's journal, as Accelerate calls them.
PLAIN = {
    "ScheduleState": "status",
    "State": "state",
    "Priority": "priority",
    "Severity": "severity",
    "Resolution": "resolution",
    "Name": "name",
    "BlockedReason": "blockedReason",
}
FLAGS = {"Blocked": "blocked", "Ready": "ready", "Expedite": "expedite"}
NAMED = {"Owner": "owner", "Project": "project", "FlowState": "flowState"}
TIMEBOXES = {"Iteration": "sprint", "Release": "release"}
COLLECTIONS = {"Tags": "labels", "Milestones": "milestones"}


def build_expected_history(row: Mapping[str, Any]) -> list[Entry]:
    """Every change that has to be told, oldest first.

    Args:
        row: A truth row of the simulator.
    """
    members = {name: [member["name"] for member in row["initial"].get(name, ())] for name in COLLECTIONS}
    status = row["initial"]["ScheduleState"]
    entries: list[Entry] = []
    for change in row["changes"]:
        at = (datetime.fromisoformat(change["at"]) - EPOCH) // timedelta(milliseconds=1)
        before = {name: sorted(names) for name, names in members.items()}
        for name, old, new in change["sets"]:
            if name in COLLECTIONS:
                if new is not None:
                    members[name].append(new["name"])
                if old is not None:
                    members[name].remove(old["name"])
            elif name == "Recycled":
                entries.append((at, "status", *((status, "Deleted") if new else ("Deleted", status))))
            else:
                entries.extend((at, *entry) for entry in _iter_entries(name, old, new))
                status = new if name == "ScheduleState" else status
        entries.extend(
            (at, COLLECTIONS[name], before[name], sorted(names))
            for name, names in members.items()
            if before[name] != sorted(names)
        )
    return sorted(entries, key=str)


def _iter_entries(name: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if name in PLAIN:
        yield PLAIN[name], old or "", new or ""
    elif name in FLAGS:
        yield FLAGS[name], str(bool(old)).lower(), str(bool(new)).lower()
    elif name == "PlanEstimate":
        before, after = ("" if value is None else f"{value:g}" for value in (old, new))
        yield "storyPoints", before, after
    elif name in NAMED:
        before, after = (value["name"] if value else "" for value in (old, new))
        # The flow state of the same name in another project is no change to anybody.
        if before != after:
            yield NAMED[name], before, after
    elif name in TIMEBOXES:
        yield TIMEBOXES[name], _timebox(old), _timebox(new)


def _timebox(value: Any) -> list[str]:
    return [value["name"]] if value else []


def read_uploaded_history(issue: Mapping[str, Any]) -> list[Entry]:
    """The history of an uploaded issue in the same form; fields that ``history`` does not know are left out."""
    known = {*PLAIN.values(), *FLAGS.values(), *NAMED.values(), *TIMEBOXES.values(), *COLLECTIONS.values()}
    entries = []
    for entry in issue["history"]:
        content = entry["content"]
        if content["field"] not in {*known, "storyPoints"}:
            continue
        values = [content["from"], content["to"]]
        entries.append((int(entry["timestamp"]), content["field"], *values))
    return sorted(entries, key=str)
