"""A connection of the server: who opens one says in time what is wanted, or loses it.

When the server has as many connections as it can take, a new one takes the place of the one that has been idle for
longest. Where none is idle, the new one is refused.
"""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from rally_accelerate.host.descriptors import MOST_CONNECTIONS

#: A request's first line and headers arrive within so many seconds. Otherwise somebody without a password keeps every
#: connection that the system lends, by saying nothing; bodies have a time of their own (``web/faults.py``).
HEAD_SECONDS = 30.0


#: A request whose body has not gone on for so many seconds can lose its connection when there is no other place.
STALLED_SECONDS = 5.0

BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 5\r\n"
    b"Connection: close\r\nContent-Length: 48\r\n\r\nthe server has too many connections; try again.\n"
)


class Connection(H11Protocol):
    """As the server's own, which waits forever for the end of what has begun."""

    #: How many connections the server takes.
    most = MOST_CONNECTIONS
    _late: asyncio.TimerHandle | None = None
    #: When something came last, by the clock of the loop.
    heard = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the server's own
        """Begin to wait, if there is a place for this connection."""
        super().connection_made(transport)
        self.heard = self.loop.time()
        if len(self.connections) > self.most and not self._make_place():
            transport.write(BUSY)
            transport.close()
            return
        self._wait()

    def _make_place(self) -> bool:
        """Close the connection that has been idle, or else stalled, for longest; return whether there is one."""
        others = [one for one in self.connections if isinstance(one, Connection) and one is not self]
        open_ones = [one for one in others if not one.transport.is_closing()]
        if len(open_ones) < self.most:
            # Some are being closed already.
            return True
        before = self.loop.time() - STALLED_SECONDS
        places = [one for one in open_ones if one.is_idle] or [
            one for one in open_ones if one.conn.their_state is h11.SEND_BODY and one.heard < before
        ]
        if not places:
            return False
        # At once: a close that waits for what is still to be sent would keep its descriptor.
        min(places, key=lambda one: one.heard).transport.abort()
        return True

    @property
    def is_idle(self) -> bool:
        """Whether no request has come whole, or all have been answered."""
        return self.conn.their_state is h11.IDLE or (
            self.conn.their_state is h11.DONE and (self.cycle is None or self.cycle.response_complete)
        )

    def data_received(self, data: bytes) -> None:
        """Wait on, from the first byte of a request to the last one of its headers."""
        self.heard = self.loop.time()
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


def limited_to(most: int) -> type[Connection]:
    """Return the class of a server's connections, of which it takes so many at one time."""
    return type("LimitedConnection", (Connection,), {"most": most})
