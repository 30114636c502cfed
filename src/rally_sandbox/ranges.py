"""Sets of integers as sorted, disjoint, inclusive ranges; what the planner narrows a search with."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

Ranges = tuple[tuple[int, int], ...]

LOWEST, HIGHEST = -(1 << 62), 1 << 62
EVERYTHING: Ranges = ((LOWEST, HIGHEST),)


def comparison(operator: str, value: float) -> Ranges | None:  # noqa: PLR0911 - one table
    """The integers for which ``x operator value`` holds; None for operators that no range expresses."""
    floor, ceiling = math.floor(value), math.ceil(value)
    match operator:
        case "=":
            return ((floor, floor),) if floor == ceiling else ()
        case "<":
            return ((LOWEST, ceiling - 1),)
        case "<=":
            return ((LOWEST, floor),)
        case ">":
            return ((floor + 1, HIGHEST),)
        case ">=":
            return ((ceiling, HIGHEST),)
        case "!=" if floor == ceiling:
            return ((LOWEST, floor - 1), (floor + 1, HIGHEST))
        case _:
            return None


def union(*sets: Ranges) -> Ranges:
    """The integers in any of the sets."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(each for ranges in sets for each in ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], high)
        else:
            merged.append((low, high))
    return tuple(merged)


def intersection(one: Ranges, other: Ranges) -> Ranges:
    """The integers in both sets."""
    if one == EVERYTHING:
        return other
    if other == EVERYTHING:
        return one
    common: list[tuple[int, int]] = []
    left = right = 0
    while left < len(one) and right < len(other):
        low = max(one[left][0], other[right][0])
        high = min(one[left][1], other[right][1])
        if low <= high:
            common.append((low, high))
        if one[left][1] < other[right][1]:
            left += 1
        else:
            right += 1
    return tuple(common)


def positions(values: Sequence[int], ranges: Ranges) -> list[tuple[int, int]]:
    """Where the members of an ascending sequence lie that are in a set: half-open index ranges."""
    found = [(bisect_left(values, low), bisect_right(values, high)) for low, high in ranges]
    return [(begin, end) for begin, end in found if begin < end]


def contains(ranges: Ranges, value: int) -> bool:
    """Whether a set contains a number."""
    return any(low <= value <= high for low, high in ranges)
