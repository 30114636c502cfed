"""Server of a simulated Rally, in a thread for tests and demonstrations, or as a process."""

import asyncio
import gc
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn

from rally_sandbox import hostile_data
from rally_sandbox.app import create_app
from rally_sandbox.auth import LIMITED_API_KEY, SANDBOX_API_KEY
from rally_sandbox.control import Stats
from rally_sandbox.faults import Faults
from rally_sandbox.gateway import Connections
from rally_sandbox.world import World

__all__ = ["LIMITED_API_KEY", "SANDBOX_API_KEY", "WORLDS", "Sandbox", "Tls", "run", "serve"]

LOOPBACK = "127.0.0.1"

#: Share of hostile texts by the name of the world.
WORLDS = {"sample": 0.0, "hostile": hostile_data.SHARE}

#: How long the end of a ``serve`` block waits for the server, in seconds.
STOP_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Tls:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, eq=False)
class Sandbox:
    """A served world."""

    #: Scheme, host and port, without a slash at the end.
    url: str
    world: World
    faults: Faults
    stats: Stats


@contextmanager
def serve(
    world: World,
    *,
    host: str = LOOPBACK,
    port: int = 0,
    faults: Faults | None = None,
    tls: Tls | None = None,
    api_keys_enabled: bool = True,
) -> Iterator[Sandbox]:
    """Serve a world from a thread while the block runs.

    Args:
        world: The simulated subscription; it can be changed while it is served.
        host: The address to listen on.
        port: The port; 0 selects a free one.
        faults: The faults to play; None starts without faults.
        tls: The certificate for HTTPS; None serves HTTP.
        api_keys_enabled: Whether API keys are accepted.

    Raises:
        OSError: The port is in use.
    """
    active_faults = faults if faults is not None else Faults()
    stats = Stats()
    connections = Connections()
    app = create_app(
        world, faults=active_faults, stats=stats, connections=connections, api_keys_enabled=api_keys_enabled
    )
    config = uvicorn.Config(
        app,
        http=connections.create_protocol_class(),
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        # Responses have the date of the simulated clock.
        date_header=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        ssl_certfile=str(tls.certificate) if tls is not None else None,
        ssl_keyfile=str(tls.key) if tls is not None else None,
    )
    # Listen before the thread starts, so that clients can connect as soon as the URL is known.
    listener = socket.create_server((host, port), backlog=128)
    # Connections inherit it: the parts of a response must not wait for acknowledgements.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = _Server(config, connections)
    thread = threading.Thread(target=server.run, args=([listener],), name="rally-sandbox", daemon=True)
    thread.start()
    scheme = "https" if tls is not None else "http"
    try:
        yield Sandbox(f"{scheme}://{host}:{listener.getsockname()[1]}", world, active_faults, stats)
    finally:
        # Open connections of clients and delays of faults must not block the end. The thread is a daemon and ends with
        # the process at the latest.
        server.should_exit = server.force_exit = True
        thread.join(STOP_TIMEOUT)
        listener.close()


class _Server(uvicorn.Server):
    """A server that leaves the process's signal handlers unchanged and ends delays of faults when it stops."""

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._connections.stopping.set()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=1)
        self._connections.abort_all()
        await super().shutdown(sockets)


def run(
    *,
    host: str = LOOPBACK,
    port: int = 0,
    seed: int = 7,
    items: int = 500,
    hostile_share: float = 0.0,
    live: bool = False,
    live_interval_seconds: float = 5.0,
    latency_ms: int = 0,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Create a world and serve it until SIGTERM or SIGINT.

    Args:
        host: The address to listen on.
        port: The port; 0 selects a free one.
        seed: The same seed creates the same world.
        items: The number of work items.
        hostile_share: Share of hostile texts, from 0 to 1.
        live: Whether the sample company keeps changing items.
        live_interval_seconds: Seconds between two changes.
        latency_ms: Added latency per response, in milliseconds.
        on_ready: Called with the base URL when the server is ready.
    """
    world = World.create(seed, items, hostile_share=hostile_share)
    # Objects that live as long as the process are excluded from garbage collection.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    stop = threading.Event()
    with _stop_on_signals(stop), serve(world, host=host, port=port, faults=Faults(latency_ms=latency_ms)) as sandbox:
        if on_ready is not None:
            on_ready(sandbox.url)
        while not stop.wait(live_interval_seconds if live else None):
            world.work(1)


@contextmanager
def _stop_on_signals(stop: threading.Event) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread can handle signals; in other threads, the caller stops the process in another way.
        yield
        return

    def handle(_: int, __: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
