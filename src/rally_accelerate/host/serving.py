"""Serving a host: its socket, and the server that answers on it."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rally_accelerate.config.listening import PORT_OPTION, cannot_listen
from rally_accelerate.errors import ConfigError
from rally_accelerate.host.app import Host
from rally_accelerate.host.connections import limited_to
from rally_accelerate.host.descriptors import room
from rally_accelerate.host.web.guard import LOCAL_NAMES
from rally_accelerate.host.web.prefix import Prefixed


def listening(address: str, port: int, *, choose: str = PORT_OPTION) -> socket.socket:
    """A socket that listens, for ``serving``: taken before anything is opened or changed.

    Args:
        address: The address to listen on, of either family.
        port: 0 takes a free one.
        choose: How to choose another port, for the hint.

    Raises:
        ConfigError: The address is none of this machine's, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listener = socket.create_server((address, port), family=family)
    except (OSError, OverflowError) as error:
        raise cannot_listen(error, address=address, port=port, choose=choose) from error
    # Connections inherit it; asyncio sets it only on sockets that name their protocol, unlike this one. Without it the
    # second part of an answer waits some 40 ms for the receipt of the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


#: For so long requests that are being answered may go on when the server ends; then they are told so.
GRACE_SECONDS = 1

STOPPING = "the host is stopping; send it again when it is back"


@asynccontextmanager
async def serving(
    host: Host, listener: socket.socket | None = None, *, outside: str = "", proxy: str = ""
) -> AsyncIterator[str]:
    """Serve a host for as long as the context lasts; its address.

    Args:
        host: An open host.
        listener: From ``listening``, closed at the end; None listens on a free port of this machine alone.
        outside: The address under which a proxy in front shows the host, when there is one.
        proxy: The proxy's own address: only what it forwards says from where a request came.
    """
    listener = listener or listening("127.0.0.1", 0)
    address, port = listener.getsockname()[:2]
    shown = urlsplit(outside)
    name = shown.hostname or ""
    names = LOCAL_NAMES | {name} if is_local(address) else None
    prefix = shown.path.rstrip("/")
    app = host.app(names=names, secure_names={name} if shown.scheme == "https" else (), prefix=prefix)
    try:
        shown_app = _below(prefix, app) if prefix else app
    except ConfigError:
        listener.close()
        raise
    place = room()
    config = uvicorn.Config(
        _answering_to_the_end(shown_app),
        http=limited_to(place.connections),
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
    server = _QuietServer(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
    finally:
        # What is cut off from here on is cut off on purpose: neither that nor its traceback is worth a line.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        server.should_exit = True
        await asyncio.wait([task], timeout=5 * GRACE_SECONDS)
        task.cancel()
        listener.close()


def _below(prefix: str, app: Starlette) -> ASGIApp:
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
    return Prefixed(app, prefix)


def _answering_to_the_end(app: ASGIApp) -> ASGIApp:
    """An application that tells whoever still waits when the server ends; only a server may cancel its requests."""

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
        """Signals belong to the command that serves."""
        from contextlib import nullcontext  # noqa: PLC0415

        return nullcontext()


def is_local(address: str) -> bool:
    """Whether only this machine reaches an address."""
    return address in {"127.0.0.1", "::1", "localhost"}
