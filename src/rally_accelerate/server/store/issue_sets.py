"""Sets of issues as one byte per issue number, which are fast to intersect and count.

An issue of the number 7 is in the set where byte 7 is 1. A set of 200,000 issues takes 200 kB.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from itertools import compress
from typing import Any

#: How much is kept between changes of the issues.
MAX_CACHED = 200


def from_numbers(numbers: Iterable[int], size: int) -> bytes:
    """Return the set of numbers, all below the size."""
    result = bytearray(size)
    for number in numbers:
        result[number] = 1
    return bytes(result)


def intersection(one: bytes, other: bytes) -> bytes:
    """Return the intersection of two sets."""
    size = min(len(one), len(other))
    together = int.from_bytes(one[:size], "little") & int.from_bytes(other[:size], "little")
    return together.to_bytes(size, "little")


def union(one: bytes, other: bytes) -> bytes:
    """Return the union of two sets."""
    size = max(len(one), len(other))
    return (int.from_bytes(one, "little") | int.from_bytes(other, "little")).to_bytes(size, "little")


def difference(members: bytes, other: bytes) -> bytes:
    """Return the difference of two sets."""
    complete = int.from_bytes(members, "little")
    return (complete ^ (complete & int.from_bytes(other, "little"))).to_bytes(len(members), "little")


def pad(members: bytes, size: int) -> bytes:
    """Return the set padded to a size."""
    return members if len(members) >= size else members.ljust(size, b"\0")


def iterate_numbers(members: bytes) -> Iterable[int]:
    """Return the numbers in a set, rising."""
    return compress(range(len(members)), members)


class ResultCache:
    """A cache of results that are valid for one value of the change counter."""

    def __init__(self) -> None:
        self._counter = -1
        self._results: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, mark: int, key: Hashable) -> Any | None:
        """Return the cached result of a key for this counter, or None."""
        if mark != self._counter or key not in self._results:
            return None
        self._results.move_to_end(key)
        return self._results[key]

    def put(self, mark: int, key: Hashable, result: Any) -> None:
        """Cache a result; discard results of older counters."""
        if mark < self._counter:
            return
        if mark > self._counter:
            self._results.clear()
            self._counter = mark
        self._results[key] = result
        while len(self._results) > MAX_CACHED:
            self._results.popitem(last=False)
