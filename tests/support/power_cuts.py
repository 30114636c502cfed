"""What a power cut would leave of files: a process is traced, and its writes that were not synced are dropped.

The trace holds every write with its data. A write is durable once a sync of its file began after the write had ended,
and has ended itself; everything else is lost, which is the worst that POSIX allows (``fsync``: all data that was
written before). What was there before the trace began is durable.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

#: The system calls that change a file, sync it, or send to a socket.
CALLS = "pwrite64,write,ftruncate,fsync,fdatasync,sendto,unlink,pwritev,pwritev2,writev,sync_file_range,rename"
STRACE = ("strace", "-D", "-f", "-y", "-xx", "-s", "20000", "-e", f"trace={CALLS}", "-e", "signal=none")

_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*?)(?: <unfinished \.\.\.>|\) += (?P<result>-?\d+).*)$")
_RESUMED = re.compile(r"<\.\.\. (?P<name>\w+) resumed>(?P<arguments>.*)\) += (?P<result>-?\d+)")
_FILE = re.compile(r"\d+<(?P<path>(?:\\x[0-9a-f]{2})*)>")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


@dataclass
class _File:
    """A file: what is durable of it, and the changes since."""

    durable: bytearray
    changes: list[tuple[int, bytes | None]] = field(default_factory=list)
    #: How many of the changes are durable.
    durable_changes: int = 0

    def make_durable(self, count: int) -> None:
        """Make the first changes durable."""
        for offset, data in self.changes[self.durable_changes : count]:
            if data is None:
                del self.durable[offset:]
                continue
            self.durable.extend(bytes(max(0, offset - len(self.durable))))
            self.durable[offset : offset + len(data)] = data
        self.durable_changes = max(self.durable_changes, count)


@dataclass(frozen=True)
class Sent:
    """Something that was sent to a socket, and what a power cut right then would leave of the files."""

    data: bytes
    files: dict[str, bytes]

    def write(self, folder: Path) -> None:
        """Put the files into a new folder."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


def iter_power_cuts(trace: Path, folder: Path, before: Path, *, at: bytes) -> Iterator[Sent]:
    """Yield what a power cut would leave, for each time that something was sent.

    Args:
        trace: What ``STRACE`` wrote.
        folder: The folder whose files are followed.
        before: A copy of it from before the trace began.
        at: How the data that was sent begins.
    """
    files = {path.name: _File(bytearray(path.read_bytes())) for path in before.iterdir()}
    #: The calls that have begun, and how many changes a sync among them covers, by process.
    begun: dict[str, tuple[str, int]] = {}
    for line in trace.read_text().splitlines():
        process, _, rest = line.partition(" ")
        call, resumed = _CALL.match(rest.strip()), _RESUMED.match(rest.strip())
        if call is not None:
            name, arguments, result = call.group("name", "arguments", "result")
            covered: int | None = None
        elif resumed is not None:
            name, result = resumed.group("name", "result")
            first, covered = begun.pop(process)
            arguments = first + resumed["arguments"]
        else:
            continue
        if name == "sendto":
            data = _parse_data(arguments) if resumed is None else b""
            if data and data.startswith(at):
                yield Sent(data, {name: bytes(file.durable) for name, file in files.items()})
        path = _parse_path(arguments)
        file = files.setdefault(path.name, _File(bytearray())) if path and path.parent == folder else None
        if covered is None:
            covered = len(file.changes) if file is not None else 0
        if result is None:
            begun[process] = arguments, covered
        elif file is None or int(result) < 0:
            continue
        elif name in {"fsync", "fdatasync"}:
            file.make_durable(covered)
        else:
            file.changes.append(_parse_change(name, arguments, int(result)))


def _parse_path(arguments: str) -> Path | None:
    match = _FILE.match(arguments)
    return Path(bytes.fromhex(match["path"].replace("\\x", "")).decode()) if match else None


def _parse_data(arguments: str) -> bytes:
    match = _TEXT.search(arguments)
    assert match is not None, arguments[:200]
    return bytes.fromhex(match[1].replace("\\x", ""))


def _parse_change(name: str, arguments: str, result: int) -> tuple[int, bytes | None]:
    last = int(arguments.rpartition(",")[2])
    if name == "ftruncate":
        return last, None
    assert name == "pwrite64", f"a file is changed by {name}, which is not followed"
    data = _parse_data(arguments)
    assert len(data) >= result, "the trace is cut short"
    return last, data[:result]
