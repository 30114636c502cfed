"""A host that is told to stop, in the middle of a run and of requests: quiet, in order, and soon."""

import json
import signal
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.processes import start_command
from support.waiting import PATIENCE_SECONDS

#: Nothing listens there, and the run tries for a long time.
NEVER = {"baseUrl": "http://127.0.0.1:9", "apiKey": "sample-key", "retrySeconds": 3600}

#: Requests that never become whole.
HALVES = [
    b"",
    b"GET /heal",
    b"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nname=a",
    b"POST /release-events-api/graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: UserAccessKey %s\r\n\
Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
]


def told(process: subprocess.Popen[str]) -> dict[str, str]:
    """What a host tells at its first start."""
    found: dict[str, str] = {}
    assert process.stdout is not None
    while "key" not in found:
        name, _, value = process.stdout.readline().partition(":")
        found[name.strip()] = value.split()[0]
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_host_that_is_stopped_ends_quietly_and_soon(tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "rally.json"
    file.write_text(json.dumps({"integrations": [{"type": "ucv-ext-rally", "name": "sample", "properties": NEVER}]}))
    arguments = ("serve", str(file), "--port", "0", "--database", str(tmp_path / "host.sqlite"))
    with start_command(*arguments) as process, ExitStack() as open_ones:
        known = told(process)
        port = int(known["host"].rpartition(":")[2])
        connections = []
        for half in HALVES:
            connection = open_ones.enter_context(
                socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
            )
            connection.sendall(half.replace(b"%s", known["key"].encode()))
            connections.append(connection)
        assert process.stderr is not None
        # A run goes on, and has failed already.
        begins = process.stderr.readline()
        assert "sample: begins" in begins
        assert "Trying again" in process.stderr.readline()
        process.send_signal(number)
        assert process.wait(PATIENCE_SECONDS) == 0
        said = process.stderr.read()
        assert "stopped; the next run goes on where this one ended" in said
        assert "Traceback" not in said
        assert "CancelledError" not in said
        assert said.splitlines()[-1] == "stopped"
        # Whoever was in the middle of something is told, and not with a fault of the program.
        assert connections[2].recv(1000).startswith(b"HTTP/1.1 503")
        assert b"the server is stopping" in connections[3].recv(1000)
