"""More connections than the server can take: idle ones give way, and the server still answers."""

import asyncio
import resource
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from rally_accelerate.server import http_server
from rally_accelerate.server.app import Server
from rally_accelerate.server.runtime import MAX_CONNECTIONS, MIN_RESERVE, ConnectionLimits, compute_connection_limits
from support.processes import COMMAND, build_environment, terminate_on_exit
from support.waiting import until

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
        env=build_environment(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count)),  # noqa: PLW1509 - no thread is running yet
    )
    with terminate_on_exit(popen) as process:
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
            assert httpx2.get(f"{url}/health", timeout=http_server.HEAD_SECONDS / 3).status_code == 200


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


@dataclass(frozen=True)
class Small:
    """A server that takes two connections, and a client."""

    client: Client
    address: tuple[str, int]
    key: str

    @property
    def known(self) -> bytes:
        """The begin of a request with an access key; the server answers when it waits for the body."""
        line = b"POST /release-events-api/graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
        return line + f"Authorization: UserAccessKey {self.key}\r\nExpect: 100-continue\r\n\r\n".encode()


@pytest.fixture
async def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Small]:
    """A server that takes two connections."""
    monkeypatch.setattr(http_server, "read_connection_limits", lambda: ConnectionLimits(2, 10))
    async with Server.open(tmp_path / "host.sqlite") as host, http_server.serve(host) as url:
        client = Client(int(url.rpartition(":")[2]))
        yield Small(client, ("127.0.0.1", int(url.rpartition(":")[2])), host.first_access_key or "")
        client.close()


async def opened(small: Small, *sent: bytes) -> list[asyncio.StreamReader]:
    """Open connections with requests for the bodies of which the server waits."""
    found = [await small.client.opened(each) for each in sent]
    for each in found:
        await each.readuntil(b"Continue\r\n\r\n")
    return found


async def healthy(small: Small) -> bool:
    """Whether a new connection is answered."""
    reader = await small.client.opened(WHOLE)
    return b"200 OK" in await reader.readuntil(b"\n")


async def test_the_longest_idle_connection_gives_way(small: Small) -> None:
    first = await small.client.opened(WHOLE)
    await first.readuntil(b"}")
    second = await small.client.opened(WHOLE)
    await second.readuntil(b"}")
    assert await healthy(small)
    assert await first.read() == b""
    assert not second.at_eof()


async def test_a_connection_is_refused_while_all_others_are_busy(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "STALLED_SECONDS", 3600)
    busy = await opened(small, small.known, small.known)
    refused = await (await small.client.opened(b"")).read()
    assert refused.startswith(b"HTTP/1.1 503")
    assert refused.endswith(b"\r\n\r\nthe server has too many connections; try again.\n")
    assert b"Content-Length: 48\r\n" in refused
    assert not any(one.at_eof() for one in busy)


async def test_a_stalled_upload_gives_way_when_none_is_idle(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "STALLED_SECONDS", 0)
    stalled = await opened(small, small.known, small.known)
    assert await healthy(small)
    assert await stalled[0].read() == b""


async def test_strangers_who_send_their_forms_slowly_keep_nobody_out(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    # None of them counts as stalled.
    monkeypatch.setattr(http_server, "STALLED_SECONDS", 3600)
    uploading, slow = await opened(small, small.known, BODY)
    for _ in range(3):
        assert await healthy(small)
    assert await slow.read() == b""
    assert not uploading.at_eof()


async def test_a_body_that_is_sent_on_after_its_answer_keeps_nobody_out(small: Small) -> None:
    line = b"POST /issues HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 90000\r\n\r\na"
    for _ in range(2):
        answered = await small.client.opened(line)
        assert b"303" in await answered.readuntil(b"\r\n\r\n")
    assert await healthy(small)


async def test_a_body_that_is_sent_on_after_its_answer_is_given_up(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "LINGER_SECONDS", 0.05)
    line = b"POST /issues HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 90000\r\n\r\na"
    reader, writer = await asyncio.open_connection(*small.address)
    writer.write(line)
    assert b"303" in await reader.readuntil(b"\r\n\r\n")
    with suppress(ConnectionError):
        while not reader.at_eof():
            # Each byte would make the server wait again.
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.01)
    writer.close()


@contextmanager
def unread(address: tuple[str, int], count: int) -> Iterator[list[socket.socket]]:
    """Open connections that ask for more than they read."""
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            one = stack.enter_context(socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.connect(address)
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.send(b"GET /static/pages.css HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 2_000)
            found.append(one)
        yield found


def noted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[object]:
    """Return the connections of which a method was called."""
    found: list[object] = []
    method = getattr(http_server.Connection, name)

    def noting(self: object, *given: object) -> None:
        found.append(self)
        method(self, *given)

    monkeypatch.setattr(http_server.Connection, name, noting)
    return found


async def test_strangers_who_read_no_answers_keep_nobody_out(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = noted(monkeypatch, "pause_writing")
    with unread(small.address, 2):
        await until(lambda: len({*blocked}) == 2)
        assert await healthy(small)


async def test_answers_that_are_not_read_are_given_up(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "UNREAD_SECONDS", 0.05)
    lost = noted(monkeypatch, "connection_lost")
    with unread(small.address, 1):
        await until(lambda: lost)


@pytest.mark.parametrize("limit", [32, 64, 128, 256, 1024, 4096, 1 << 20])
def test_there_is_room_for_the_rest_of_the_process(limit: int) -> None:
    used = 20
    found = compute_connection_limits(limit, used=used)
    assert found.connections >= 2
    assert found.burst >= 2
    assert found.connections <= MAX_CONNECTIONS
    if limit >= 64:
        assert used + found.connections + found.burst + MIN_RESERVE <= limit
