"""The recycle bin: an entry for each deleted item until it is restored or purged (rally-api-notes.md#recycle-bin)."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rally_sandbox.instants import DAY
from rally_sandbox.journal import Item
from rally_sandbox.records import Record

if TYPE_CHECKING:
    from rally_sandbox.world import World

#: How far back the generated past fills the bin.
DAYS_FILLED = 30


class RecycleBin:
    """The entries of every workspace, by the index of the deleted item."""

    def __init__(self) -> None:
        self._entries: dict[int, Record] = {}

    def put(self, item: Item, *, object_id: int, formatted_id: str, by: Record, at: int, kind: Record) -> Record:
        """Enter an item deleted at ``at`` (milliseconds); the entry's ObjectID is unrelated to the item's.

        ``kind`` is the type definition.
        """
        entry = Record(
            "RecycleBinEntry",
            object_id,
            {
                "Name": item.name,
                "ID": formatted_id,
                "ItemOID": item.object_id,
                "DeletionDate": at,
                "DeletedBy": by,
                "Project": item.values["Project"],
                "Type": kind,
            },
            at,
            item.name,
            item.workspace,
        )
        self._entries[item.index] = entry
        return entry

    def take(self, index: int) -> None:
        """Remove the entry of an item; nothing happens when it was purged."""
        self._entries.pop(index, None)

    def holds(self, index: int, *, now: int) -> bool:
        """Whether the item can still be restored."""
        entry = self._entries.get(index)
        return entry is not None and not _is_purged(entry, now)

    def entries(self, *, now: int) -> Iterator[Record]:
        """What a query sees at ``now`` (milliseconds)."""
        return (entry for entry in self._entries.values() if not _is_purged(entry, now))


def fill(world: "World") -> None:
    """Enter what was deleted lately in the generated past."""
    columns = world.columns
    for index in range(len(columns)):
        if columns.deleted[index] and columns.updated[index] > world.company.begins - DAYS_FILLED * DAY:
            item = world.item(index)
            put(world, item, item.changes[-1].user, item.updated)


def put(world: "World", item: Item, by: Record, at: int) -> None:
    """Enter an item deleted at ``at`` (milliseconds), unless items of its type vanish without a trace.

    See rally-api-notes.md#removed-items.
    """
    definition = next(each for each in world.company.of("typedefinition") if each.values["TypePath"] == item.type)
    if definition.values["Restorable"]:
        formatted_id = world.formatted_id(item)
        world.bin.put(item, object_id=world.new_id(), formatted_id=formatted_id, by=by, at=at, kind=definition)


def _is_purged(entry: Record, now: int) -> bool:
    workspace = entry.workspace
    assert workspace is not None  # every deleted item lies in a workspace
    days = workspace.values["WorkspaceConfiguration"].values["PurgeRecycleBinAfterNumberOfDays"]
    return bool(entry.values["DeletionDate"] + int(days) * DAY < now)
