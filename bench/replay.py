"""Answers repeated requests from memory, after a settable latency: so that nobody's figures measure the simulator.

A request that was not seen yet is passed on to the simulator; its answer is kept. Both contenders read through it, each
after a run of its own that fills it. The ``Date`` header is that of the moment.
"""

import argparse
import asyncio
import json
import socket
from collections import Counter
from dataclasses import dataclass, field
from email.utils import formatdate

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

#: What of a request makes its answer another one.
LOGIN = ("zsessionid", "authorization")

KEPT = ("content-type",)


@dataclass
class Replay:
    """The answers that are known, and what was asked since the last reset."""

    simulator: httpx2.AsyncClient
    #: What references in answers begin with, and what takes its place.
    addresses: tuple[bytes, bytes] = (b"", b"")
    latency_seconds: float = 0.0
    answers: dict[tuple[str, ...], tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    sent: int = 0

    async def answer(self, request: Request) -> Response:
        """One request, from memory if it is there."""
        body = await request.body()
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        login = [request.headers.get(name, "") for name in LOGIN]
        key = (request.method, target, body.decode(), *login)
        if key not in self.answers:
            self.answers[key] = await self._fetched(request, target, body)
        self.asked[request.url.path.rpartition("/")[2]] += 1
        if self.latency_seconds:
            await asyncio.sleep(self.latency_seconds)
        status, headers, content = self.answers[key]
        self.sent += len(content)
        return Response(content, status, {**headers, "date": formatdate(usegmt=True)})

    async def _fetched(self, request: Request, target: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = {name: value for name in (*LOGIN, "content-type", "host") if (value := request.headers.get(name))}
        answer = await self.simulator.request(request.method, target, content=body or None, headers=headers)
        kept = {name: answer.headers[name] for name in KEPT if name in answer.headers}
        return answer.status_code, kept, answer.content.replace(*self.addresses)

    async def stats(self, _: Request) -> Response:
        """What was asked since the last reset."""
        return JSONResponse({"requests": dict(self.asked), "total": self.asked.total(), "bytes": self.sent})

    async def reset(self, request: Request) -> Response:
        """Count from zero again, with a latency."""
        self.asked.clear()
        self.sent = 0
        self.latency_seconds = (await request.json())["latency_ms"] / 1000
        return JSONResponse({})


def main() -> None:
    """Serve over TLS on a free port until terminated; the first line of output tells where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("simulator", help="the simulator's address")
    parser.add_argument("certificate")
    parser.add_argument("key")
    arguments = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0))
    # Connections inherit it: the parts of an answer must not wait for each other's receipts.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    host = f"127.0.0.1:{listener.getsockname()[1]}"
    replay = Replay(
        httpx2.AsyncClient(base_url=arguments.simulator, timeout=600),
        addresses=(f"http://{host}".encode(), f"https://{host}".encode()),
    )
    routes = [
        Route("/_replay/stats", replay.stats),
        Route("/_replay/reset", replay.reset, methods=["POST"]),
        Route("/{rest:path}", replay.answer, methods=["GET", "POST"]),
    ]
    print(json.dumps({"url": f"https://{host}"}), flush=True)
    config = uvicorn.Config(
        Starlette(routes=routes),
        log_level="warning",
        access_log=False,
        date_header=False,
        ssl_certfile=arguments.certificate,
        ssl_keyfile=arguments.key,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
