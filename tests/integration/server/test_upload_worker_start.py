"""The process beside the host begins: at once, later, anew when it could not, and never once the host is closed."""

from collections.abc import AsyncIterator

import pytest

from rally_accelerate.server import upload_worker as beside_module
from rally_accelerate.server.graphql import endpoint
from rally_accelerate.server.upload_worker import RESTART_DELAY_SECONDS, UploadWorker
from support.issues import UPLOAD, item, upload
from support.server_client import ServerClient

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
async def beside(asked: ServerClient, clock: Clock) -> AsyncIterator[UploadWorker]:
    """A process beside a host that does not start it itself."""
    database = asked.host.stores.database
    made = UploadWorker(asked.host.stores.path, database.write_lock, clock=clock)
    yield made
    await made.close()


async def test_where_it_cannot_start_the_host_takes_large_uploads_itself(
    asked: ServerClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(beside_module, "PROGRAM", NOTHING)
    monkeypatch.setattr(endpoint, "LARGE_BYTES", 1)
    assert not await asked.host.upload_worker.wait_until_ready()
    assert "large uploads hold pages up" in caplog.text
    assert await asked.fetch_data(UPLOAD, data=upload(item(1))) == {"uploadIssueData": {"result": True}}
    assert await asked.host.stores.issues.get("a" * 24, "1") is not None


async def test_a_first_start_that_fails_is_tried_again_once_a_minute(
    beside: UploadWorker, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as busy:
        busy.setattr(beside_module, "PROGRAM", NOTHING)
        assert not await beside.wait_until_ready()
        failed = beside._first_start
        clock.now += RESTART_DELAY_SECONDS - 1
        beside.start()
        assert beside._first_start is failed
        clock.now += 1
        # Fails once more, and has its minute from now on.
        assert not await beside.wait_until_ready()
        assert beside._first_start is not failed
    assert not await beside.wait_until_ready()
    assert not beside.is_ready
    clock.now += RESTART_DELAY_SECONDS
    assert await beside.wait_until_ready()
    assert beside.is_ready
    its_id = beside.process_id
    assert its_id is not None
    clock.now += RESTART_DELAY_SECONDS
    assert await beside.wait_until_ready()
    assert beside.process_id == its_id


async def test_once_closed_it_never_begins(beside: UploadWorker, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as busy:
        busy.setattr(beside_module, "PROGRAM", NOTHING)
        assert not await beside.wait_until_ready()
    await beside.close()
    failed = beside._first_start
    clock.now += RESTART_DELAY_SECONDS
    assert not await beside.wait_until_ready()
    assert beside._first_start is failed
    assert beside.process_id is None


async def test_one_that_was_closed_before_it_was_started_never_begins(beside: UploadWorker) -> None:
    await beside.close()
    assert not await beside.wait_until_ready()
    assert beside._first_start is None
    assert not beside.is_ready
