"""Only what may pass is tried again, for as long as was asked, with the waits that the service asks for."""

import asyncio
from typing import Any

import pytest
import stamina

from rally_accelerate.errors import (
    RateLimitedError,
    RejectedError,
    ServiceTimeoutError,
    TruncatedResponseError,
    UnavailableError,
)
from rally_accelerate.model.report import track_failures
from rally_accelerate.rally import session
from rally_accelerate.rally.session import retry


class Script:
    """Raises or returns what is written, one after the other."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.attempts = 0

    async def __call__(self) -> Any:
        self.attempts += 1
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class Clock:
    """Time that passes only by waiting, and every wait."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    async def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that replaces the real one."""
    clock = Clock()
    monkeypatch.setattr("time.monotonic", lambda: clock.now)
    monkeypatch.setattr("stamina._core._smart_sleep", clock.wait)
    return clock


async def test_goes_on_until_it_succeeds(clock: Clock) -> None:
    script, again = Script(UnavailableError("a"), UnavailableError("b"), "done"), []
    assert await retry(script, seconds=300, on_retry=lambda: again.append(1)) == "done"
    assert len(again) == 2
    assert 1 <= clock.waits[0] <= 3
    assert 2 <= clock.waits[1] <= 4


async def test_waits_exactly_as_asked(clock: Clock) -> None:
    await retry(Script(RateLimitedError("busy", retry_after=17.0), UnavailableError("x"), "done"), seconds=300)
    assert clock.waits[0] == 17.0
    assert clock.waits[1] < 17.0


async def test_what_lasts_is_not_tried_again(clock: Clock) -> None:
    script = Script(RejectedError("no"))
    with pytest.raises(RejectedError):
        await retry(script, seconds=300)
    assert script.attempts == 1


async def test_a_bug_travels(clock: Clock) -> None:
    with pytest.raises(ZeroDivisionError):
        await retry(Script(ZeroDivisionError()), seconds=300)


async def test_gives_up_in_time_with_the_last_error(clock: Clock) -> None:
    errors = [UnavailableError(str(number)) for number in range(100)]
    began = clock.now
    with pytest.raises(UnavailableError) as caught:
        await retry(Script(*errors), seconds=300)
    assert 270 <= clock.now - began <= 300 + session.MAX_WAIT
    assert str(caught.value) != "0"


async def test_does_not_begin_a_wait_that_ends_too_late(clock: Clock) -> None:
    script = Script(RateLimitedError("busy", retry_after=3600.0), "done")
    with pytest.raises(RateLimitedError):
        await retry(script, seconds=300)
    assert clock.waits == []


async def test_no_patience_means_one_attempt(clock: Clock) -> None:
    script = Script(UnavailableError("x"), "done")
    with pytest.raises(UnavailableError):
        await retry(script, seconds=0)
    assert script.attempts == 1


async def test_asking_for_less_begins_the_time_anew(clock: Clock) -> None:
    """A page that takes 150 seconds is halved eight times; two tries would use up 300 seconds."""
    attempts = 0

    async def slow() -> str:
        nonlocal attempts
        attempts += 1
        clock.now += 150
        if attempts <= 8:
            raise ServiceTimeoutError("slow")
        return "done"

    assert await retry(slow, seconds=300, shrink=lambda _: attempts <= 7) == "done"


async def test_can_be_cancelled_while_it_waits() -> None:
    task = asyncio.create_task(retry(Script(RateLimitedError("busy", retry_after=1000.0)), seconds=3000))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_tests_do_not_wait() -> None:
    with stamina.set_testing(True, attempts=3):
        assert await retry(Script(RateLimitedError("busy", retry_after=100.0), "done"), seconds=300) == "done"


@pytest.mark.parametrize(("seconds", "attempts"), [(5, 1), (60, 2)])
async def test_who_waits_before_a_screen_waits_for_no_second_answer_that_takes_as_long(
    clock: Clock, seconds: float, attempts: int
) -> None:
    made = 0

    async def slow() -> str:
        nonlocal made
        made += 1
        clock.now += 100
        if made == 1:
            raise ServiceTimeoutError("too long")
        return "there"

    try:
        await retry(slow, seconds=seconds, shrink=lambda _: True)
    except ServiceTimeoutError:
        assert made == attempts == 1
    assert made == attempts


async def test_who_waits_before_a_screen_does_not_see_it_ask_for_less_and_less_without_end(clock: Clock) -> None:
    begun = clock.now

    async def cut() -> None:
        raise TruncatedResponseError("it ends in the middle")

    with pytest.raises(TruncatedResponseError):
        await retry(cut, seconds=5, shrink=lambda _: True)
    assert 20 < clock.now - begun < 60


async def test_what_is_tried_again_is_told_during_the_wait_and_forgotten_after_it(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    with track_failures() as troubles:
        script = Script(RateLimitedError("slowly", retry_after=7.0), UnavailableError("down"), "there")

        async def looked(seconds: float) -> None:
            seen.append(troubles.worst)
            await Clock.wait(clock, seconds)

        monkeypatch.setattr("stamina._core._smart_sleep", looked)
        assert await retry(script, seconds=60) == "there"
        assert [(each.message, each.failures) for each in seen if each] == [("slowly", 1), ("down", 2)]
        assert troubles.worst is None
