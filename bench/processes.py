"""The processes that are measured, and those that serve them: nobody's work is counted as another's."""

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import trustme

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Run:
    """One finished connector process."""

    report: dict[str, Any]
    cpu_seconds: float
    peak_mb: float

    @property
    def rate(self) -> float:
        """Items per second, by the connector's own clock."""
        return float(self.report["read"] / self.report["seconds"])


@dataclass(frozen=True, slots=True)
class Rally:
    """The simulated Rally, with the replaying server in front of it."""

    url: str
    simulator: str
    key: str
    authority: Path

    def reset(self, *, latency_ms: int) -> None:
        """Count from zero, and answer after this latency."""
        self._ask("POST", "reset", {"latency_ms": latency_ms})

    def requests(self) -> int:
        """How many requests came since the last reset."""
        return int(self._ask("GET", "stats")["total"])

    def _ask(self, method: str, what: str, body: Any = None) -> Any:
        context = ssl.create_default_context(cafile=str(self.authority))
        return httpx2.request(method, f"{self.url}/_replay/{what}", json=body, verify=context, timeout=60).json()


@contextmanager
def server(*arguments: str) -> Iterator[dict[str, Any]]:
    """A server process; its first line of output is a JSON object that tells where it is."""
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            yield json.loads(running.stdout.readline())
        finally:
            running.terminate()
            running.wait()


@contextmanager
def rally(folder: Path, *, items: int) -> Iterator[Rally]:
    """A simulator of so many items behind a replaying server with a certificate: pyral speaks https only."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    issued.private_key_pem.write_to_path(str(folder / "server.key"))
    for blob in issued.cert_chain_pems:
        blob.write_to_path(str(folder / "server.pem"), append=True)
    files = (str(folder / "server.pem"), str(folder / "server.key"))
    with (
        server("-m", "rally_sandbox", "--port", "0", "--items", str(items)) as simulator,
        server(str(HERE / "replay.py"), simulator["url"], *files) as replay,
    ):
        yield Rally(replay["url"], simulator["url"], simulator["apiKey"], folder / "authority.pem")


def settings(folder: Path, name: str, **properties: Any) -> Path:
    """A settings file for the connector."""
    file = folder / f"{name}.json"
    file.write_text(json.dumps({"integrations": [{"name": name, "properties": properties}]}))
    return file


def connector(file: Path, state: Path) -> Run:
    """Run the connector once, as a process of its own; CPU time and memory are the operating system's figures."""
    command = [sys.executable, "-m", "rally_accelerate.cli.entry", "sync", str(file), "--once", "--json"]
    with subprocess.Popen(
        [*command, "--state", str(state)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as running:
        assert running.stdout is not None
        output = running.stdout.read()
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        sys.exit(f"the connector ended with {running.returncode}: {output.decode()}")
    return Run(json.loads(output), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def peer(rally: Rally, *, history: int) -> dict[str, Any]:
    """Run the peer once, as a process of its own."""
    arguments = [rally.url.removeprefix("https://"), rally.key, "--history", str(history)]
    environment = {**os.environ, "REQUESTS_CA_BUNDLE": str(rally.authority)}
    done = subprocess.run(
        [sys.executable, str(HERE / "peer.py"), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=environment,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
