"""Asking an embedded host in-process."""

from dataclasses import dataclass
from typing import Any

import httpx2

from rally_accelerate.host.app import Host

TENANT = "5ade13625558f2c6688d15ce"


@dataclass(frozen=True)
class Asked:
    """A host and ways to ask it."""

    host: Host
    http: httpx2.AsyncClient
    key: str

    async def graphql(self, query: str, *, key: str | None = None, **variables: Any) -> httpx2.Response:
        """Ask the GraphQL endpoint."""
        return await self.http.post(
            "/release-events-api/graphql",
            json={"query": query, "variables": variables},
            headers={"Authorization": f"UserAccessKey {self.key if key is None else key}"},
        )

    async def data(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of an answer that has no errors."""
        answer = (await self.graphql(query, **variables)).json()
        assert "errors" not in answer, answer
        found: dict[str, Any] = answer["data"]
        return found
