"""A server that writes down what it is asked and answers as told: for what the simulator has no reason to do."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RecordedRequest:
    """One request as it arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Reply:
    """What to answer; ``cut`` closes the connection after so many bytes of the body."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b'{"QueryResult": {"Errors": [], "Warnings": [], "TotalResultCount": 0, "Results": []}}'
    cut: int | None = None


@dataclass
class Recorder:
    """What came, and where to ask."""

    url: str = ""
    requests: list[RecordedRequest] = field(default_factory=list)


@asynccontextmanager
async def run_recorder(
    reply: Callable[[RecordedRequest], Reply] = lambda _: Reply(), *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Recorder]:
    """Serve on a free port of 127.0.0.1."""
    recorder = Recorder()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await read_head(reader):
                line, headers = head
                method, target, _ = line.split(" ", 2)
                request = RecordedRequest(
                    method, target, headers, await reader.readexactly(int(headers.get("content-length", 0)))
                )
                recorder.requests.append(request)
                response = reply(request)
                writer.write(_render_reply(response))
                await writer.drain()
                if response.cut is not None:
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    recorder.url = f"{'https' if tls else 'http'}://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
    try:
        yield recorder
    finally:
        server.close()
        await asyncio.sleep(0)


async def read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]] | None:
    """The first line and the headers of a message, names in lower case; None at the end."""
    try:
        first = await reader.readexactly(1)
        if not first.isalpha():
            # A TLS greeting where plain HTTP is spoken: hang up, as servers do.
            return None
        head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    line, *rest = head.removesuffix("\r\n\r\n").split("\r\n")
    pairs = (line_text.partition(":") for line_text in rest)
    return line, {name.strip().lower(): value.strip() for name, _, value in pairs}


def _render_reply(answer: Reply) -> bytes:
    headers = {"Content-Type": "application/json", "Date": "Wed, 21 Oct 2026 07:28:00 GMT", **answer.headers}
    headers.setdefault("Content-Length", str(len(answer.body)))
    lines = [f"HTTP/1.1 {answer.status} Sample", *(f"{name}: {value}" for name, value in headers.items())]
    body = answer.body if answer.cut is None else answer.body[: answer.cut]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
