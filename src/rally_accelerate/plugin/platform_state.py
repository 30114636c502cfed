"""The engine's memory where nothing on disk outlives a run: kept by Accelerate with the integration.

What is kept: the progress, and what was sent within the overlap, so that the next run does not send it again. A server
that keeps nothing is no obstacle: the platform's own times of earlier runs take the place of the cursor then, items of
the overlap are sent again, and what an issue holds stays the same.

Two runs at once: the second one sees that the first is at work and leaves. Should both have begun in the same moment,
the one that ends later finds that the other has written, and puts the older of both progresses down, so that the next
run reads again whatever either of them may have sent in the wrong order.
"""

import asyncio
import json
import logging
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from itertools import islice
from typing import Any

from rally_accelerate.accelerate.integration_state import Platform, Recalled, as_state, instant
from rally_accelerate.errors import RallyAccelerateError, StoreError
from rally_accelerate.model.issue import Issue, SourceRevision
from rally_accelerate.model.progress import ALL_PROJECTS, REMOVED_MARK, TIMEBOX_FIELDS, Progress, Sent, TimeboxWatch
from rally_accelerate.rally.records import Scope
from rally_accelerate.sync.plan import lanes_of
from rally_accelerate.sync.progress_json import progress_from_json, progress_to_json

log = logging.getLogger(__name__)

#: Under this name our state lies among whatever else is kept for the integration.
OURS = "rallyAccelerate"
FORMAT = 1

#: A run tells that it goes on every so often; when it has not for so long, it is taken to have died.
BEAT = timedelta(seconds=20)
SILENT = timedelta(seconds=90)

#: So many sent items are remembered while a run goes on.
MOST_REMEMBERED = 10_000

#: So many statuses are asked for one by one; more of them by listing everything.
MOST_ONE_BY_ONE = 100

#: Of more items the number of comments is not remembered: then those of a removed item have to be readable.
MOST_COMMENTED = 20_000

NEVER = datetime.fromtimestamp(0, UTC)

#: A state of more bytes than this that the server refuses is tried again in a smaller form.
LARGE = 10_000

#: More entries than this are not kept, the latest of them: they only save sending the same again.
MOST_SENT = 2_000


class Size(IntEnum):
    """The forms of a stored state, each smaller than the one before."""

    FULL = 0
    #: Compressed.
    PACKED = 1
    #: Compressed, without what only saves work: what was sent lately, counts of comments, what timeboxes were like.
    LEAN = 2
    #: Also without names of projects, people and tags: what is renamed is not noticed.
    BARE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredState:
    """What an earlier run left."""

    progress: Progress
    sent: Mapping[str, Sent]
    #: Under which mapping rules it was written.
    rules_version: str
    #: Who wrote it, and when.
    run: str
    at: datetime
    #: Whether that run was still going on.
    running: bool
    #: Whether that run ended without a failure.
    finished: bool = False
    #: How many comments the last upload of each item had; None when that was not counted.
    commented: Mapping[str, int] | None = None
    #: In which form it was stored.
    size: "Size" = Size.FULL


def parse_state(recalled: Recalled, event: str) -> StoredState | None:
    """Parse the state that an earlier run stored; None if it is not from this plug-in.

    Where it comes back is not public: as it was given, or by the event's name.
    """
    state = as_state(recalled.state)
    if isinstance(state, Mapping) and OURS not in state:
        state = as_state(state.get(event))
    ours = state.get(OURS) if isinstance(state, Mapping) else None
    if not isinstance(ours, Mapping) or ours.get("format") != FORMAT:
        return None
    try:
        size = Size(ours.get("size", Size.FULL))
        if "packed" in ours:
            ours = json.loads(zlib.decompress(b64decode(ours["packed"])))
        return StoredState(
            progress=progress_from_json(ours["progress"]),
            sent={
                str(key): Sent(SourceRevision.parse(revision), str(ours["rules"]))
                for key, revision in ours["sent"].items()
            },
            rules_version=str(ours["rules"]),
            run=str(ours["run"]),
            at=instant(ours["at"]) or NEVER,
            running=ours["running"] is True,
            finished=ours.get("finished") is True,
            commented=_counts(ours.get("comments")),
            size=size,
        )
    except (KeyError, TypeError, ValueError, AttributeError, StoreError, zlib.error):
        log.info("the stored progress of an earlier run cannot be read; using the times from Accelerate instead")
        return None


def is_finished(state: StoredState, scope: Scope) -> bool:
    """Return whether an earlier run has uploaded everything once."""
    progress = state.progress
    return state.finished or (
        bool(progress.cursors) and not progress.unfinished and progress.cursors.keys() >= set(lanes_of(scope))
    )


def restart(state: StoredState) -> StoredState:
    """Return what is left of an earlier run where everything is uploaded again: no cursors, and no ledger."""
    progress = state.progress
    return replace(
        state,
        # What was asked for, and what the services refuse, is still so.
        progress=Progress(since=progress.since, deferred=progress.deferred, resynced=progress.resynced),
        sent={},
        commented=None,
    )


def serialize(state: StoredState) -> dict[str, Any]:
    """Return what is stored with the integration, in the form that ``kept_of`` reads."""
    if state.size >= Size.LEAN:
        watch = state.progress.timeboxes
        progress = replace(state.progress, timeboxes=replace(watch, seen={}) if watch is not None else None)
        if state.size is Size.BARE:
            progress = replace(progress, names=None)
        state = replace(state, progress=progress, sent={}, commented=None)
    fields = {
        "format": FORMAT,
        "run": state.run,
        "at": round(state.at.timestamp() * 1000),
        "running": state.running,
        "finished": state.finished,
        "rules": state.rules_version,
        "progress": progress_to_json(state.progress),
        "sent": {key: str(sent.revision) for key, sent in state.sent.items()},
        "comments": state.commented,
    }
    if state.size is Size.FULL:
        return {OURS: fields}
    packed = b64encode(zlib.compress(json.dumps(fields).encode())).decode()
    return {OURS: {"format": FORMAT, "size": int(state.size), "packed": packed}}


def _counts(value: Any) -> Mapping[str, int] | None:
    return {str(key): int(count) for key, count in value.items()} if isinstance(value, Mapping) else None


def cursor_of(recalled: Recalled, last_run: datetime | None) -> datetime | None:
    """Return the cursor according to the platform's own times; None means from the beginning.

    ``lastRun`` may have moved although the run failed (accelerate-api-notes.md#last-run): the time of the
    last success is used where it is known.
    """
    if last_run is None:
        return None
    if recalled.known and recalled.last_success is None and recalled.last_run_successful is False:
        return None
    return min(last_run, recalled.last_success) if recalled.last_success else last_run


def progress_at(cursor: datetime | None, scope: Scope, *, rules_version: str, reads: frozenset[str]) -> Progress:
    """Return a progress with all cursors at one instant."""
    if cursor is None:
        return Progress()
    # A clock ahead of the source's would pass over changes.
    start = min(cursor, scope.now)
    return Progress(
        scope=scope.signature,
        rules_version=rules_version,
        read_with=reads,
        cursors=dict.fromkeys(lanes_of(scope), start),
        timeboxes=TimeboxWatch(until=dict.fromkeys(TIMEBOX_FIELDS, start)),
    )


@dataclass(slots=True, kw_only=True)
class PlatformState:
    """A ``State`` of ``sync/ports.py``, stored in Accelerate."""

    platform: Platform
    event: str
    #: Tells this run from others.
    run: str
    clock: Callable[[], datetime]
    rules_version: str
    #: Keys of the projects in which Accelerate may hold issues of this integration.
    projects: Sequence[str]
    #: Statuses that mean that an item is gone.
    removed_statuses: Collection[str]
    overlap: timedelta
    #: What an earlier run left; None when the server keeps nothing, or this is the first run.
    before: StoredState | None = None
    progress: Progress = field(default_factory=Progress)
    ledger: dict[str, Sent] = field(default_factory=dict)
    #: How many comments the last upload of each item had, where it had any; None where that is not known.
    commented: dict[str, int] | None = None
    #: Whether the server takes what it is to keep; None until it was asked.
    keeps: bool | None = None
    #: The form that the server takes.
    size: Size = Size.FULL
    _begun_with: Progress = field(default_factory=Progress)
    _wrote: bool = False
    _delivered: bool = False
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        if self.before is not None:
            self.ledger.update(self.before.sent)
            self.size = self.before.size
            self.commented = dict(self.before.commented) if self.before.commented is not None else None

    def begin(self, progress: Progress, *, uploads_all: bool = False) -> None:
        """Begin a run with what is known of earlier ones.

        Args:
            progress: As an earlier run left it.
            uploads_all: Whether every item is uploaded again, because it is mapped in another way.
        """
        self.progress = self._begun_with = progress
        if self.commented is None and (uploads_all or not (progress.cursors or progress.unfinished)):
            # Everything is uploaded from here on.
            self.commented = {}

    async def can_store(self) -> bool:
        """Return whether the server stores and returns a state.

        Raises:
            RallyAccelerateError: The server cannot be reached.
        """
        await self.keep(running=True)
        return bool(self.keeps) and parse_state(await self.platform.recall(), self.event) is not None

    async def load(self) -> Progress:
        """Return the progress of earlier runs."""
        return self.progress

    async def load_sent(self, external_ids: Sequence[str]) -> Mapping[str, Sent]:
        """Return the ledger entries of recently uploaded items."""
        return {key: self.ledger[key] for key in external_ids if key in self.ledger}

    async def list_versions(self, ids: AbstractSet[int] | None = None) -> Mapping[str, str]:
        """Return the versions of the issues in Accelerate, which has the only complete list."""
        if ids is not None and len(ids) <= MOST_ONE_BY_ONE:
            status_by_id = await self.platform.statuses(sorted(ids))
            # Which id the server looks for, and whose issue it answers where several trackers have the same, is not
            # public (accelerate-api-notes.md#queries): what it did not answer is looked for among all.
            if lacking := ids - status_by_id.keys():
                every = await self.platform.all_statuses(self.projects)
                status_by_id |= {key: status for key, status in every.items() if key in lacking}
        else:
            status_by_id = await self.platform.all_statuses(self.projects)
        return {
            str(key): f"{self.rules_version}{REMOVED_MARK}" if status in self.removed_statuses else self.rules_version
            for key, status in status_by_id.items()
        }

    async def documents(self, external_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return nothing: a server's JSON is no place for the uploads of all items."""
        del external_ids
        return {}

    async def comments(self, external_ids: Sequence[str]) -> Mapping[str, int]:
        """Return how many comments the last upload of each item had, where that is known."""
        counts = self.commented
        if counts is None:
            return {}
        return {key: counts.get(key, 0) for key in external_ids}

    async def commit(self, progress: Progress, sent: Mapping[str, Sent], uploaded: Sequence[Issue] = ()) -> None:
        """Record the progress in memory; it is stored at intervals and at the end."""
        self.progress = progress
        self._count_comments(uploaded)
        self._delivered = self._delivered or bool(sent)
        self.ledger.update(sent)
        for key in list(islice(self.ledger, max(0, len(self.ledger) - MOST_REMEMBERED))):
            del self.ledger[key]

    def _count_comments(self, uploaded: Sequence[Issue]) -> None:
        counts = self.commented
        for issue in uploaded if counts is not None else ():
            if counts is not None and issue.comments:
                counts[issue.external_id] = len(issue.comments)
            elif counts is not None:
                counts.pop(issue.external_id, None)
        if counts is not None and len(counts) > MOST_COMMENTED:
            self.commented = None

    async def beat(self) -> None:
        """Store the progress at intervals until canceled, so that a killed run can be continued."""
        while True:
            await asyncio.sleep(BEAT.total_seconds())
            with suppress(RallyAccelerateError):
                await self.keep(running=True)

    async def keep(self, *, running: bool, finished: bool = False) -> None:
        """Store the progress in Accelerate.

        Args:
            running: False at the end.
            finished: Whether the run ended without a failure.

        Raises:
            RallyAccelerateError: The server cannot be reached.
        """
        async with self._turn:
            if self.keeps is False:
                return
            progress, ledger = self.progress, self.ledger
            # Who sends nothing can send nothing in the wrong order.
            other = parse_state(await self.platform.recall(), self.event) if self._delivered else None
            if other is not None and self._is_by_another(other):
                progress, ledger = _older(self._begun_with, other.progress), {}
            self.keeps = await self._store(self._make_state(progress, ledger, running=running, finished=finished))
            self._wrote = True

    async def _store(self, state: StoredState) -> bool:
        """Store a state, in a smaller form if the server refuses a large one."""
        for size in (one for one in Size if one >= self.size):
            value = serialize(replace(state, size=size))
            if await self.platform.keep(self.event, value):
                self.size = size
                return True
            if len(json.dumps(value)) <= LARGE:
                # It is not for its size that it is refused.
                return False
        return False

    def _is_by_another(self, other: StoredState) -> bool:
        known = {self.run} if self._wrote else {self.run, self.before.run if self.before else ""}
        return other.run not in known

    def _make_state(
        self, progress: Progress, ledger: Mapping[str, Sent], *, running: bool, finished: bool
    ) -> StoredState:
        # What lies behind the next window is not read again, so nobody asks for it; of a walk that is not at its end
        # the last ones sent may be read again, however old they are.
        since = lagging_cursor(progress)
        every = since is None or bool(progress.unfinished)
        recent = [
            (key, sent)
            for key, sent in ledger.items()
            if sent.rules_version == self.rules_version
            and (every or since is None or sent.revision.updated_at >= since - 2 * self.overlap)
        ]
        return StoredState(
            progress=progress,
            sent=dict(recent[-MOST_SENT:]),
            run=self.run,
            at=self.clock(),
            running=running,
            finished=finished,
            rules_version=self.rules_version,
            commented=self.commented,
        )


def _older(mine: Progress, other: Progress) -> Progress:
    """Return the older of two progresses, so that the next run reads everything either of them may have missed.

    Without a cursor nothing was read whole yet: everything is read again.
    """
    if mine.scope != other.scope or not mine.cursors or not other.cursors:
        return mine if not mine.cursors else other
    return mine if (lagging_cursor(mine) or NEVER) <= (lagging_cursor(other) or NEVER) else other


def lagging_cursor(progress: Progress) -> datetime | None:
    """Return the oldest cursor; for a whole workspace, single projects don't count."""
    workspace_cursors = [cursor for lane, cursor in progress.cursors.items() if lane.project == ALL_PROJECTS]
    return min(workspace_cursors or progress.cursors.values(), default=None)
