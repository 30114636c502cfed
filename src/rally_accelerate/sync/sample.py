"""A few live items as they would be uploaded, for whoever is about to save settings."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain, zip_longest

from rally_accelerate.mapping.issue import to_issue
from rally_accelerate.mapping.rules import Rules
from rally_accelerate.mapping.verdict import Judgement, judge
from rally_accelerate.model.issue import Issue
from rally_accelerate.model.progress import Walk, Window
from rally_accelerate.model.report import Skipped
from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.records import Record, Scope
from rally_accelerate.sync.emptiness import cause

#: People know what they changed lately best; where that is too little, anything serves.
LATELY = timedelta(days=14)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Some items of a scope."""

    issues: Sequence[Issue]
    skipped: Sequence[Skipped]
    #: What is known of each issue's history, by external id.
    judgements: Mapping[str, Judgement]
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
    judgements: dict[str, Judgement] = {}
    for item in await source.history(scope, records) if records else ():
        # In a thread: regular expressions of the rules can take seconds for a long text.
        match await asyncio.to_thread(to_issue, item, rules, now=scope.now):
            case Issue() as issue:
                issues.append(issue)
                judgements[issue.external_id] = judge(item)
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
