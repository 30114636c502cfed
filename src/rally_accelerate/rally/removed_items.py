"""Items that the scope no longer shows, put together again from what Rally still tells.

See rally-api-notes.md#removed-items and rally-api-notes.md#snapshots-of-removed-items.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime

from rally_accelerate.errors import AccessDeniedError, NotFoundError, PermanentError, RejectedError
from rally_accelerate.model.issue import SourceRevision
from rally_accelerate.rally.fetch_fields import fetched
from rally_accelerate.rally.history import Pasts
from rally_accelerate.rally.keyset_paging import Listing, Row, rows_of, to_records
from rally_accelerate.rally.records import Around, Milestone, Post, Record, Scope, WorkItem
from rally_accelerate.rally.related_items import posts_of
from rally_accelerate.rally.removed_item_values import LOOKBACK_HAS_NOTHING, LOOKBACK_IS_NOT_WHOLE, Feed, Remains
from rally_accelerate.rally.session import Caller
from rally_accelerate.rally.timeboxes import Milestones, carried
from rally_accelerate.rally.wsapi import ref_id

logger = logging.getLogger(__name__)

#: Reads the past of records and what belongs to them: ``RallyClient.history``.
History = Callable[[Scope, Sequence[Record]], Awaitable[list[WorkItem]]]


async def readable(
    caller: Caller, scope: Scope, ids: Collection[int], *, history: History, more: Mapping[str, Sequence[str]]
) -> dict[int, Remains]:
    """Return the items that can be read by their ObjectID although the scope does not show them.

    Args:
        caller: Asks Rally.
        scope: The workspace and the types.
        ids: ObjectIDs of the items.
        history: Reads their past.
        more: Further fields to read, by type.
    """
    found: dict[int, Remains] = {}
    for kind in scope.kinds:
        wanted = set(ids) - found.keys()
        if not wanted:
            break
        listing = Listing(kind=kind, fetch=fetched(kind, more.get(kind, ())), workspace=scope.workspace.object_id)
        rows: dict[int, Row] = {}
        async for row in rows_of(caller, listing, sorted(wanted)):
            key = ref_id(row)
            if key is not None and key in wanted:
                rows[key] = row
        records, _ = to_records(kind, sorted(rows.items()))
        for item in await history(scope, records) if records else ():
            # A source that lags behind has the rest in a later run.
            found[item.record.object_id] = Remains(item=item if item.past.up_to_date else None, lists_comments=True)
    return found


async def snapshotted(
    caller: Caller, scope: Scope, removed: Mapping[int, datetime], *, pasts: Pasts, commented: Collection[int]
) -> dict[int, Remains]:
    """Return what Lookback still has of items that cannot be read in any other way.

    Args:
        caller: Asks Rally.
        scope: The workspace.
        removed: When each item was seen to be removed, by ObjectID: the feed has to have come so far.
        pasts: Reads snapshots.
        commented: The items whose comments are wanted.

    Raises:
        TransientError: Lookback, or the way to it, fails for the moment.
    """
    ids = sorted(removed)
    if not ids:
        return {}
    try:
        feed = await pasts.snapshotted(ids)
    except PermanentError as error:
        reason = str(error).rstrip(".")
        return {item: Remains(reason=reason) for item in ids}
    posts = await _posts(caller, scope, [item for item in ids if item in commented])
    known = await Milestones(caller, workspace=scope.workspace.object_id).of(its.fields for its in feed.items.values())
    return {item: _remains(item, at, feed, posts.get(item, ()), known) for item, at in removed.items()}


def _remains(
    item: int, removed_at: datetime, feed: Feed, posts: Sequence[Post], milestones: Mapping[int, Milestone]
) -> Remains:
    if feed.until is not None and feed.until < removed_at:
        return Remains()
    its = feed.items.get(item)
    if its is None:
        return Remains(reason=LOOKBACK_IS_NOT_WHOLE if item in feed.partly else LOOKBACK_HAS_NOTHING)
    return Remains(
        item=WorkItem(
            record=Record(
                kind=its.kind,
                object_id=item,
                revision=SourceRevision(its.newest, 0),
                fields={"ObjectID": item, **its.fields},
            ),
            past=its.past,
            around=Around(
                posts=tuple(posts),
                milestones={each: milestones[each] for each in carried(its.fields) if each in milestones},
            ),
        ),
        # Where snapshots are hidden, an end without a successor may be a move into a project that is hidden.
        deleted_at=None if feed.hides else its.ended,
    )


async def _posts(caller: Caller, scope: Scope, ids: Sequence[int]) -> Mapping[int, Sequence[Post]]:
    """Return the posts of items that may be deleted, as far as they can be read: that is not documented."""
    if not ids:
        return {}
    try:
        return await posts_of(caller, workspace=scope.workspace.object_id, items=ids)
    except (AccessDeniedError, NotFoundError, RejectedError) as error:
        logger.info("the comments of removed items cannot be read: %s", error)
        return {}
