"""The process beside the host begins: at once, later, anew when it could not, and never once the host is closed."""

from collections.abc import AsyncIterator

import pytest

from rally_accelerate.server import upload_worker as beside_module
from rally_accelerate.server.graphql import endpoint
from rally_accelerate.server.upload_worker import SECONDS_BETWEEN_STARTS, Beside
from support.asked import Asked
from support.issues import UPLOAD, item, upload

NOTHING = "rally_accelerate.nothing"


class Clock:
    """Seconds that pass when they are told to."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def beside(asked: Asked, clock: Clock) -> AsyncIterator[Beside]:
    """A process beside a host that does not start it itself."""
    database = asked.host.stores.database
    made = Beside(asked.host.stores.path, database.turn, clock=clock)
    yield made
    await made.close()


async def test_where_it_cannot_start_the_host_takes_large_uploads_itself(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(beside_module, "PROGRAM", NOTHING)
    monkeypatch.setattr(endpoint, "LARGE", 1)
    assert not await asked.host.beside.ready()
    assert "large uploads hold pages up" in caplog.text
    assert await asked.data(UPLOAD, data=upload(item(1))) == {"uploadIssueData": {"result": True}}
    assert await asked.host.stores.issues.one("a" * 24, "1") is not None


async def test_a_first_start_that_fails_is_tried_again_once_a_minute(
    beside: Beside, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as busy:
        busy.setattr(beside_module, "PROGRAM", NOTHING)
        assert not await beside.ready()
        failed = beside._first
        clock.now += SECONDS_BETWEEN_STARTS - 1
        beside.start()
        assert beside._first is failed
        clock.now += 1
        # Fails once more, and has its minute from now on.
        assert not await beside.ready()
        assert beside._first is not failed
    assert not await beside.ready()
    assert not beside.can_be_asked
    clock.now += SECONDS_BETWEEN_STARTS
    assert await beside.ready()
    assert beside.can_be_asked
    its_id = beside.process_id
    assert its_id is not None
    clock.now += SECONDS_BETWEEN_STARTS
    assert await beside.ready()
    assert beside.process_id == its_id


async def test_once_closed_it_never_begins(beside: Beside, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as busy:
        busy.setattr(beside_module, "PROGRAM", NOTHING)
        assert not await beside.ready()
    await beside.close()
    failed = beside._first
    clock.now += SECONDS_BETWEEN_STARTS
    assert not await beside.ready()
    assert beside._first is failed
    assert beside.process_id is None


async def test_one_that_was_closed_before_it_was_started_never_begins(beside: Beside) -> None:
    await beside.close()
    assert not await beside.ready()
    assert beside._first is None
    assert not beside.can_be_asked
