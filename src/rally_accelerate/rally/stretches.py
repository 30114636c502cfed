"""Which revisions to ask for, and how: the decisions behind reading many histories with few requests; pure.

Histories of items that were created one after the other have ids in a row, so a range over history ids brings
the past of a whole page of items in a few requests, together with that of the items between them: defects
among stories. Where the wanted ones lie far apart, lists of ids are cheaper.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from rally_accelerate.rally.query import And, Condition, Expression, any_of
from rally_accelerate.rally.wire import LONGEST_ADDRESS

HISTORY_ID = "RevisionHistory.ObjectID"

#: Nodes may disagree by a little, and the ``Date`` header has whole seconds.
FRESHNESS = timedelta(minutes=1)


def range_condition(low: int, high: int) -> Expression:
    """Histories from one id to another, both included."""
    if low == high:
        return Condition(HISTORY_ID, "=", low)
    return And((Condition(HISTORY_ID, ">=", low), Condition(HISTORY_ID, "<=", high)))


def chunks(ids: Sequence[int], *, taken: int, field: str = HISTORY_ID) -> list[tuple[int, ...]]:
    """The ids in parts whose OR-list keeps the address below its limit (rally-api-notes.md#address-length).

    Args:
        ids: In any order, which is kept.
        taken: The bytes of the encoded address without the list.
        field: The attribute that is compared.
    """
    if not ids:
        return []
    # Encoded, a parenthesis, a blank or an equals sign takes three bytes; each id after the first brings " OR
    # " and a pair of parentheses with it.
    longest = max(len(str(each)) for each in ids)
    for_one = len(field) + longest + len("%28%20%3D%20%29") + len("%20OR%20%28%29")
    size = max(1, (LONGEST_ADDRESS - taken) // for_one)
    return [tuple(ids[start : start + size]) for start in range(0, len(ids), size)]


def list_condition(ids: Iterable[int]) -> Expression:
    """Exactly these histories."""
    return any_of(HISTORY_ID, sorted(ids))


def gaps(wanted: Sequence[int], covered: Iterable[tuple[int, int]]) -> list[tuple[int, ...]]:
    """The wanted ids that lie in no covered range, in groups with no covered range in between.

    Args:
        wanted: Ascending.
        covered: Ranges, both ends included, in any order.
    """
    ranges = sorted(covered)
    groups: list[list[int]] = []
    previous: int | None = None
    for each in wanted:
        if any(low <= each <= high for low, high in ranges):
            continue
        if previous is None or any(previous < low and high < each for low, high in ranges):
            groups.append([])
        groups[-1].append(each)
        previous = each
    return [tuple(group) for group in groups]


def range_is_cheaper(*, list_requests: int, rows_left: float, page_size: int) -> bool:
    """Whether the rest of a range costs fewer requests than asking for the wanted ids by lists.

    Args:
        list_requests: How many lists the wanted ids take.
        rows_left: Rows of the range that have not come yet.
        page_size: Rows in one answer.
    """
    return math.ceil(rows_left / page_size) <= list_requests


def is_fresh(updated_at: datetime, answered_at: datetime | None) -> bool:
    """Whether an earlier answer can hold the whole past of an item that was last changed then."""
    return answered_at is not None and updated_at < answered_at - FRESHNESS
