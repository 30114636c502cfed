"""Looking closely at a run: why an item is mapped as it is, what no rule maps, whether histories are whole."""

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
from rally_accelerate.sync.empty_sync import cause
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
LONGEST = 80


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


def expected(issue: Issue, *, without: Collection[str] = ()) -> Expected:
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
        form = _ordered(value) if name == "relations" else _plain(value)
        written = orjson.dumps(form, option=orjson.OPT_SORT_KEYS, default=str)
        digest = hashlib.blake2b(written, digest_size=16).hexdigest()
        return Digest(digest, len(value) if isinstance(value, list) else 1)
    return _ordered(value) if isinstance(value, list) else _plain(value, name)


async def compare(
    sink: AccelerateClient,
    wanted: Mapping[str, Expected],
    *,
    whole: bool,
    removed: Collection[str] = (),
) -> Compared:
    """Compare what Accelerate holds with what it should hold.

    Args:
        sink: Open.
        wanted: What it should hold, by external id.
        whole: Whether it should hold nothing else.
        removed: Statuses of issues that are marked as removed: those are rightly there without being expected.

    Raises:
        RallyAccelerateError: The server cannot be asked, or its answer has another form than the published one.
    """
    readable = await sink.readable_fields()
    sent = {name for each in wanted.values() for name in each.values}
    found = Compared(unreadable=tuple(sorted(sent - readable)))
    faults: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    held: set[str] = set()
    async for issue in sink.held(sorted({each.project for each in wanted.values() if each.project})):
        key = str(issue.get("_id"))
        names.setdefault(key, str(issue.get("id") or key))
        if key in held:
            faults.setdefault(key, []).append("is in Accelerate twice")
            continue
        held.add(key)
        if key in wanted:
            found.issues += 1
            if told := _differences(wanted[key], issue, readable):
                faults.setdefault(key, []).append(told)
        elif whole and issue.get("status") not in removed:
            faults.setdefault(key, []).append("is in Accelerate, but not among the items of this integration")
    for key in wanted.keys() - held:
        names[key] = wanted[key].display_id
        faults[key] = ["is missing in Accelerate"]
    found.differences = [f"{names[key]}: {'; '.join(faults[key])}" for key in sorted(faults, key=_by_number)]
    return found


def _differences(wanted: Expected, issue: Mapping[str, Any], readable: Collection[str]) -> str:
    told = []
    # What people look at first comes first.
    for name in sorted(wanted.values.keys() & set(readable), key=lambda each: (FIRST.get(each, len(FIRST)), each)):
        value = wanted.values[name]
        there = comparable(name, issue.get(name))
        if name == "normalizedType" and there is None:
            continue
        if there != value:
            told.append(_difference(name, value, there))
    return "; ".join(told)


def _difference(name: str, value: Any, there: Any) -> str:
    what = NAMES.get(name, name)
    if isinstance(value, Digest) or isinstance(there, Digest):
        counts = [each.length if isinstance(each, Digest) else 0 for each in (there, value)]
        if name in COUNTED and counts[0] != counts[1]:
            return f"its {what} has {counts[0]} {COUNTED[name]} in Accelerate, and should have {counts[1]}"
        return f"its {what} differs"
    return f"its {what} is {_shown(there)} in Accelerate, and should be {_shown(value)}"


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    text = repr(value) if isinstance(value, str | int | float) else _words(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


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
            inner = {str(key): _plain(each, str(key)) for key, each in value.items()}
            return {key: each for key, each in inner.items() if each not in (None, "", [], {})}
        case list():
            return [_plain(each, name) for each in value if each is not None]
        case bool():
            return value
        case _ if name in DATES or name == "timestamp":
            moment = instant(value)
            return round(moment.timestamp() * 1000) if moment is not None else value
        case int():
            return float(value)
        case _:
            return value


def _ordered(value: Any) -> list[Any]:
    """Return a list whose order says nothing, in one order."""
    key: Callable[[Any], str] = lambda each: str(each.get("id") if isinstance(each, Mapping) else each)  # noqa: E731
    return sorted((_plain(each) for each in value if each is not None), key=key)


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


async def sample(source: RallyClient, rules: Rules, *, count: int, since: datetime | None = None) -> Sample:
    """Some items, of every type in turn, mapped; nothing is sent or remembered.

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
        records = await _some(source, scope, window, count)
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
    why = () if records else (await cause(source, scope, since=since),)
    notices = tuple(text for text in dict.fromkeys((*why, *scope.notices, *source.told(), *source.oddities())) if text)
    return Sample(issues=issues, skipped=skipped, judgements=judgements, notices=notices)


async def _some(source: RallyClient, scope: Scope, window: Window, count: int) -> list[Record]:
    projects = tuple(sorted(project.object_id for project in scope.projects))
    found = []
    for kind in scope.kinds:
        walk = replace(Walk(kind=kind, projects=projects, started_at=scope.now, aside=True), window=window)
        records: list[Record] = []
        async with aclosing(source.changed(scope, walk)) as pages:
            async for page in pages:
                records.extend(page.records)
                if len(records) >= count:
                    break
        found.append(records[:count])
    in_turn = chain.from_iterable(zip_longest(*found))
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
    """Why an item is mapped as it is.

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
    its, site = _type_of(record, rules), rules.web_url
    applied = apply_rules(rules.compiled, its, record.fields, get_defaults(plain), site=site).outcomes
    outcomes = {
        target: replace(outcome, reason=replace(outcome.reason, default_source=sources.get(target, "")))
        for target, outcome in applied.items()
    }
    return Explained(issue, outcomes, check_history(item))


async def covered(source: RallyClient, rules: Rules) -> Coverage:
    """What no rule maps, among all items of the scope."""
    scope = await source.open()
    plain = _without_own(rules)
    seen: list[CoverageItem] = []
    async for record in _records(source, scope):
        its = _type_of(record, rules)
        issue = map_work_item(WorkItem(record=record), plain)
        if isinstance(issue, Issue):
            # What is counted are a few words of each row; the row itself is let go.
            defaults = {**get_defaults(issue), "description": ""}
            seen.append(
                CoverageItem(
                    item_type=its, type=issue.type, row={**record.fields, "Description": ""}, defaults=defaults
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
    found = Verified()
    wanted: dict[str, Expected] = {}
    async for items in _items(source, scope):
        for item in items:
            pending = is_pending(item)
            if pending:
                found.pending += 1
            else:
                judgement = check_history(item)
                found.verdicts[judgement.verdict] = found.verdicts.get(judgement.verdict, 0) + 1
                if judgement.verdict is not Verdict.COMPLETE:
                    found.faults[item.record.key] = judgement
            issue = map_work_item(item, rules, now=scope.now)
            if sink is not None and isinstance(issue, Issue):
                wanted[issue.external_id] = expected(issue, without=FROM_HISTORY if pending else ())
    if sink is not None:
        await sink.open()
        found.compared = await compare(sink, wanted, whole=True, removed=removed)
    return found


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
        async for page in source.changed(scope, Walk(kind=kind, projects=projects, started_at=scope.now)):
            yield page.records


def _without_own(rules: Rules) -> Rules:
    return replace(rules, compiled=CompiledRules())


def _type_of(record: Record, rules: Rules) -> ItemType:
    row: Mapping[str, Any] = record.fields
    kind = get_kind(record.kind, row, defect_status=rules.defect_status)
    its = build_item_type(record.kind, row, kind.name)
    return build_item_type(record.kind, row, kind.name, get_type_name(rules.type_names, kind.name, its))


class PreviewSink:
    """A sink that only looks: it takes every issue and keeps the first ones.

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
        self.expected.update((issue.external_id, expected(issue)) for issue in issues)
        if issues:
            yield Acknowledgement(delivered=tuple(issue.external_id for issue in issues))

    async def retire(self, retirements: Sequence[Retirement]) -> AsyncIterator[Acknowledgement]:
        """Take note of issues that would be told as gone."""
        self.retired.extend(retirements)
        if retirements:
            yield Acknowledgement(delivered=tuple(each.external_id for each in retirements))

    async def read_back(
        self, external_ids: Sequence[str], *, projects: Sequence[str]
    ) -> Mapping[str, Mapping[str, Any]]:
        """Return every issue with its id alone: a preview takes it for complete."""
        del projects
        return {key: dict.fromkeys(READ_BACK) | {"_id": key} for key in external_ids}


class UnwrittenState:
    """A state whose changes are forgotten: reads come from the real one, later ones from what was just done."""

    def __init__(self, real: State) -> None:
        self._real = real
        self._ledger: dict[str, Sent] = {}

    async def load(self) -> Progress:
        """The real progress."""
        return await self._real.load()

    async def known(self, external_ids: Sequence[str]) -> Mapping[str, Sent]:
        """The real ledger, and over it what this preview would have sent."""
        mine = {key: self._ledger[key] for key in external_ids if key in self._ledger}
        return {**await self._real.known(external_ids), **mine}

    async def held(self, ids: AbstractSet[int] | None = None) -> Mapping[str, str]:
        """The real ledger's marks, and over them what this preview would have sent."""
        return {**await self._real.held(ids), **{key: entry.rules_version for key, entry in self._ledger.items()}}

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
