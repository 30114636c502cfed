"""Side jobs that failed are put off for a growing time, told in every run, and survive being written down."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from rally_accelerate.errors import AccessDeniedError, RallyAccelerateError, RejectedError, UnavailableError
from rally_accelerate.model.progress import Progress
from rally_accelerate.sync import side_jobs
from rally_accelerate.sync.progress_json import progress_from_json, progress_to_json

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("error", "first"),
    [
        (UnavailableError("down"), timedelta(minutes=10)),
        (RejectedError("no"), timedelta(hours=1)),
        (AccessDeniedError("no"), timedelta(hours=1)),
    ],
)
def test_the_time_doubles_up_to_a_day(error: RallyAccelerateError, first: timedelta) -> None:
    progress, now = Progress(), NOW
    waits = []
    for _ in range(12):
        progress = side_jobs.defer(progress, side_jobs.BIN, error, now=now)
        until = progress.deferred[side_jobs.BIN].until
        assert side_jobs.is_deferred(progress, side_jobs.BIN, now=until - timedelta(seconds=1))
        assert not side_jobs.is_deferred(progress, side_jobs.BIN, now=until)
        waits.append(until - now)
        now = until
    assert waits[:3] == [first, 2 * first, 4 * first]
    assert waits[-1] == timedelta(days=1)


def test_a_clock_that_was_far_ahead_puts_nothing_off_for_years() -> None:
    progress = side_jobs.defer(Progress(), side_jobs.BIN, RejectedError("no"), now=NOW + timedelta(days=4000))
    assert not side_jobs.is_deferred(progress, side_jobs.BIN, now=NOW)


def test_what_was_missed_while_a_job_was_put_off_is_asked_for() -> None:
    progress = side_jobs.defer(Progress(), side_jobs.BIN, RejectedError("no"), now=NOW, since=NOW)
    later = NOW + timedelta(hours=5)
    progress = side_jobs.defer(progress, side_jobs.BIN, RejectedError("no"), now=later, since=later)
    assert side_jobs.due_since(progress, side_jobs.BIN, later) == NOW
    assert side_jobs.due_since(side_jobs.mark_done(progress, side_jobs.BIN), side_jobs.BIN, later) == later


def test_each_job_has_one_notice_with_the_words_of_the_service() -> None:
    progress = side_jobs.defer(Progress(), side_jobs.BIN, RejectedError("no\n  recycle bin here."), now=NOW)
    progress = side_jobs.defer(progress, side_jobs.REMOVALS, RejectedError("x" * 5000), now=NOW)
    first, second = side_jobs.deferral_notices(progress)
    assert "no recycle bin here. Next attempt after 2026-03-01 13:00 UTC." in first
    assert len(second) < 500
    assert (
        side_jobs.deferral_notices(
            side_jobs.mark_done(side_jobs.mark_done(progress, side_jobs.BIN), side_jobs.REMOVALS)
        )
        == ()
    )


def test_all_of_it_is_written_down_and_read_back() -> None:
    progress = side_jobs.defer(Progress(), side_jobs.BIN, RejectedError("no"), now=NOW, since=NOW)
    progress = replace(progress, unmarked={7: "a", 5: "b", 6: "a"}, resynced=NOW)
    assert progress_from_json(progress_to_json(progress)) == progress
    # What an earlier version wrote is read as well.
    older = {
        name: value
        for name, value in progress_to_json(progress).items()
        if name not in {"deferred", "unmarked", "resynced"}
    }
    assert progress_from_json(older) == Progress()
