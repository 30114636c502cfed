"""Reconstruction of items that are no longer in the scope from the data that Rally still returns.

See rally-api-notes.md#removed-items and rally-api-notes.md#snapshots-of-removed-items.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime

from rally_accelerate.errors import AccessDeniedError, NotFoundError, PermanentError, RejectedError
from rally_accelerate.model.issue import SourceRevision
from rally_accelerate.rally.fetch_fields import build_fetch
from rally_accelerate.rally.history import HistoryReader
from rally_accelerate.rally.keyset_paging import Listing, Row, read_rows, to_records
from rally_accelerate.rally.records import Milestone, Post, Record, RelatedObjects, Scope, WorkItem
from rally_accelerate.rally.related_items import read_posts
from rally_accelerate.rally.removed_item_values import LOOKBACK_EMPTY, LOOKBACK_INCOMPLETE, RemovedItem, SnapshotFeed
from rally_accelerate.rally.session import Session
from rally_accelerate.rally.timeboxes import MilestoneReader, milestone_ids
from rally_accelerate.rally.wsapi import ref_id

logger = logging.getLogger(__name__)

#: Reads the history and related objects of records: ``RallyClient.history``.
ReadHistory = Callable[[Scope, Sequence[Record]], Awaitable[list[WorkItem]]]


async def read_by_id(
    session: Session, scope: Scope, ids: Collection[int], *, history: ReadHistory, more: Mapping[str, Sequence[str]]
) -> dict[int, RemovedItem]:
    """Return the items outside the scope that can still be read by their ObjectID.

    Args:
        session: Sends requests to Rally.
        scope: The workspace and the types.
        ids: ObjectIDs of the items.
        history: Reads their history.
        more: Further fields to read, by type.
    """
    removed_items: dict[int, RemovedItem] = {}
    for kind in scope.kinds:
        missing = set(ids) - removed_items.keys()
        if not missing:
            break
        listing = Listing(kind=kind, fetch=build_fetch(kind, more.get(kind, ())), workspace=scope.workspace.object_id)
        rows: dict[int, Row] = {}
        async for row in read_rows(session, listing, sorted(missing)):
            key = ref_id(row)
            if key is not None and key in missing:
                rows[key] = row
        records, _ = to_records(kind, sorted(rows.items()))
        for item in await history(scope, records) if records else ():
            # A source that lags behind has the rest in a later run.
            removed_items[item.record.object_id] = RemovedItem(
                item=item if item.past.up_to_date else None, lists_comments=True
            )
    return removed_items


async def read_from_snapshots(
    session: Session,
    scope: Scope,
    removed: Mapping[int, datetime],
    *,
    history_reader: HistoryReader,
    commented: Collection[int],
) -> dict[int, RemovedItem]:
    """Reconstruct items from Lookback snapshots that cannot be read in another way.

    Args:
        session: Sends requests to Rally.
        scope: The workspace.
        removed: When each item was found to be removed, by ObjectID; Lookback must have received changes up to then.
        history_reader: Reads snapshots.
        commented: The items whose comments to read.

    Raises:
        TransientError: Lookback, or the way to it, fails for the moment.
    """
    ids = sorted(removed)
    if not ids:
        return {}
    try:
        feed = await history_reader.read_snapshots(ids)
    except PermanentError as error:
        reason = str(error).rstrip(".")
        return {item: RemovedItem(reason=reason) for item in ids}
    posts = await _read_posts(session, scope, [item for item in ids if item in commented])
    known = await MilestoneReader(session, workspace=scope.workspace.object_id).read(
        snapshot_item.fields for snapshot_item in feed.items.values()
    )
    return {item: _restore_item(item, at, feed, posts.get(item, ()), known) for item, at in removed.items()}


def _restore_item(
    item: int, removed_at: datetime, feed: SnapshotFeed, posts: Sequence[Post], milestones: Mapping[int, Milestone]
) -> RemovedItem:
    if feed.feed_time is not None and feed.feed_time < removed_at:
        return RemovedItem()
    snapshot_item = feed.items.get(item)
    if snapshot_item is None:
        return RemovedItem(reason=LOOKBACK_INCOMPLETE if item in feed.incomplete else LOOKBACK_EMPTY)
    return RemovedItem(
        item=WorkItem(
            record=Record(
                kind=snapshot_item.kind,
                object_id=item,
                revision=SourceRevision(snapshot_item.updated_at, 0),
                fields={"ObjectID": item, **snapshot_item.fields},
            ),
            past=snapshot_item.past,
            around=RelatedObjects(
                posts=tuple(posts),
                milestones={
                    milestone: milestones[milestone]
                    for milestone in milestone_ids(snapshot_item.fields)
                    if milestone in milestones
                },
            ),
        ),
        # Where snapshots are hidden, an end without a successor may be a move into a project that is hidden.
        deleted_at=None if feed.has_hidden_projects else snapshot_item.ended_at,
    )


async def _read_posts(session: Session, scope: Scope, ids: Sequence[int]) -> Mapping[int, Sequence[Post]]:
    """Return the posts of items that may be deleted, as far as they can be read, which is undocumented."""
    if not ids:
        return {}
    try:
        return await read_posts(session, workspace=scope.workspace.object_id, items=ids)
    except (AccessDeniedError, NotFoundError, RejectedError) as error:
        logger.info("the comments of removed items cannot be read: %s", error)
        return {}
