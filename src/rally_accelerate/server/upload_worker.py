"""Runs large uploads in a separate process, so that they do not block pages.

It starts with the first large upload or with the scheduler, ends with the server and is restarted if it was killed.
An upload is one transaction, so a killed process leaves no partial upload.
"""

import asyncio
import logging
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from rally_accelerate.errors import StoreError

#: The lengths of both parts.
_LENGTHS = struct.Struct("!II")

#: So much is read ahead: an upload in few turns of the loop.
READ_AHEAD = 1 << 20

#: From the worker: ready; it requests and releases the write lock; its response; the request is no upload.
READY, LOCK_REQUESTED, LOCK_RELEASED, RESPONSE, NOT_AN_UPLOAD = "ready", "turn", "written", "answer", "not mine"
#: From the server: a request; the write lock is granted.
REQUEST, LOCK_GRANTED = "request", "lock granted"


class Pipe:
    """One end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, end: socket.socket) -> "Pipe":
        """Return the end that is a socket."""
        return cls(*await asyncio.open_unix_connection(sock=end, limit=READ_AHEAD))

    async def send(self, word: str, values: Mapping[str, Any] | None = None, content: bytes = b"") -> None:
        """Say something.

        Raises:
            ConnectionError: The other end is gone.
        """
        head = orjson.dumps((word, values or {}))
        self._writer.write(_LENGTHS.pack(len(head), len(content)) + head)
        if content:
            self._writer.write(content)
        await self._writer.drain()

    async def receive(self) -> tuple[str, dict[str, Any], bytes]:
        """Return what the other end says next.

        Raises:
            EOFError: It is gone.
            ConnectionError: Likewise.
        """
        head, content = _LENGTHS.unpack(await self._reader.readexactly(_LENGTHS.size))
        word, values = orjson.loads(await self._reader.readexactly(head))
        return word, values, await self._reader.readexactly(content)

    def close(self) -> None:
        """Close this end; what was not sent yet is dropped."""
        self._writer.transport.abort()


log = logging.getLogger(__name__)

#: The program that it runs.
PROGRAM = "rally_accelerate.server.upload_worker_main"

#: How long it may take to begin: its imports take a second, and several on a busy machine.
START_TIMEOUT_SECONDS = 60.0

#: How long after a start that failed the next one may begin: on a busy machine, each makes it busier.
RESTART_DELAY_SECONDS = 60.0

#: How long something that no one waits for any more may go on: an upload takes less than a second.
CANCEL_TIMEOUT_SECONDS = 1.0

#: How often something is tried when the process ends in the middle of it.
MAX_ATTEMPTS = 2

#: The errors when a process has ended or cannot be started.
PROCESS_ERRORS = (EOFError, OSError)


@dataclass(frozen=True, slots=True)
class _ChildProcess:
    process: subprocess.Popen[bytes]
    pipe: Pipe

    @classmethod
    async def start(cls, database: Path) -> "_ChildProcess":
        """Return a new process that can be asked.

        Raises:
            OSError: It could not be started, or does not begin.
            EOFError: It ended at once.
        """
        here, there = socket.socketpair()
        with there:
            end = await Pipe.connect(here)
            command = [sys.executable, "-P", "-m", PROGRAM, str(database), str(there.fileno())]
            try:
                # A group of its own: Ctrl-C at a terminal is for the server, which then ends it.
                process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own program; it is started, not waited for
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(there.fileno(),),
                    process_group=0,
                )
            except OSError:
                end.close()
                raise
        child = cls(process, end)
        try:
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                await end.receive()
        except BaseException:
            child.kill()
            raise
        return child

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def kill(self) -> None:
        """End it at once. What it was writing is as if it never was; the system takes a moment at most."""
        self.process.kill()
        self.process.wait()
        self.pipe.close()


class _WriteLock:
    """The server's turn to write, for one upload.

    It is kept until the upload is answered, a second try included: whether the first one was stored is not known then,
    and what another user stores after it must not be overwritten by the second.
    """

    def __init__(self, turn: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        self._acquire = turn
        self._stack: AsyncExitStack | None = None

    @property
    def was_granted(self) -> bool:
        """Whether the process may have written."""
        return self._stack is not None

    async def grant(self, child: _ChildProcess) -> None:
        """Wait for the turn and let a process write.

        Raises:
            EOFError: The process has ended in the meantime, and wrote nothing.
        """
        if self._stack is None:
            async with AsyncExitStack() as existing:
                await existing.enter_async_context(self._acquire())
                if child.has_ended:
                    raise EOFError
                self._stack = existing.pop_all()
        await child.pipe.send(LOCK_GRANTED)

    async def release(self) -> None:
        """Let others write."""
        if self._stack is not None:
            await self._stack.aclose()


class UploadWorker:
    """The process beside a server.

    Args:
        database: The file that it writes to; the server has brought its tables up to date.
        turn: The server's own turn to write, held while the process writes: both wait for each other fairly.
        clock: Seconds, by a clock that no one sets.
    """

    def __init__(
        self,
        database: Path,
        turn: Callable[[], AbstractAsyncContextManager[Any]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database.absolute()
        self._write_lock = turn
        self._clock = clock
        self._request_lock = asyncio.Lock()
        self._child: _ChildProcess | None = None
        self._first_start: asyncio.Task[bool] | None = None
        #: When the last start began to be none.
        self._failed_at = 0.0
        self._closed = False

    @property
    def process_id(self) -> int | None:
        """The ID of the running process, or None."""
        return None if self._child is None or self._child.has_ended else self._child.process.pid

    def start(self) -> None:
        """Start it, unless it was started before, or could not be within the last minute; no one waits for it."""
        if not self._closed and (self._first_start is None or self._can_restart(self._first_start)):
            self._first_start = asyncio.create_task(self._start_process())

    @property
    def is_ready(self) -> bool:
        """Whether the process has started once; if it was killed since, it restarts with the next request."""
        return (
            self._first_start is not None
            and self._first_start.done()
            and not self._closed
            and self._first_start.result()
        )

    async def wait_until_ready(self) -> bool:
        """Wait until it can be asked; return whether it can."""
        self.start()
        return not self._closed and self._first_start is not None and await asyncio.shield(self._first_start)

    async def send_request(self, values: Mapping[str, Any], content: bytes) -> tuple[str, dict[str, Any], bytes]:
        """Ask something and wait for the answer; tried once again when the process ends in the meantime.

        The caller that stops waiting ends what continues: when this has returned, nothing is written any more.

        Raises:
            StoreError: There is no answer; it tells whether something may have been stored.
        """
        # One at a time, second tries included: what came later is stored later.
        async with self._request_lock:
            turn = _WriteLock(self._write_lock)
            try:
                for _ in range(MAX_ATTEMPTS):
                    if (child := await self._ensure_process()) is None:
                        continue
                    try:
                        return await self._exchange(child, values, content, turn)
                    except PROCESS_ERRORS:
                        if not self._closed:
                            log.warning("the process that takes large uploads ended in the middle of one")
            finally:
                await turn.release()
        raise _make_no_response_error(turn)

    async def close(self) -> None:
        """End it for good."""
        self._closed = True
        if self._first_start is not None:
            self._first_start.cancel()
            await asyncio.gather(self._first_start, return_exceptions=True)
        if self._child is not None:
            self._child.kill()

    async def _start_process(self) -> bool:
        try:
            self._child = await _ChildProcess.start(self._database)
        except PROCESS_ERRORS as error:
            self._failed_at = self._clock()
            log.warning(
                "large uploads hold pages up: the process that is to take them does not start: %s",
                _describe_error(error),
            )
            return False
        return True

    def _can_restart(self, first: asyncio.Task[bool]) -> bool:
        return first.done() and not first.result() and self._clock() - self._failed_at >= RESTART_DELAY_SECONDS

    async def _ensure_process(self) -> _ChildProcess | None:
        """Return the running process, starting one if needed; None if that fails."""
        if self._closed:
            return None
        if self._child is None or self._child.has_ended:
            if self._child is not None:
                self._child.kill()
            try:
                child = await _ChildProcess.start(self._database)
            except PROCESS_ERRORS as error:
                log.warning(
                    "the process that takes large uploads ended, and does not restart: %s", _describe_error(error)
                )
                return None
            if self._closed:
                child.end()
                return None
            self._child = child
        return self._child

    async def _exchange(
        self, child: _ChildProcess, values: Mapping[str, Any], content: bytes, turn: _WriteLock
    ) -> tuple[str, dict[str, Any], bytes]:
        task = asyncio.create_task(_send_and_receive(child, values, content, turn))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task], timeout=CANCEL_TIMEOUT_SECONDS)
            raise
        finally:
            if not task.done() or task.exception() is not None:
                child.kill()
                # It may wait for its turn, which others have.
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


async def _send_and_receive(
    child: _ChildProcess, values: Mapping[str, Any], content: bytes, turn: _WriteLock
) -> tuple[str, dict[str, Any], bytes]:
    await child.pipe.send(REQUEST, values, content)
    while True:
        message = await child.pipe.receive()
        if message[0] == LOCK_REQUESTED:
            await turn.grant(child)
        elif message[0] != LOCK_RELEASED:
            # After WRITTEN, the answer follows at once.
            return message


def _describe_error(error: Exception) -> str:
    return "it ended at once" if isinstance(error, EOFError) else str(error) or type(error).__name__


def _make_no_response_error(turn: _WriteLock) -> StoreError:
    short = "if that does not help, the machine may be short of memory: send fewer issues at once."
    if turn.was_granted:
        return StoreError(
            "it is not known whether the upload was stored: the process that takes large ones ended before it said so",
            hint=f"Send it again, nothing is stored twice; {short}",
        )
    return StoreError(
        "the upload was not stored: the process that takes large ones was ended", hint=f"Send it again; {short}"
    )
