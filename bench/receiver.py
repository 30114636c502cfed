"""Takes uploads like Accelerate and forgets them: the far end for measuring the connector alone."""

import json
import socket

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def graphql(request: Request) -> Response:
    """Say yes to uploads; know no integration."""
    asked = orjson.loads(await request.body())
    name = asked["operationName"]
    data = {"uploadIssueData": {"result": True}} if name == "uploadIssueData" else {name: None}
    return Response(orjson.dumps({"data": data}), media_type="application/json")


def main() -> None:
    """Serve on a free port until terminated."""
    listener = socket.create_server(("127.0.0.1", 0))
    # Connections inherit it: the parts of an answer must not wait for each other's receipts.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    port = listener.getsockname()[1]
    print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)
    app = Starlette(routes=[Route("/release-events-api/graphql", graphql, methods=["POST"])])
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])


if __name__ == "__main__":
    main()
