"""Turns of users: few at once, one for each user, in rotation."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from rally_accelerate.errors import TooManyQueriesError
from rally_accelerate.server.store import issue_search
from rally_accelerate.server.store.issue_search import BackgroundSearches, FairQueue, current_user_key


@dataclass
class Work:
    """Work that takes turns and ends when it is told to."""

    turns: FairQueue = field(default_factory=FairQueue)
    #: What has begun, in order, and what ends it.
    begun: dict[str, asyncio.Event] = field(default_factory=dict)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def add(self, who: str, count: int = 1) -> None:
        for _ in range(count):
            name = f"{who}{len([one for one in self.tasks if one.startswith(who)]) + 1}"
            current_user_key.set(who)
            self.tasks[name] = asyncio.create_task(self._done(name))
            await settled()

    async def end(self, name: str) -> None:
        self.begun[name].set()
        await settled()

    async def _done(self, name: str) -> None:
        async with self.turns.wait_for_turn():
            self.begun[name] = asyncio.Event()
            await self.begun[name].wait()


async def settled() -> None:
    """Let every task continue as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def work() -> AsyncIterator[Work]:
    work = Work()
    yield work
    for task in work.tasks.values():
        task.cancel()
    await asyncio.gather(*work.tasks.values(), return_exceptions=True)


async def test_one_user_s_queue_delays_nobody_else(work: Work) -> None:
    await work.add("a", 8)
    assert list(work.begun) == ["a1"]
    await work.add("b", 2)
    assert list(work.begun) == ["a1", "b1"]


async def test_users_take_turns(work: Work) -> None:
    await work.add("a", 3)
    await work.add("b", 3)
    await work.add("c", 2)
    # First comes the user whose last turn ended first.
    for name in ("a1", "c1", "b1", "a2"):
        await work.end(name)
    assert list(work.begun) == ["a1", "b1", "c1", "a2", "c2", "b2"]


async def test_a_user_with_too_many_waiting_is_refused_and_others_are_not(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issue_search, "MAX_WAITING", 2)
    await work.add("a", 4)
    with pytest.raises(TooManyQueriesError, match="2 of your slow queries are waiting already"):
        await work.tasks["a4"]
    await work.add("b")
    assert "b1" in work.begun
    await work.end("a1")
    await work.add("a")
    assert not work.tasks["a5"].done()


@pytest.mark.parametrize("when", ["running", "waiting", "given"])
async def test_the_turn_of_what_is_cancelled_is_free(work: Work, when: str) -> None:
    await work.add("a", 3)
    if when == "given":
        work.begun["a1"].set()
        await asyncio.sleep(0)
    work.tasks["a1" if when == "running" else "a2"].cancel()
    await settled()
    if when == "waiting":
        await work.end("a1")
    await asyncio.gather(*(task for task in work.tasks.values() if task.done()), return_exceptions=True)
    if "a2" in work.begun and not work.tasks["a2"].done():
        await work.end("a2")
    assert "a3" in work.begun


async def test_a_refused_search_is_begun_by_the_next_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    patience, refused = BackgroundSearches[int](), True

    async def look() -> int:
        if refused:
            raise TooManyQueriesError("too many")
        return 1

    with pytest.raises(TooManyQueriesError):
        await patience.run_within("key", look, seconds=60)
    refused = False
    assert await patience.run_within("key", look, seconds=60) == 1
