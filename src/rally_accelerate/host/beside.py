"""The process beside the host, which takes large uploads: pages share no loop and no lock with them.

It is started when it is first worth it, ends with the host, however that ends, and is started anew when it was ended.
Whatever it does is one transaction, so whoever ends it loses nothing but its time.
"""

import asyncio
import logging
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rally_accelerate.errors import StoreError
from rally_accelerate.host import pipe
from rally_accelerate.host.pipe import Pipe

log = logging.getLogger(__name__)

#: The program that it runs.
PROGRAM = "rally_accelerate.host.uploader"

#: How long it may take to begin: its imports take a second, and several on a busy machine.
SECONDS_TO_BEGIN = 60.0

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


class Beside:
    """The process beside a host.

    Args:
        database: The file that it writes to; the host has brought its tables up to date.
        turn: The host's own turn to write, held while the process writes: both wait for each other fairly.
    """

    def __init__(self, database: Path, turn: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        self._database = database.absolute()
        self._turn = turn
        self._asking = asyncio.Lock()
        self._child: _Child | None = None
        self._first: asyncio.Task[bool] | None = None
        self._closed = False

    @property
    def process_id(self) -> int | None:
        """Of the process that runs now; None when there is none."""
        return None if self._child is None or self._child.has_ended else self._child.process.pid

    def start(self) -> None:
        """Start it, unless it was started before; nobody waits for it."""
        if self._first is None:
            self._first = asyncio.create_task(self._started())

    @property
    def can_be_asked(self) -> bool:
        """Whether it has once begun; where it was ended since, it begins again when it is asked."""
        return self._first is not None and self._first.done() and not self._closed and self._first.result()

    async def ready(self) -> bool:
        """Wait until it can be asked; whether it can."""
        self.start()
        assert self._first is not None
        return await asyncio.shield(self._first)

    async def ask(self, values: Mapping[str, Any], content: bytes) -> tuple[str, dict[str, Any], bytes]:
        """Ask something and wait for the answer; tried once again when the process ends meanwhile.

        Whoever stops waiting ends what goes on: when this has returned, nothing is written any more.

        Raises:
            StoreError: There is no answer, and nothing was stored.
        """
        async with self._asking:
            for _ in range(TRIES):
                try:
                    child = await self._running()
                    return await self._exchanged(child, values, content)
                except GONE:
                    if self._closed:
                        break
                    log.warning("the process that takes large uploads ended in the middle of one; nothing is lost")
        raise StoreError(
            "the upload was not stored: the process that takes large ones was ended",
            hint="Send it again; if that does not help, the machine may be short of memory: send fewer issues at once.",
        )

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
            reason = "it ended at once" if isinstance(error, EOFError) else str(error) or type(error).__name__
            log.warning("large uploads hold pages up: the process that is to take them does not start: %s", reason)
            return False
        return True

    async def _running(self) -> _Child:
        if self._closed:
            raise EOFError
        if self._child is None or self._child.has_ended:
            if self._child is not None:
                self._child.end()
            self._child = await _Child.begun(self._database)
        return self._child

    async def _exchanged(
        self, child: _Child, values: Mapping[str, Any], content: bytes
    ) -> tuple[str, dict[str, Any], bytes]:
        task = asyncio.create_task(self._talked(child, values, content))
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
        self, child: _Child, values: Mapping[str, Any], content: bytes
    ) -> tuple[str, dict[str, Any], bytes]:
        await child.pipe.send(pipe.QUESTION, values, content)
        while True:
            told = await child.pipe.receive()
            if told[0] != pipe.TURN:
                return told
            async with self._turn():
                await child.pipe.send(pipe.WRITE)
                await child.pipe.receive()
