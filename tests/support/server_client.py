"""Asking an embedded host in-process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2

from rally_accelerate.server.app import Server

TENANT = "5ade13625558f2c6688d15ce"


@dataclass(frozen=True)
class ServerClient:
    """A host and ways to ask it."""

    host: Server
    http: httpx2.AsyncClient
    #: An access key of the administrator as whom ``http`` is signed in.
    key: str

    async def graphql(self, query: str, /, *, key: str | None = None, **variables: Any) -> httpx2.Response:
        """Ask the GraphQL endpoint."""
        return await self.http.post(
            "/release-events-api/graphql",
            json={"query": query, "variables": variables},
            headers={"Authorization": f"UserAccessKey {self.key if key is None else key}"},
        )

    async def fetch_data(self, query: str, /, **variables: Any) -> dict[str, Any]:
        """The data of an answer that has no errors."""
        response = (await self.graphql(query, **variables)).json()
        assert "errors" not in response, response
        data: dict[str, Any] = response["data"]
        return data


async def set_session_cookie(host: Server, http: httpx2.AsyncClient, *, name: str = "admin") -> None:
    """Let a client hold a session of a user, as a browser does after signing in."""
    user = await host.stores.users.by_name(name)
    assert user is not None
    http.cookies.set("rally-accelerate-80", await host.stores.sessions.create(user.id))


@asynccontextmanager
async def open_server(database: Path) -> AsyncIterator[ServerClient]:
    """A host and an administrator's client."""
    async with Server.open(database, interval=timedelta(hours=1)) as host:
        transport = httpx2.ASGITransport(app=host.build_app())
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            await set_session_cookie(host, http)
            admin = await host.stores.users.by_name("admin")
            assert admin is not None
            key = await host.stores.keys.create("of the tests", user_id=admin.id)
            yield ServerClient(host, http, key.key)
