"""More connections than the server can take: idle ones give way, and the server still answers."""

import asyncio
import resource
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import pytest

from rally_accelerate.host import connections, serving
from rally_accelerate.host.app import Host
from rally_accelerate.host.descriptors import LEAST_RESERVE, MOST_CONNECTIONS, Room, room_of
from support.processes import COMMAND, environment, stopped_at_the_end

WHOLE = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
BEGUN = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Rest: "
#: The server answers ``100 Continue`` when it waits for the body.
BODY = b"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n"


@contextmanager
def with_descriptors(database: Path, count: int) -> Iterator[str]:
    """A server in a process that can have so many file descriptors; its address."""
    popen = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", "--database", str(database)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count)),  # noqa: PLW1509 - no thread is running yet
    )
    with stopped_at_the_end(popen) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[1]


@pytest.mark.parametrize("sent", [b"", BEGUN, WHOLE], ids=["nothing", "half a request", "a request"])
def test_idle_connections_do_not_silence_a_server_with_few_descriptors(tmp_path: Path, sent: bytes) -> None:
    with with_descriptors(tmp_path / "host.sqlite", 64) as url, ExitStack() as idle:
        address = httpx2.URL(url)
        for _ in range(120):
            one = idle.enter_context(socket.create_connection((address.host, address.port or 0), timeout=30))
            one.sendall(sent)
        for _ in range(5):
            # Well before the idle ones time out by themselves.
            assert httpx2.get(f"{url}/health", timeout=connections.HEAD_SECONDS / 3).status_code == 200


class Client:
    """Connections to one server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def opened(self, sent: bytes) -> asyncio.StreamReader:
        """Open a connection and send something; it stays open."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers.append(writer)
        writer.write(sent)
        await writer.drain()
        return reader

    def close(self) -> None:
        """Close all of them."""
        for each in self._writers:
            each.close()


@pytest.fixture
async def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """A server that takes two connections."""
    monkeypatch.setattr(serving, "room", lambda: Room(2, 10))
    async with Host.open(tmp_path / "host.sqlite") as host, serving.serving(host) as url:
        client = Client(int(url.rpartition(":")[2]))
        yield client
        client.close()


async def test_the_longest_idle_connection_gives_way(client: Client) -> None:
    first = await client.opened(WHOLE)
    await first.readuntil(b"}")
    second = await client.opened(WHOLE)
    await second.readuntil(b"}")
    third = await client.opened(WHOLE)
    assert b"200 OK" in await third.readuntil(b"}")
    assert await first.read() == b""
    assert not second.at_eof()


async def test_a_connection_is_refused_while_all_others_are_busy(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "STALLED_SECONDS", 3600)
    busy = [await client.opened(BODY) for _ in range(2)]
    for each in busy:
        await each.readuntil(b"Continue\r\n\r\n")
    refused = await (await client.opened(b"")).read()
    assert refused.startswith(b"HTTP/1.1 503")
    assert refused.endswith(b"\r\n\r\nthe server has too many connections; try again.\n")
    assert b"Content-Length: 48\r\n" in refused
    assert not any(one.at_eof() for one in busy)


async def test_a_stalled_upload_gives_way_when_none_is_idle(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "STALLED_SECONDS", 0)
    stalled = [await client.opened(BODY) for _ in range(2)]
    for each in stalled:
        await each.readuntil(b"Continue\r\n\r\n")
    answered = await client.opened(WHOLE)
    assert b"200 OK" in await answered.readuntil(b"}")
    assert await stalled[0].read() == b""


@pytest.mark.parametrize("limit", [32, 64, 128, 256, 1024, 4096, 1 << 20])
def test_there_is_room_for_the_rest_of_the_process(limit: int) -> None:
    used = 20
    found = room_of(limit, used=used)
    assert found.connections >= 2
    assert found.burst >= 2
    assert found.connections <= MOST_CONNECTIONS
    if limit >= 64:
        assert used + found.connections + found.burst + LEAST_RESERVE <= limit
