"""What the host and the process beside it say to each other: words with their values, and bytes that come along."""

import asyncio
import socket
import struct
from collections.abc import Mapping
from typing import Any

import orjson

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
