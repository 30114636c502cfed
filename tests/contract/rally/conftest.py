"""What every test of this room needs: settings, a client, and no waiting."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import stamina

from rally_accelerate.rally.client import RallyClient
from rally_accelerate.rally.limiter import LimiterPool
from support.rally_settings import Connect, properties


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with stamina.set_testing(True, attempts=12):
        yield


@pytest.fixture
def connect() -> Connect:
    """A client of an address with further settings; the pool may be shared."""

    @asynccontextmanager
    async def connected(
        base_url: str, *, pool: LimiterPool | None = None, **more: object
    ) -> AsyncIterator[RallyClient]:
        async with RallyClient(properties(base_url, **more), limiters=pool or LimiterPool()) as client:
            yield client

    return connected
