"""A checked document as the map reads it: phases, stages with their queries, and what decides on colours and alerts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from rally_accelerate.dql.ast import EVERYTHING, And, Comparison, Not, Or, Query
from rally_accelerate.dql.parser import parse
from rally_accelerate.server.store.issue_search import IssueRow
from rally_accelerate.server.store.tables import to_ms
from rally_accelerate.server.value_streams.document import AGE_THRESHOLD_DAYS, RANKS, stages_of


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage."""

    #: From 1, from left to right over all phases.
    number: int
    phase: str
    name: str
    description: str
    #: As it is written.
    text: str
    #: None where the file gives none: then the stage holds nothing.
    query: Query | None
    wip_limit: int | None
    shows_alerts: bool


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase with its stages."""

    name: str
    description: str
    stages: tuple[Stage, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """The phases of a value stream, and what holds for all of them."""

    description: str
    #: As it is written.
    text: str
    query: Query
    phases: tuple[Phase, ...]
    #: The rank of each priority, by its lower case; empty where the file maps none.
    ranks: Mapping[str, str]
    #: After how long without a change of status an item is too old; None is never.
    too_old: timedelta | None

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Every stage, from left to right."""
        return tuple(stage for phase in self.phases for stage in phase.stages)

    @property
    def of_everything(self) -> "Layout":
        """The same without the query that holds for all stages."""
        return replace(self, query=EVERYTHING)

    def alone(self, stage: Stage) -> Query | None:
        """What holds for the items that are shown in a stage, and nowhere else; None for nothing.

        An item is shown once, in the last stage that it matches: it has come so far [assumed: the vendor's rule is not
        public]. So the counts of all stages add up to the number of items on the map.
        """
        if stage.query is None:
            return None
        later = tuple(each.query for each in self.stages[stage.number :] if each.query is not None)
        return And((stage.query, Not(Or(later)))) if later else stage.query

    @property
    def anywhere(self) -> Query | None:
        """What holds for every item on the map; None for nothing."""
        queries = tuple(stage.query for stage in self.stages if stage.query is not None)
        return Or(queries) if queries else None


def layout_of(document: Mapping[str, Any]) -> Layout:
    """The layout of a document that ``document.checked`` has found right."""
    phases, number = [], 0
    done = _done_from(document)
    for phase in document.get("phases") or ():
        stages = []
        for given in phase.get("stages") or ():
            number += 1
            stages.append(_stage(given, number=number, phase=phase["name"].strip(), is_done=number >= done))
        phases.append(Phase(phase["name"].strip(), phase.get("description") or "", tuple(stages)))
    text = document.get("query") or ""
    priorities = (document.get("mappings") or {}).get("priority") or {}
    days = document.get("ageThresholdDays", AGE_THRESHOLD_DAYS)
    return Layout(
        description=document.get("description") or "",
        text=text,
        query=parse(text) if text.strip() else EVERYTHING,
        phases=tuple(phases),
        ranks={name.casefold(): rank for rank, names in priorities.items() for name in names},
        too_old=None if days is None else timedelta(days=days),
    )


def _done_from(document: Mapping[str, Any]) -> int:
    """The number of the stage where the work is done: where the lead time ends, else the last one."""
    names = [stage["name"].strip() for _, stage in stages_of(document)]
    span = document.get("leadTime") or {}
    end = (span[0] if isinstance(span, list) else span).get("end") or ""
    return names.index(end.strip()) + 1 if end.strip() in names else len(names)


def _stage(given: Mapping[str, Any], *, number: int, phase: str, is_done: bool) -> Stage:
    text = given.get("query") or ""
    return Stage(
        number=number,
        phase=phase,
        name=given["name"].strip(),
        description=given.get("description") or "",
        text=text,
        query=parse(text) if text.strip() else None,
        wip_limit=given.get("wipLimit"),
        # What is done may lie there for ever, whoever owned it, unless the file asks for alerts [assumed].
        shows_alerts=given.get("showAlerts") is True if is_done else given.get("showAlerts") is not False,
    )


def asks_for_others(query: Query) -> set[str]:
    """Which items besides issues a query asks for: this host holds none of them."""
    match query:
        case Comparison(item=item):
            return {item} - {"issue"}
        case Not(operand):
            return asks_for_others(operand)
        case And(operands) | Or(operands):
            return {item for operand in operands for item in asks_for_others(operand)}


#: What dots can be coloured by (accelerate-api-notes.md#dots-and-alerts).
CHOICES = {"type": "Type", "priority": "Priority", "sprint": "Sprint", "release": "Release"}

#: So many values have a tone of their own.
TONES = 8

NONE, OTHER = "none", "other"


@dataclass(frozen=True, slots=True)
class Legend:
    """The tones of one field."""

    by: str
    #: Tone by value.
    tones: Mapping[str, str]
    #: Each value that is shown with its tone, and how many items have it.
    entries: tuple[tuple[str, str, int], ...]
    ranks: Mapping[str, str]

    def tone(self, row: IssueRow) -> str:
        """The tone of a dot: ``1`` to ``8``, a rank, ``other`` or ``none``."""
        value = self._value(row)
        return self.tones.get(value, OTHER) if value else NONE

    def _value(self, row: IssueRow) -> str:
        match self.by:
            case "priority":
                priority = row.priority or ""
                return self.ranks.get(priority.casefold(), priority) if self.ranks else priority
            case "sprint":
                # The last one is the present one.
                return row.sprints[-1] if row.sprints else ""
            case "release":
                return row.releases[-1] if row.releases else ""
            case _:
                return row.type


def legend_of(by: str, counted: Sequence[tuple[str, int]], ranks: Mapping[str, str]) -> Legend:
    """The legend of a field.

    Args:
        by: One of ``CHOICES``.
        counted: The field's values among all items, commonest first.
        ranks: What priorities are mapped to, by their lower case; may be empty.
    """
    if by == "priority" and ranks:
        return _ranked(counted, ranks)
    tones = {value: str(number) for number, (value, _) in enumerate(counted[:TONES], 1)}
    entries = [(value, tones[value], count) for value, count in counted[:TONES]]
    if rest := sum(count for _, count in counted[TONES:]):
        entries.append((f"{len(counted) - TONES} others", OTHER, rest))
    return Legend(by, tones, tuple(entries), {})


def _ranked(counted: Sequence[tuple[str, int]], ranks: Mapping[str, str]) -> Legend:
    sums: dict[str, int] = {}
    for value, count in counted:
        rank = ranks.get(value.casefold(), value)
        sums[rank] = sums.get(rank, 0) + count
    tones = {rank: rank.lower() for rank in RANKS}
    entries = [(rank, tones[rank], sums[rank]) for rank in reversed(RANKS) if rank in sums]
    if rest := sum(count for rank, count in sums.items() if rank not in tones):
        entries.append(("not mapped", OTHER, rest))
    return Legend("priority", tones, tuple(entries), ranks)


#: What stands for nobody where a source must name an owner (accelerate-api-notes.md#issue-fields).
NOBODY = {"", "unknown"}


@dataclass(frozen=True, slots=True)
class Alerts:
    """The alerts of one item."""

    is_unassigned: bool
    is_past_age_threshold: bool

    @property
    def words(self) -> list[str]:
        """As people read them."""
        pairs = ((self.is_unassigned, "unassigned"), (self.is_past_age_threshold, "too old"))
        return [word for holds, word in pairs if holds]


NO_ALERTS = Alerts(is_unassigned=False, is_past_age_threshold=False)


def alerts_of(layout: Layout, stage: Stage | None, *, owner: str | None, since: int, now: datetime) -> Alerts:
    """The alerts of an item that stands in a stage.

    Args:
        layout: Says when an item is too old.
        stage: Where it stands.
        owner: Its owner.
        since: Since when it has its status, in milliseconds.
        now: Ages are counted from here.
    """
    if stage is None or not stage.shows_alerts:
        return NO_ALERTS
    age = to_ms(now) - since
    limit = None if layout.too_old is None else layout.too_old.total_seconds() * 1000
    return Alerts(
        is_unassigned=(owner or "").strip().casefold() in NOBODY,
        is_past_age_threshold=limit is not None and age > limit,
    )


def alerts_of_row(layout: Layout, stage: Stage, row: IssueRow, now: datetime) -> Alerts:
    """The alerts of a dot."""
    return alerts_of(layout, stage, owner=row.owner, since=row.status_since, now=now)
