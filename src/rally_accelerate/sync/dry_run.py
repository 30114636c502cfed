"""Dry runs: explanations of mappings, coverage, verification and previews."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain, zip_longest
from typing import Any, NamedTuple

import orjson

from rally_accelerate.accelerate.client import AccelerateClient
from rally_accelerate.accelerate.integration_state import instant
from rally_accelerate.accelerate.payload import READ_BACK, Retirement, item_in
from rally_accelerate.errors import NotFoundError
from rally_accelerate.mapping.coverage import Coverage, CoverageItem, measure_coverage
from rally_accelerate.mapping.history_check import HistoryCheck, Verdict, check_history
from rally_accelerate.mapping.issue import get_default_sources, map_work_item
from rally_accelerate.mapping.item_types import ItemType, build_item_type, get_kind, get_type_name
from rally_accelerate.mapping.rule_engine import Outcome, apply_rules, get_defaults
from rally_accelerate.mapping.rules import CompiledRules, Rules
from rally_accelerate.model.issue import Issue
from rally_accelerate.model.progress import Progress, Sent, Walk, Window
from rally_accelerate.model.report import Acknowledgement, Skipped, Usage
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.records import HistorySource, Record, Scope, WorkItem
from rally_accelerate.sync.empty_sync import find_cause
from rally_accelerate.sync.ports import State

#: Fields that are kept as a digest: their values are long, and what differs in them is not shown.
LONG = frozenset({"description", "history", "comments", "relations", "rawIssue", "additionalInfo"})

#: Fields with an instant, also inside of sprints, releases and comments.
DATES = frozenset(
    {"created", "lastUpdate", "resolved", "startTime", "endTime", "completeTime", "releaseDate", "updated"}
)

#: Fields that come from the history, so they are open while the source has not got the last changes.
FROM_HISTORY = frozenset({"history", "sprints", "relations", "epic"})

#: What the fields that are counted consist of.
COUNTED = {"history": "changes", "comments": "comments", "relations": "relations"}

#: How fields are called in a difference; all others by their own name.
NAMES = {"history": "history", "rawIssue": "raw issue", "storyPoints": "story points", "lastUpdate": "last update"}

#: The fields that are reported first, in this order.
FIRST = {name: place for place, name in enumerate(("status", "name", "type", "owner", "priority", "history"))}

#: Longer values are cut in a difference.
MAX_LENGTH = 80


class Digest(NamedTuple):
    """A long value: equal ones have the same digest."""

    digest: str
    #: How many elements a list has.
    length: int


@dataclass(frozen=True, slots=True)
class Expected:
    """An issue as it would be uploaded, as much of it as is compared."""

    display_id: str
    #: The key of the project that it is in.
    project: str
    #: Comparable values by field.
    values: Mapping[str, Any]


@dataclass(slots=True)
class Compared:
    """What a comparison found."""

    #: How many of the expected issues Accelerate holds.
    issues: int = 0
    #: One sentence for each issue that differs, is missing, or should not be there.
    differences: list[str] = field(default_factory=list)
    #: Fields that are uploaded and that the server does not return.
    unreadable: tuple[str, ...] = ()


def expected_issue(issue: Issue, *, without: Collection[str] = ()) -> Expected:
    """Return what an issue is compared by.

    Args:
        issue: As it would be uploaded.
        without: Fields that are not compared.
    """
    values = {name: comparable(name, value) for name, value in item_in(issue).items() if name not in without}
    return Expected(issue.display_id, issue.project.key if issue.project else "", values)


def comparable(name: str, value: Any) -> Any:
    """Return a value in the one form that it has on both sides.

    Servers answer instants as numbers or texts, lists in their own order, and what is empty as null, as an empty text
    or as an empty list.
    """
    if value is None or value in ("", [], {}):
        return None
    if name in LONG:
        form = _sort_list(value) if name == "relations" else _plain(value)
        written = orjson.dumps(form, option=orjson.OPT_SORT_KEYS, default=str)
        digest = hashlib.blake2b(written, digest_size=16).hexdigest()
        return Digest(digest, len(value) if isinstance(value, list) else 1)
    return _sort_list(value) if isinstance(value, list) else _plain(value, name)


async def compare(
    sink: AccelerateClient,
    expected: Mapping[str, Expected],
    *,
    complete: bool,
    removed: Collection[str] = (),
) -> Compared:
    """Compare what Accelerate holds with what it should hold.

    Args:
        sink: Open.
        expected: The expected issues, by external ID.
        complete: Whether other issues count as differences.
        removed: Statuses of issues that are marked as removed: those are rightly there without being expected.

    Raises:
        RallyAccelerateError: The server cannot be asked, or its answer has another form than the published one.
    """
    readable = await sink.readable_fields()
    sent = {name for one in expected.values() for name in one.values}
    result = Compared(unreadable=tuple(sorted(sent - readable)))
    faults: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    present: set[str] = set()
    async for issue in sink.list_issues(sorted({one.project for one in expected.values() if one.project})):
        key = str(issue.get("_id"))
        names.setdefault(key, str(issue.get("id") or key))
        if key in present:
            faults.setdefault(key, []).append("is in Accelerate twice")
            continue
        present.add(key)
        if key in expected:
            result.issues += 1
            if difference := _differences(expected[key], issue, readable):
                faults.setdefault(key, []).append(difference)
        elif complete and issue.get("status") not in removed:
            faults.setdefault(key, []).append("is in Accelerate, but not among the items of this integration")
    for key in expected.keys() - present:
        names[key] = expected[key].display_id
        faults[key] = ["is missing in Accelerate"]
    result.differences = [f"{names[key]}: {'; '.join(faults[key])}" for key in sorted(faults, key=_by_number)]
    return result


def _differences(expected: Expected, issue: Mapping[str, Any], readable: Collection[str]) -> str:
    texts = []
    # What people look at first comes first.
    for name in sorted(expected.values.keys() & set(readable), key=lambda one: (FIRST.get(one, len(FIRST)), one)):
        value = expected.values[name]
        there = comparable(name, issue.get(name))
        if name == "normalizedType" and there is None:
            continue
        if there != value:
            texts.append(_difference(name, value, there))
    return "; ".join(texts)


def _difference(name: str, value: Any, there: Any) -> str:
    what = NAMES.get(name, name)
    if isinstance(value, Digest) or isinstance(there, Digest):
        counts = [one.length if isinstance(one, Digest) else 0 for one in (there, value)]
        if name in COUNTED and counts[0] != counts[1]:
            return f"its {what} has {counts[0]} {COUNTED[name]} in Accelerate, and should have {counts[1]}"
        return f"its {what} differs"
    return f"its {what} is {_value_text(there)} in Accelerate, and should be {_value_text(value)}"


def _value_text(value: Any) -> str:
    if value is None:
        return "empty"
    text = repr(value) if isinstance(value, str | int | float) else _words(value)
    return text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}…"


def _words(value: Any) -> str:
    match value:
        case list() | tuple():
            return ", ".join(map(_words, value))
        case Mapping():
            return ", ".join(f"{name} {inner}" for name, inner in value.items())
        case _:
            return str(value)


def _plain(value: Any, name: str = "") -> Any:
    """Return a value without what is empty, with every instant in milliseconds and every number as a float."""
    match value:
        case Mapping():
            inner = {str(key): _plain(one, str(key)) for key, one in value.items()}
            return {key: one for key, one in inner.items() if one not in (None, "", [], {})}
        case list():
            return [_plain(one, name) for one in value if one is not None]
        case bool():
            return value
        case _ if name in DATES or name == "timestamp":
            moment = instant(value)
            return round(moment.timestamp() * 1000) if moment is not None else value
        case int():
            return float(value)
        case _:
            return value


def _sort_list(value: Any) -> list[Any]:
    """Return a list whose order says nothing, in one order."""
    key: Callable[[Any], str] = lambda one: str(one.get("id") if isinstance(one, Mapping) else one)  # noqa: E731
    return sorted((_plain(one) for one in value if one is not None), key=key)


def _by_number(key: str) -> tuple[int, int | str]:
    return (0, int(key)) if key.isdecimal() else (1, key)


#: People know what they changed lately best; where that is too little, anything serves.
LATELY = timedelta(days=14)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Some items of a scope."""

    issues: Sequence[Issue]
    skipped: Sequence[Skipped]
    #: What is known of each issue's history, by external id.
    judgements: Mapping[str, HistoryCheck]
    notices: Sequence[str]


async def read_sample(source: RallyClient, rules: Rules, *, count: int, since: datetime | None = None) -> Sample:
    """Map some items of every type in turn; nothing is uploaded or stored.

    Args:
        source: Connected; its page size need not be larger than ``count``.
        rules: Complete.
        count: How many at most.
        since: Items that changed before are not wanted.

    Raises:
        RallyAccelerateError: Rally cannot be asked.
    """
    scope = await source.open()
    records: list[Record] = []
    lately = scope.now - LATELY
    for window in (Window(max(lately, since) if since else lately), Window(since)):
        records = await _read_some(source, scope, window, count)
        if len(records) >= count:
            break
    issues: list[Issue] = []
    skipped: list[Skipped] = []
    judgements: dict[str, HistoryCheck] = {}
    for item in await source.history(scope, records) if records else ():
        # In a thread: regular expressions of the rules can take seconds for a long text.
        match await asyncio.to_thread(map_work_item, item, rules, now=scope.now):
            case Issue() as issue:
                issues.append(issue)
                judgements[issue.external_id] = check_history(item)
            case skip:
                skipped.append(skip)
    why = () if records else (await find_cause(source, scope, since=since),)
    notices = tuple(
        text for text in dict.fromkeys((*why, *scope.notices, *source.notices(), *source.value_notices())) if text
    )
    return Sample(issues=issues, skipped=skipped, judgements=judgements, notices=notices)


async def _read_some(source: RallyClient, scope: Scope, window: Window, count: int) -> list[Record]:
    projects = tuple(sorted(project.object_id for project in scope.projects))
    by_kind = []
    for kind in scope.kinds:
        walk = replace(Walk(kind=kind, projects=projects, started_at=scope.now, aside=True), window=window)
        records: list[Record] = []
        async with aclosing(source.read_changes(scope, walk)) as pages:
            async for page in pages:
                records.extend(page.records)
                if len(records) >= count:
                    break
        by_kind.append(records[:count])
    in_turn = chain.from_iterable(zip_longest(*by_kind))
    return [record for record in in_turn if record is not None][:count]


#: Prefixes are the workspace's own (rally-api-notes.md#formatted-ids): letters of any script.
_KEY = re.compile(r"[^\W\d_]*\d+")


@dataclass(frozen=True, slots=True)
class Explained:
    """One item with the reason for every value."""

    issue: Issue
    outcomes: Mapping[str, Outcome]
    judgement: HistoryCheck


async def explain(source: RallyClient, rules: Rules, key: str) -> Explained:
    """Explain how an item is mapped.

    Args:
        source: Connected.
        rules: Complete.
        key: The item's FormattedID, for example US123.

    Raises:
        NotFoundError: The scope has no such item.
    """
    if not _KEY.fullmatch(key):
        raise NotFoundError(f'"{key}" is not a Rally ID', hint="Use an ID such as US123 or DE45.")
    scope = await source.open()
    record = await source.find(scope, key)
    if record is None:
        raise NotFoundError(
            f"{key} is not imported by this integration",
            hint="Check the ID and the settings workspace, projects, types and query. Deleted items are not imported.",
        )
    (item,) = await source.history(scope, [record])
    issue, plain = map_work_item(item, rules, now=scope.now), map_work_item(item, _without_own(rules), now=scope.now)
    if not isinstance(issue, Issue) or not isinstance(plain, Issue):
        raise NotFoundError(f"{key} cannot be mapped: Rally returned no ObjectID")
    sources = get_default_sources(record, rules)
    item_type_, site = _type_of(record, rules), rules.web_url
    applied = apply_rules(rules.compiled, item_type_, record.fields, get_defaults(plain), site=site).outcomes
    outcomes = {
        target: replace(outcome, reason=replace(outcome.reason, default_source=sources.get(target, "")))
        for target, outcome in applied.items()
    }
    return Explained(issue, outcomes, check_history(item))


async def count_unmapped(source: RallyClient, rules: Rules) -> Coverage:
    """Count the values that no rule maps among all items of the scope."""
    scope = await source.open()
    plain = _without_own(rules)
    seen: list[CoverageItem] = []
    async for record in _records(source, scope):
        item_type_ = _type_of(record, rules)
        issue = map_work_item(WorkItem(record=record), plain)
        if isinstance(issue, Issue):
            # What is counted are a few words of each row; the row itself is let go.
            defaults = {**get_defaults(issue), "description": ""}
            seen.append(
                CoverageItem(
                    item_type=item_type_, type=issue.type, row={**record.fields, "Description": ""}, defaults=defaults
                )
            )
    return measure_coverage(rules.compiled, seen)


@dataclass(slots=True)
class Verified:
    """What ``verify`` found, by verdict and by difference."""

    #: How many histories have which verdict; those that are pending have none yet.
    verdicts: dict[Verdict, int] = field(default_factory=dict)
    #: Histories whose last changes the source has not got yet: the next runs complete them.
    pending: int = 0
    #: Items whose history is not complete, by FormattedID.
    faults: dict[str, HistoryCheck] = field(default_factory=dict)
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
    result = Verified()
    expected_by_id: dict[str, Expected] = {}
    async for items in _items(source, scope):
        for item in items:
            pending = is_pending(item)
            if pending:
                result.pending += 1
            else:
                judgement = check_history(item)
                result.verdicts[judgement.verdict] = result.verdicts.get(judgement.verdict, 0) + 1
                if judgement.verdict is not Verdict.COMPLETE:
                    result.faults[item.record.key] = judgement
            issue = map_work_item(item, rules, now=scope.now)
            if sink is not None and isinstance(issue, Issue):
                expected_by_id[issue.external_id] = expected_issue(issue, without=FROM_HISTORY if pending else ())
    if sink is not None:
        await sink.open()
        result.compared = await compare(sink, expected_by_id, complete=True, removed=removed)
    return result


def is_pending(item: WorkItem) -> bool:
    """Return whether the source of an item's history has not got the item's last changes yet."""
    return item.past.source is not HistorySource.NONE and not item.past.up_to_date


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
        async for page in source.read_changes(scope, Walk(kind=kind, projects=projects, started_at=scope.now)):
            yield page.records


def _without_own(rules: Rules) -> Rules:
    return replace(rules, compiled=CompiledRules())


def _type_of(record: Record, rules: Rules) -> ItemType:
    row: Mapping[str, Any] = record.fields
    kind = get_kind(record.kind, row, defect_status=rules.defect_status)
    base_type = build_item_type(record.kind, row, kind.name)
    return build_item_type(record.kind, row, kind.name, get_type_name(rules.type_names, kind.name, base_type))


class PreviewSink:
    """A sink for previews: accepts every issue, sends nothing, and keeps the first ones.

    Args:
        keep: How many issues are kept for showing; all are counted.
    """

    def __init__(self, *, keep: int) -> None:
        self._keep = keep
        self.issues: list[Issue] = []
        self.retired: list[Retirement] = []
        #: What every issue is compared by, by external id.
        self.expected: dict[str, Expected] = {}

    @property
    def usage(self) -> Usage:
        """Nothing is ever sent."""
        return Usage()

    async def open(self) -> None:
        """Nothing to do."""

    async def deliver(self, issues: Sequence[Issue]) -> AsyncIterator[Acknowledgement]:
        """Take the issues without sending them."""
        self.issues.extend(issues[: max(0, self._keep - len(self.issues))])
        self.expected.update((issue.external_id, expected_issue(issue)) for issue in issues)
        if issues:
            yield Acknowledgement(delivered=tuple(issue.external_id for issue in issues))

    async def retire(self, retirements: Sequence[Retirement]) -> AsyncIterator[Acknowledgement]:
        """Take note of issues that would be told as gone."""
        self.retired.extend(retirements)
        if retirements:
            yield Acknowledgement(delivered=tuple(one.external_id for one in retirements))

    async def read_back(
        self, external_ids: Sequence[str], *, projects: Sequence[str]
    ) -> Mapping[str, Mapping[str, Any]]:
        """Return every issue with its id alone: a preview takes it for complete."""
        del projects
        return {key: dict.fromkeys(READ_BACK) | {"_id": key} for key in external_ids}


class UnwrittenState:
    """A state for previews: reads the real one and keeps changes in memory only."""

    def __init__(self, real: State) -> None:
        self._real = real
        self._ledger: dict[str, Sent] = {}

    async def load(self) -> Progress:
        """Return the real progress."""
        return await self._real.load()

    async def load_sent(self, external_ids: Sequence[str]) -> Mapping[str, Sent]:
        """Return the real ledger, updated by the uploads of this preview."""
        mine = {key: self._ledger[key] for key in external_ids if key in self._ledger}
        return {**await self._real.load_sent(external_ids), **mine}

    async def list_versions(self, ids: AbstractSet[int] | None = None) -> Mapping[str, str]:
        """Return the real ledger's versions, updated by the uploads of this preview."""
        return {
            **await self._real.list_versions(ids),
            **{key: entry.rules_version for key, entry in self._ledger.items()},
        }

    async def documents(self, external_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the real last uploads."""
        return await self._real.documents(external_ids)

    async def comments(self, external_ids: Sequence[str]) -> Mapping[str, int]:
        """Return what is really known of comments."""
        return await self._real.comments(external_ids)

    async def commit(self, progress: Progress, sent: Mapping[str, Sent], uploaded: Sequence[Issue] = ()) -> None:
        """Keep the ledger for this run only."""
        del progress, uploaded
        self._ledger.update(sent)
