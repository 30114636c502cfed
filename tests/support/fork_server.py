"""The program of a process that has imported the product and copies itself: importing takes a process most of its time.

``process_starter.py`` starts it, with the number of its end of a socket. Every request is a length and a JSON object, with the
output, the error output and one end of a socket for the new process's id and exit code.
"""

import gc
import importlib
import io
import json
import os
import runpy
import signal
import socket
import struct
import sys
from selectors import EVENT_READ, DefaultSelector
from typing import Any

#: Imported before anything is copied: what the commands, the server and the simulator begin with.
PRELOADED = (
    "alembic.command",
    "rally_accelerate.cli.main",
    "rally_accelerate.server.app",
    "rally_accelerate.server.http_server",
    "rally_sandbox.server",
)

NUMBER = struct.Struct("!i")


def main() -> None:
    """Copy this process for every request, until the other end is closed."""
    # The folder of this file, whose modules are not for what runs here.
    del sys.path[0]
    gc.disable()
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        request = _serve(requests)
    if request is not None:
        _run_request(request)


def _serve(requests: socket.socket) -> dict[str, Any] | None:
    """Answer requests; in a copy, return the request that it was made for, and None in the original at the end."""
    here, there = socket.socketpair()
    for end in (here, there):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(there.fileno())
    status_of: dict[int, socket.socket] = {}
    with DefaultSelector() as selector, here, there:
        selector.register(requests, EVENT_READ)
        selector.register(here, EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if here in ready:
                here.recv(1000)
                _report_exits(status_of)
            if requests in ready:
                size, descriptors, _, _ = socket.recv_fds(requests, NUMBER.size, 3)
                if not size:
                    return None
                request: dict[str, Any] = json.loads(_receive(requests, NUMBER.unpack(size)[0]))
                status = socket.socket(fileno=descriptors.pop())
                child = os.fork()
                if not child:
                    for status_socket in (status, *status_of.values()):
                        status_socket.close()
                    signal.set_wakeup_fd(-1)
                    return {**request, "descriptors": descriptors}
                for inherited in descriptors:
                    os.close(inherited)
                status.send(NUMBER.pack(child))
                status_of[child] = status


def _receive(requests: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        content += requests.recv(size - len(content))
    return content


def _report_exits(status_of: dict[int, socket.socket]) -> None:
    for child in [*status_of]:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            with status_of.pop(child) as status_socket:
                # Whoever started it may have ended before it.
                status_socket.send(NUMBER.pack(os.waitstatus_to_exitcode(status)), socket.MSG_NOSIGNAL)


def _run_request(request: dict[str, Any]) -> None:
    """Run a module as ``python -m`` would in a new process."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, descriptor in enumerate(request["descriptors"], 1):
        os.dup2(descriptor, number)
        os.close(descriptor)
        _open_output(number)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.path.insert(0, request["folder"])
    sys.argv = ["", *request["arguments"]]
    gc.enable()
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def _open_output(number: int) -> None:
    """Open an output as a new interpreter with ``PYTHONUNBUFFERED`` does: this one's may have been another kind of file."""
    name = {1: "stdout", 2: "stderr"}[number]
    former = getattr(sys, name)
    file = io.FileIO(number, "w", closefd=False)
    opened = io.TextIOWrapper(file, encoding=former.encoding, errors=former.errors, write_through=True)
    setattr(sys, name, opened)
    setattr(sys, f"__{name}__", opened)


if __name__ == "__main__":
    main()
