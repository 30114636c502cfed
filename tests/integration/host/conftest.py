"""An embedded host on a real SQLite file, asked in-process."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from rally_accelerate.host.app import Host
from support.asked import Asked


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[Asked]:
    """A new host."""
    async with Host.open(tmp_path / "host.sqlite", interval=timedelta(hours=1)) as host:
        transport = httpx2.ASGITransport(app=host.app())
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            assert host.first_access_key
            yield Asked(host, http, host.first_access_key)
