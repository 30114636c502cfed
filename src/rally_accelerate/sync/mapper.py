"""Maps the items of a portion to issues, ready to be delivered; one item that cannot be mapped stops no other."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rally_accelerate.mapping.field_readers import read_project
from rally_accelerate.mapping.history_check import Verdict, check_history
from rally_accelerate.mapping.rules import Rules
from rally_accelerate.model.issue import Issue, Project
from rally_accelerate.model.progress import Walk
from rally_accelerate.model.report import Skipped
from rally_accelerate.rally.records import Record, WorkItem
from rally_accelerate.sync.ports import Source

#: So many items wait at most for others to share a request for history with.
MOST_GATHERED = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """Items of a walk whose histories are read in one request."""

    #: ObjectIDs of everything that was read, news or not.
    items: tuple[int, ...]
    fresh: Sequence[Record]
    after: int = 0
    last: bool = False


@dataclass(slots=True)
class Gathered:
    """The items of a walk that wait for a request; pages and requests for history are of different sizes."""

    items: list[int] = field(default_factory=list)
    fresh: list[Record] = field(default_factory=list)
    ended: bool = False

    def add(self, records: Sequence[Record], fresh: Sequence[Record]) -> None:
        """Take a page's records in."""
        self.items.extend(record.object_id for record in records)
        self.fresh.extend(fresh)

    def portion(self, source: Source, *, after: int, last: bool) -> Portion | None:
        """Return the next portion, or None if more must be read first.

        Args:
            source: Knows how many fit.
            after: How far the walk has been read.
            last: Whether the walk has been read to its end.
        """
        if self.ended or (not self.items and not last):
            return None
        fitting = source.count_fitting(self.fresh) if self.fresh else 0
        if not fitting and (last or not self.fresh or len(self.fresh) >= MOST_GATHERED):
            fitting = len(self.fresh)
        elif not fitting:
            return None
        if fitting == len(self.fresh):
            portion = Portion(items=tuple(self.items), fresh=self.fresh, after=after, last=last)
            self.items, self.fresh, self.ended = [], [], last
            return portion
        reached = self.fresh[fitting - 1].object_id
        portion = Portion(
            items=tuple(item for item in self.items if item <= reached),
            fresh=self.fresh[:fitting],
            after=reached,
            last=False,
        )
        self.items = [item for item in self.items if item > reached]
        self.fresh = self.fresh[fitting:]
        return portion


log = logging.getLogger(__name__)

#: How long mapping keeps other tasks of the process waiting, such as uploads and pages of the server. By time, because
#: an item with long texts and many regular expressions takes a thousand times as long as others.
SECONDS_BETWEEN_PAUSES = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A page that is ready to be delivered; Rally's own rows, which are large, have been let go."""

    walk: Walk
    #: ObjectIDs of everything on the page, news or not.
    items: tuple[int, ...]
    issues: Sequence[Issue]
    #: With their projects, by ObjectID.
    skipped: Mapping[int, tuple[Project | None, Skipped]]
    #: External ids of issues whose history is not up to date yet: sent now, and again when it is.
    due: frozenset[str]
    #: What is known of each issue's history, by external id.
    verdicts: Mapping[str, Verdict]
    after: int
    last: bool


@dataclass(slots=True)
class Mapper:
    """Maps items as one run does.

    Args:
        rules: How the integration wants them mapped.
        now: The source's clock, once it is known.
    """

    rules: Rules
    now: datetime | None = None

    async def map_batch(self, walk: Walk, items: Sequence[WorkItem], portion: Portion) -> Batch:
        """Return a portion of a walk as issues, with what is known of their histories."""
        issues: list[Issue] = []
        skipped: dict[int, tuple[Project | None, Skipped]] = {}
        due: set[str] = set()
        verdicts: dict[str, Verdict] = {}
        paused = time.monotonic()
        searches = self.rules.compiled.rules.has_patterns
        for item in items:
            # A search of a long text lets other threads run; other items are mapped sooner than a thread takes over.
            match await asyncio.to_thread(self.map_item, item) if searches else self.map_item(item):
                case Skipped() as skip:
                    skipped[item.record.object_id] = (read_project(item.record.fields), skip)
                case Issue() as issue:
                    issues.append(issue)
                    verdicts[issue.external_id] = check_history(item).verdict
                    if not item.past.up_to_date:
                        due.add(issue.external_id)
            if time.monotonic() - paused > SECONDS_BETWEEN_PAUSES:
                await asyncio.sleep(0)
                paused = time.monotonic()
        return Batch(
            walk=walk,
            items=portion.items,
            issues=issues,
            skipped=skipped,
            due=frozenset(due),
            verdicts=verdicts,
            after=portion.after,
            last=portion.last,
        )

    def map_item(self, item: WorkItem) -> Issue | Skipped:
        """Return the issue that an item becomes, or why it becomes none."""
        # With the first item: most runs have none, and a container starts for each of them.
        from rally_accelerate.mapping.issue import map_work_item  # noqa: PLC0415

        try:
            return map_work_item(item, self.rules, now=self.now)
        except Exception as error:
            # Rally's data has surprised every connector (accelerate-api-notes.md#reported-problems): one item must not
            # stop the others, and stays owed until a version that can map it.
            log.exception("%s cannot be mapped", item.record.key)
            return Skipped(item.record.key, f"internal error while mapping ({type(error).__name__}); please report it")
