"""Ending connections from within an application, which ASGI has no word for."""

import asyncio
from typing import Any

from starlette.types import Receive, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol


class Connections:
    """The open connections of one server, by the client's address."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], asyncio.Transport] = {}
        #: Set when the server is about to stop, so that nobody waits for a sleeping fault.
        self.stopping = asyncio.Event()

    def protocol(self) -> type[H11Protocol]:
        """A protocol class for uvicorn that enters its connections here."""
        connections = self

        class Registered(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows the type likewise
                # Kept aside, because a closed transport no longer tells its peer.
                self._peer: tuple[str, int] = transport.get_extra_info("peername")[:2]
                connections._open[self._peer] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                connections._open.pop(self._peer, None)
                super().connection_lost(exc)

        return Registered

    async def drop(self, scope: Scope, receive: Receive) -> None:
        """End the connection at once, whatever is still to be sent.

        Raises:
            ConnectionResetError: The application runs without a server.
        """
        self._transport(scope).abort()
        await _gone(receive)

    async def close(self, scope: Scope, receive: Receive) -> None:
        """End the connection after what was sent so far.

        Raises:
            ConnectionResetError: The application runs without a server.
        """
        self._transport(scope).close()
        await _gone(receive)

    def end_all(self) -> None:
        """End every connection: a TLS peer that keeps its connection for later would be waited for."""
        for transport in list(self._open.values()):
            transport.abort()

    def _transport(self, scope: Scope) -> asyncio.Transport:
        client: Any = scope.get("client")
        transport = self._open.get(tuple(client)) if client else None
        if transport is None:
            raise ConnectionResetError("the simulated connection was dropped")
        return transport


async def _gone(receive: Receive) -> None:
    # Returning earlier would look to the server like an application that forgot to answer.
    while (await receive())["type"] != "http.disconnect":
        pass
