"""How many connections a server takes, by the number of file descriptors that the system grants the process.

A process without free descriptors cannot accept a connection, open its database or start a sync: idle connections,
which need no password, must never use them up.
"""

import os
import resource
from dataclasses import dataclass
from pathlib import Path

#: More is of no use to a server on one machine.
MOST_CONNECTIONS = 1_000

#: The most descriptors that the server requests.
WANTED = 4_096

#: What the rest of the process needs at least: connections to the database with their files, and to Rally.
LEAST_RESERVE = 24

#: Where a system does not list a process's descriptors.
USUALLY_OPEN = 24


@dataclass(frozen=True, slots=True)
class Room:
    """What a server can take."""

    #: Open connections at one time.
    connections: int
    #: Connections accepted in one go, before any of them is looked at.
    burst: int


def raise_limit() -> None:
    """Raise the number of descriptors that this process can have, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def room() -> Room:
    """Return what a server can take with the descriptors that are free now."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return room_of(WANTED if limit == resource.RLIM_INFINITY else limit, used=_open_now())


def room_of(limit: int, *, used: int) -> Room:
    """Return what a server can take.

    Args:
        limit: The number of descriptors that the process can have.
        used: How many it has.
    """
    free = max(0, limit - used)
    reserve = max(LEAST_RESERVE, free // 4)
    burst = max(2, min(100, free // 8))
    return Room(max(2, min(MOST_CONNECTIONS, free - reserve - burst)), burst)


def _open_now() -> int:
    listed = Path("/proc/self/fd") if Path("/proc/self/fd").is_dir() else Path("/dev/fd")
    try:
        return len(os.listdir(listed))  # noqa: PTH208 - names alone
    except OSError:
        return USUALLY_OPEN
