"""How often a process of the host looks for garbage, and what it gives back to the system.

An upload is some hundred thousand objects that live until it is stored: looking through them for garbage every 700
objects, and through all that a program is made of, takes a third of its time.
"""

import ctypes
import gc
from contextlib import suppress

#: New objects after which the youngest are looked through, and how often that is before older ones are.
THRESHOLDS = (50_000, 20, 20)


def look_seldom() -> None:
    """Pass over everything that is there already, and look for more only after many new objects."""
    if gc.get_threshold() == THRESHOLDS:
        # Done already; counting what is frozen takes a while.
        return
    # Once: what was garbage by then would stay for ever, as with each of many hosts in one process.
    if not gc.get_freeze_count():
        gc.freeze()
    gc.set_threshold(*THRESHOLDS)


def give_back() -> None:
    """Give memory that is free back to the system, where its C library can: after large answers, it would keep it."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
