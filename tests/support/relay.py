"""A relay in front of a server, which hands each request to the test before it passes it on."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2

#: Headers that belong to one connection.
_OF_A_CONNECTION = frozenset({"connection", "content-encoding", "content-length", "host", "transfer-encoding"})

#: An answer: status, headers, body.
Response = tuple[int, dict[str, str], bytes]


@contextmanager
def run_relay(behind: str, handle: Callable[[Callable[[], Response]], Response]) -> Iterator[str]:
    """Serve on a free port of 127.0.0.1; the address.

    Args:
        behind: The server's address.
        handle: Takes each request, as a call that passes it on, and returns the answer.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.forward()

        def do_POST(self) -> None:
            self.forward()

        def forward(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_A_CONNECTION}
            headers["Accept-Encoding"] = "identity"

            def send_upstream() -> Response:
                response = httpx2.request(
                    self.command, f"{behind}{self.path}", content=content, headers=headers, timeout=60
                )
                return response.status_code, dict(response.headers), response.content

            status, headers_out, body = handle(send_upstream)
            # Whoever asked may have been killed.
            with suppress(OSError):
                self.send_response_only(status)
                for name, value in headers_out.items():
                    if name.lower() not in _OF_A_CONNECTION:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
