"""The plug-in container's start-up: its literal command as a process, from the image's file tree."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

from processes import HERE, server

RUNS = 9
ADD = "mutation($input: AddIntegrationInput!) { addIntegration(input: $input) { _id } }"
TENANT = "5ade13625558f2c6688d15ce"


def start_up() -> list[tuple[str, str]]:
    """The rows of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree = folder / "tree"
        assemble = [sys.executable, str(HERE.parent / "image" / "assemble.py"), str(tree)]
        subprocess.run(assemble, check=True, stderr=subprocess.DEVNULL)
        with (
            server("-m", "rally_sandbox", "--port", "0", "--items", "300") as simulator,
            _host(folder / "host.sqlite") as (url, key),
        ):
            event = ["scheduledEvents", "syncRallyDataEvent", _props(simulator, url, key), "{}"]
            # The first run brings everything over, and is not measured.
            _timed(tree, event)
            manifests = [_timed(tree, ["getManifest"]) for _ in range(RUNS)]
            cycles = [_timed(tree, event) for _ in range(RUNS)]
    return [
        (
            "container, getManifest: seconds of wall time, at most 0.25 wanted (a vendor plug-in: 0.95)",
            f"{statistics.median(wall for _, wall in manifests):.2f}",
        ),
        (
            "container, cycle without a change: CPU seconds, at most 0.6 wanted",
            f"{statistics.median(cpu for cpu, _ in cycles):.2f}",
        ),
        (
            "container, cycle without a change: seconds of wall time (a vendor plug-in: 5.7)",
            f"{statistics.median(wall for _, wall in cycles):.2f}",
        ),
    ]


def _props(simulator: dict[str, str], url: str, key: str) -> str:
    given = {"name": "bench", "displayName": "bench", "type": "ucv-ext-rally", "tenantId": TENANT, "enabled": False}
    given["properties"] = {"apiKey": "unused"}
    headers = {"Authorization": f"UserAccessKey {key}"}
    body = {"query": ADD, "variables": {"input": given}}
    answer = httpx2.post(f"{url}/release-events-api/graphql", json=body, headers=headers, timeout=60)
    tracker = answer.json()["data"]["addIntegration"]["_id"]
    state = {"lastRun": 0, "trackerId": tracker, "tenantId": TENANT, "apiServerUrl": f"{url}/release-events-api"}
    properties = {"baseUrl": simulator["url"], "apiKey": simulator["apiKey"], "_userAccessKey": key}
    return json.dumps({"state": state, "properties": properties, "loggingLevel": "INFO"})


def _timed(tree: Path, words: Sequence[str]) -> tuple[float, float]:
    """CPU seconds and wall seconds of one command."""
    path = f"{tree / 'usr/local/bin'}:{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin"
    command = ["node", "velocity-plugin.min.js", *words]
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=tree / "plugin", env={"PATH": path}, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        output = running.stdout.read()
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        sys.exit(f"the container ended with {running.returncode}: {output.decode()}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - started


@contextmanager
def _host(database: Path) -> Iterator[tuple[str, str]]:
    """An embedded host's address and first access key."""
    command = [sys.executable, "-m", "rally_accelerate.cli.entry", "serve", "--port", "0", "--database", str(database)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as running:
        try:
            told: dict[str, str] = {}
            assert running.stdout is not None
            while "key" not in told and (line := running.stdout.readline()):
                name, _, value = line.partition(":")
                told[name.strip()] = value.split()[0] if value.split() else ""
            yield told["host"], told["key"]
        finally:
            running.terminate()
            running.wait()
