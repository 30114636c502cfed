"""The time that one run loses to failing services is bounded in all, not request by request."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from rally_accelerate.accelerate.client import Tries
from rally_accelerate.config.model import Properties
from rally_accelerate.errors import (
    RallyAccelerateError,
    RateLimitedError,
    RejectedError,
    ServiceTimeoutError,
    TruncatedResponseError,
    UnavailableError,
    UnreachableError,
)
from rally_accelerate.model.time_budget import FIRST_ANSWER_SECONDS, RetryBudget
from rally_accelerate.rally.session import MAX_SHRINKING, retry
from rally_accelerate.sync.wiring import budget_of

Ask = Callable[..., Awaitable[int]]


class Clock:
    """A clock on which only attempts and waits take time."""

    def __init__(self) -> None:
        self.now = 1000.0

    async def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock, in place of the real one."""
    clock = Clock()
    monkeypatch.setattr("time.monotonic", lambda: clock.now)
    monkeypatch.setattr("stamina._core._smart_sleep", clock.wait)
    return clock


async def rally(budget: RetryBudget, clock: Clock, error: RallyAccelerateError, *, took: float = 0.0) -> int:
    """Ask Rally for something that fails; how many attempts were made."""
    attempts = 0

    async def attempt() -> None:
        nonlocal attempts
        attempts += 1
        clock.now += took
        raise error

    with pytest.raises(type(error)):
        await retry(attempt, seconds=budget.seconds, budget=budget)
    return attempts


async def accelerate(budget: RetryBudget, clock: Clock, error: RallyAccelerateError, *, took: float = 0.0) -> int:
    """Ask Accelerate for something that fails; how many attempts were made."""
    tries, attempts = Tries(budget, "Accelerate"), 0
    while True:
        attempts += 1
        tries.begins()
        clock.now += took
        wait = tries.wait_after(error)
        if wait is None:
            tries.close()
            return attempts
        clock.now += wait


@pytest.mark.parametrize("ask", [rally, accelerate])
@pytest.mark.parametrize("took", [0.0, 0.2, 10.0])
@pytest.mark.parametrize("seconds", [30.0, 90.0])
async def test_a_service_that_cannot_be_reached_is_given_up_when_the_time_is_over(
    clock: Clock, ask: Ask, took: float, seconds: float
) -> None:
    began = clock.now
    assert await ask(RetryBudget(seconds), clock, UnreachableError("nothing listens"), took=took) >= 2
    assert seconds - 2 * took - 1 <= clock.now - began <= seconds + 1e-6


@pytest.mark.parametrize("error", [UnreachableError("x"), UnavailableError("x"), ServiceTimeoutError("x")])
async def test_all_requests_of_a_run_share_the_time(clock: Clock, error: RallyAccelerateError) -> None:
    budget = RetryBudget(90)
    budget.record_response("Rally")
    budget.record_response("Accelerate")
    began = clock.now
    assert await rally(budget, clock, error) > 1
    # The time is over: each of the others is tried once.
    assert [await accelerate(budget, clock, error), await rally(budget, clock, error)] == [1, 1]
    assert clock.now - began <= 90 + 1e-6


async def test_requests_that_fail_at_once_are_counted_once(clock: Clock) -> None:
    budget = RetryBudget(90)
    budget.record_response("Rally")
    for _ in range(3):
        budget.start_failure("Rally", since=clock.now)
    clock.now += 20
    for _ in range(3):
        budget.end_failure()
    assert budget.get_remaining("Rally") == 70


async def test_time_without_failures_is_not_counted(clock: Clock) -> None:
    budget = RetryBudget(90)
    outcomes: list[Exception | str] = [UnavailableError("x"), "done"]

    async def attempt() -> str:
        clock.now += 1
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            budget.record_response("Rally")
            raise outcome
        return outcome

    assert await retry(attempt, seconds=90, budget=budget) == "done"
    left = budget.get_remaining("Rally")
    assert 85 <= left < 90
    clock.now += 10_000
    assert budget.get_remaining("Rally") == left


async def test_asking_for_less_is_no_lost_time(clock: Clock) -> None:
    budget, attempts = RetryBudget(90), 0
    budget.record_response("Rally")

    async def slow() -> str:
        nonlocal attempts
        attempts += 1
        clock.now += 80 if attempts > 1 else 150
        if attempts < 2:
            raise ServiceTimeoutError("slow")
        return "done"

    assert await retry(slow, seconds=90, shrink=lambda _: True, budget=budget) == "done"
    assert budget.get_remaining("Rally") == 90


@pytest.mark.parametrize("took", [6.0, 30.0, 59.0, 100.0, 150.0])
@pytest.mark.parametrize("error", [ServiceTimeoutError("no answer"), TruncatedResponseError("it ends in the middle")])
async def test_a_service_that_hangs_in_the_middle_of_a_run_is_given_up_in_time(
    clock: Clock, took: float, error: RallyAccelerateError
) -> None:
    """However often the next attempt asks for less."""
    budget, attempts, began = RetryBudget(90), 0, clock.now
    budget.record_response("Rally")

    async def hanging() -> None:
        nonlocal attempts
        attempts += 1
        clock.now += min(took, budget.get_limit("Rally"))
        raise error

    with pytest.raises(type(error)):
        await retry(hanging, seconds=90, shrink=lambda _: True, budget=budget)
    assert attempts >= 2
    # The first answer that never comes, the time of the run, and a last attempt.
    assert clock.now - began <= max(took, MAX_SHRINKING + took) + 90 + FIRST_ANSWER_SECONDS
    assert budget.get_remaining("Rally") <= 0


@pytest.mark.parametrize("ask", [rally, accelerate])
async def test_a_wait_that_a_service_asks_for_is_kept_or_given_up(clock: Clock, ask: Ask) -> None:
    budget = RetryBudget(90)
    budget.record_response("Rally")
    budget.record_response("Accelerate")
    assert await ask(budget, clock, RateLimitedError("x", retry_after=120.0)) == 1
    began = clock.now
    assert await ask(budget, clock, RateLimitedError("x", retry_after=40.0)) == 3
    assert clock.now - began == 80


@pytest.mark.parametrize("ask", [rally, accelerate])
async def test_what_lasts_is_tried_once(clock: Clock, ask: Ask) -> None:
    assert await ask(RetryBudget(90), clock, RejectedError("no")) == 1
    assert await ask(RetryBudget(0), clock, UnreachableError("x")) == 1


def test_a_silent_service_has_no_longer_for_its_first_answer_than_the_run(clock: Clock) -> None:
    assert RetryBudget(90).get_limit("Rally") == 90
    assert RetryBudget(1).get_limit("Rally") == FIRST_ANSWER_SECONDS
    answered = RetryBudget(90)
    answered.record_response("Rally")
    # A question that takes long is no failure.
    assert answered.get_limit("Rally") == float("inf")
    assert answered.get_limit("Accelerate") == 90


def properties(**given: object) -> Properties:
    """Settings with the least that they need."""
    return Properties.model_validate({"baseUrl": "https://rally.example", "apiKey": "k", **given})


@pytest.mark.parametrize(("given", "seconds"), [({}, 30), ({"retrySeconds": 300}, 300), ({"retrySeconds": 5}, 5)])
async def test_a_person_waits_half_a_minute_for_an_address_that_never_answers(
    clock: Clock, given: dict[str, object], seconds: float
) -> None:
    began = clock.now
    await rally(budget_of(properties(**given), by_hand=True), clock, UnreachableError("x"))
    assert clock.now - began == pytest.approx(seconds, abs=0.001)


async def test_one_that_has_answered_is_waited_for_as_in_the_schedule(clock: Clock) -> None:
    budget = budget_of(properties(), by_hand=True)
    budget.record_response("Rally")
    began = clock.now
    await rally(budget, clock, UnavailableError("x"))
    assert clock.now - began == pytest.approx(90, abs=0.001)


async def test_a_request_that_is_cancelled_is_counted_no_longer(clock: Clock) -> None:
    budget = RetryBudget(90)
    waiting = asyncio.Event()

    async def attempt() -> None:
        if waiting.is_set():
            await asyncio.sleep(3600)
        waiting.set()
        raise UnavailableError("x")

    task = asyncio.ensure_future(retry(attempt, seconds=90, budget=budget))
    await waiting.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    left = budget.get_remaining("Rally")
    clock.now += 1000
    assert budget.get_remaining("Rally") <= left
    budget.record_response("Rally")
    assert budget.get_remaining("Rally") > 0
