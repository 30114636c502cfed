"""A connection of the server: who opens one says in time what is wanted, or loses it."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

#: A request's first line and headers arrive within so many seconds. Otherwise somebody without a password keeps every
#: connection that the system lends, by saying nothing; bodies have a time of their own (``web/faults.py``).
HEAD_SECONDS = 30.0


class Connection(H11Protocol):
    """As the server's own, which waits forever for the end of what has begun."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the server's own
        """Begin to wait."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait on, from the first byte of a request to the last one of its headers."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._wait()
        else:
            self._stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self._close)

    def _stop(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _close(self) -> None:
        self._late = None
        # Meanwhile, a request that came whole may have been answered, and the next one not begun.
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()
