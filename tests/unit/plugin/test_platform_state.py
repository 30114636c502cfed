"""What the platform keeps for the container, and what two runs make of it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

from rally_accelerate.accelerate.integration_state import Platform, Recalled
from rally_accelerate.model.issue import SourceRevision
from rally_accelerate.model.progress import PEOPLE, Lane, NameWatch, Progress, Sent, TimeboxWatch, Walk
from rally_accelerate.plugin.platform_state import MOST_SENT, PlatformState, Size, cursor_of, parse_state, progress_at
from rally_accelerate.plugin.run import _log_storage_refusal
from rally_accelerate.rally.records import Project, Scope, Workspace

EVENT = "syncRallyDataEvent"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LANE = Lane("defect", 7)
SCOPE = Scope(
    workspace=Workspace(object_id=9, name="W"),
    projects=(Project(object_id=7, name="P"),),
    kinds=("defect",),
    query="",
    now=NOON,
)


class SmallPlatform(Platform):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.state: Any = None

    async def recall(self) -> Recalled:
        """What was kept last."""
        return Recalled(known=True, state=self.state)

    async def keep(self, event: str, state: Mapping[str, Any]) -> bool:
        """Keep it as JSON."""
        self.state = {event: json.loads(json.dumps(state))}
        return True


def at(hour: int) -> Progress:
    """A progress that stands at an hour."""
    return Progress(scope=SCOPE.signature, rules_version="r", cursors={LANE: NOON.replace(hour=hour)})


def state_of(platform: SmallPlatform, run: str, progress: Progress) -> PlatformState:
    """A run's memory."""
    state = PlatformState(
        platform=platform,
        event=EVENT,
        run=run,
        clock=lambda: NOON,
        rules_version="r",
        projects=["7"],
        removed_statuses=frozenset({"Deleted"}),
        overlap=timedelta(minutes=10),
        before=parse_state(Recalled(known=True, state=platform.state), EVENT),
    )
    state.begin(progress)
    return state


def sent(minutes: int = 0) -> Sent:
    return Sent(SourceRevision(NOON - timedelta(minutes=minutes), 1), "r")


async def kept_by_one_run(progress: Progress, entries: Mapping[str, Sent]) -> SmallPlatform:
    platform = SmallPlatform()
    state = state_of(platform, "first", Progress())
    await state.commit(progress, entries)
    await state.keep(running=False)
    return platform


@pytest.mark.parametrize("form", ["by event", "as given", "text", "text by event"])
async def test_what_is_kept_comes_back_wherever_the_server_puts_it(form: str) -> None:
    platform = await kept_by_one_run(at(11), {"1": sent()})
    ours = platform.state[EVENT]
    state = {"by event": {EVENT: ours}, "as given": ours, "text": json.dumps(ours)}.get(form, json.dumps({EVENT: ours}))
    found = parse_state(Recalled(known=True, state=state), EVENT)
    assert found is not None
    assert (found.progress, found.sent, found.run, found.running) == (at(11), {"1": sent()}, "first", False)


@pytest.mark.parametrize(
    "state",
    [
        *[None, "", "no json", [], {}, {EVENT: None}, {EVENT: {"other": 1}}, {"rallyAccelerate": {"format": 99}}],
        *[{"rallyAccelerate": {"format": 1}}, {"rallyAccelerate": {"format": 1, "progress": [], "sent": {}}}],
    ],
)
def test_what_is_not_ours_or_broken_is_nothing(state: Any) -> None:
    assert parse_state(Recalled(known=True, state=state), EVENT) is None


@pytest.mark.parametrize(
    ("last_run", "last_success", "successful", "expected"),
    [
        (None, None, None, None),
        (None, 10, True, None),
        (11, None, None, 11),
        (11, 10, None, 10),
        (11, 10, False, 10),
        (10, 11, True, 10),
        (11, None, False, None),
        (11, None, True, 11),
    ],
)
def test_where_a_run_begins_when_nothing_is_kept(
    last_run: int | None, last_success: int | None, successful: bool | None, expected: int | None
) -> None:
    def instant(hour: int | None) -> datetime | None:
        return None if hour is None else NOON.replace(hour=hour)

    recalled = Recalled(known=True, last_success=instant(last_success), last_run_successful=successful)
    assert cursor_of(recalled, instant(last_run)) == instant(expected)


def test_a_server_that_tells_nothing_is_not_taken_to_have_failed() -> None:
    assert cursor_of(Recalled(), NOON) == NOON


def test_a_cursor_never_lies_ahead_of_the_source() -> None:
    made = progress_at(NOON + timedelta(hours=3), SCOPE, rules_version="r", reads=frozenset())
    assert made.cursors == {LANE: NOON}
    assert progress_at(None, SCOPE, rules_version="r", reads=frozenset()) == Progress()


async def test_of_two_runs_that_began_together_the_later_one_puts_the_older_progress_down() -> None:
    platform = await kept_by_one_run(at(8), {"1": sent()})
    one, two = state_of(platform, "one", at(8)), state_of(platform, "two", at(8))
    await one.commit(at(10), {"2": sent()})
    await one.keep(running=False)
    await two.commit(at(10), {"2": sent(1)})
    await two.keep(running=False)
    found = parse_state(await platform.recall(), EVENT)
    assert found is not None
    # What either of them may have sent in the wrong order is read and sent again.
    assert (found.progress, found.sent) == (at(8), {})


async def test_a_run_that_follows_another_moves_on() -> None:
    platform = await kept_by_one_run(at(8), {})
    state = state_of(platform, "second", at(8))
    for hour, running in ((9, True), (10, True), (11, False)):
        await state.commit(at(hour), {"2": sent()})
        await state.keep(running=running)
    found = parse_state(await platform.recall(), EVENT)
    assert found is not None
    assert (found.progress, found.sent, found.running) == (at(11), {"2": sent()}, False)


async def test_a_first_run_that_meets_another_leaves_nothing_behind_that_would_be_skipped() -> None:
    platform = SmallPlatform()
    one, two = state_of(platform, "one", Progress()), state_of(platform, "two", Progress())
    await one.commit(at(10), {"1": sent()})
    await one.keep(running=False)
    await two.commit(at(11), {"1": sent(1)})
    await two.keep(running=False)
    found = parse_state(await platform.recall(), EVENT)
    assert found is not None
    assert found.progress.cursors == {}


async def test_what_is_kept_is_bounded_and_recent() -> None:
    old = {str(number): sent(minutes=60 * 24) for number in range(10)}
    platform = await kept_by_one_run(at(12), {**old, "new": sent()})
    assert set(platform.state[EVENT]["rallyAccelerate"]["sent"]) == {"new"}
    many = {str(number): sent() for number in range(MOST_SENT + 50)}
    platform = await kept_by_one_run(at(12), many)
    assert len(platform.state[EVENT]["rallyAccelerate"]["sent"]) == MOST_SENT
    # In the middle of a walk the last ones may be read again, however old they are.
    walk = Walk(kind="defect", projects=(7,), started_at=NOON, after=5)
    platform = await kept_by_one_run(replace(at(12), unfinished=(walk,)), old)
    assert set(platform.state[EVENT]["rallyAccelerate"]["sent"]) == set(old)


class NarrowPlatform(SmallPlatform):
    """Refuses what is too large."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.asked = 0

    async def keep(self, event: str, state: Mapping[str, Any]) -> bool:
        """Keep it, if it is small enough."""
        self.asked += 1
        return len(json.dumps(state)) <= self.limit and await super().keep(event, state)


def large(*, owed: int) -> Progress:
    """A progress with many items that could not be delivered."""
    watch = TimeboxWatch(until={"Iteration": NOON}, seen={number: f"{number:08x}" for number in range(1_000)})
    names = NameWatch(seen={PEOPLE: {number: sha256(b"%d" % number).hexdigest()[:8] for number in range(300)}})
    ids = frozenset(("defect", 10**11 + number) for number in range(owed))
    return replace(at(9), owed=ids, timeboxes=watch, names=names)


@pytest.mark.parametrize(
    ("limit", "size"),
    [(10**6, Size.FULL), (60_000, Size.PACKED), (15_000, Size.LEAN), (9_000, Size.BARE)],
)
async def test_a_state_that_is_too_large_is_stored_in_a_smaller_form(limit: int, size: Size) -> None:
    platform, progress = NarrowPlatform(limit), large(owed=2_000)
    state = state_of(platform, "first", Progress())
    await state.commit(progress, {str(number): sent() for number in range(1_000)})
    await state.keep(running=False)
    assert (state.keeps, state.size) == (True, size)
    asked = platform.asked
    await state.keep(running=False)
    # What was refused once is not offered again, in later runs neither.
    assert platform.asked == asked + 1
    found = parse_state(Recalled(known=True, state=platform.state), EVENT)
    assert found is not None
    assert (found.progress.cursors, found.progress.owed) == (progress.cursors, progress.owed)
    assert found.sent.keys() == (set() if size >= Size.LEAN else state.ledger.keys())
    assert found.progress.names == (None if size is Size.BARE else progress.names)
    later = state_of(platform, "second", found.progress)
    await later.keep(running=False)
    assert platform.asked == asked + 2


async def test_a_small_state_that_is_refused_is_offered_once() -> None:
    platform = NarrowPlatform(0)
    state = state_of(platform, "first", at(9))
    await state.keep(running=False)
    await state.keep(running=False)
    assert (platform.asked, state.keeps) == (1, False)


async def test_a_state_that_is_damaged_is_none() -> None:
    damaged = {EVENT: {"rallyAccelerate": {"format": 1, "size": 1, "packed": "bm8gemxpYg=="}}}
    assert parse_state(Recalled(known=True, state=damaged), EVENT) is None


async def test_who_stops_storing_is_told_of_with_what_it_costs(caplog: pytest.LogCaptureFixture) -> None:
    platform = await kept_by_one_run(at(9), {})
    before = parse_state(Recalled(known=True, state=platform.state), EVENT)
    _log_storage_refusal("The request is too large.", before)
    (told,) = caplog.records
    assert told.levelname == "WARNING"
    assert told.getMessage() == (
        "The server no longer stores the progress of a run: The request is too large. Until it does, every run reads "
        "what changed since 2026-03-01 09:00 UTC again. Check the server's log and its request size limit."
    )
