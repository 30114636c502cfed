"""Process-wide settings: garbage collection, memory, descriptor limits, and the current execution.

An upload is some hundred thousand objects that live until it is stored: looking through them for garbage every 700
objects, and through all that a program is made of, takes a third of its time.
"""

import ctypes
import gc
import os
import resource
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

#: New objects after which the youngest are looked through, and how often that is before older ones are.
GC_THRESHOLDS = (50_000, 20, 20)


def tune_garbage_collection() -> None:
    """Freeze existing objects and collect garbage less often."""
    if gc.get_threshold() == GC_THRESHOLDS:
        # Done already; counting what is frozen takes a while.
        return
    # Once: what was garbage by then would stay for ever, as with each of many servers in one process.
    if not gc.get_freeze_count():
        gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def release_memory() -> None:
    """Return free memory to the system where the C library can; after large responses it would keep it."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


#: The execution's id; empty outside of a run. A run's uploads stay in its context, as they take no socket.
current_execution_id: ContextVar[str] = ContextVar("execution", default="")


#: More is of no use to a server on one machine.
MAX_CONNECTIONS = 1_000

#: The most descriptors that the server requests.
TARGET_DESCRIPTORS = 4_096

#: What the rest of the process needs at least: connections to the database with their files, and to Rally.
MIN_RESERVE = 24

#: Where a system does not list a process's descriptors.
DEFAULT_OPEN_DESCRIPTORS = 24


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What a server can take."""

    #: Open connections at one time.
    connections: int
    #: Connections accepted in one go, before any of them is looked at.
    burst: int


def raise_descriptor_limit() -> None:
    """Raise the number of descriptors that this process can have, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    requested = TARGET_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(TARGET_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < requested:
        resource.setrlimit(resource.RLIMIT_NOFILE, (requested, hard))


def read_connection_limits() -> ConnectionLimits:
    """Return what a server can take with the descriptors that are free now."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return compute_connection_limits(
        TARGET_DESCRIPTORS if limit == resource.RLIM_INFINITY else limit, used=_count_open_descriptors()
    )


def compute_connection_limits(limit: int, *, used: int) -> ConnectionLimits:
    """Return what a server can take.

    Args:
        limit: The number of descriptors that the process can have.
        used: How many it has.
    """
    free = max(0, limit - used)
    reserve = max(MIN_RESERVE, free // 4)
    burst = max(2, min(100, free // 8))
    return ConnectionLimits(max(2, min(MAX_CONNECTIONS, free - reserve - burst)), burst)


def _count_open_descriptors() -> int:
    listed = Path("/proc/self/fd") if Path("/proc/self/fd").is_dir() else Path("/dev/fd")
    try:
        return len(os.listdir(listed))  # noqa: PTH208 - names alone
    except OSError:
        return DEFAULT_OPEN_DESCRIPTORS
