"""Rows that belong to given ids, in few requests: by a range of ids where they lie close, else by lists of them."""

import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from rally_accelerate.rally.calls import Caller
from rally_accelerate.rally.keyset import Listing, Row, next_rows, walk
from rally_accelerate.rally.query import And, Condition, any_of
from rally_accelerate.rally.stretches import chunks, range_is_cheaper
from rally_accelerate.rally.wire import LONGEST_ADDRESS

#: For the host, the scheme and the id behind which a page begins.
_FRAME_BYTES = 300


async def rows_of(
    caller: Caller, listing: Listing, ids: Sequence[int], *, field: str = "ObjectID"
) -> AsyncIterator[Row]:
    """The rows of a listing whose field is one of the ids; others may come too, the caller tells them apart.

    Args:
        caller: Asks Rally.
        listing: What to read, without a condition on the field.
        ids: ObjectIDs in any order.
        field: The attribute that holds the id, for example ``Artifact.ObjectID``.
    """
    ordered = sorted(set(ids))
    if not ordered:
        return
    taken = len(listing.request(after=10**13, size=2000).target) + _FRAME_BYTES
    lists = chunks(ordered, taken=min(taken, LONGEST_ADDRESS // 2), field=field)
    if len(lists) > 1:
        between = And((Condition(field, ">=", ordered[0]), Condition(field, "<=", ordered[-1])))
        ranged = replace(listing, where=(*listing.where, between))
        first = await next_rows(caller, ranged)
        page_size = max(1, len(first.rows))
        left = 0 if first.last else first.left - len(first.rows)
        if math.isclose(left, 0) or range_is_cheaper(list_requests=len(lists), rows_left=left, page_size=page_size):
            for _, row in first.rows:
                yield row
            if not first.last:
                async for page in walk(caller, ranged, after=first.after):
                    for _, row in page.rows:
                        yield row
            return
    for part in lists:
        async for page in walk(caller, replace(listing, where=(*listing.where, any_of(field, part)))):
            for _, row in page.rows:
                yield row
