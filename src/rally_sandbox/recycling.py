"""The recycle bin: an entry for each deleted item until it is restored or purged (rally-api.md 1.10)."""

from collections.abc import Iterator

from rally_sandbox.instants import DAY
from rally_sandbox.journal import Item
from rally_sandbox.records import Record


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


def _is_purged(entry: Record, now: int) -> bool:
    workspace = entry.workspace
    assert workspace is not None  # every deleted item lies in a workspace
    days = workspace.values["WorkspaceConfiguration"].values["PurgeRecycleBinAfterNumberOfDays"]
    return bool(entry.values["DeletionDate"] + int(days) * DAY < now)
