"""Processes of the product: new ones, or copies of one that has imported it, which saves most of the time of a start."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.fork_server import NUMBER

PROGRAM = Path(__file__).with_name("fork_server.py")

#: What an interpreter reads when it starts, so that a copy would not.
READ_AT_START = ("PYTHON", "LC_", "LANG", "TZ")


class ForkServer:
    """The process that is copied; it starts when the first copy is needed.

    A copy is a process as any other: it has an id, a memory and an end of its own, and can be killed. What it does not
    do is begin: the tests of how the product starts, is interrupted while it starts, or is installed start it anew, as
    do ``make kill-test`` and everything outside of the tests.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1"}

    def can_start(self, environment: Mapping[str, str]) -> bool:
        """Return whether a copy has everything of an environment that an interpreter reads when it starts."""
        return _startup_variables(environment) == _startup_variables(self._environment)

    def send(self, request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        """Have a copy made."""
        content = json.dumps(request).encode()
        requests = self._requests or self._start()
        socket.send_fds(requests, [NUMBER.pack(len(content))], descriptors)
        requests.sendall(content)

    def close(self) -> None:
        """End it; copies that run go on."""
        if self._requests is not None:
            self._requests.close()
        if self._process is not None:
            self._process.wait()

    def _start(self) -> socket.socket:
        self._requests, there = socket.socketpair()
        with there:
            command = [sys.executable, str(PROGRAM), str(there.fileno())]
            self._process = subprocess.Popen(command, pass_fds=(there.fileno(),), env=self._environment)
        return self._requests


class ForkedProcess(subprocess.Popen[str]):
    """A process that the fork server made; used as if it had been started here."""

    def __init__(self, server: ForkServer, module: str, arguments: Sequence[str], **how: Any) -> None:
        self.args = [module, *arguments]
        self.stdin = None
        self.returncode = None
        self.stdout, output = _open_stream(how["stdout"], 1)
        self.stderr, errors = _open_stream(how["stderr"], 2)
        self._status, there = socket.socketpair()
        request = {
            "module": module,
            "arguments": [*arguments],
            "environment": dict(how["env"]),
            "folder": str(Path.cwd()),
        }
        with there:
            server.send(request, (output, errors, there.fileno()))
        for descriptor in (output, errors):
            os.close(descriptor)
        (self.pid,) = NUMBER.unpack(self._status.recv(NUMBER.size))

    def __del__(self) -> None:
        """Leave the process alone: the fork server waits for it."""

    def __exit__(self, *_: object) -> None:
        for stream in (self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self.returncode if self._has_ended(0) else None

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and return the exit code.

        Raises:
            TimeoutExpired: It runs still.
        """
        if not self._has_ended(timeout):
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def communicate(self, input: str | None = None, timeout: float | None = None) -> tuple[str, str]:  # noqa: A002 - the name of the standard library
        """Read everything until it has ended; one that takes too long is killed.

        Raises:
            TimeoutExpired: It took too long.
        """
        assert input is None
        late = threading.Event()
        read: dict[str, str] = {}

        def kill() -> None:
            late.set()
            self.kill()

        def read_errors() -> None:
            read["errors"] = self.stderr.read() if self.stderr else ""

        timer = threading.Timer(timeout or threading.TIMEOUT_MAX, kill)
        reading = threading.Thread(target=read_errors)
        for thread in (timer, reading):
            thread.start()
        output = self.stdout.read() if self.stdout else ""
        reading.join()
        self.wait()
        timer.cancel()
        timer.join()
        if late.is_set():
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return output, read["errors"]

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def _has_ended(self, seconds: float | None) -> bool:
        if self.returncode is None:
            self._status.settimeout(seconds)
            try:
                (self.returncode,) = NUMBER.unpack(self._status.recv(NUMBER.size))
            except (BlockingIOError, TimeoutError):
                return False
            self._status.close()
        return True


#: What makes copies, while there is something that does.
_servers: list[ForkServer] = []


@contextmanager
def fork_processes() -> Iterator[None]:
    """Start processes as copies for as long as the context lasts, where the system can."""
    if not sys.platform.startswith("linux"):
        yield
        return
    server = ForkServer()
    _servers.append(server)
    try:
        yield
    finally:
        _servers.remove(server)
        server.close()


def start_process(module: str, *arguments: str, **how: Any) -> subprocess.Popen[str]:
    """Start ``python -m module`` with its output as text.

    Args:
        module: What to run.
        arguments: Its arguments.
        how: ``env``, ``stdout`` and ``stderr`` as ``subprocess.Popen`` takes them.
    """
    if _servers and _servers[-1].can_start(how["env"]):
        return ForkedProcess(_servers[-1], module, arguments, **how)
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        text=True,
        # A shell that starts the tests in the background lets its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no thread is running yet
        **how,
    )


def _startup_variables(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_START)}


def _open_stream(requested: int | None, usual: int) -> tuple[Any, int]:
    """What reads an output here, if it is read, and the descriptor to write it to."""
    match requested:
        case subprocess.PIPE:
            here, there = os.pipe()
            return os.fdopen(here, encoding="utf-8"), there
        case subprocess.DEVNULL:
            return None, os.open(os.devnull, os.O_WRONLY)
        case _:
            return None, os.dup(usual)
