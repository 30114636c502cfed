"""Layout of the map from a valid document: phases, stages with queries, colors and alerts."""

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

    def query_for(self, stage: Stage) -> Query | None:
        """Return the query that only the items displayed in a stage match; None if the stage has no items.

        An item is shown once, in the last stage that it matches: it has come so far [assumed: the vendor's rule is not
        public]. So the counts of all stages add up to the number of items on the map.
        """
        if stage.query is None:
            return None
        later = tuple(later_stage.query for later_stage in self.stages[stage.number :] if later_stage.query is not None)
        return And((stage.query, Not(Or(later)))) if later else stage.query

    @property
    def anywhere(self) -> Query | None:
        """What holds for every item on the map; None for nothing."""
        queries = tuple(stage.query for stage in self.stages if stage.query is not None)
        return Or(queries) if queries else None


def parse_layout(document: Mapping[str, Any]) -> Layout:
    """Parse the layout of a valid document."""
    phases, number = [], 0
    done = _done_stage_number(document)
    for phase in document.get("phases") or ():
        stages = []
        for definition in phase.get("stages") or ():
            number += 1
            stages.append(_stage(definition, number=number, phase=phase["name"].strip(), is_done=number >= done))
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


def _done_stage_number(document: Mapping[str, Any]) -> int:
    """Return the number of the stage where work is done: the end of the lead time, else the last stage."""
    names = [stage["name"].strip() for _, stage in stages_of(document)]
    span = document.get("leadTime") or {}
    end = (span[0] if isinstance(span, list) else span).get("end") or ""
    return names.index(end.strip()) + 1 if end.strip() in names else len(names)


def _stage(definition: Mapping[str, Any], *, number: int, phase: str, is_done: bool) -> Stage:
    text = definition.get("query") or ""
    return Stage(
        number=number,
        phase=phase,
        name=definition["name"].strip(),
        description=definition.get("description") or "",
        text=text,
        query=parse(text) if text.strip() else None,
        wip_limit=definition.get("wipLimit"),
        # What is done may lie there for ever, whoever owned it, unless the file asks for alerts [assumed].
        shows_alerts=definition.get("showAlerts") is True if is_done else definition.get("showAlerts") is not False,
    )


def other_item_types(query: Query) -> set[str]:
    """Return the item types other than issues in a query; this server does not store them."""
    match query:
        case Comparison(item=item):
            return {item} - {"issue"}
        case Not(operand):
            return other_item_types(operand)
        case And(operands) | Or(operands):
            return {item for operand in operands for item in other_item_types(operand)}


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
        """Return the tone of a dot: ``1`` to ``8``, a rank, ``other`` or ``none``."""
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


def build_legend(by: str, counted: Sequence[tuple[str, int]], ranks: Mapping[str, str]) -> Legend:
    """Build the legend of a field.

    Args:
        by: One of ``CHOICES``.
        counted: The field's values among all items, commonest first.
        ranks: What priorities are mapped to, by their lower case; may be empty.
    """
    if by == "priority" and ranks:
        return _priority_legend(counted, ranks)
    tones = {value: str(number) for number, (value, _) in enumerate(counted[:TONES], 1)}
    entries = [(value, tones[value], count) for value, count in counted[:TONES]]
    if rest := sum(count for _, count in counted[TONES:]):
        entries.append((f"{len(counted) - TONES} others", OTHER, rest))
    return Legend(by, tones, tuple(entries), {})


def _priority_legend(counted: Sequence[tuple[str, int]], ranks: Mapping[str, str]) -> Legend:
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
NO_OWNER = {"", "unknown"}


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
    """Return the alerts of an item in a stage.

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
        is_unassigned=(owner or "").strip().casefold() in NO_OWNER,
        is_past_age_threshold=limit is not None and age > limit,
    )


def alerts_of_row(layout: Layout, stage: Stage, row: IssueRow, now: datetime) -> Alerts:
    """Return the alerts of a dot."""
    return alerts_of(layout, stage, owner=row.owner, since=row.status_since, now=now)
