"""Whoever opens a connection and does not say what is wanted keeps it for a while, and not forever."""

import asyncio
from pathlib import Path

import pytest

from rally_accelerate.server import http_server
from rally_accelerate.server.app import Server
from rally_accelerate.server.http_server import serve

WHOLE = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
BEGUN = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Rest: "


async def told(address: str, *sent: bytes) -> bytes:
    """All that comes back until the server closes the connection."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for part in sent:
            writer.write(part)
            await writer.drain()
            # The next part comes in another piece, as from a line that is slow.
            await asyncio.sleep(0.01)
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("sent", [(), (BEGUN,), (b"G", b"ET /"), (WHOLE[:-2], b"X: y\r\n")])
async def test_a_request_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: tuple[bytes, ...]
) -> None:
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.2)
    async with Server.open(tmp_path / "host.sqlite") as host, serve(host) as address:
        assert await told(address, *sent) == b""


async def test_the_second_request_of_a_connection_has_its_own_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Server.open(tmp_path / "host.sqlite") as host, serve(host) as address:
        monkeypatch.setattr(http_server, "HEAD_SECONDS", 3600)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
        for _ in range(2):
            writer.write(WHOLE)
            assert b"200 OK" in await reader.readuntil(b"}")
        monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.2)
        writer.write(BEGUN)
        assert await reader.read() == b""
        writer.close()
