"""A forward and CONNECT proxy that wants a login and writes down what passes."""

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from support.request_recorder import read_head


@dataclass
class Proxy:
    """What passed, and where the proxy is."""

    port: int = 0
    passed: list[str] = field(default_factory=list)
    refused: int = 0


@asynccontextmanager
async def run_proxy(*, user: str = "", password: str = "") -> AsyncIterator[Proxy]:
    """Serve on a free port of 127.0.0.1; without a user nobody has to log in."""
    proxy = Proxy()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await read_head(reader):
                line, headers = head
                method, target, _ = line.split(" ", 2)
                if user and not _is_authorized(headers.get("proxy-authorization", ""), f"{user}:{password}"):
                    proxy.refused += 1
                    writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                    await writer.drain()
                    continue
                proxy.passed.append(f"{method} {target}")
                if method == "CONNECT":
                    host, _, port = target.rpartition(":")
                    await _tunnel(reader, writer, host, int(port))
                    return
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                await _forward(writer, method, target, headers, body)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await asyncio.sleep(0)


def _is_authorized(header: str, login: str) -> bool:
    kind, _, encoded = header.partition(" ")
    return kind.lower() == "basic" and b64decode(encoded).decode() == login


async def _forward(
    writer: asyncio.StreamWriter, method: str, target: str, headers: dict[str, str], content: bytes
) -> None:
    parts = urlsplit(target)
    theirs, ours = await asyncio.open_connection(parts.hostname, parts.port)
    path = target.split(parts.netloc, 1)[1] or "/"
    forwarded = {name: value for name, value in headers.items() if not name.startswith("proxy-")} | {
        "connection": "close"
    }
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in forwarded.items()), "", ""]
    ours.write("\r\n".join(lines).encode("latin-1") + content)
    head = await read_head(theirs)
    assert head
    line, answered = head
    body = await theirs.readexactly(int(answered["content-length"]))
    lines = [line, *(f"{name}: {value}" for name, value in answered.items() if name != "connection"), "", ""]
    writer.write("\r\n".join(lines).encode("latin-1") + body)
    await writer.drain()
    ours.close()


async def _tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
    theirs, ours = await asyncio.open_connection(host, port)
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await writer.drain()

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()

    await asyncio.gather(pump(reader, ours), pump(theirs, writer))
