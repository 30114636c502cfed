"""The upload worker process: executes uploads one by one and ends with the server.

``server/upload_worker.py`` starts it, with the database's path and the number of its end of the pipe.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ariadne import MutationType, QueryType

from rally_accelerate.server import runtime, upload_worker
from rally_accelerate.server.graphql import schema, upload_resolver
from rally_accelerate.server.graphql.execution import (
    SERVER_ERROR,
    ApiStyle,
    EncodedResponse,
    Executor,
    make_error_response,
    read_request,
)
from rally_accelerate.server.permissions import SYSTEM_ACTOR, Actor, Role
from rally_accelerate.server.store.database import Database
from rally_accelerate.server.store.issues import Issues
from rally_accelerate.server.upload_worker import Pipe


class RemoteWriteLock:
    """The server's turn to write, asked for over the pipe; taken with ``async with``."""

    def __init__(self, to_host: Pipe) -> None:
        self._pipe = to_host
        self._granted = asyncio.Event()

    def grant(self) -> None:
        """Return the server says that it is this process's turn."""
        self._granted.set()

    async def __aenter__(self) -> None:
        await self._pipe.send(upload_worker.LOCK_REQUESTED)
        await self._granted.wait()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._granted.clear()
        await self._pipe.send(upload_worker.LOCK_RELEASED)


class LogBuffer(logging.Handler):
    """Collects what is logged, for the server to tell: it knows what may be shown, and where to."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[tuple[str, int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line, with its traceback if it has one."""
        self._lines.append((record.name, record.levelno, self.format(record)))

    def take(self) -> list[tuple[str, int, str]]:
        """Return the lines since the last time."""
        lines, self._lines = self._lines, []
        return lines


class Uploader:
    """Executes the server's requests, one at a time."""

    def __init__(self, issues: Issues) -> None:
        mutation = MutationType()
        upload_resolver.bind(mutation, issues)
        self._executor = Executor(schema.build_schemas(QueryType(), mutation))

    async def process(self, values: Mapping[str, Any], content: bytes) -> EncodedResponse | None:
        """Return the answer to an upload, or None: it is something else."""
        way = ApiStyle(values["way"])
        request = read_request(content, way)
        if isinstance(request, EncodedResponse):
            return request
        if not upload_resolver.is_upload(request):
            return None
        runtime.current_execution_id.set(values["execution"])
        return await self._executor.execute(request, way, {"actor": _parse_actor(values["actor"])})


def _parse_actor(fields: tuple[str, str, int] | None) -> Actor:
    if fields is None:
        return SYSTEM_ACTOR
    actor_id, name, role = fields
    return Actor(actor_id, name, Role(role))


async def _process_uploads(database: Path, end: socket.socket) -> None:
    host = await Pipe.connect(end)
    lines, turns = LogBuffer(), RemoteWriteLock(host)
    root = logging.getLogger()
    root.addHandler(lines)
    uploader = Uploader(Issues(Database.connect(database, turns)))
    requests: asyncio.Queue[tuple[dict[str, Any], bytes]] = asyncio.Queue()
    listening = asyncio.create_task(_receive_messages(host, requests, turns))
    runtime.tune_garbage_collection()
    await host.send(upload_worker.READY)
    while not listening.done():
        values, content = await requests.get()
        root.setLevel(values["level"])
        try:
            answer = await uploader.process(values, content)
        except Exception:
            logging.getLogger(__name__).exception("an upload failed by a fault of the program itself")
            answer = make_error_response("internal error", SERVER_ERROR)
        message = {"log": lines.take()}
        if answer is None:
            await host.send(upload_worker.NOT_AN_UPLOAD, message)
        else:
            await host.send(upload_worker.RESPONSE, {**message, "status": answer.status}, answer.body)
        # The execution and the content of a request refer to each other: without this, ten uploads would stay.
        del content
        gc.collect()


async def _receive_messages(
    host: Pipe, requests: "asyncio.Queue[tuple[dict[str, Any], bytes]]", turns: RemoteWriteLock
) -> None:
    try:
        while True:
            word, values, content = await host.receive()
            if word == upload_worker.LOCK_GRANTED:
                turns.grant()
            else:
                requests.put_nowait((values, content))
    finally:
        # The server has ended. Exit without waiting for threads; an open transaction is rolled back.
        os._exit(0)


def main() -> None:
    """Work until the server is gone; signals to a whole service are the server's to obey."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    database, descriptor = sys.argv[1:]
    with socket.socket(fileno=int(descriptor)) as end:
        asyncio.run(_process_uploads(Path(database), end))


if __name__ == "__main__":
    main()
