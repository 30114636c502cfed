"""The process beside the host, which takes large uploads: pages share no loop and no lock with them.

It is started when it is first worth it, ends with the host, however that ends, and is started anew when it was ended.
An upload is one transaction: whoever ends the process leaves nothing half.
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

#: From the process beside: it can be asked; it wants to write; it has written; its answer; it takes no such thing.
READY, TURN, WRITTEN, ANSWER, NOT_MINE = "ready", "turn", "written", "answer", "not mine"
#: From the host: a question; now it may write.
QUESTION, WRITE = "question", "write"


class Pipe:
    """One end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def on(cls, end: socket.socket) -> "Pipe":
        """The end that is a socket."""
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
        """What the other end says next.

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
SECONDS_TO_BEGIN = 60.0

#: How long after a start that failed the next one may begin: on a busy machine, each makes it busier.
SECONDS_BETWEEN_STARTS = 60.0

#: How long something that nobody waits for any more may go on: an upload takes less than a second.
SECONDS_TO_END = 1.0

#: How often something is tried when the process ends in the middle of it.
TRIES = 2

#: How it shows that a process has ended, does not begin, or cannot be started at all.
GONE = (EOFError, OSError)


@dataclass(frozen=True, slots=True)
class _Child:
    process: subprocess.Popen[bytes]
    pipe: Pipe

    @classmethod
    async def begun(cls, database: Path) -> "_Child":
        """A new process that can be asked.

        Raises:
            OSError: It could not be started, or does not begin.
            EOFError: It ended at once.
        """
        here, there = socket.socketpair()
        with there:
            end = await Pipe.on(here)
            command = [sys.executable, "-P", "-m", PROGRAM, str(database), str(there.fileno())]
            try:
                # A group of its own: Ctrl-C at a terminal is for the host, which then ends it.
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
            async with asyncio.timeout(SECONDS_TO_BEGIN):
                await end.receive()
        except BaseException:
            child.end()
            raise
        return child

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def end(self) -> None:
        """End it at once. What it was writing is as if it never was; the system takes a moment at most."""
        self.process.kill()
        self.process.wait()
        self.pipe.close()


class _Turn:
    """The host's turn to write, for one upload.

    It is kept until the upload is answered, a second try included: whether the first one was stored is not known then,
    and what somebody else stores after it must not be overwritten by the second.
    """

    def __init__(self, turn: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        self._take = turn
        self._kept: AsyncExitStack | None = None

    @property
    def was_given(self) -> bool:
        """Whether the process may have written."""
        return self._kept is not None

    async def give(self, child: _Child) -> None:
        """Wait for the turn and let a process write.

        Raises:
            EOFError: The process has ended meanwhile, and wrote nothing.
        """
        if self._kept is None:
            async with AsyncExitStack() as taken:
                await taken.enter_async_context(self._take())
                if child.has_ended:
                    raise EOFError
                self._kept = taken.pop_all()
        await child.pipe.send(WRITE)

    async def end(self) -> None:
        """Let others write."""
        if self._kept is not None:
            await self._kept.aclose()


class Beside:
    """The process beside a host.

    Args:
        database: The file that it writes to; the host has brought its tables up to date.
        turn: The host's own turn to write, held while the process writes: both wait for each other fairly.
        clock: Seconds, by a clock that nobody sets.
    """

    def __init__(
        self,
        database: Path,
        turn: Callable[[], AbstractAsyncContextManager[Any]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database.absolute()
        self._turn = turn
        self._clock = clock
        self._asking = asyncio.Lock()
        self._child: _Child | None = None
        self._first: asyncio.Task[bool] | None = None
        #: When the last start began to be none.
        self._failed = 0.0
        self._closed = False

    @property
    def process_id(self) -> int | None:
        """Of the process that runs now; None when there is none."""
        return None if self._child is None or self._child.has_ended else self._child.process.pid

    def start(self) -> None:
        """Start it, unless it was started before, or could not be within the last minute; nobody waits for it."""
        if not self._closed and (self._first is None or self._may_begin_anew(self._first)):
            self._first = asyncio.create_task(self._started())

    @property
    def can_be_asked(self) -> bool:
        """Whether it has once begun; where it was ended since, it begins again when it is asked."""
        return self._first is not None and self._first.done() and not self._closed and self._first.result()

    async def ready(self) -> bool:
        """Wait until it can be asked; whether it can."""
        self.start()
        return not self._closed and self._first is not None and await asyncio.shield(self._first)

    async def ask(self, values: Mapping[str, Any], content: bytes) -> tuple[str, dict[str, Any], bytes]:
        """Ask something and wait for the answer; tried once again when the process ends meanwhile.

        Whoever stops waiting ends what goes on: when this has returned, nothing is written any more.

        Raises:
            StoreError: There is no answer; it tells whether something may have been stored.
        """
        # One at a time, second tries included: what came later is stored later.
        async with self._asking:
            turn = _Turn(self._turn)
            try:
                for _ in range(TRIES):
                    if (child := await self._running()) is None:
                        continue
                    try:
                        return await self._exchanged(child, values, content, turn)
                    except GONE:
                        if not self._closed:
                            log.warning("the process that takes large uploads ended in the middle of one")
            finally:
                await turn.end()
        raise _unanswered(turn)

    async def close(self) -> None:
        """End it for good."""
        self._closed = True
        if self._first is not None:
            self._first.cancel()
            await asyncio.gather(self._first, return_exceptions=True)
        if self._child is not None:
            self._child.end()

    async def _started(self) -> bool:
        try:
            self._child = await _Child.begun(self._database)
        except GONE as error:
            self._failed = self._clock()
            log.warning("large uploads hold pages up: the process that is to take them does not start: %s", _why(error))
            return False
        return True

    def _may_begin_anew(self, first: asyncio.Task[bool]) -> bool:
        return first.done() and not first.result() and self._clock() - self._failed >= SECONDS_BETWEEN_STARTS

    async def _running(self) -> _Child | None:
        """The process; None where there is none and none can be started."""
        if self._closed:
            return None
        if self._child is None or self._child.has_ended:
            if self._child is not None:
                self._child.end()
            try:
                child = await _Child.begun(self._database)
            except GONE as error:
                log.warning("the process that takes large uploads ended, and does not start anew: %s", _why(error))
                return None
            if self._closed:
                child.end()
                return None
            self._child = child
        return self._child

    async def _exchanged(
        self, child: _Child, values: Mapping[str, Any], content: bytes, turn: _Turn
    ) -> tuple[str, dict[str, Any], bytes]:
        task = asyncio.create_task(_talked(child, values, content, turn))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task], timeout=SECONDS_TO_END)
            raise
        finally:
            if not task.done() or task.exception() is not None:
                child.end()
                # It may wait for its turn, which others have.
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


async def _talked(
    child: _Child, values: Mapping[str, Any], content: bytes, turn: _Turn
) -> tuple[str, dict[str, Any], bytes]:
    await child.pipe.send(QUESTION, values, content)
    while True:
        told = await child.pipe.receive()
        if told[0] == TURN:
            await turn.give(child)
        elif told[0] != WRITTEN:
            # After WRITTEN, the answer follows at once.
            return told


def _why(error: Exception) -> str:
    return "it ended at once" if isinstance(error, EOFError) else str(error) or type(error).__name__


def _unanswered(turn: _Turn) -> StoreError:
    short = "if that does not help, the machine may be short of memory: send fewer issues at once."
    if turn.was_given:
        return StoreError(
            "it is not known whether the upload was stored: the process that takes large ones ended before it said so",
            hint=f"Send it again, nothing is stored twice; {short}",
        )
    return StoreError(
        "the upload was not stored: the process that takes large ones was ended", hint=f"Send it again; {short}"
    )
