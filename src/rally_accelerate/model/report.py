"""The report of a sync, for people and machines."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from rally_accelerate.errors import RallyAccelerateError

#: The maximum number of skipped items that a report names.
MAX_NAMED_SKIPS = 100


class Outcome(StrEnum):
    """The result of a run."""

    COMPLETE = "complete"
    #: Something was left out and is named; never shown as success.
    PARTIAL = "partial"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Skipped:
    """One item that was left out, and why."""

    #: The display id that people know, for example US123.
    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """The acknowledgement of one batch of issues."""

    #: External ids that the sink holds now.
    delivered: tuple[str, ...] = ()
    #: Items that the sink refuses, by external id, with the reason.
    refused: tuple[tuple[str, Skipped], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The requests and bytes that a client used; bytes are counted before decompression."""

    requests: int = 0
    retries: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            requests=self.requests + other.requests,
            retries=self.retries + other.retries,
            bytes_received=self.bytes_received + other.bytes_received,
            bytes_sent=self.bytes_sent + other.bytes_sent,
        )

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(
            requests=self.requests - other.requests,
            retries=self.retries - other.retries,
            bytes_received=self.bytes_received - other.bytes_received,
            bytes_sent=self.bytes_sent - other.bytes_sent,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The counts of a run in progress."""

    #: How many items the source says there are to read in this run, as far as it has said.
    expected: int = 0
    #: Walks that have neither begun nor been counted: as long as there are any, ``expected`` is less than there is.
    uncounted: int = 0
    read: int = 0
    #: Items whose history is read, or not needed because they did not change.
    ready: int = 0
    uploaded: int = 0
    unchanged: int = 0
    skipped: int = 0
    #: Issues that were marked as removed, and items that exceed the limit for removals without approval.
    removed: int = 0
    withheld: int = 0
    #: Histories that lead from the creation to the present, that miss something, and that cannot be checked.
    complete: int = 0
    incomplete: int = 0
    #: Incomplete histories whose last changes the source does not have yet; the next run completes them.
    awaited: int = 0
    unverifiable: int = 0


#: The counts that are also reported for each project.
PROJECT_COUNTS = ("read", "uploaded", "unchanged", "skipped", "removed", "incomplete")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectResult:
    """What a run did in one project. The counts mean what they mean in ``Tally``."""

    #: The project's ObjectID as text; empty for items that name no project.
    id: str
    name: str
    read: int = 0
    uploaded: int = 0
    unchanged: int = 0
    skipped: int = 0
    removed: int = 0
    incomplete: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """The report of one run."""

    started_at: datetime
    seconds: float
    tally: Tally = field(default_factory=Tally)
    #: The same for each project in which anything was read or done, by name.
    projects: tuple[ProjectResult, ...] = ()
    #: At most ``MAX_NAMED_SKIPS`` of them; ``tally.skipped`` is the total.
    skipped: tuple[Skipped, ...] = ()
    rally: Usage = field(default_factory=Usage)
    accelerate: Usage = field(default_factory=Usage)
    #: Notices about unusual but valid situations, once per run.
    notices: tuple[str, ...] = ()
    failure: RallyAccelerateError | None = None
    #: Why nothing was ever imported, with what to do; empty if something was, or the cause is unknown.
    empty: str = ""

    @property
    def outcome(self) -> Outcome:
        """Failed, partial when anything was left out, else complete."""
        if self.failure is not None:
            return Outcome.FAILED
        return Outcome.PARTIAL if self.tally.skipped or self.tally.withheld else Outcome.COMPLETE

    def as_dict(self) -> Mapping[str, Any]:
        """Return the report as JSON-ready values; keys are in camel case as in the settings."""
        return {
            "outcome": self.outcome.value,
            "startedAt": self.started_at.isoformat(),
            "seconds": round(self.seconds, 3),
            "read": self.tally.read,
            "uploaded": self.tally.uploaded,
            "unchanged": self.tally.unchanged,
            "skipped": self.tally.skipped,
            "removed": self.tally.removed,
            "withheld": self.tally.withheld,
            "histories": {
                "complete": self.tally.complete,
                "incomplete": self.tally.incomplete,
                "awaited": self.tally.awaited,
                "unverifiable": self.tally.unverifiable,
            },
            "projects": [asdict(project) for project in self.projects],
            "skippedItems": [{"key": item.key, "reason": item.reason} for item in self.skipped],
            "requests": {"rally": self.rally.requests, "accelerate": self.accelerate.requests},
            "retries": {"rally": self.rally.retries, "accelerate": self.accelerate.retries},
            "bytes": {"received": self.rally.bytes_received, "uploaded": self.accelerate.bytes_sent},
            "notices": list(self.notices),
            "empty": self.empty,
            "error": None
            if self.failure is None
            else {
                "type": type(self.failure).__name__,
                "message": str(self.failure),
                "hint": self.failure.hint,
            },
        }


@dataclass(frozen=True, slots=True)
class RetriedFailure:
    """A failure that is being retried."""

    message: str
    hint: str
    #: How often it has failed in a row.
    failures: int = 1


class RetriedFailures:
    """The failures that are currently being retried within one piece of work."""

    def __init__(self) -> None:
        self._now: dict[object, RetriedFailure] = {}

    @property
    def worst(self) -> RetriedFailure | None:
        """The failure with the most attempts, or None."""
        return max(self._now.values(), key=lambda trouble: trouble.failures, default=None)

    def record_failure(self, who: object, message: str, hint: str) -> None:
        """Record another failure of an operation that will be retried."""
        before = self._now.get(who)
        self._now[who] = (
            replace(before, message=message, failures=before.failures + 1) if before else RetriedFailure(message, hint)
        )

    def clear_failure(self, who: object) -> None:
        """Remove the failures of an operation that succeeded or was given up."""
        self._now.pop(who, None)


_tracked: ContextVar[RetriedFailures | None] = ContextVar("troubles", default=None)


@contextmanager
def track_failures() -> Iterator[RetriedFailures]:
    """Collect the failures that are retried inside the context, including tasks started there."""
    troubles = RetriedFailures()
    token = _tracked.set(troubles)
    try:
        yield troubles
    finally:
        _tracked.reset(token)


@contextmanager
def track_attempts() -> Iterator[Callable[[str, str], None]]:
    """Provide a function to call with message and hint after each failed attempt that will be retried."""
    troubles, me = _tracked.get(), object()
    if troubles is None:
        yield lambda *_: None
        return
    try:
        yield lambda message, hint: troubles.record_failure(me, message, hint)
    finally:
        troubles.clear_failure(me)
