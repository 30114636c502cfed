"""A server in front of the embedded host that lacks, or refuses, some operations: as older servers may."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2

#: What becomes of a request: None passes it on, anything else is answered with its status.
Decision = Callable[[dict[str, Any]], tuple[int, Any] | None]


@dataclass
class LimitedServer:
    """Where to ask, and what was asked."""

    url: str = ""
    operations: list[str] = field(default_factory=list)


def reject_operations(*operations: str) -> Decision:
    """A server that does not know some operations."""

    def decide(body: dict[str, Any]) -> tuple[int, Any] | None:
        name = body["operationName"]
        message = f'Cannot query field "{name}" on type "Query".'
        return (200, {"errors": [{"message": message}]}) if name in operations else None

    return decide


@contextmanager
def limited_server(
    behind: str, decide: Decision | None = None, *, tls: ssl.SSLContext | None = None
) -> Iterator[LimitedServer]:
    """Serve on a free port of 127.0.0.1.

    Args:
        behind: The host's address, which answers whatever is passed on.
        decide: What becomes of each request; by default all are passed on.
        tls: Its certificate; None serves in the clear.
    """
    platform = LimitedServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            body = json.loads(content)
            platform.operations.append(body["operationName"])
            decision = decide(body) if decide else None
            if decision is None:
                headers = {name: self.headers[name] for name in ("Authorization", "Content-Type")}
                response = httpx2.post(f"{behind}{self.path}", content=content, headers=headers, timeout=60)
                status, response_body = response.status_code, response.content
            else:
                status, response_body = decision[0], json.dumps(decision[1]).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(response_body)))
            self.end_headers()
            self.wfile.write(response_body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    platform.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield platform
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
