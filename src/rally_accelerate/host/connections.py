"""A connection of the server, which its client keeps only while the client does its part.

A request's head must arrive in time, its body without a pause and its answer must be read. When the server has as many
connections as it can take, a new one takes the place of the one that has been waiting longest for a client without a
session or an access key: such clients must never keep others out. Only then do clients that are known and stalled lose
theirs. If there is none of either kind, the new connection is refused.
"""

import asyncio
from collections.abc import Callable

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from rally_accelerate.host.descriptors import MOST_CONNECTIONS

#: A request's first line and headers arrive within so many seconds. Otherwise a client without a password keeps every
#: connection that the system lends, by sending nothing; bodies have a limit of their own (``web/arrival.py``).
HEAD_SECONDS = 15.0

#: A known client that has not continued for so many seconds can lose its connection when there is no other place.
STALLED_SECONDS = 5.0

#: An answer of which nothing is read for so many seconds is given up.
UNREAD_SECONDS = 60.0

#: The rest of a body that was answered before it ended is read for so many seconds, so that the client sees the answer.
LINGER_SECONDS = 15.0

BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 5\r\n"
    b"Connection: close\r\nContent-Length: 48\r\n\r\nthe server has too many connections; try again.\n"
)


class Connection(H11Protocol):
    """As the server's own, which waits forever for the end of what has begun."""

    #: How many connections the server takes.
    most = MOST_CONNECTIONS
    _late: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    #: When something came last, by the clock of the loop.
    heard = 0.0
    #: When the connection was opened or its last answer ended.
    since = 0.0
    #: When the client stopped reading its answer; None while it reads.
    blocked: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the server's own
        """Begin to wait, if there is a place for this connection."""
        super().connection_made(transport)
        self.heard = self.since = self.loop.time()
        if len(self.connections) > self.most and not self._make_place():
            transport.write(BUSY)
            transport.close()
            return
        self._wait()

    def _make_place(self) -> bool:
        """Close the connection that the server can best do without; return whether there is one."""
        others = [one for one in self.connections if isinstance(one, Connection) and one is not self]
        open_ones = [one for one in others if not one.transport.is_closing()]
        if len(open_ones) < self.most:
            # Some are being closed already. Those with something unsent would keep their descriptor until it is read.
            unsent = [one for one in others if one.transport.is_closing() and one.transport.get_write_buffer_size()]
            _abort_first(unsent, by=lambda one: one.since)
            return True
        before = self.loop.time() - STALLED_SECONDS
        return _abort_first([one for one in open_ones if one.is_spare], by=lambda one: one.since) or _abort_first(
            [one for one in open_ones if one.has_stalled(before)], by=lambda one: one.heard
        )

    @property
    def is_idle(self) -> bool:
        """Whether no request has come whole, or all have been answered."""
        return self.conn.their_state is h11.IDLE or (self.conn.their_state is h11.DONE and self._is_answered)

    @property
    def is_spare(self) -> bool:
        """Whether it is idle, or waits for a client that is not known."""
        if self.is_idle:
            return True
        awaited = self.conn.their_state is h11.SEND_BODY
        if awaited and self._is_answered:
            return True
        return not self._is_known and (awaited or self.blocked is not None)

    def has_stalled(self, before: float) -> bool:
        """Whether the client has neither sent nor read anything that the server waits for since an instant."""
        if self.conn.their_state is h11.SEND_BODY:
            return self.heard < before
        return self.blocked is not None and self.blocked < before

    @property
    def _is_answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    @property
    def _is_known(self) -> bool:
        """Whether the client of the latest request has a session or an access key, as the guard has found."""
        return self.scope is not None and self.scope["state"].get("known") is not None

    def data_received(self, data: bytes) -> None:
        """Wait on, from the first byte of a request to the last one of its headers."""
        self.heard = self.loop.time()
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._wait()
        else:
            self._stop()

    def on_response_complete(self) -> None:
        """Note when the answer ended, and wait only for a while for the rest of a body that nothing needs."""
        self.since = self.loop.time()
        if self.conn.their_state is h11.SEND_BODY:
            self.loop.call_later(LINGER_SECONDS, self._linger_no_more, self.cycle)
        super().on_response_complete()

    def _linger_no_more(self, cycle: object) -> None:
        if self.cycle is cycle and self.conn.their_state is h11.SEND_BODY:
            self.transport.abort()

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self.blocked = self.loop.time()
        # Also where the connection is being closed: that waits for the client as well.
        self._unread = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop waiting for the client to read."""
        self._reads()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop()
        self._reads()
        super().connection_lost(exc)

    def _reads(self) -> None:
        self.blocked = None
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

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


def _abort_first(places: list[Connection], *, by: Callable[[Connection], float]) -> bool:
    """Close the first of some connections; return whether there is one."""
    if not places:
        return False
    # At once: a close that waits for what is still to be sent would keep its descriptor.
    min(places, key=by).transport.abort()
    return True


def limited_to(most: int) -> type[Connection]:
    """Return the class of a server's connections, of which it takes so many at one time."""
    return type("LimitedConnection", (Connection,), {"most": most})
