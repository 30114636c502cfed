"""A TCP relay that cuts connections after a number of bytes."""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Relay:
    """Forwards connections to a server, and cuts some of them.

    Attributes:
        url: Where the relay listens.
        cuts: How many connections were cut.
    """

    def __init__(self, target: str, chance: random.Random, *, most: int) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "", parts.port or 80)
        self._chance = chance
        self._most = most
        self._lock = threading.Lock()
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        """Accept connections until the relay is closed."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Stop accepting connections."""
        # Closing alone does not wake a thread that is accepting.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _budget(self) -> int | None:
        """Return after how many bytes of the answer a connection is cut; None lets it live."""
        with self._lock:
            if self.cuts >= self._most or self._chance.random() < 0.5:
                return None
            self.cuts += 1
            return self._chance.choice([0, 1, 100, 1_000, 20_000])

    def _forward(self, client: socket.socket) -> None:
        budget = self._budget()
        try:
            server = socket.create_connection(self._target)
        except OSError:
            client.close()
            return
        threading.Thread(target=_pump, args=(client, server, None), daemon=True).start()
        _pump(server, client, budget)


def _pump(source: socket.socket, sink: socket.socket, budget: int | None) -> None:
    remaining = budget
    try:
        while remaining is None or remaining > 0:
            data = source.recv(65_536)
            if not data:
                break
            data = data if remaining is None else data[:remaining]
            sink.sendall(data)
            remaining = None if remaining is None else remaining - len(data)
    except OSError:
        pass
    for direction in (source, sink):
        with suppress(OSError):
            direction.shutdown(socket.SHUT_RDWR)
        direction.close()


@contextmanager
def cutting(target: str, chance: random.Random, *, most: int = 8) -> Iterator[Relay]:
    """Run a relay before a server; at most ``most`` connections are cut."""
    relay = Relay(target, chance, most=most)
    thread = threading.Thread(target=relay.serve, daemon=True)
    thread.start()
    try:
        yield relay
    finally:
        relay.close()
        thread.join(10)
