"""Looking closely at a run: why an item is mapped as it is, what no rule maps, whether histories are whole."""

import re
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rally_accelerate.accelerate.client import AccelerateClient
from rally_accelerate.errors import NotFound
from rally_accelerate.mapping.applied import Outcome, apply
from rally_accelerate.mapping.compiled import CompiledRules
from rally_accelerate.mapping.coverage import Coverage, Seen, coverage
from rally_accelerate.mapping.issue import default_sources, to_issue
from rally_accelerate.mapping.itemtypes import ItemType, item_type, renamed
from rally_accelerate.mapping.kinds import kind_of
from rally_accelerate.mapping.onto import defaults_of
from rally_accelerate.mapping.rules import Rules
from rally_accelerate.mapping.verdict import Judgement, Verdict, judge
from rally_accelerate.model.issue import Issue
from rally_accelerate.model.progress import Walk
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.records import PastSource, Record, Scope, WorkItem
from rally_accelerate.sync.comparing import FROM_HISTORY, Compared, Expected, compare, expected

#: Prefixes are the workspace's own (rally-api-notes.md#formatted-ids): letters of any script.
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
    issue, plain = to_issue(item, rules, now=scope.now), to_issue(item, _without_own(rules), now=scope.now)
    if not isinstance(issue, Issue) or not isinstance(plain, Issue):
        raise NotFound(f"{key} cannot be mapped: Rally gave no ObjectID")
    sources = default_sources(record, rules)
    its, site = _type_of(record, rules), rules.web_url
    applied = apply(rules.compiled, its, record.fields, defaults_of(plain), site=site).outcomes
    outcomes = {
        target: replace(outcome, reason=replace(outcome.reason, default_source=sources.get(target, "")))
        for target, outcome in applied.items()
    }
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

    #: How many histories have which verdict; those that are pending have none yet.
    verdicts: dict[Verdict, int] = field(default_factory=dict)
    #: Histories whose last changes the source has not got yet: the next runs complete them.
    pending: int = 0
    #: Items whose history is not complete, by FormattedID.
    faults: dict[str, Judgement] = field(default_factory=dict)
    compared: Compared = field(default_factory=Compared)


async def verify(
    source: RallyClient, sink: AccelerateClient | None, rules: Rules, *, removed: Collection[str] = ()
) -> Verified:
    """Check whether every history is complete, and whether Accelerate holds what it should.

    Args:
        source: Connected.
        sink: Where the issues are; None compares nothing.
        rules: Complete.
        removed: Statuses of issues that are marked as removed.
    """
    scope = await source.open()
    found = Verified()
    wanted: dict[str, Expected] = {}
    async for items in _items(source, scope):
        for item in items:
            pending = is_pending(item)
            if pending:
                found.pending += 1
            else:
                judgement = judge(item)
                found.verdicts[judgement.verdict] = found.verdicts.get(judgement.verdict, 0) + 1
                if judgement.verdict is not Verdict.COMPLETE:
                    found.faults[item.record.key] = judgement
            issue = to_issue(item, rules, now=scope.now)
            if sink is not None and isinstance(issue, Issue):
                wanted[issue.external_id] = expected(issue, without=FROM_HISTORY if pending else ())
    if sink is not None:
        await sink.open()
        found.compared = await compare(sink, wanted, whole=True, removed=removed)
    return found


def is_pending(item: WorkItem) -> bool:
    """Return whether the source of an item's history has not got the item's last changes yet."""
    return item.past.source is not PastSource.NONE and not item.past.up_to_date


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
    its = item_type(record.kind, row, kind.name)
    return item_type(record.kind, row, kind.name, renamed(rules.type_names, kind.name, its))
