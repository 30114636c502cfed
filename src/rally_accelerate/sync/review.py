"""Looking closely at a run: why an item is mapped as it is, what no rule maps, whether histories are whole."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rally_accelerate.accelerate.client import AccelerateClient
from rally_accelerate.errors import NotFound
from rally_accelerate.mapping.applied import Outcome, apply
from rally_accelerate.mapping.compiled import CompiledRules
from rally_accelerate.mapping.coverage import Coverage, Seen, coverage
from rally_accelerate.mapping.issue import to_issue
from rally_accelerate.mapping.itemtypes import ItemType, item_type
from rally_accelerate.mapping.kinds import kind_of
from rally_accelerate.mapping.onto import defaults_of
from rally_accelerate.mapping.rules import Rules
from rally_accelerate.mapping.verdict import Judgement, Verdict, judge
from rally_accelerate.model.issue import Issue
from rally_accelerate.model.progress import Walk
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.records import Record, Scope, WorkItem
from rally_accelerate.sync.preview import Outline, outline

#: Prefixes are the workspace's own (rally-api.md 2.2.15): letters of any script.
_KEY = re.compile(r"[^\W\d_]*\d+")


@dataclass(frozen=True, slots=True)
class Explained:
    """One item with the reason for every value."""

    issue: Issue
    outcomes: Mapping[str, Outcome]
    judgement: Judgement


async def explain(source: RallyClient, rules: Rules, key: str) -> Explained:
    """Why an item is mapped as it is.

    Args:
        source: Connected.
        rules: Complete.
        key: The item's FormattedID, for example US123.

    Raises:
        NotFound: The scope has no such item.
    """
    if not _KEY.fullmatch(key):
        raise NotFound(f'"{key}" is no id of an item', hint="Give an id as people see it, such as US123 or DE45.")
    scope = await source.open()
    record = await source.find(scope, key)
    if record is None:
        raise NotFound(
            f"{key} is not among the items that this integration imports",
            hint="Check the id, and the settings workspace, projects, types and query; a deleted item is not shown.",
        )
    (item,) = await source.history(scope, [record])
    issue, plain = to_issue(item, rules), to_issue(item, _without_own(rules))
    if not isinstance(issue, Issue) or not isinstance(plain, Issue):
        raise NotFound(f"{key} cannot be mapped: Rally gave no ObjectID")
    outcomes = apply(rules.compiled, _type_of(record, rules), record.fields, defaults_of(plain)).outcomes
    return Explained(issue, outcomes, judge(item))


async def covered(source: RallyClient, rules: Rules) -> Coverage:
    """What no rule maps, among all items of the scope."""
    scope = await source.open()
    plain = _without_own(rules)
    seen: list[Seen] = []
    async for record in _records(source, scope):
        its = _type_of(record, rules)
        issue = to_issue(WorkItem(record=record), plain)
        if isinstance(issue, Issue):
            # What is counted are a few words of each row; the row itself is let go.
            defaults = {**defaults_of(issue), "description": ""}
            seen.append(Seen(its=its, type=issue.type, row={**record.fields, "Description": ""}, defaults=defaults))
    return coverage(rules.compiled, seen)


@dataclass(slots=True)
class Verified:
    """What ``verify`` found, by verdict and by difference."""

    #: How many histories have which verdict.
    verdicts: dict[Verdict, int] = field(default_factory=dict)
    #: Items whose history is not complete, by FormattedID.
    faults: dict[str, Judgement] = field(default_factory=dict)
    #: Sentences about what Accelerate holds and what it should hold.
    differences: list[str] = field(default_factory=list)
    compared: int = 0


async def verify(source: RallyClient, sink: AccelerateClient | None, rules: Rules) -> Verified:
    """Whether every history is the whole story, and whether Accelerate holds what it should.

    Args:
        source: Connected.
        sink: Where the issues are; None compares nothing.
        rules: Complete.
    """
    scope = await source.open()
    found = Verified()
    expected: dict[str, Outline] = {}
    async for items in _items(source, scope):
        for item in items:
            judgement = judge(item)
            found.verdicts[judgement.verdict] = found.verdicts.get(judgement.verdict, 0) + 1
            if judgement.verdict is not Verdict.COMPLETE:
                found.faults[item.record.key] = judgement
            issue = to_issue(item, rules)
            if isinstance(issue, Issue):
                expected[issue.external_id] = outline(issue)
    if sink is not None:
        await sink.open()
        found.compared, found.differences = await compare(sink, expected, whole=True)
    return found


async def compare(sink: AccelerateClient, expected: Mapping[str, Outline], *, whole: bool) -> tuple[int, list[str]]:
    """How many issues Accelerate holds of those expected, and sentences about what differs.

    Args:
        sink: Open.
        expected: What it should hold, by external id.
        whole: Whether it should hold nothing else.
    """
    held: set[str] = set()
    differences: list[str] = []
    compared = 0
    async for issue in sink.held(sorted({each.project for each in expected.values() if each.project})):
        key = str(issue.get("_id"))
        if key in held:
            differences.append(f"{issue.get('id')} is there twice")
        held.add(key)
        if key not in expected:
            if whole:
                differences.append(f"{issue.get('id')} is in Accelerate, but not among the items of this integration")
            continue
        compared += 1
        wanted, history = expected[key], issue.get("history")
        there = (issue.get("status"), issue.get("name"), len(history) if isinstance(history, list) else 0)
        for what, should, does in zip(("status", "name", "number of changes"), wanted[1:4], there, strict=True):
            if should != does:
                differences.append(
                    f"{wanted.display_id}: its {what} is {does!r} in Accelerate, and should be {should!r}"
                )
    missing = sorted(expected.keys() - held, key=int)
    differences.extend(f"{expected[key].display_id} is missing in Accelerate" for key in missing)
    return compared, differences


async def _records(source: RallyClient, scope: Scope) -> AsyncIterator[Record]:
    async for page in _pages(source, scope):
        for record in page:
            yield record


async def _items(source: RallyClient, scope: Scope) -> AsyncIterator[list[WorkItem]]:
    async for page in _pages(source, scope):
        yield await source.history(scope, page) if page else []


async def _pages(source: RallyClient, scope: Scope) -> AsyncIterator[tuple[Record, ...]]:
    for kind in scope.kinds:
        projects = tuple(sorted(project.object_id for project in scope.projects))
        async for page in source.changed(scope, Walk(kind=kind, projects=projects, started_at=scope.now)):
            yield page.records


def _without_own(rules: Rules) -> Rules:
    return replace(rules, compiled=CompiledRules())


def _type_of(record: Record, rules: Rules) -> ItemType:
    row: Mapping[str, Any] = record.fields
    kind = kind_of(record.kind, row, defect_status=rules.defect_status)
    return item_type(record.kind, row, kind.name, rules.type_names.get(kind.name, kind.name))
