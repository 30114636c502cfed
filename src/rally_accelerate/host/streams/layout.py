"""A checked document as the map reads it: phases, stages with their queries, and what decides on colours and alerts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from rally_accelerate.dql.parse import parse
from rally_accelerate.dql.tree import EVERYTHING, Both, Comparison, Either, Negated, Query
from rally_accelerate.host.streams.document import stages_of
from rally_accelerate.host.streams.keys import AGE_THRESHOLD_DAYS


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
        return Both((stage.query, Negated(Either(later)))) if later else stage.query

    @property
    def anywhere(self) -> Query | None:
        """What holds for every item on the map; None for nothing."""
        queries = tuple(stage.query for stage in self.stages if stage.query is not None)
        return Either(queries) if queries else None


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
        case Negated(operand):
            return asks_for_others(operand)
        case Both(operands) | Either(operands):
            return {item for operand in operands for item in asks_for_others(operand)}
