"""One count of requests for each Rally user, whoever uses it."""

import asyncio
from typing import Any

import pytest

from rally_accelerate.config.model import Properties
from rally_accelerate.rally.limiter import Limiter, LimiterPool, user_key


def settings(**more: Any) -> Any:
    return Properties.model_validate({"apiKey": "_sample", **more})


async def use(limiter: Any, order: Any = None, name: Any = None) -> None:
    async with limiter.slot():
        if order is not None:
            order.append(name)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_never_more_than_the_limit_and_all_get_through_in_order() -> None:
    limiter = Limiter()
    order: list[int] = []
    with limiter.register(3):
        await asyncio.gather(*(use(limiter, order, name) for name in range(50)))
    assert limiter.peak == 3
    assert limiter.in_flight == 0
    assert order == list(range(50))


async def test_the_smaller_of_two_settings_wins_while_both_are_in_use() -> None:
    pool = LimiterPool()
    with pool.acquire(settings(maxRequestsInFlight=8)) as one:
        with pool.acquire(settings(maxRequestsInFlight=2)) as other:
            assert one is other
            await asyncio.gather(*(use(one) for _ in range(20)))
            assert one.peak == 2
        await asyncio.gather(*(use(one) for _ in range(20)))
        assert one.peak == 8


async def test_twelve_is_the_most() -> None:
    limiter = Limiter()
    with limiter.register(1000):
        await asyncio.gather(*(use(limiter) for _ in range(40)))
    assert limiter.peak == 12


async def test_a_place_given_to_a_cancelled_task_is_not_lost() -> None:
    limiter = Limiter()
    with limiter.register(1):
        async with limiter.slot():
            waiter = asyncio.create_task(use(limiter))
            await asyncio.sleep(0)
        # The race: the place has been handed over, and the new owner is cancelled before it runs.
        assert limiter.in_flight == 1
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert limiter.in_flight == 0
        await asyncio.wait_for(use(limiter), 60)


async def test_a_cancelled_waiter_does_not_stand_in_the_way() -> None:
    limiter = Limiter()
    with limiter.register(1):
        async with limiter.slot():
            waiters = [asyncio.create_task(use(limiter)) for _ in range(3)]
            await asyncio.sleep(0)
            waiters[0].cancel()
            await asyncio.sleep(0)
        await asyncio.gather(*waiters, return_exceptions=True)
        assert limiter.in_flight == 0


def test_users_are_told_apart_without_giving_a_secret_away() -> None:
    key = user_key(settings())
    assert "_sample" not in key
    assert key != user_key(settings(apiKey="_other"))
    assert key != user_key(settings(baseUrl="https://eu1.rallydev.com"))
    by_password = Properties.model_validate({"username": "Ada@example.test", "password": "one"})
    again = Properties.model_validate({"username": "ada@example.test", "password": "two"})
    assert user_key(by_password) == user_key(again)
    assert "ada" not in user_key(again).lower()
