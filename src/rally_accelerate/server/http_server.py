"""The HTTP server: its socket, connection limits and timeouts."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import h11
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from rally_accelerate.config.listen_errors import PORT_OPTION, explain_listen_error
from rally_accelerate.errors import ConfigError
from rally_accelerate.server.app import Server
from rally_accelerate.server.runtime import MAX_CONNECTIONS, read_connection_limits
from rally_accelerate.server.web.path_prefix import UrlPrefixMiddleware
from rally_accelerate.server.web.security import LOCAL_NAMES

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
    """Uvicorn's connection with timeouts for slow clients and a limit on connections."""

    #: How many connections the server takes.
    max_connections = MAX_CONNECTIONS
    _head_timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None
    #: When something came last, by the clock of the loop.
    last_received = 0.0
    #: When the connection was opened or its last answer ended.
    idle_since = 0.0
    #: When the client stopped reading its answer; None while it reads.
    blocked_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the server's own
        """Begin to wait, if there is a place for this connection."""
        super().connection_made(transport)
        self.last_received = self.idle_since = self.loop.time()
        if len(self.connections) > self.max_connections and not self._free_connection():
            transport.write(BUSY)
            transport.close()
            return
        self._start_head_timer()

    def _free_connection(self) -> bool:
        """Close the connection that the server can best do without; return whether there is one."""
        others = [one for one in self.connections if isinstance(one, Connection) and one is not self]
        open_ones = [one for one in others if not one.transport.is_closing()]
        if len(open_ones) < self.max_connections:
            # Some are being closed already. Those with something unsent would keep their descriptor until it is read.
            unsent = [one for one in others if one.transport.is_closing() and one.transport.get_write_buffer_size()]
            _abort_oldest(unsent, by=lambda one: one.idle_since)
            return True
        before = self.loop.time() - STALLED_SECONDS
        return _abort_oldest(
            [one for one in open_ones if one.is_spare], by=lambda one: one.idle_since
        ) or _abort_oldest([one for one in open_ones if one.has_stalled(before)], by=lambda one: one.last_received)

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
        return not self._is_known and (awaited or self.blocked_since is not None)

    def has_stalled(self, before: float) -> bool:
        """Return whether the client has neither sent nor read anything that the server waits for since an instant."""
        if self.conn.their_state is h11.SEND_BODY:
            return self.last_received < before
        return self.blocked_since is not None and self.blocked_since < before

    @property
    def _is_answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    @property
    def _is_known(self) -> bool:
        """Whether the client of the latest request has a session or an access key, as the guard has found."""
        return self.scope is not None and self.scope["state"].get("known") is not None

    def data_received(self, data: bytes) -> None:
        """Wait on, from the first byte of a request to the last one of its headers."""
        self.last_received = self.loop.time()
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._start_head_timer()
        else:
            self._cancel_head_timer()

    def on_response_complete(self) -> None:
        """Note when the answer ended, and wait only for a while for the rest of a body that nothing needs."""
        self.idle_since = self.loop.time()
        if self.conn.their_state is h11.SEND_BODY:
            self.loop.call_later(LINGER_SECONDS, self._end_linger, self.cycle)
        super().on_response_complete()

    def _end_linger(self, cycle: object) -> None:
        if self.cycle is cycle and self.conn.their_state is h11.SEND_BODY:
            self.transport.abort()

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self.blocked_since = self.loop.time()
        # Also where the connection is being closed: that waits for the client as well.
        self._unread_timer = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop waiting for the client to read."""
        self._cancel_unread_timer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._cancel_head_timer()
        self._cancel_unread_timer()
        super().connection_lost(exc)

    def _cancel_unread_timer(self) -> None:
        self.blocked_since = None
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._close_idle)

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _close_idle(self) -> None:
        self._head_timer = None
        # In the meantime, a request that came whole may have been answered, and the next one not begun.
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()


def _abort_oldest(places: list[Connection], *, by: Callable[[Connection], float]) -> bool:
    """Close the first of some connections; return whether there is one."""
    if not places:
        return False
    # At once: a close that waits for what is still to be sent would keep its descriptor.
    min(places, key=by).transport.abort()
    return True


def make_connection_class(most: int) -> type[Connection]:
    """Return the class of a server's connections, of which it takes so many at one time."""
    return type("LimitedConnection", (Connection,), {"max_connections": most})


def open_listener(address: str, port: int, *, choose: str = PORT_OPTION) -> socket.socket:
    """Open a listening socket for ``serve``, before anything else is opened or changed.

    Args:
        address: The address to listen on, of either family.
        port: 0 takes a free one.
        choose: How to choose another port, for the hint.

    Raises:
        ConfigError: The address does not belong to this machine, or the port is in use.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listener = socket.create_server((address, port), family=family)
    except (OSError, OverflowError) as error:
        raise explain_listen_error(error, address=address, port=port, choose=choose) from error
    # Connections inherit it; asyncio sets it only on sockets that name their protocol, unlike this one. Without it the
    # second part of an answer waits some 40 ms for the receipt of the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


#: Requests in progress can continue for so many seconds when the server stops; then they get an error.
GRACE_SECONDS = 1

STOPPING = "the server is stopping; send it again when it is back"


@asynccontextmanager
async def serve(
    server: Server, listener: socket.socket | None = None, *, outside: str = "", proxy: str = ""
) -> AsyncIterator[str]:
    """Serve a server for as long as the context lasts; return its address.

    Args:
        server: An open server.
        listener: From ``open_listener``, closed at the end; None listens on a free port of this machine alone.
        outside: The address under which a proxy in front shows the server, when there is one.
        proxy: The proxy's own address: only what it forwards says from where a request came.
    """
    listener = listener or open_listener("127.0.0.1", 0)
    address, port = listener.getsockname()[:2]
    formatted = urlsplit(outside)
    name = formatted.hostname or ""
    names = LOCAL_NAMES | {name} if is_local(address) else None
    prefix = formatted.path.rstrip("/")
    app = server.build_app(names=names, secure_names={name} if formatted.scheme == "https" else (), prefix=prefix)
    try:
        mounted_app = _mount_below(prefix, app) if prefix else app
    except ConfigError:
        listener.close()
        raise
    place = read_connection_limits()
    config = uvicorn.Config(
        _respond_on_shutdown(mounted_app),
        http=make_connection_class(place.connections),
        # asyncio accepts so many at once, before the protocol can refuse any.
        backlog=place.burst,
        log_level="warning",
        timeout_graceful_shutdown=GRACE_SECONDS,
        access_log=False,
        lifespan="off",
        server_header=False,
        # Otherwise it would believe every process of this machine.
        proxy_headers=bool(proxy),
        forwarded_allow_ips=proxy,
    )
    uvicorn_server = _QuietServer(config)
    task = asyncio.create_task(uvicorn_server.serve(sockets=[listener]))
    try:
        yield f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
    finally:
        # What is cut off from here on is cut off on purpose: neither that nor its traceback is worth a line.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        uvicorn_server.should_exit = True
        await asyncio.wait([task], timeout=5 * GRACE_SECONDS)
        task.cancel()
        listener.close()


def _mount_below(prefix: str, app: Starlette) -> ASGIApp:
    """Return an application below a prefix.

    Raises:
        ConfigError: The prefix begins as addresses of the application do: a proxy that removes it would be ambiguous.
    """
    own = {route.path.split("/")[1].partition(".")[0] for route in app.routes if isinstance(route, Route)}
    own |= {route.path.split("/")[1] for route in app.routes if isinstance(route, Mount)}
    if prefix.split("/")[1] in own:
        raise ConfigError(
            f"the path {prefix} of --outside-url is one of the server's own",
            hint="Choose another one, such as /rally.",
        )
    return UrlPrefixMiddleware(app, prefix)


def _respond_on_shutdown(app: ASGIApp) -> ASGIApp:
    """Wrap an application so that open requests get a 503 when the server stops."""

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await app(scope, receive, sending)
        except asyncio.CancelledError:
            if begun or scope["type"] != "http":
                raise
            await PlainTextResponse(STOPPING, 503, headers={"Connection": "close"})(scope, receive, send)

    return answering


class _QuietServer(uvicorn.Server):
    def capture_signals(self) -> Any:
        """Leave signals to the command that serves."""
        from contextlib import nullcontext  # noqa: PLC0415

        return nullcontext()


def is_local(address: str) -> bool:
    """Return whether only this machine reaches an address."""
    return address in {"127.0.0.1", "::1", "localhost"}
