"""Side jobs that failed: told in every run, tried again after a while, and never a reason for a run to fail; pure."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from rally_accelerate.errors import PermanentError, RallyAccelerateError, TransientError
from rally_accelerate.model.progress import Deferral, Progress

#: Finding removed items and marking their issues.
REMOVALS = "removal check"
#: Reading the recycle bin.
BIN = "recycle bin"
#: Watching timeboxes.
TIMEBOXES = "timeboxes"
#: Comparing names of people, and of tags.
PEOPLE = "names of people"
TAGS = "names of tags"
#: Clearing the platform's request for a resync.
RESYNC = "resync request"

#: What of a side job does not fail a run; own faults and wrong settings still do.
FAILURES = (TransientError, PermanentError)

#: After a failure of the moment, after a refusal, and at most: the time doubles with each failure in a row.
AFTER_TROUBLE = timedelta(minutes=10)
AFTER_REFUSAL = timedelta(hours=1)
LONGEST = timedelta(days=1)

#: So much of a service's words is remembered.
LONGEST_REASON = 300

_TEXTS: Mapping[str, str] = {
    REMOVALS: "Removed items could not be marked",
    BIN: "The recycle bin could not be read, so deletions are only detected by the daily scan",
    TIMEBOXES: "Changes of iterations, releases and milestones could not be read",
    PEOPLE: "Names of people could not be compared, so renamed people keep their former names",
    TAGS: "Names of tags could not be compared, so renamed tags keep their former names",
    RESYNC: "The server did not clear the request for a resync that is complete",
}


def is_deferred(progress: Progress, job: str, *, now: datetime) -> bool:
    """Return whether a job is not to be tried yet."""
    deferral = progress.deferred.get(job)
    # A clock that was far ahead when the job failed must not put it off for years.
    return deferral is not None and now < deferral.until <= now + LONGEST


def defer(
    progress: Progress, job: str, error: RallyAccelerateError, *, now: datetime, since: datetime | None = None
) -> Progress:
    """Return the progress with a failed job put off.

    Args:
        progress: As it is.
        job: The job's name.
        error: Why it failed.
        now: The source's clock.
        since: The instant since which the job has not been done; an earlier one is kept.
    """
    before = progress.deferred.get(job)
    failures = before.failures + 1 if before else 1
    first = AFTER_TROUBLE if isinstance(error, TransientError) else AFTER_REFUSAL
    earliest = min((one for one in (since, before.since if before else None) if one is not None), default=None)
    entry = Deferral(
        until=now + min(LONGEST, first * 2 ** min(failures - 1, 10)),
        failures=failures,
        reason=" ".join(str(error).split())[:LONGEST_REASON],
        since=earliest,
    )
    return replace(progress, deferred={**progress.deferred, job: entry})


def mark_done(progress: Progress, job: str) -> Progress:
    """Return the progress with a job that succeeded."""
    return replace(progress, deferred={name: entry for name, entry in progress.deferred.items() if name != job})


def due_since(progress: Progress, job: str, otherwise: datetime) -> datetime:
    """Return the instant since which a job has to be done, with what it missed while it was put off."""
    deferral = progress.deferred.get(job)
    return min(deferral.since, otherwise) if deferral is not None and deferral.since is not None else otherwise


def deferral_notice(job: str, deferral: Deferral) -> str:
    """Return a sentence about a job that is put off, with the service's own words."""
    reason = deferral.reason.rstrip(".")
    return f"{_TEXTS.get(job, job)}: {reason}. Next attempt after {deferral.until:%Y-%m-%d %H:%M} UTC."


def deferral_notices(progress: Progress) -> tuple[str, ...]:
    """Return one sentence for each job that is put off."""
    return tuple(deferral_notice(job, entry) for job, entry in sorted(progress.deferred.items()))
