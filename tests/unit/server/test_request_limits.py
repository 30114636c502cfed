"""How long a request's body can take, and how large it can be."""

import time
from collections.abc import Sequence
from contextlib import suppress

import pytest
from starlette.types import Message, Receive

from rally_accelerate.server.web import request_limits
from rally_accelerate.server.web.request_limits import (
    OF_CALLERS,
    OF_STRANGERS,
    Arrival,
    LargeBodyError,
    SlowBodyError,
    within,
)


class Clock:
    """A clock that tests set."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(request_limits, "time", clock)
    return clock


def arriving(clock: Clock, sizes: Sequence[int], *, every: float) -> Receive:
    """Return a body of which a part arrives each so many seconds."""
    parts = iter(sizes)

    async def receive() -> Message:
        clock.now += every
        size = next(parts, None)
        return {"type": "http.request", "body": b"a" * (size or 0), "more_body": size is not None}

    return receive


async def taken(receive: Receive, expected: Arrival, *, announced: int = 0) -> int:
    """Return how many bytes are received until the body ends or is given up."""
    receiving, size, more = within(receive, expected, announced=announced), 0, True
    with suppress(SlowBodyError):
        while more:
            message = await receiving()
            size, more = size + len(message["body"]), message["more_body"]
    return size


async def test_a_stranger_s_byte_now_and_then_is_given_up_after_ten_seconds(clock: Clock) -> None:
    assert await taken(arriving(clock, [1] * 20, every=1.5), OF_STRANGERS) <= 7


async def test_a_known_sender_s_byte_now_and_then_is_given_up_long_before_the_end_of_an_upload(clock: Clock) -> None:
    assert await taken(arriving(clock, [1] * 200, every=1.5), OF_CALLERS) < 20


async def test_an_upload_over_a_slow_line_is_received(clock: Clock) -> None:
    sizes = [1_500] * 170
    assert await taken(arriving(clock, sizes, every=1), OF_CALLERS) == sum(sizes)


async def test_no_upload_takes_longer_than_three_minutes(clock: Clock) -> None:
    assert await taken(arriving(clock, [90_000] * 400, every=1), OF_CALLERS) <= 180 * 90_000


@pytest.mark.parametrize(("sizes", "announced"), [([1, 10_000, 10_000], 0), ([], 90_000)], ids=["sent", "announced"])
async def test_a_stranger_sends_only_a_little(clock: Clock, sizes: list[int], announced: int) -> None:
    with pytest.raises(LargeBodyError):
        await taken(arriving(clock, sizes, every=0), OF_STRANGERS, announced=announced)


async def test_known_senders_can_send_as_much_as_the_routes_take(clock: Clock) -> None:
    size = 4_000_000
    assert await taken(arriving(clock, [size], every=0), OF_CALLERS, announced=size) == size


async def test_a_hang_up_is_waited_for_as_long_as_it_takes(clock: Clock) -> None:
    messages: list[Message] = [
        {"type": "http.request", "body": b"a", "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    receiving = within(receive, OF_STRANGERS)
    await receiving()
    clock.now = time.monotonic() + 10_000
    assert (await receiving())["type"] == "http.disconnect"
