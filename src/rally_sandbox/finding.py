"""Finding whatever has an ObjectID: an item, a record, a history or a revision."""

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from rally_sandbox.columns import FIRST_REVISION_ID, REVISION_STRIDE
from rally_sandbox.views import Entity, History, RevisionRow

if TYPE_CHECKING:
    from rally_sandbox.world import World


def entity(world: "World", object_id: int) -> Entity | None:
    """Whatever has an ObjectID, deleted items included; None when nothing has."""
    columns = world.columns
    for index, is_item in ((columns.find(object_id), True), (columns.find_history(object_id), False)):
        if index is not None:
            item = world.item(index)
            return item if is_item else History(item)
    record = world.company.by_id.get(object_id)
    if record is not None:
        return record
    for entry in world.bin.entries(now=world.clock.milliseconds()):
        if entry.object_id == object_id:
            return entry
    return _revision(world, object_id) or _record_history(world, object_id)


def _revision(world: "World", object_id: int) -> RevisionRow | None:
    revisions = world.columns.revisions
    position, rest = divmod(object_id - FIRST_REVISION_ID, REVISION_STRIDE)
    if not rest and 0 <= position < revisions[-1]:
        index = bisect_right(revisions, position) - 1
        item = world.item(index)
        return RevisionRow(item, item.changes[position - revisions[index]])
    place = bisect_left(world.new_revisions, (object_id,))
    if place < len(world.new_revisions) and world.new_revisions[place][0] == object_id:
        item = world.item(world.new_revisions[place][1])
        return RevisionRow(item, item.changes[world.new_revisions[place][2]])
    return None


def _record_history(world: "World", object_id: int) -> Entity | None:
    for record in world.company.by_id.values():
        if record.history_id and record.history_id == object_id:
            return History(record)
        for change in world.revisions_of(record):
            if change.object_id == object_id:
                return RevisionRow(record, change)
    return None
